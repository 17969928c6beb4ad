//! [`StackCache`]: the unused stacks a hub keeps at hand.
//!
//! Only its hub touches a cache, so taking and giving a stack is a pop and a push, last in, first out: the stack
//! given last is the one whose top is still in the processor's caches. Half a shelf at a time moves to and from the
//! depot, so that the depot's lock is taken once in [`BATCH`] times at most. The shelf's lower end is what goes, as
//! it was used least recently.

use super::depot::TRIM_INTERVAL;
use super::error::NoStack;
use super::pool::StackPool;
use super::region::Slot;
use super::size::CLASSES;
use super::{Stack, StackSize};
use crate::facade::instant_now;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How many stacks of a class a hub keeps at most. A guess; the cost of more is memory that other hubs cannot use.
const SHELF: usize = 64;
/// How many move between a cache and the depot at once.
const BATCH: usize = SHELF / 2;

/// A hub's own unused stacks.
pub(crate) struct StackCache {
    shelves: [Shelf; CLASSES],
    /// How many stacks the shelves hold. Written here only; read by whoever counts.
    held: Arc<AtomicUsize>,
    /// How many stacks a shelf may hold: none if the number of stacks is limited, so that no hub waits for a stack
    /// that another hub merely keeps.
    capacity: usize,
    trimmed_at: Instant,
    pool: Arc<StackPool>,
}

#[derive(Default)]
struct Shelf {
    slots: Vec<Slot>,
    /// The least the shelf held since the last trim: so many, from below, were not used.
    least: usize,
    /// How many of those, from below, the last trims have taken the memory of.
    trimmed: usize,
}

impl StackCache {
    /// An empty cache.
    pub(crate) fn new(pool: Arc<StackPool>) -> StackCache {
        StackCache {
            shelves: Default::default(),
            held: pool.register_cache(),
            capacity: if pool.config().max_stacks.is_some() { 0 } else { SHELF },
            trimmed_at: instant_now(),
            pool,
        }
    }

    /// The pool behind this cache.
    #[cfg(test)]
    pub(crate) fn pool(&self) -> &Arc<StackPool> {
        &self.pool
    }

    /// A stack of this size, without owner.
    ///
    /// # Errors
    ///
    /// [`NoStack`] if there is none and none can be made now.
    #[inline]
    pub(crate) fn take(&mut self, size: StackSize) -> Result<Stack, NoStack> {
        let shelf = &mut self.shelves[size.class()];
        if let Some(slot) = shelf.slots.pop() {
            shelf.least = shelf.least.min(shelf.slots.len());
            self.add_held(usize::MAX);
            return Ok(Stack::new(slot));
        }
        self.take_from_pool(size)
    }

    /// Keeps a stack that is not in use any more.
    #[inline]
    pub(crate) fn give(&mut self, stack: Stack) {
        debug_assert!(stack.owner().is_null(), "a stack was given back with its owner still set");
        let slot = stack.into_slot();
        let size = slot.size;
        let shelf = &mut self.shelves[size.class()];
        shelf.slots.push(slot);
        let full = shelf.slots.len() >= self.capacity;
        self.add_held(1);
        if full || self.pool.is_short() {
            self.give_to_pool(size);
        }
    }

    /// Gives some of the memory that was not needed for about a second back to the system, in a time that an idle hub may
    /// spend before it looks around again. After which time there is more to do, if the hub should not sleep longer than
    /// that.
    pub(crate) fn trim(&mut self) -> Option<Duration> {
        self.trim_at(instant_now())
    }

    pub(super) fn trim_at(&mut self, now: Instant) -> Option<Duration> {
        if self.pool.is_short() {
            self.empty();
        }
        if now.saturating_duration_since(self.trimmed_at) >= TRIM_INTERVAL {
            self.trimmed_at = now;
            self.trim_shelves();
        } else if !self.pool.has_excess() {
            return None;
        }
        self.pool.trim(now)
    }

    fn trim_shelves(&mut self) {
        for shelf in &mut self.shelves {
            let unneeded = shelf.least.min(shelf.slots.len());
            for slot in &shelf.slots[shelf.trimmed.min(unneeded)..unneeded] {
                slot.release_lower_pages();
            }
            shelf.trimmed = unneeded;
            shelf.least = shelf.slots.len();
        }
    }

    /// Gives every stack to the depot.
    fn empty(&mut self) {
        for shelf in &mut self.shelves {
            let Some(size) = shelf.slots.first().map(|slot| slot.size) else { continue };
            let count = shelf.slots.len();
            self.pool.give(size, shelf.slots.drain(..));
            (shelf.least, shelf.trimmed) = (0, 0);
            self.held.store(self.held.load(Relaxed) - count, Relaxed);
        }
    }

    /// Relaxed, and not a read-modify-write: only the owner writes, and readers only count.
    #[inline]
    fn add_held(&self, more: usize) {
        self.held.store(self.held.load(Relaxed).wrapping_add(more), Relaxed);
    }

    #[cold]
    #[inline(never)]
    fn take_from_pool(&mut self, size: StackSize) -> Result<Stack, NoStack> {
        let shelf = &mut self.shelves[size.class()];
        self.pool.take(size, &mut shelf.slots, BATCH.min(self.capacity).max(1))?;
        let Some(slot) = shelf.slots.pop() else { unreachable!("the pool gives at least one or an error") };
        let left = shelf.slots.len();
        self.add_held(left);
        Ok(Stack::new(slot))
    }

    #[cold]
    #[inline(never)]
    fn give_to_pool(&mut self, size: StackSize) {
        let shelf = &mut self.shelves[size.class()];
        let count = if self.capacity == 0 || self.pool.is_short() { shelf.slots.len() } else { BATCH };
        self.pool.give(size, shelf.slots.drain(..count));
        shelf.least = shelf.least.saturating_sub(count);
        shelf.trimmed = shelf.trimmed.saturating_sub(count);
        self.add_held(count.wrapping_neg());
    }
}

impl Drop for StackCache {
    fn drop(&mut self) {
        self.empty();
    }
}
