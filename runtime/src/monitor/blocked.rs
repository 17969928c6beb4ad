//! A hub that has been in one greenlet for too long.
//!
//! From one look to the next the monitor remembers how often a hub had switched and polled. A hub that is up and has
//! done neither since the last look is *stuck*, since that look: the time is a lower bound. Every switch begins a new
//! occurrence, and each is reported once.

use super::cause::{self, Cause, CoreTime};
use crate::facade::atomic::Ordering;
use crate::greenlet::handle::{Describe, Greenlet};
use crate::greenlet::state::Phase;
use crate::hub::HubShared;
use crate::runtime::Shared;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// A greenlet keeps its hub from everything else: it blocks the OS thread, or computes without a pause.
///
/// Given to [`on_blocked`](crate::runtime::Builder::on_blocked); its `Display` is what is printed otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockedReport {
    /// The hub's number.
    pub hub: usize,
    /// Who keeps it.
    pub greenlet: Greenlet,
    /// Where that greenlet was spawned.
    pub spawned_at: &'static Location<'static>,
    /// For how long already, at least.
    pub blocked_for: Duration,
    /// Why, as far as the system says.
    pub cause: Cause,
    /// Greenlets that could run, but only on this hub: they wait until it suspends.
    pub ready_behind: usize,
    /// Greenlets at this hub that have not started, which other hubs may take.
    pub unstarted_behind: usize,
}

impl fmt::Display for BlockedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hub {} is stuck: ", self.hub)?;
        match self.greenlet.header() {
            Some(header) => write!(f, "{}", Describe(header))?,
            None => write!(f, "greenlet {} (spawned at {})", self.greenlet.id(), self.spawned_at)?,
        }
        write!(
            f,
            " has not let go of it for {:.1?}. Likely cause: {}. Behind it wait {} ready greenlets",
            self.blocked_for, self.cause, self.ready_behind
        )?;
        match self.unstarted_behind {
            0 => Ok(()),
            n => write!(f, ", and {n} unstarted ones that another hub may take"),
        }
    }
}

/// What the monitor remembers of a hub.
#[derive(Clone, Copy, Default)]
pub(super) struct View {
    /// Switches and polls, at the last look.
    activity: (u64, u64),
    was_asleep: bool,
    /// Since when nothing has changed, in nanoseconds of the runtime's clock.
    since: u64,
    core_time: Option<CoreTime>,
    reported: bool,
}

/// What one look showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// It slept, and had done nothing since the last look.
    Quiet,
    /// It goes about its work.
    Busy,
    /// It goes from greenlet to greenlet, but has not looked at the outside world.
    Overdue,
    /// It has been in one greenlet for so many nanoseconds.
    Stuck(u64),
}

impl View {
    pub(super) fn look(&mut self, hub: &HubShared, now: u64) -> Seen {
        let activity = (hub.counters.switches.get(), hub.counters.polls.get());
        let (idle, asleep) = (activity == self.activity, hub.mailbox.bed.is_asleep());
        let was_asleep = std::mem::replace(&mut self.was_asleep, asleep);
        let (_, polls) = std::mem::replace(&mut self.activity, activity);
        if idle && !asleep && !was_asleep {
            if self.core_time.is_none() {
                self.core_time = cause::core_time(hub.thread.load(Ordering::Relaxed));
            }
            return Seen::Stuck(now.saturating_sub(self.since));
        }
        if activity.1 == polls && !asleep && !was_asleep {
            // Busy, but it has let a whole period pass without a look at its timers and I/O.
            hub.mailbox.remind();
            self.since = now;
            self.core_time = None;
            self.reported = false;
            return Seen::Overdue;
        }
        self.since = now;
        self.core_time = None;
        self.reported = false;
        if idle && asleep { Seen::Quiet } else { Seen::Busy }
    }

    /// The report of a hub found stuck for `stuck_for`: once per occurrence, and only if it is a greenlet's doing.
    pub(super) fn report(&mut self, shared: &Shared, index: usize, stuck_for: u64) -> Option<BlockedReport> {
        if self.reported {
            return None;
        }
        let hub = shared.hub(index);
        let running = hub.running.load(Ordering::Relaxed);
        let cause = cause::cause_of(hub.thread.load(Ordering::Relaxed), self.core_time);
        let (mut culprit, mut ready_behind, mut unstarted_behind) = (None, 0, 0);
        shared.visit_greenlets(|header| {
            let phase = header.state.load().phase();
            if header.id == running {
                // One that has parked or ended has let go: then it is the hub itself that does not get on.
                culprit = (phase == Phase::Awake).then(|| (Greenlet::of(header), header.spawned_at));
            } else if std::ptr::eq(header.home(), hub.mailbox) {
                ready_behind += usize::from(phase == Phase::Awake);
                unstarted_behind += usize::from(phase == Phase::Unstarted);
            }
        });
        let (greenlet, spawned_at) = culprit?;
        if hub.counters.switches.get() != self.activity.0 {
            return None;
        }
        self.reported = true;
        Some(BlockedReport {
            hub: index,
            greenlet,
            spawned_at,
            blocked_for: Duration::from_nanos(stuck_for),
            cause,
            ready_behind,
            unstarted_behind,
        })
    }
}
