//! The waiters of one [`Source`](super::Source): one of each direction in place, more on the heap.
//!
//! One reader and one writer is what nearly every socket has, so those two never allocate. The rest go to a `Vec`; a
//! listener shared by many acceptors is the case for it.

use super::{Direction, Readiness};
use crate::wait::{Waiter, Wakeup};

/// To be used under the source's lock only.
pub(super) struct Waiters {
    reader: Option<Waiter>,
    writer: Option<Waiter>,
    more: Vec<(Direction, Waiter)>,
}

impl Waiters {
    pub(super) const fn new() -> Self {
        Self { reader: None, writer: None, more: Vec::new() }
    }

    /// Lists a waiter, which names one wait of one caller and so is listed once.
    pub(super) fn insert(&mut self, direction: Direction, waiter: Waiter) {
        let slot = self.in_place(direction);
        match slot {
            None => *slot = Some(waiter),
            Some(_) => self.more.push((direction, waiter)),
        }
    }

    /// Unlists a waiter; does nothing if it has been woken.
    pub(super) fn remove(&mut self, direction: Direction, waiter: Waiter) {
        let slot = self.in_place(direction);
        if *slot == Some(waiter) {
            *slot = None;
        } else {
            let at = self.more.iter().position(|entry| *entry == (direction, waiter));
            at.map(|at| self.more.swap_remove(at));
        }
    }

    /// Takes out everybody who waits for one of these directions, ends their waits, and adds what is to be delivered once
    /// the lock is free.
    pub(super) fn wake(&mut self, readiness: Readiness, woken: &mut Vec<Wakeup>) {
        let mut wake = |waiter: Waiter| {
            // SAFETY: we are under the source's lock, which a waiter that nobody has woken takes (`Listed::drop`) before it
            // leaves.
            woken.extend(unsafe { waiter.wake() });
        };
        for direction in [Direction::Read, Direction::Write] {
            if readiness.includes(direction)
                && let Some(waiter) = self.in_place(direction).take()
            {
                wake(waiter);
            }
        }
        if !self.more.is_empty() {
            for (_, waiter) in self.more.extract_if(.., |(direction, _)| readiness.includes(*direction)) {
                wake(waiter);
            }
        }
    }

    fn in_place(&mut self, direction: Direction) -> &mut Option<Waiter> {
        match direction {
            Direction::Read => &mut self.reader,
            Direction::Write => &mut self.writer,
        }
    }

    /// How many are listed.
    #[cfg(all(test, greenhub_loom))]
    pub(super) fn len(&self) -> usize {
        self.reader.iter().chain(&self.writer).count() + self.more.len()
    }
}
