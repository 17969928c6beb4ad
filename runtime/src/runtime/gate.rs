//! [`Gate`]: whom a runtime still lets in, whether anybody is left inside, and when its hubs may leave.
//!
//! A shutdown closes the gate, kills who is inside until nobody is, ends the runtime, and rouses its hubs, which leave.
//! Its dangers are a greenlet that is let in and then not seen, and an end while one lives: its closure would never run
//! nor be dropped, and its joiners would wait for ever.
//!
//! * *From outside* a greenlet is let in under a lock, and the gate is closed under that same lock. So whoever came
//!   before is listed and counted when the shutdown first looks, and whoever comes after is refused.
//! * *On a hub* only a greenlet spawns, and it is itself not counted as finished while it does. It asks without a lock
//!   whether the gate is closed, and may just miss it: what it spawns is killed with the rest.
//! * *Nobody is left* when the finished add up to the spawned, read in this order. A finish is counted with release,
//!   after everything the greenlet did; so whoever sees it sees all that the greenlet spawned, and its own spawn too. Were
//!   the spawned read first, one that was spawned and finished since would make up for one that lives.

use crate::facade::Mutex;
use crate::facade::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::greenlet::header::{Header, Ref};
use crate::greenlet::registry::Shard;
use crate::hub::metrics::Counters;
use std::ptr::NonNull;

#[cfg(all(test, greenhub_loom))]
mod model;

const RUNNING: u8 = 0;
const CLOSING: u8 = 1;
const ENDED: u8 = 2;

/// See the module's page.
pub(crate) struct Gate {
    phase: AtomicU8,
    /// Greenlets spawned from outside, for which no hub's shard may be used.
    outside: Mutex<Shard>,
    spawned_outside: AtomicU64,
}

impl Gate {
    /// The gate of a runtime that starts.
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(RUNNING),
            outside: Mutex::new(Shard::new()),
            spawned_outside: AtomicU64::new(0),
        }
    }

    /// Whether new greenlets are refused.
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        // Relaxed: a spawn that just misses it is killed with the rest.
        self.phase.load(Ordering::Relaxed) != RUNNING
    }

    /// Whether hubs are to leave.
    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        // Acquire: pairs with the Release in `end`.
        self.phase.load(Ordering::Acquire) == ENDED
    }

    /// Lists a greenlet spawned from outside; `false` if the runtime takes no more.
    pub(crate) fn let_in(&self, header: NonNull<Header>) -> bool {
        let outside = self.outside.lock();
        if self.is_closing() {
            return false;
        }
        // SAFETY: the lock around the shard is held, and the greenlet is new.
        unsafe { outside.insert(header) };
        // Release: pairs with the Acquire in `spawned_outside`.
        self.spawned_outside.fetch_add(1, Ordering::Release);
        true
    }

    /// From now on nobody is let in.
    pub(crate) fn close(&self) {
        // With the lock, so that no spawn from outside is half done.
        let _outside = self.outside.lock();
        // Relaxed: spawns on hubs that miss it are killed with the rest.
        self.phase.store(CLOSING, Ordering::Relaxed);
    }

    /// Bids the hubs leave. They may be asleep: rouse them after this.
    pub(crate) fn end(&self) {
        // Release: pairs with the Acquire in `is_ended`.
        self.phase.store(ENDED, Ordering::Release);
    }

    /// How many were let in from outside.
    pub(crate) fn spawned_outside(&self) -> u64 {
        self.spawned_outside.load(Ordering::Acquire)
    }

    /// How many greenlets have not ended, given what each hub has counted.
    pub(crate) fn live<'a>(&self, hubs: impl Iterator<Item = &'a Counters> + Clone) -> u64 {
        // Finished first: both only grow and never cross, so if the two sums agree they agreed in between.
        let finished: u64 = hubs.clone().map(|counters| counters.finished.get()).sum();
        let spawned: u64 = hubs.map(|counters| counters.spawned.get()).sum();
        spawned + self.spawned_outside() - finished
    }

    /// Every greenlet spawned from outside that has not ended.
    pub(crate) fn snapshot(&self, into: &mut Vec<Ref>) {
        self.outside.lock().snapshot(into);
    }

    /// The first of them for which `wanted` says so.
    pub(crate) fn find(&self, wanted: &mut impl FnMut(&Header) -> bool) -> Option<Ref> {
        self.outside.lock().find(wanted)
    }
}
