//! The hub's loop.
//!
//! One turn runs one greenlet. In between, by a budget of turns that follows the clock, the hub looks at its inbox,
//! its timers and its event loop, so that greenlets that only yield to each other starve nothing. When nothing is
//! ready it looks around at once, then for work at other hubs, and then sleeps, in the one place where a hub blocks
//! its OS thread (invariant 8).

use super::Hub;
use super::idle::{self, Depth, Sleeper};
use super::offer::Offers;
use super::policy;
use super::queue::Entry;
use crate::facade::atomic::Ordering;
use crate::greenlet::state::{Owner, Phase};
use crate::greenlet::{header, memory};
use crate::timer::clock::{self, NEVER};
use std::cell::Cell;
use std::time::Duration;

/// How a hub paces its looks at the clock.
pub(super) struct Pace {
    turns_left: Cell<u32>,
    quota: Cell<u32>,
    /// When the clock was last looked at, and when the event loop.
    looked: Cell<u64>,
    polled: Cell<u64>,
    /// When unused memory was last looked at.
    trimmed: Cell<u64>,
    /// Its core, to threads that were woken.
    offers: Offers,
    hand_backs: Cell<u32>,
    hand_backs_since: Cell<u64>,
    /// The next doze of a watcher, and how often it has looked in vain.
    doze: Cell<u64>,
    /// How many switches there had been when this hub last fell asleep with nothing to do.
    slept_at: Cell<u64>,
}

impl Pace {
    pub(super) fn new(now: u64) -> Self {
        Self {
            turns_left: Cell::new(policy::CLOCK_EVERY),
            quota: Cell::new(policy::CLOCK_EVERY),
            looked: Cell::new(now),
            polled: Cell::new(now),
            trimmed: Cell::new(now),
            offers: Offers::new(),
            hand_backs: Cell::new(0),
            hand_backs_since: Cell::new(now),
            doze: Cell::new(0),
            slept_at: Cell::new(u64::MAX),
        }
    }

    /// Whether a joiner may run before what is ready: chains of joins go through the ring once their time is up.
    pub(super) fn may_hand_back(&self) -> bool {
        let count = self.hand_backs.get() + 1;
        self.hand_backs.set(count);
        if count < policy::HAND_BACKS_PER_LOOK {
            return true;
        }
        self.hand_backs.set(0);
        let now = clock::now();
        if now - self.hand_backs_since.get() < policy::HAND_BACK_BUDGET {
            return true;
        }
        self.hand_backs_since.set(now);
        false
    }
}

/// A hub on its way to sleep, `until` some time or until its next timer.
struct Asleep<'a> {
    hub: &'a Hub,
    until: u64,
    /// It is idle for long, or has been for moments only but not given memory back for long: does that now.
    trims: bool,
}

impl Depth {
    /// Until when a hub sleeps that begins now.
    fn until(self) -> u64 {
        match self {
            Depth::Nap => clock::now() + policy::NAP,
            Depth::Deep => NEVER,
        }
    }
}

impl Sleeper for Asleep<'_> {
    fn has_news(&self) -> bool {
        !self.hub.mailbox.is_empty() || self.hub.runtime.is_ended()
    }

    fn has_work(&self) -> bool {
        self.hub.work_anywhere() || self.hub.must_keep_watch()
    }

    fn block(&self) {
        let mut until = self.until;
        if self.trims {
            self.hub.pace.trimmed.set(clock::now());
            self.hub.blocks.trim();
            self.hub.queue.trim();
            for time in [self.hub.stacks().trim(), memory::trim()].into_iter().flatten() {
                until = until.min(clock::after(time));
            }
        }
        self.hub.block_until(until.min(self.hub.timers().next()));
    }
}

impl Hub {
    /// Runs greenlets until the runtime ends.
    pub(crate) fn run(&self) {
        let mut watching = false;
        loop {
            while let Some(entry) = self.next_entry() {
                if watching {
                    watching = false;
                    self.leave_watch();
                }
                self.execute(entry);
            }
            self.look_around();
            if !self.queue.is_empty() || self.next_is_set() {
                continue;
            }
            if self.runtime.is_ended() {
                break;
            }
            watching = self.idle(watching);
        }
        if watching {
            self.leave_watch();
        }
    }

    /// What to run next.
    #[inline(always)]
    fn next_entry(&self) -> Option<Entry> {
        let left = self.pace.turns_left.get();
        if left == 0 || self.mailbox.is_overdue() {
            self.check_clock();
        } else {
            self.pace.turns_left.set(left - 1);
        }
        if !self.mailbox.is_empty() {
            self.receive_before_turn();
        }
        match self.next.take() {
            Some(entry) => Some(entry),
            None => self.queue.pop(),
        }
    }

    #[inline(never)]
    fn execute_stolen(&self, entry: Entry) {
        self.execute(entry);
    }

    pub(super) fn next_is_set(&self) -> bool {
        let next = self.next.take();
        self.next.set(next);
        next.is_some()
    }

    /// The turn budget is used up: looks at the clock and, if it is time, at the outside world.
    #[cold]
    pub(super) fn check_clock(&self) {
        let now = clock::now();
        self.clock.set(now);
        self.queue.look_at_clock(now, || self.runtime.watch.holder().is_some());
        let pace = &self.pace;
        let turns = pace.quota.get() - pace.turns_left.get();
        let quota = policy::turns_until_clock(turns, now - pace.looked.get(), pace.quota.get());
        pace.quota.set(quota);
        pace.turns_left.set(quota);
        pace.looked.set(now);
        if now - pace.polled.get() >= policy::POLL_EVERY {
            self.look_around();
            pace.offers.make();
            if !self.stackless.is_empty() {
                self.retry_stackless();
            }
            self.take_fair_share();
            if now - pace.trimmed.get() >= policy::TRIM_EVERY {
                pace.trimmed.set(now);
                // There is work: what is left waits for the next time.
                let _more = (self.stacks().trim(), memory::trim());
            }
        } else if self.timers().next() <= now {
            self.fire_timers(now);
        }
        let (ring, _) = self.queue.len();
        self.shared().counters.ring_length.set(ring as u64);
        if self.runtime.is_ended() {
            self.leave_greenlets();
        }
    }

    /// Inbox, event loop, timers, without waiting.
    fn look_around(&self) {
        if !self.mailbox.is_empty() {
            self.receive(self.index);
        }
        self.poll(Some(Duration::ZERO));
        let now = clock::now();
        self.clock.set(now);
        self.pace.polled.set(now);
        if self.timers().next() <= now {
            self.fire_timers(now);
        }
    }

    fn fire_timers(&self, now: u64) {
        while self.timers().fire(now, true, |fired| self.runtime.deliver_fired(fired)) {}
    }

    fn poll(&self, timeout: Option<Duration>) {
        if self.mailbox.is_overdue() {
            self.mailbox.looked();
        }
        self.shared().counters.polls.add(1);
        if let Err(error) = self.shared().reactor.poll(timeout) {
            // Without its event loop a hub can do nothing for its greenlets, and nobody waits for this error.
            eprintln!("greenhub: hub {} cannot poll for I/O: {error}; the program ends here", self.index);
            std::process::abort();
        }
    }

    /// Nothing is ready here: looks for work elsewhere, and sleeps if there is none. Gives whether this hub now holds
    /// the watch.
    fn idle(&self, watching: bool) -> bool {
        if !self.stackless.is_empty() {
            self.retry_stackless_idle();
            if !self.queue.is_empty() || self.next_is_set() {
                return watching;
            }
        }
        if self.runtime.hubs().len() == 1 {
            let depth = self.next_sleep();
            self.doze(depth.until(), self.trims(depth));
            return false;
        }
        if let Some(until) = self.thief.rests_until(clock::now(), &self.shared().counters) {
            // Relaxed, here and where it is read: who reads it late wakes this hub for nothing, or leaves it asleep for the
            // rest of its rest.
            self.shared().rests.store(true, Ordering::Relaxed);
            // There may be work: somebody has to have the watch, and who gets it here comes back and rests with it.
            let watching = if watching {
                self.doze(until, false);
                true
            } else {
                self.fall_asleep(until, Depth::Nap)
            };
            self.shared().rests.store(false, Ordering::Relaxed);
            return watching;
        }
        if let Some(entry) = self.steal() {
            if watching {
                self.leave_watch();
            } else {
                // What came along was in no queue for a moment, in which a hub may have looked and gone to sleep.
                self.announce_rest();
            }
            self.execute_stolen(entry);
            return false;
        }
        // Looking after a stuck hub woke greenlets of this one, or took unstarted ones over: nobody else will say so.
        if !self.queue.is_empty() {
            return watching;
        }
        if watching {
            let doze = policy::next_doze(self.pace.doze.get());
            let tired = self.pace.doze.replace(doze) >= policy::DOZE.1;
            if !tired || self.work_anywhere() || self.must_keep_watch() {
                self.doze(clock::now() + doze, tired);
                return true;
            }
        }
        self.pace.doze.set(0);
        let depth = self.next_sleep();
        self.fall_asleep(depth.until(), depth)
    }

    /// Sleeps until it is needed, or until `until`, as a nap needs. Gives whether this hub now holds the watch.
    fn fall_asleep(&self, until: u64, depth: Depth) -> bool {
        let sleeper = Asleep { hub: self, until, trims: self.trims(depth) };
        let watching = idle::fall_asleep(&self.mailbox.bed, &self.runtime.watch, self.index, &sleeper, depth);
        self.runtime.monitor.hub_is_up();
        watching
    }

    /// Whether a sleep of this kind begins with giving memory back.
    fn trims(&self, depth: Depth) -> bool {
        depth == Depth::Deep || clock::now() - self.pace.trimmed.get() >= policy::TRIM_EVERY
    }

    /// A nap, or, where nothing has run here since the last, a sleep for as long as it takes.
    fn next_sleep(&self) -> Depth {
        let switches = self.shared().counters.switches.get();
        if self.pace.slept_at.replace(switches) == switches { Depth::Deep } else { Depth::Nap }
    }

    /// Sleeps until `until` at most, where no other hub needs to know of it but for the inbox.
    fn doze(&self, until: u64, trims: bool) {
        idle::doze(&self.mailbox.bed, &Asleep { hub: self, until, trims });
        self.runtime.monitor.hub_is_up();
    }

    /// Blocks this OS thread in the event loop (invariant 8).
    fn block_until(&self, deadline: u64) {
        // Stacks that come free on another hub come without a word.
        let deadline = if self.stackless.is_empty() {
            deadline
        } else {
            deadline.min(clock::now() + policy::next_stack_retry(self.stackless.in_vain()))
        };
        let timeout = match deadline {
            NEVER => None,
            _ => Some(Duration::from_nanos(deadline.saturating_sub(clock::now()))),
        };
        self.poll(timeout);
        let now = clock::now();
        self.clock.set(now);
        self.pace.looked.set(now);
        self.pace.polled.set(now);
        if self.timers().next() <= now {
            self.fire_timers(now);
        }
    }

    /// The runtime ends before its greenlets have: they are never run again, and their stacks stay mapped for good.
    #[cold]
    fn leave_greenlets(&self) {
        self.next.take();
        for entry in self.queue.drain() {
            // SAFETY: a start entry keeps the header alive. A stale one goes; any other is the greenlet's life, and
            // left with it.
            unsafe {
                if entry.is_start() && entry.header().as_ref().state.load().phase() != Phase::Unstarted {
                    header::let_go(entry.header(), Owner::StaleEntry);
                }
            }
        }
        self.stackless.forget();
    }

    /// In migrate mode somebody must look after the timers and I/O of a hub that is stuck, as long as one is up.
    fn must_keep_watch(&self) -> bool {
        use crate::runtime::Migration;
        self.migration != Migration::Never
            && self.runtime.hubs().iter().enumerate().any(|(index, hub)| {
                index != self.index && !hub.mailbox.bed.is_asleep() && hub.counters.live_started() > 0
            })
    }

    fn leave_watch(&self) {
        self.pace.doze.set(0);
        // The own inbox too: what was pushed there while this hub held the watch was announced to nobody else, and
        // this hub may be about to run for long.
        let work = || self.work_anywhere() || !self.mailbox.is_empty();
        if let Some(next) = self.runtime.watch.leave(self.index, work) {
            self.runtime.hub(next).mailbox.rouse();
        }
    }
}
