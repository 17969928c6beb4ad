//! What a hub counts: relaxed counters that only the hub itself writes, so counting is a load and a store.

use crate::cache_padded::CachePadded;
use crate::facade::atomic::{AtomicU64, Ordering};

/// A number that one thread changes and any thread may read.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.set(self.get() + n);
    }
    #[inline]
    pub(crate) fn sub(&self, n: u64) {
        self.set(self.get() - n);
    }
    #[inline]
    pub(crate) fn set(&self, n: u64) {
        // Release: for the two counters that shutdown decides by (`spawned`, `finished`); on this platform it costs
        // nothing, and the others need no order.
        self.0.store(n, Ordering::Release);
    }
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// One hub's counters. Its own cache lines: written on every switch.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) switches: Counter,
    pub(crate) spawned: Counter,
    pub(crate) finished: Counter,
    pub(crate) started: Counter,
    pub(crate) taken_unstarted: Counter,
    pub(crate) taken_started: Counter,
    pub(crate) steals_tried: Counter,
    pub(crate) parks: Counter,
    pub(crate) polls: Counter,
    pub(crate) wakes_sent: Counter,
    pub(crate) wakes_received: Counter,
    pub(crate) ring_length: Counter,
    /// Greenlets that started or arrived here, less those that ended here. Of these `moved_away` are gone.
    pub(crate) live_stacks: Counter,
    /// Started greenlets that other hubs took over, and count as theirs. Written by those.
    pub(crate) moved_away: AtomicU64,
    /// Started greenlets that wait for I/O or time: the load that placement goes by, read by others at each of their spawns.
    pub(crate) waiting_outside: CachePadded<Counter>,
}

impl Counters {
    /// Started greenlets that live on this hub.
    pub(crate) fn live_started(&self) -> u64 {
        // Relaxed and saturating: who reads it from elsewhere sees the two counts at different moments.
        self.live_stacks.get().saturating_sub(self.moved_away.load(Ordering::Relaxed))
    }
}
