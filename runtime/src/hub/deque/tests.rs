//! Order and bounds on one thread; a storm on several.

use super::{Steal, Stealer, Word, Worker};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

// SAFETY: as large as a pointer, and of no consequence.
unsafe impl Word for usize {}

fn filled(deque: Worker<usize>, count: usize) -> Worker<usize> {
    (0..count).for_each(|number| deque.push(number));
    deque
}

fn rest(deque: &Worker<usize>) -> Vec<usize> {
    std::iter::from_fn(|| deque.pop()).collect()
}

fn steal(victim: &Stealer<usize>, into: &Worker<usize>, limit: usize) -> Option<usize> {
    loop {
        match victim.steal_batch_with_limit_and_pop(into, limit) {
            Steal::Empty => return None,
            Steal::Success(first) => return Some(first),
            Steal::Retry => {}
        }
    }
}

#[test]
fn the_owner_takes_its_end() {
    assert_eq!(rest(&filled(Worker::new_fifo(), 1000)), (0..1000).collect::<Vec<_>>());
    assert_eq!(rest(&filled(Worker::new_lifo(), 1000)), (0..1000).rev().collect::<Vec<_>>());
}

#[test]
fn thieves_take_the_oldest_half_within_their_limit() {
    for (deque, newest_first) in
        [(filled(Worker::new_fifo(), 1000), false), (filled(Worker::new_lifo(), 1000), true)]
    {
        let (victim, own) = (deque.stealer(), Worker::new_fifo());
        let mut others: Vec<_> = (1..16).collect();
        if newest_first {
            others.reverse();
        }
        assert_eq!(steal(&victim, &own, 16), Some(0));
        assert_eq!(rest(&own), others);
        assert_eq!((deque.len(), victim.len()), (984, 984));
        assert_eq!(steal(&victim, &own, 10_000), Some(16));
        assert_eq!(own.len(), 491);
        assert_eq!(deque.len(), 492);
    }
}

#[test]
fn all_are_taken_at_once_in_order() {
    for deque in [filled(Worker::new_fifo(), 300), filled(Worker::new_lifo(), 300)] {
        let mut all = vec![7];
        deque.take_all(&mut all);
        assert_eq!(all[1..], (0..300).collect::<Vec<_>>());
        assert!(deque.is_empty() && deque.pop().is_none() && deque.stealer().is_empty());
        deque.push(5);
        assert_eq!(rest(&deque), [5]);
    }
}

#[test]
fn a_short_queue_gives_the_memory_of_a_long_one_back() {
    let deque = filled(Worker::new_fifo(), 100_000);
    assert!(deque.buffer().size() >= 100_000);
    for _ in 0..99_900 {
        deque.pop();
    }
    deque.trim();
    assert_eq!(deque.buffer().size(), 128);
    assert_eq!(rest(&deque), (99_900..100_000).collect::<Vec<_>>());
}

#[test]
fn what_a_thief_kept_from_being_freed_goes_later() {
    let deque = Worker::new_fifo();
    let replaced = || {
        // SAFETY: nobody else has this deque.
        deque.shared.ours.replaced.with(|replaced| unsafe { (*replaced).len() })
    };
    deque.shared.theirs.thieves.fetch_add(1, Relaxed);
    (0..1000).for_each(|number| deque.push(number));
    while deque.pop().is_some() {}
    deque.trim();
    assert_eq!(replaced(), 4);
    deque.shared.theirs.thieves.fetch_sub(1, Relaxed);
    deque.trim();
    assert_eq!(replaced(), 0);
}

#[test]
fn each_entry_comes_to_one_taker() {
    const ENTRIES: usize = 200_000;
    for deque in [Worker::new_fifo(), Worker::new_lifo()] {
        let taken: Vec<_> = (0..ENTRIES).map(|_| AtomicUsize::new(0)).collect();
        let over = AtomicBool::new(false);
        let take = |number: usize| {
            taken[number].fetch_add(1, Relaxed);
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                let victim = deque.stealer();
                let (take, over) = (&take, &over);
                scope.spawn(move || {
                    let own = Worker::new_fifo();
                    while !over.load(Relaxed) {
                        steal(&victim, &own, 32).into_iter().for_each(take);
                        rest(&own).into_iter().for_each(take);
                    }
                });
            }
            let mut all = Vec::new();
            for number in 0..ENTRIES {
                deque.push(number);
                match number % 1000 {
                    0..900 => {}
                    998 => deque.take_all(&mut all),
                    999 => deque.trim(),
                    _ => deque.pop().into_iter().for_each(take),
                }
                all.drain(..).for_each(take);
            }
            rest(&deque).into_iter().for_each(take);
            over.store(true, Relaxed);
        });
        assert!(taken.iter().all(|times| times.load(Relaxed) == 1), "an entry was lost, or taken twice");
    }
}
