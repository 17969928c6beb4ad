//! The deque: every entry comes to exactly one taker, who sees what was written before it was pushed, and nobody reads a
//! buffer that is gone.
//!
//! All of `hub/deque.rs`, `deque/thief.rs` and `deque/buffer.rs` runs as it ships, with buffers of two slots so that they are
//! soon replaced. Nobody is played.

use super::{Steal, Stealer, Word, Worker};
use crate::facade::atomic::{AtomicBool, Ordering, fence};
use crate::facade::{Arc, UnsafeCell};
use crate::model::{explore, explore_within};
use loom::thread;

/// What entries stand for: each is written before it is pushed and by whoever takes it.
struct Things([UnsafeCell<usize>; 5]);

// SAFETY: loom watches what is shared.
unsafe impl Sync for Things {}
// SAFETY: as above.
unsafe impl Send for Things {}

/// A thing's number, in a word.
#[derive(Clone, Copy)]
struct Thing(usize);

// SAFETY: a number as large as a pointer.
unsafe impl Word for Thing {}

const PUSHED: usize = 1;
const TAKEN: usize = 2;

impl Things {
    fn new() -> Arc<Self> {
        Arc::new(Self(std::array::from_fn(|_| UnsafeCell::new(0))))
    }

    fn change(&self, thing: Thing, from: usize, to: usize) {
        self.0[thing.0].with_mut(|state| {
            // SAFETY: loom checks what this asserts.
            let before = unsafe { std::ptr::replace(state, to) };
            assert_eq!(before, from, "thing {}", thing.0);
        });
    }

    fn push(&self, into: &Worker<Thing>, number: usize) {
        self.change(Thing(number), 0, PUSHED);
        into.push(Thing(number));
    }

    fn take(&self, thing: Thing) {
        self.change(thing, PUSHED, TAKEN);
    }

    fn take_rest(&self, from: &Worker<Thing>) {
        while let Some(thing) = from.pop() {
            self.take(thing);
        }
    }
}

/// One attempt to steal; what came along goes too.
fn steal(things: &Things, victim: &Stealer<Thing>) -> usize {
    let own = Worker::new_fifo();
    match victim.steal_batch_with_limit_and_pop(&own, 4) {
        Steal::Success(first) => {
            things.take(first);
            let more = own.len();
            things.take_rest(&own);
            more + 1
        }
        Steal::Empty | Steal::Retry => 0,
    }
}

/// `thieves` steal once each from a deque that already holds `already`, while its owner does as `owner` says.
fn against_thieves(
    deque: Worker<Thing>,
    already: usize,
    thieves: usize,
    total: usize,
    owner: impl Fn(&Things, &Worker<Thing>),
) {
    let things = Things::new();
    (0..already).for_each(|number| things.push(&deque, number));
    let thieves: Vec<_> = (0..thieves)
        .map(|_| {
            let (things, victim) = (things.clone(), deque.stealer());
            thread::spawn(move || steal(&things, &victim))
        })
        .collect();
    owner(&things, &deque);
    for thief in thieves {
        thief.join().unwrap();
    }
    things.take_rest(&deque);
    let taken = |number: usize| {
        // SAFETY: the thieves have ended.
        things.0[number].with(|state| unsafe { *state }) == TAKEN
    };
    assert!((0..total).all(taken), "something is lost");
}

#[test]
fn model_the_newest_against_a_thief() {
    explore(|| against_thieves(Worker::new_lifo(), 2, 1, 2, |things, deque| things.take_rest(deque)));
}

#[test]
fn model_the_newest_against_two_thieves() {
    explore_within(2, || {
        against_thieves(Worker::new_lifo(), 2, 2, 2, |things, deque| things.take_rest(deque));
    });
}

/// A thief that takes more than one takes them one by one, and the owner meets it anywhere.
#[test]
fn model_the_newest_of_three_against_a_thief() {
    explore(|| against_thieves(Worker::new_lifo(), 3, 1, 3, |things, deque| things.take_rest(deque)));
}

/// What the owner writes when it has taken the newest tells a thief of the older ones, too.
#[test]
fn model_what_lies_below_the_newest_is_published() {
    explore(|| {
        against_thieves(Worker::new_lifo(), 0, 1, 3, |things, deque| {
            things.push(deque, 0);
            things.push(deque, 1);
            deque.pop().into_iter().for_each(|thing| things.take(thing));
            things.push(deque, 2);
        });
    });
}

#[test]
fn model_the_oldest_against_a_thief_of_many() {
    explore(|| against_thieves(Worker::new_fifo(), 2, 1, 2, |things, deque| things.take_rest(deque)));
}

#[test]
fn model_a_slot_is_filled_anew_only_when_it_was_read() {
    explore(|| {
        against_thieves(Worker::new_fifo(), 2, 1, 4, |things, deque| {
            deque.pop().into_iter().for_each(|thing| things.take(thing));
            things.push(deque, 2);
            deque.pop().into_iter().for_each(|thing| things.take(thing));
            things.push(deque, 3);
        });
    });
}

#[test]
fn model_a_buffer_is_replaced_beside_a_thief() {
    for new in [Worker::new_fifo, Worker::new_lifo] {
        explore(move || {
            against_thieves(new(), 2, 1, 3, |things, deque| {
                things.push(deque, 2);
                // The thief may have gone meanwhile: now it is found out that nobody reads the old one.
                things.take_rest(deque);
                deque.trim();
            });
        });
    }
}

/// Each of two thieves keeps what it may be reading, whichever goes first.
#[test]
fn model_a_buffer_is_replaced_beside_two_thieves() {
    explore_within(2, || {
        against_thieves(Worker::new_fifo(), 2, 2, 3, |things, deque| {
            things.push(deque, 2);
            things.take_rest(deque);
            deque.trim();
        });
    });
}

#[test]
fn model_all_at_once_against_a_thief() {
    for new in [Worker::new_fifo, Worker::new_lifo] {
        explore(move || {
            against_thieves(new(), 2, 1, 2, |things, deque| {
                let mut all = Vec::new();
                deque.take_all(&mut all);
                all.into_iter().for_each(|thing| things.take(thing));
            });
        });
    }
}

#[test]
fn model_pushes_after_all_were_taken() {
    for new in [Worker::new_fifo, Worker::new_lifo] {
        explore(move || {
            against_thieves(new(), 2, 1, 4, |things, deque| {
                let mut all = Vec::new();
                deque.take_all(&mut all);
                all.into_iter().for_each(|thing| things.take(thing));
                things.push(deque, 2);
                things.push(deque, 3);
            });
        });
    }
}

/// A hub steals into its own deque, which is full, so that its buffer is replaced, while somebody steals from that.
#[test]
fn model_a_steal_into_a_deque_that_is_stolen_from() {
    explore(|| {
        let other = Worker::new_fifo();
        against_thieves(Worker::new_fifo(), 2, 1, 5, move |things, deque| {
            (2..5).for_each(|number| things.push(&other, number));
            if let Steal::Success(first) = other.stealer().steal_batch_with_limit_and_pop(deque, 4) {
                things.take(first);
            }
            things.take_rest(&other);
        });
    });
}

/// As `idle.rs` needs it: either a hub that lies down sees that a deque is not empty, or whoever pushed sees
/// it lie.
#[test]
fn model_a_push_beside_a_hub_that_lies_down() {
    for new in [Worker::new_fifo, Worker::new_lifo] {
        explore(move || {
            let deque = new();
            let asleep = Arc::new(AtomicBool::new(false));
            let sleeper = {
                let (asleep, victim) = (asleep.clone(), deque.stealer());
                thread::spawn(move || {
                    // A swap, for loom's sake, as in `Bed`.
                    asleep.swap(true, Ordering::Relaxed);
                    victim.is_empty()
                })
            };
            deque.push(Thing(0));
            assert!(deque.pop().is_some());
            deque.push(Thing(1));
            fence(Ordering::SeqCst);
            let seen_asleep = asleep.load(Ordering::Relaxed);
            let seen_empty = sleeper.join().unwrap();
            assert!(seen_asleep || !seen_empty, "it sleeps beside work");
        });
    }
}
