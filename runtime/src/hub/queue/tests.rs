//! The order of one hub's queues. Entries stand for greenlets that there are not: nothing here looks at one.

use super::*;
use crate::greenlet::header::{Header, Life};
use std::num::NonZero;
use std::ptr::NonNull;

fn address(number: usize) -> NonNull<Header> {
    NonNull::without_provenance(NonZero::new((number + 1) * 64).unwrap())
}

fn started(number: usize) -> Entry {
    Entry::resume(address(number))
}

fn unstarted(number: usize) -> Entry {
    // SAFETY: nobody owns, or looks at, what is not there.
    Entry::start(unsafe { Life::from_raw(address(number)) })
}

/// The numbers of the entries, in the order in which they leave.
fn order(queue: &Queue) -> Vec<usize> {
    let number = |entry: Entry| entry.header().addr().get() / 64 - 1;
    std::iter::from_fn(|| queue.pop()).map(number).collect()
}

#[test]
fn ring_and_deque_are_one_first_in_first_out_queue() {
    for mixed in [false, true] {
        let queue = Queue::new(mixed, true);
        for number in 0..40 {
            match number % 4 {
                0 => queue.push_ring(started(number)),
                1 if mixed => _ = queue.push_shared(started(number)),
                _ => _ = queue.push_shared(unstarted(number)),
            }
        }
        assert_eq!(order(&queue), Vec::from_iter(0..40), "mixed: {mixed}");
        assert!(queue.is_empty());
    }
}

#[test]
fn beyond_the_limit_the_newest_unstarted_goes_first() {
    let queue = Queue::new(false, false);
    let count = policy::DEQUE_LIMIT + 3;
    (0..count).for_each(|number| _ = queue.push_shared(unstarted(number)));
    let order = order(&queue);
    assert_eq!(order[..3], [count - 1, count - 2, count - 3]);
    // What the deque had room for keeps its order.
    assert_eq!(order[3..], Vec::from_iter(0..policy::DEQUE_LIMIT));
}

#[test]
fn where_both_kinds_may_be_taken_started_ones_go_first_beyond_the_limit() {
    let queue = Queue::new(true, true);
    let count = policy::DEQUE_LIMIT + 1;
    for number in 0..count {
        // They lie among the others.
        if number < 6 {
            queue.push_shared(started(count + number));
        }
        queue.push_shared(unstarted(number));
    }
    let order = order(&queue);
    // Every so manyth turn is an unstarted one's, the newest's.
    let (every, newest) = (policy::UNSTARTED_EVERY as usize, count - 1);
    assert_eq!(every, 4, "what follows is for that");
    assert_eq!(
        order[..8],
        [count, count + 1, count + 2, newest, count + 3, count + 4, count + 5, newest - 1]
    );
    assert_eq!(order[8..], Vec::from_iter((0..newest - 1).rev()));
    assert!(queue.is_empty());
}
