//! Placement: on which hub a new greenlet waits to be started, and who is told that there is work.
//!
//! A greenlet that starts stays (in the default mode), so where it starts decides the load of I/O-bound programs. Each
//! hub publishes how many started greenlets it holds that wait for I/O or time, and a hub that holds clearly more than
//! one of two picked at random gives new ones away, unstarted. Compute-bound greenlets need no placement: thieves
//! even them out.

use super::Hub;
use super::mailbox::Mailbox;
use super::policy;
use crate::facade::atomic::Ordering;
use crate::runtime::{Migration, Shared};

impl Shared {
    /// The load that placement goes by.
    fn load_of(&self, hub: usize) -> usize {
        self.hub(hub).counters.waiting_outside.get() as usize
    }

    /// The less loaded of two hubs.
    fn lighter(&self, one: usize, other: usize) -> usize {
        if self.load_of(other) < self.load_of(one) { other } else { one }
    }

    /// Where a greenlet goes that is spawned from outside the runtime.
    pub(crate) fn place_from_outside(&self) -> usize {
        let hubs = self.hubs().len() as u64;
        if hubs == 1 {
            return 0;
        }
        // Round robin for the first choice, so that a burst spreads evenly before any load is published; another for
        // the second. Relaxed: any number will do.
        let turn = self.outside_turn.fetch_add(1, Ordering::Relaxed);
        let mixed = turn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.lighter((turn % hubs) as usize, (mixed % hubs) as usize)
    }

    /// Somebody from outside left work in the inbox of `hub`, which is up, and may be busy for long: another hub should
    /// know.
    pub(crate) fn announce(&self, hub: usize) {
        if self.hubs().len() > 1
            && let Some(watcher) = self.watch.elect(hub + 1)
        {
            self.hub(watcher).mailbox.rouse();
        }
    }
}

impl Hub {
    /// Where a greenlet spawned here should wait, if not here.
    #[inline]
    pub(crate) fn better_place(&self) -> Option<&'static Mailbox> {
        let mine = self.shared().counters.waiting_outside.get() as usize;
        // The cheap half of the rule first: most spawns are of hubs that hold next to nothing.
        if mine <= 16 || self.runtime.hubs().len() == 1 || self.migration != Migration::Never {
            return None;
        }
        self.better_place_than(mine)
    }

    #[cold]
    fn better_place_than(&self, mine: usize) -> Option<&'static Mailbox> {
        let hubs = self.runtime.hubs().len();
        // Two others at random; on two hubs, the other one.
        let pick = |random: u64| (self.index + 1 + (random as usize) % (hubs - 1)) % hubs;
        let random = self.random();
        let other = self.runtime.lighter(pick(random), pick(random >> 32));
        policy::place_elsewhere(mine, self.runtime.load_of(other)).then(|| self.runtime.hub(other).mailbox)
    }

    /// There is new work here that any hub may take; `length` is that queue's length.
    #[inline]
    pub(crate) fn announce(&self, length: usize) {
        if self.runtime.hubs().len() == 1 {
            return;
        }
        if let Some(watcher) = self.runtime.watch.elect(self.index + 1) {
            self.rouse(watcher);
        } else if length == policy::LONG_QUEUE
            && let Some(watcher) = self.runtime.watch.holder()
            && watcher != self.index
            && !self.runtime.hub(watcher).rests.load(Ordering::Relaxed)
        {
            self.rouse(watcher);
        }
    }

    /// What lies here for any hub to take came from another queue, or was out of this one for a moment.
    #[cold]
    pub(super) fn announce_rest(&self) {
        let length = self.shared().stealers.len();
        if length != 0 {
            self.announce(length);
        }
    }

    #[cold]
    fn rouse(&self, hub: usize) {
        self.shared().counters.wakes_sent.add(1);
        self.runtime.hub(hub).mailbox.rouse();
    }
}
