//! The short lock under loom: one owner at a time, who sees what the one before did, and everybody has a turn.
//!
//! All of `short_lock.rs` runs as it ships, without the pauses between looks and with a yield in place of a nap.

use super::ShortLock;
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

impl World {
    fn count(&self) {
        self.lock.acquire();
        // SAFETY: loom checks what this asserts.
        self.count.with_mut(|count| unsafe { *count += 1 });
        self.lock.release();
    }
}

fn owners(preemptions: usize, others: usize, turns: usize) {
    explore_within(preemptions, move || {
        let world = Arc::new(World { lock: ShortLock::new(), count: UnsafeCell::new(0) });
        let others: Vec<_> = (0..others)
            .map(|_| {
                let world = Arc::clone(&world);
                thread::spawn(move || (0..turns).for_each(|_| world.count()))
            })
            .collect();
        (0..turns).for_each(|_| world.count());
        let all = others.len() + 1;
        others.into_iter().for_each(|other| other.join().unwrap());
        // SAFETY: the others have ended.
        assert_eq!(world.count.with(|count| unsafe { *count }), all * turns);
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
