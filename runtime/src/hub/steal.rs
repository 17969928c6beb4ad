//! Stealing: how a hub that has nothing to do takes from one that has too much, and looks after one that is stuck.

use super::metrics::Counters;
use super::policy::{self, Sight};
use super::queue::Entry;
use super::{Hub, HubShared};
use crate::facade::spin_loop;
use crate::runtime::Migration;
use crate::timer::{Fired, clock};
use std::cell::Cell;

/// What a thief remembers of a victim from one look to the next.
#[derive(Clone, Copy, Default)]
pub(super) struct View {
    switches: u64,
    /// Since when `switches` has stood where it stands.
    same_switches_since: u64,
    started: u64,
    /// Since when the queue has been non-empty without a start.
    same_front_since: u64,
    /// When it was last looked at.
    seen: u64,
}

/// What a hub remembers of itself as a thief: what it made of its last theft, and what it concludes.
#[derive(Default)]
pub(super) struct Thief {
    /// How much came, until the thief has nothing left to do and asks; and when.
    taken: Cell<usize>,
    at: Cell<u64>,
    /// How many greenlets had begun and had ended on this hub before.
    begun: Cell<u64>,
    ended: Cell<u64>,
    /// How many thefts in a row gave nothing to begin.
    in_vain: Cell<u32>,
    /// How long it rested for the last one's sake, and until when.
    rest: Cell<u64>,
    until: Cell<u64>,
}

impl Thief {
    fn took(&self, taken: usize, now: u64, counters: &Counters) {
        self.taken.set(taken);
        self.at.set(now);
        self.begun.set(counters.started.get());
        self.ended.set(counters.finished.get());
    }

    /// How long the thief rested for its last theft's sake, if that was not long ago.
    fn last_rest(&self, now: u64) -> u64 {
        if now < self.until.get() + policy::REST_COUNTS_FOR { self.rest.get() } else { 0 }
    }

    /// Whether the last theft, not long ago, was not worth its way.
    fn is_poor(&self, now: u64) -> bool {
        self.last_rest(now) > 0
    }

    /// Until when a hub that has nothing to do leaves the others' queues alone.
    pub(super) fn rests_until(&self, now: u64, counters: &Counters) -> Option<u64> {
        let taken = self.taken.take();
        if taken > 0 {
            let begun = (counters.started.get() - self.begun.get()) as usize;
            let ended = (counters.finished.get() - self.ended.get()) as usize;
            let loot = policy::Loot {
                // Not all that came need have begun; and what did may have spawned more, which is part of its worth.
                begun: taken.min(begun),
                waits: ended < begun,
                took: now - self.at.get(),
            };
            self.in_vain.set(if begun == 0 { self.in_vain.get().saturating_add(1) } else { 0 });
            let rest = policy::rest_after(loot, self.in_vain.get(), self.last_rest(now));
            self.rest.set(rest);
            self.until.set(now + rest);
        }
        (now < self.until.get()).then_some(self.until.get())
    }
}

/// A look that is so old is forgotten, in nanoseconds: some dozes of a watcher.
const FORGET_AFTER: u64 = 5_000_000;

/// How long a hub that has work must have been in one greenlet before another looks after its inbox, timers and I/O,
/// in nanoseconds. In migrate mode, where the other can run all it finds, almost at once.
const LOOK_AFTER: u64 = 1_000_000;

impl Hub {
    /// Looks at the other hubs for something to do.
    pub(super) fn steal(&self) -> Option<Entry> {
        let hubs = self.runtime.hubs().len();
        let now = clock::now();
        self.clock.set(now);
        let counters = &self.shared().counters;
        let start = self.random() as usize % hubs;
        // The longer of the first two that may be taken from: thieves that pick longer queues come less often.
        let mut best: Option<(usize, usize)> = None;
        let mut seen = 0;
        let many = self.migration == Migration::Never && !self.thief.is_poor(now);
        for step in 0..hubs {
            let victim = (start + step) % hubs;
            if victim == self.index {
                continue;
            }
            let sight = self.look_at(victim, now);
            if sight.stuck_for >= LOOK_AFTER {
                self.look_after(victim, now);
            }
            if let Some(limit) = policy::may_take(sight, many)
                && !self.runtime.hub(victim).flickers(sight.length)
            {
                seen += 1;
                if best.is_none_or(|(_, most)| limit > most) {
                    best = Some((victim, limit));
                }
                if seen == 2 {
                    break;
                }
            }
        }
        let (victim, limit) = best?;
        counters.steals_tried.add(1);
        let (first, taken) = self.queue.steal_from(&self.runtime.hub(victim).stealers, limit)?;
        if first.is_start() {
            self.thief.took(taken, now, counters);
            counters.taken_unstarted.add(taken as u64);
        } else {
            counters.taken_started.add(taken as u64);
        }
        Some(first)
    }

    /// A busy hub takes over what another has clearly too much of, while it has not started: once it has, it stays.
    #[cold]
    pub(super) fn take_fair_share(&self) {
        let hubs = self.runtime.hubs().len();
        if hubs == 1 || self.migration != Migration::Never {
            return;
        }
        let victim = (self.index + 1 + self.random() as usize % (hubs - 1)) % hubs;
        let stealers = &self.runtime.hub(victim).stealers;
        let (ready, unstarted) = self.queue.len();
        if let Some(share) = policy::fair_share(ready, unstarted, stealers.len())
            && let Some((first, taken)) = self.queue.steal_from(stealers, share)
        {
            self.shared().counters.taken_unstarted.add(taken as u64);
            self.queue.push_shared(first);
            // In between it was in no queue, and a hub may have looked and gone to sleep.
            self.announce_rest();
        }
    }

    fn look_at(&self, victim: usize, now: u64) -> Sight {
        let other = self.runtime.hub(victim);
        let length = other.stealers.len();
        let view = &mut self.views.borrow_mut()[victim];
        let (switches, started) = (other.counters.switches.get(), other.counters.started.get());
        // What it looked like before this hub slept says nothing of what it did meanwhile.
        let stale = now - view.seen > FORGET_AFTER;
        view.seen = now;
        if stale || switches != view.switches || other.mailbox.bed.is_asleep() {
            view.switches = switches;
            view.same_switches_since = now;
        }
        if stale || started != view.started || length == 0 {
            view.started = started;
            view.same_front_since = now;
        }
        let (mine, theirs) = (&self.shared().counters.waiting_outside, &other.counters.waiting_outside);
        Sight {
            length,
            stuck_for: now - view.same_switches_since,
            front_waited: now - view.same_front_since,
            thief_is_heavier: policy::place_elsewhere(mine.get() as usize, theirs.get() as usize),
        }
    }

    /// Does what a hub that is stuck in one greenlet would do for others: empties its inbox of what may leave, fires
    /// its timers, polls its I/O.
    pub(super) fn look_after(&self, victim: usize, now: u64) {
        let other = self.runtime.hub(victim);
        if !other.mailbox.is_empty() {
            self.receive(victim);
        }
        self.runtime.look_after(victim, now);
    }

    /// Whether there is work that any hub may take, or that one must look after.
    pub(super) fn work_anywhere(&self) -> bool {
        let hubs = self.runtime.hubs();
        hubs.iter().enumerate().any(|(index, hub)| {
            !hub.stealers.is_empty()
                || index != self.index && !hub.mailbox.is_empty() && !hub.mailbox.bed.is_asleep()
        })
    }
}

impl HubShared {
    /// Whether this hub's queue, which is short, is empty now and then. Then what lies there is about to run, perhaps as one of
    /// two that talk to each other, and who took it would have parted them.
    fn flickers(&self, length: usize) -> bool {
        let is_empty_after = |pauses| {
            (0..pauses).for_each(|_| spin_loop());
            self.stealers.is_empty()
        };
        length < policy::LONG_QUEUE && (0..policy::LOOKS).any(|_| is_empty_after(policy::PAUSES))
    }
}

impl crate::runtime::Shared {
    /// Fires the timers and polls the I/O of a hub that is stuck. From any hub, or the monitor.
    pub(crate) fn look_after(&self, victim: usize, now: u64) {
        let other = self.hub(victim);
        if other.timers.next() <= now {
            while other.timers.fire(now, false, |fired| self.deliver_fired(fired)) {}
        }
        if self.migration != Migration::Never || other.reactor.registrations() > 0 {
            // An error here is the stuck hub's to report when it polls itself.
            let _polled = other.reactor.try_poll();
        }
    }

    /// What a timer woke goes on its way.
    pub(crate) fn deliver_fired(&self, fired: Fired) {
        use crate::greenlet::wake::Runnable;
        match fired {
            // SAFETY: the wheel's verdict: we own its push.
            Fired::Wake(header) => unsafe { Runnable::from_wake(header) }.deliver(),
            Fired::Start(header) => {
                // SAFETY: as above.
                let life = unsafe { crate::greenlet::header::Life::from_raw(header) };
                self.push_started_later(life);
            }
        }
    }
}
