//! The waiters of one [`Source`](super::Source): two entries in place, more on the heap.
//!
//! One reader and one writer is what nearly every socket has, so those two never allocate. The rest go to a `Vec`; a
//! listener shared by many acceptors is the case for it.

use super::{Direction, Readiness};
use crate::wait::{Waiter, Wakeup};

struct Entry {
    id: u64,
    direction: Direction,
    waiter: Waiter,
}

/// To be used under the source's lock only.
pub(super) struct Waiters {
    in_place: [Option<Entry>; 2],
    more: Vec<Entry>,
    next_id: u64,
}

impl Waiters {
    pub(super) const fn new() -> Self {
        Self { in_place: [None, None], more: Vec::new(), next_id: 0 }
    }

    /// Lists a waiter. The id names it for [`remove`](Self::remove) and is never used twice.
    pub(super) fn insert(&mut self, direction: Direction, waiter: Waiter) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let entry = Entry { id, direction, waiter };
        match self.in_place.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(entry),
            None => self.more.push(entry),
        }
        id
    }

    /// Unlists a waiter; does nothing if it has been woken.
    pub(super) fn remove(&mut self, id: u64) {
        for slot in &mut self.in_place {
            if slot.as_ref().is_some_and(|entry| entry.id == id) {
                *slot = None;
                return;
            }
        }
        self.more.retain(|entry| entry.id != id);
    }

    /// Takes out everybody who waits for one of these directions and ends their waits.
    pub(super) fn wake(&mut self, readiness: Readiness) -> Woken {
        let mut woken = Woken { in_place: [None, None], more: Vec::new() };
        for (slot, wakeup) in self.in_place.iter_mut().zip(&mut woken.in_place) {
            if let Some(entry) = slot.take_if(|entry| readiness.includes(entry.direction)) {
                // SAFETY: we are under the source's lock, which a waiter takes (`Listed::drop`) before it leaves.
                *wakeup = unsafe { entry.waiter.wake() };
            }
        }
        if !self.more.is_empty() {
            for entry in self.more.extract_if(.., |entry| readiness.includes(entry.direction)) {
                // SAFETY: as above.
                woken.more.extend(unsafe { entry.waiter.wake() });
            }
        }
        woken
    }

    /// How many are listed.
    #[cfg(all(test, greenhub_loom))]
    pub(super) fn len(&self) -> usize {
        self.in_place.iter().flatten().count() + self.more.len()
    }
}

/// Wake-ups to be delivered once the list's lock is free.
#[must_use = "woken waiters run only once they are delivered"]
pub(super) struct Woken {
    in_place: [Option<Wakeup>; 2],
    more: Vec<Wakeup>,
}

impl Woken {
    /// Delivers all, and returns how many there were.
    pub(super) fn deliver(&mut self) -> usize {
        let mut count = 0;
        for wakeup in self.in_place.iter_mut().filter_map(Option::take).chain(self.more.drain(..)) {
            wakeup.deliver();
            count += 1;
        }
        count
    }
}
