//! The short lock under loom: one owner at a time, who sees what the one before did, and everybody has a turn; also where it is
//! biased, and that is revoked.
//!
//! All of `short_lock.rs` runs as it ships, without the pauses between looks and with a yield in place of a nap; the light
//! side of the lopsided fence is a full one.

use super::{ShortLock, ThreadMark};
use crate::facade::{Arc, UnsafeCell};
use crate::model::explore_within;
use loom::thread;

struct World {
    lock: ShortLock,
    count: UnsafeCell<usize>,
}

// SAFETY: loom watches the cell, which is what the model is for.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

/// The threads' marks.
const FIRST: ThreadMark = ThreadMark(1);
const SECOND: ThreadMark = ThreadMark(2);

impl World {
    fn new() -> Arc<Self> {
        Arc::new(World { lock: ShortLock::new(), count: UnsafeCell::new(0) })
    }

    /// One whose lock is biased to the first thread.
    fn biased() -> Arc<Self> {
        let world = Self::new();
        assert!(world.count_as(FIRST, true) && world.lock.enter(FIRST));
        world.lock.leave();
        world
    }

    /// Counts under the lock; with `wants`, it wants to be the one to whom it is biased, and tells whether it is.
    fn count_as(&self, me: ThreadMark, wants: bool) -> bool {
        self.lock.acquire(me);
        // SAFETY: loom checks what this asserts.
        self.count.with_mut(|count| unsafe { *count += 1 });
        let is_biased = wants && self.lock.bias_to(me);
        self.lock.release();
        is_biased
    }

    fn is_counted(&self, wanted: usize) {
        // SAFETY: the others have ended.
        assert_eq!(self.count.with(|count| unsafe { *count }), wanted);
    }
}

fn on_thread(world: &Arc<World>, f: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

fn owners(preemptions: usize, others: usize, turns: usize) {
    explore_within(preemptions, move || {
        let world = World::new();
        let count = move |world: &World| {
            for _ in 0..turns {
                world.count_as(ThreadMark::NOBODY, false);
            }
        };
        let others: Vec<_> = (0..others).map(|_| on_thread(&world, count)).collect();
        count(&world);
        let all = others.len() + 1;
        others.into_iter().for_each(|other| other.join().unwrap());
        world.is_counted(all * turns);
    });
}

#[test]
fn model_two_owners_take_turns() {
    owners(3, 1, 2);
}

#[test]
fn model_three_owners_take_turns() {
    owners(1, 2, 1);
}

/// Another thread comes while the one that the lock is biased to goes in and out; and again, by the flag now.
#[test]
fn model_a_bias_is_revoked() {
    explore_within(3, || {
        let world = World::biased();
        let other = on_thread(&world, |world| {
            for _ in 0..2 {
                assert!(!world.count_as(SECOND, true), "the lock was biased once");
            }
        });
        for _ in 0..2 {
            world.count_as(FIRST, false);
        }
        other.join().unwrap();
        assert!(!world.lock.bias_to(FIRST), "its bias was revoked");
        world.is_counted(5);
    });
}

/// Two others come: one revokes the bias, and the second must not take the first thread, late at the door, for gone.
#[test]
fn model_a_bias_is_revoked_for_two() {
    explore_within(2, || {
        let world = World::biased();
        let others = [SECOND, ThreadMark::NOBODY].map(|me| {
            on_thread(&world, move |world| {
                world.count_as(me, true);
                if me == SECOND {
                    world.count_as(me, false);
                }
            })
        });
        world.count_as(FIRST, false);
        others.into_iter().for_each(|other| other.join().unwrap());
        world.is_counted(5);
    });
}

/// The lock becomes biased while another thread waits for it.
#[test]
fn model_a_bias_is_given_and_revoked() {
    explore_within(3, || {
        let world = World::new();
        let other = on_thread(&world, |world| {
            world.count_as(SECOND, false);
        });
        world.count_as(FIRST, true);
        world.count_as(FIRST, false);
        other.join().unwrap();
        world.is_counted(3);
    });
}
