//! [`StackPool`]: all stacks of one runtime; regions, and the depot that the hubs' caches exchange with.
//!
//! Each size class has its own [depot](Depot) behind a short lock, taken once per batch. System calls are made without it.
//!
//! Dropping the pool unmaps every region no stack of which is still out; see [`region`](super::region).

use super::depot::{Depot, TRIM_INTERVAL};
use super::error::NoStack;
use super::fresh;
use super::guard::GuardPolicy;
use super::region::Slot;
use super::size::CLASSES;
use super::{Stack, StackSize};
use crate::cache_padded::CachePadded;
use crate::facade::instant_now;
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How long a trim may take, in which a hub does nothing else.
const TRIM_TIME: Duration = Duration::from_micros(50);

/// How a runtime's stacks are to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackConfig {
    /// Whether stacks may go without a guard when no guard is to be had. An overflow of such a stack writes over
    /// another greenlet's, so whoever sets this vouches that no greenlet overflows.
    pub(crate) unguarded: bool,
    /// How many stacks may be in use at once.
    pub(crate) max_stacks: Option<usize>,
    /// How guards are made.
    pub(crate) guards: GuardPolicy,
}

impl Default for StackConfig {
    fn default() -> StackConfig {
        StackConfig { unguarded: false, max_stacks: None, guards: GuardPolicy::Best }
    }
}

/// A runtime's stacks, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct StackCounts {
    /// On which a greenlet runs or waits.
    pub(crate) in_use: usize,
    /// Kept for the next greenlet, in caches and depot.
    pub(crate) cached: usize,
}

/// All stacks of one runtime. Shared by its hubs.
pub(crate) struct StackPool {
    config: StackConfig,
    classes: [Mutex<Depot>; CLASSES],
    /// Slots outside the depots: in caches and in use.
    out: AtomicUsize,
    /// Slots in the depots.
    stored: AtomicUsize,
    /// Set when a stack was refused: caches then give stacks back to the depot at once, where whoever waits finds
    /// them. Cleared when the depot can serve again. Read for each stack given back, while all hubs write what lies
    /// around it.
    short: CachePadded<AtomicBool>,
    /// Set while a depot keeps more warm stacks than it should for long. Read for each sleep of a hub.
    excess: CachePadded<AtomicBool>,
    /// Held by whoever trims: each step interrupts all processors, so one at a time.
    trimming: Mutex<()>,
    /// How many stacks each cache holds, written by its owner only.
    caches: Mutex<Vec<Weak<AtomicUsize>>>,
}

impl StackPool {
    /// An empty pool. Nothing is reserved before the first stack is taken.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a limit of no stacks at all.
    pub(crate) fn new(config: StackConfig) -> io::Result<Arc<StackPool>> {
        if config.max_stacks == Some(0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a runtime needs at least one stack"));
        }
        Ok(Arc::new(StackPool {
            config,
            classes: std::array::from_fn(|_| Mutex::new(Depot::new())),
            out: AtomicUsize::new(0),
            stored: AtomicUsize::new(0),
            short: CachePadded::new(AtomicBool::new(false)),
            excess: CachePadded::new(AtomicBool::new(false)),
            trimming: Mutex::new(()),
            caches: Mutex::new(Vec::new()),
        }))
    }

    /// How this pool was configured.
    pub(crate) fn config(&self) -> &StackConfig {
        &self.config
    }

    /// Counts the stacks. The numbers are read one after the other, so they fit together only when nothing moves.
    pub(crate) fn counts(&self) -> StackCounts {
        let in_caches: usize =
            self.caches.lock().iter().filter_map(Weak::upgrade).map(|held| held.load(Relaxed)).sum();
        StackCounts {
            in_use: self.out.load(Relaxed).saturating_sub(in_caches),
            cached: in_caches + self.stored.load(Relaxed),
        }
    }

    /// Whether any stack of this size is outside the depot, in use or in a cache. A stack of another size that comes
    /// free is of no use to who waits for one of this.
    pub(crate) fn has_out(&self, size: StackSize) -> bool {
        self.classes[size.class()].lock().has_out()
    }

    /// Whether a stack of this size is on its way back into the depot.
    pub(crate) fn is_trimming(&self, size: StackSize) -> bool {
        self.classes[size.class()].lock().is_trimming()
    }

    /// Whether a stack was refused and none has been handed out by the depot since. While this holds, each
    /// stack given back is at once within reach of every hub, so this is the moment to try again.
    pub(crate) fn is_short(&self) -> bool {
        // Relaxed: a hint. A hub that is refused tries again later on its own; it does not rely on being told.
        self.short.load(Relaxed)
    }

    /// A counter for a new cache.
    pub(super) fn register_cache(&self) -> Arc<AtomicUsize> {
        let held = Arc::new(AtomicUsize::new(0));
        let mut caches = self.caches.lock();
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(Arc::downgrade(&held));
        held
    }

    /// Moves up to `most` unused stacks into `shelf`, most recently used last; if there is none, makes one or some.
    pub(super) fn take(
        self: &Arc<Self>,
        size: StackSize,
        shelf: &mut Vec<Slot>,
        most: usize,
    ) -> Result<(), NoStack> {
        // Counted before it is taken, so that the limit is exact: if there is one, `most` is 1. Relaxed, as all
        // counts here: the slots themselves come through the lock.
        let out = self.out.fetch_add(1, Relaxed);
        let taken = match self.config.max_stacks {
            Some(limit) if out >= limit => Err(NoStack::configured(limit)),
            _ => self.take_or_make(size, shelf, most),
        };
        match taken {
            Ok(taken) => {
                self.out.fetch_add(taken - 1, Relaxed);
                if self.is_short() {
                    self.short.store(false, Relaxed);
                }
                Ok(())
            }
            Err(error) => {
                self.out.fetch_sub(1, Relaxed);
                self.short.store(true, Relaxed);
                Err(error)
            }
        }
    }

    /// Returns how many stacks it put into `shelf`: at least one.
    fn take_or_make(
        self: &Arc<Self>,
        size: StackSize,
        shelf: &mut Vec<Slot>,
        most: usize,
    ) -> Result<usize, NoStack> {
        let mut depot = self.classes[size.class()].lock();
        let taken = depot.take(shelf, most);
        if taken > 0 {
            drop(depot);
            self.stored.fetch_sub(taken, Relaxed);
            return Ok(taken);
        }
        let first = shelf.len();
        let cut = depot.cut(size, &Arc::downgrade(self), shelf, most, self.config.guards)?;
        drop(depot);
        // System calls, or one, so without the lock.
        match fresh::guard_all(&shelf[first..], self.config.guards, self.config.unguarded) {
            Ok(()) => Ok(cut),
            Err((ready, error)) => {
                self.classes[size.class()].lock().give_bare(shelf.drain(first + ready..));
                if ready > 0 { Ok(ready) } else { Err(error) }
            }
        }
    }

    /// Takes unused stacks of one class back; those given first are taken again last.
    pub(super) fn give(&self, size: StackSize, slots: impl ExactSizeIterator<Item = Slot>) {
        let count = slots.len();
        self.stored.fetch_add(count, Relaxed);
        self.out.fetch_sub(count, Relaxed);
        let has_excess = self.classes[size.class()].lock().give(slots);
        // Relaxed, here and where it is read: a hint to hubs that are about to sleep, as the one that runs here will be.
        if has_excess && !self.excess.load(Relaxed) {
            self.excess.store(true, Relaxed);
        }
    }

    /// Takes back a stack that was dropped rather than given to a cache.
    pub(super) fn give_dropped(&self, slot: Slot) {
        self.give(slot.size, std::iter::once(slot));
    }

    /// Whether a [`trim`](Self::trim) is due soon, whatever else happens.
    pub(crate) fn has_excess(&self) -> bool {
        self.excess.load(Relaxed)
    }

    /// Gives the memory of some of those depot stacks back to the system that were not needed for [`TRIM_INTERVAL`] before
    /// `now`. After which time there may be more to do, if so.
    pub(crate) fn trim(&self, now: Instant) -> Option<Duration> {
        let Some(_alone) = self.trimming.try_lock() else {
            // Who trims may have passed by what the caller has just given, and may sleep for ever after it.
            return Some(TRIM_INTERVAL);
        };
        self.excess.store(false, Relaxed);
        let begun = instant_now();
        let mut again: Option<Duration> = None;
        for class in &self.classes {
            let mut depot = class.lock();
            depot.look(now);
            while instant_now() - begun < TRIM_TIME {
                let mut unneeded = depot.take_unneeded();
                if unneeded.is_empty() {
                    break;
                }
                drop(depot);
                // System calls, so without the lock.
                Slot::release_memory_of(&mut unneeded);
                depot = class.lock();
                depot.give_cold(unneeded);
            }
            again = again.into_iter().chain(depot.time_to_next_trim(now)).min();
        }
        if again.is_some() {
            self.excess.store(true, Relaxed);
        }
        again
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        // The caches hold the pool, so they are gone and their stacks are here.
        for class in &mut self.classes {
            class.get_mut().abandon();
        }
    }
}

impl Drop for Stack {
    /// Sends a stack that was not given to a cache to its pool, or, if that is gone, ends its slot.
    fn drop(&mut self) {
        self.retire();
        // SAFETY: the stack is not used after its drop, so its slot is read out once.
        let slot = unsafe { std::mem::ManuallyDrop::take(&mut self.slot) };
        match slot.pool().upgrade() {
            Some(pool) => pool.give_dropped(slot),
            None => slot.abandon(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_another_trimming_comes_again() {
        let pool = StackPool::new(StackConfig::default()).unwrap();
        let trimming = pool.trimming.lock();
        assert_eq!(pool.trim(instant_now()), Some(TRIM_INTERVAL));
        drop(trimming);
        assert_eq!(pool.trim(instant_now()), None);
    }
}
