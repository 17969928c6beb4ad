//! Everybody waits, and nobody is left who could wake them.
//!
//! The monitor asks when every hub has slept for a second. A deadlock it is if a plain OS thread waits in `run`, that
//! greenlet is parked, and whatever could end a wait from outside is missing: no timer (the deadlines of the greenlets
//! are asked, not the wheels, where nodes are left lazily), no wait for I/O, no job of `unblock`, no `block_on` whose
//! waker somebody may hold, and no greenlet that is ready or has yet to start. A plain OS thread may still hold what
//! wakes one of them (a channel's sender, a lock); nobody can know that, and the report says so.

use crate::greenlet::block_on;
use crate::greenlet::handle::{Describe, Greenlet, GreenletId};
use crate::greenlet::header::{Header, Ref};
use crate::greenlet::kill::kill;
use crate::greenlet::state::Phase;
use crate::greenlet::waiting::held_by;
use crate::runtime::Shared;
use crate::timer::clock::{self, NEVER};
use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::time::Duration;

/// How many greenlets the printed report lists.
const LISTED: usize = 100;

/// All greenlets of a runtime wait for each other, or for nobody.
///
/// Given to [`on_deadlock`](crate::runtime::Builder::on_deadlock); its `Display` is what is printed otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadlockReport {
    /// Every greenlet that waits: first those of `run`, then by age.
    pub greenlets: Vec<StuckGreenlet>,
    /// How long every hub has been idle, at least.
    pub idle_for: Duration,
}

/// One greenlet of a [`DeadlockReport`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StuckGreenlet {
    /// Who.
    pub greenlet: Greenlet,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// A plain OS thread waits in `run` for it.
    pub run: bool,
    /// The call it waits in: `"Mutex::lock"`.
    pub waits_in: &'static str,
    /// For how long.
    pub waited: Duration,
    /// Whom it waits for: the greenlet it joins, or the holder of the lock. `None`: nobody holds it, or nobody knows.
    pub held_by: Option<GreenletId>,
    /// The address of what it waits for: alike for all that wait for the same thing. 0 if it waits for no thing.
    pub object: usize,
    /// It is the greenlet that `held_by` names that it waits for.
    joins: bool,
}

/// What the monitor finds when every hub has slept for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    Deadlock,
    /// Something will get a hub up, or nobody waits in `run`.
    None,
    /// Something that may end without any hub's knowledge: a job nobody waits for any more, a `block_on` elsewhere.
    AskAgain,
}

/// A glance: whether it is worth asking [`find`] later.
pub(super) fn is_conceivable(shared: &Shared) -> bool {
    shared.monitor.runs() > 0 && shared.hubs().iter().all(|hub| hub.reactor.waiters() == 0)
}

/// Whether this is a deadlock, if no hub gets up before the answer.
pub(super) fn find(shared: &Shared) -> Finding {
    if !is_conceivable(shared) {
        return Finding::None;
    }
    let mut run_is_parked = false;
    let saved = shared.find_greenlet(|header| match header.state.load().phase() {
        Phase::Later | Phase::Unstarted | Phase::Awake => true,
        Phase::Done => false,
        Phase::Parked => match header.waits_for() {
            Some(waiting) if !waiting.outside && waiting.deadline == NEVER => {
                run_is_parked |= header.run_mark().is_some();
                false
            }
            _ => true,
        },
    });
    if saved.is_some() || !run_is_parked {
        return Finding::None;
    }
    let jobs = shared.blocking.counts();
    if jobs.queued + jobs.running > 0 || block_on::any_waiting() {
        Finding::AskAgain
    } else {
        Finding::Deadlock
    }
}

/// Who waits for what.
pub(super) fn report(shared: &Shared, idle_for: Duration) -> DeadlockReport {
    let now = clock::now();
    let stuck = |greenlet: Ref| {
        let waiting = greenlet.waits_for()?;
        let holder = if waiting.may_be_held { held_by(&greenlet) } else { None };
        Some(StuckGreenlet {
            spawned_at: greenlet.spawned_at,
            run: greenlet.run_mark().is_some(),
            waits_in: waiting.what,
            waited: Duration::from_nanos(now.saturating_sub(waiting.since)),
            held_by: holder.and_then(GreenletId::from_number),
            object: waiting.object,
            joins: false,
            greenlet: Greenlet::new(greenlet),
        })
    };
    let mut greenlets: Vec<_> = shared.greenlets().into_iter().filter_map(stuck).collect();
    greenlets.sort_by_key(|each| (!each.run, each.greenlet.id()));
    let joins: Vec<bool> = greenlets.iter().map(|each| joins(each, &greenlets)).collect();
    for (each, joins) in greenlets.iter_mut().zip(joins) {
        each.joins = joins;
    }
    DeadlockReport { greenlets, idle_for }
}

/// Whether the address waited for is that of the greenlet waited for.
fn joins(waiter: &StuckGreenlet, all: &[StuckGreenlet]) -> bool {
    let Some(target) = waiter.held_by.and_then(|id| with_id(all, id)) else { return false };
    let address = |header: &Header| NonNull::from(header).addr().get();
    target.greenlet.header().is_some_and(|header| address(header) == waiter.object)
}

/// All that are not of `run` come in the order of their numbers, but those of `run` are few.
fn with_id(all: &[StuckGreenlet], id: GreenletId) -> Option<&StuckGreenlet> {
    let of_run = all.partition_point(|each| each.run);
    let (runs, others) = all.split_at(of_run);
    let place = others.binary_search_by_key(&id, |each| each.greenlet.id());
    runs.iter().find(|each| each.greenlet.id() == id).or_else(|| place.ok().map(|place| &others[place]))
}

/// Makes every `run` panic with the report.
pub(super) fn panic_in_run(report: &DeadlockReport) {
    if cfg!(panic = "abort") {
        std::process::abort();
    }
    let text = report.to_string();
    for header in report.greenlets.iter().filter_map(|each| each.greenlet.header()) {
        if let Some(mark) = header.run_mark() {
            *mark.verdict.lock() = Some(text.clone());
            kill(header);
        }
    }
}

impl DeadlockReport {
    /// Greenlets that wait for each other in a circle, each for the next and the last for the first. Empty if there
    /// is no circle, or none that is known.
    #[must_use]
    pub fn circle(&self) -> Vec<&StuckGreenlet> {
        // Each waits for one other at most: follow that from everywhere, and never twice over the same ground.
        let mut visited = std::collections::HashSet::new();
        for start in &self.greenlets {
            let mut path: Vec<&StuckGreenlet> = Vec::new();
            let mut next = Some(start);
            while let Some(each) = next {
                if let Some(first) = path.iter().position(|other| other.greenlet == each.greenlet) {
                    return path.split_off(first);
                }
                if !visited.insert(each.greenlet.id()) {
                    break;
                }
                path.push(each);
                next = each.held_by.and_then(|id| with_id(&self.greenlets, id));
            }
        }
        Vec::new()
    }

    fn describe_holder(&self, each: &StuckGreenlet, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(id) = each.held_by else { return Ok(()) };
        f.write_str(if each.joins { ", for " } else { ", held by " })?;
        match with_id(&self.greenlets, id).and_then(|holder| holder.greenlet.header()) {
            Some(_) if id == each.greenlet.id() => f.write_str("itself"),
            Some(holder) => write!(f, "{}", Describe(holder)),
            None => write!(f, "{id}, a plain OS thread or a greenlet that has ended"),
        }
    }
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "deadlock: all {} greenlets wait, every hub has been idle for {:.1?}, and there is no timer, no I/O, no \
             blocking job that could wake one. Only a plain OS thread still might.",
            self.greenlets.len(),
            self.idle_for
        )?;
        for each in self.greenlets.iter().take(LISTED) {
            f.write_str(if each.run { "\n  run's " } else { "\n  " })?;
            match each.greenlet.header() {
                Some(header) => write!(f, "{}", Describe(header))?,
                None => write!(f, "greenlet {}", each.greenlet.id())?,
            }
            write!(f, " waits in {} for {:.1?}", each.waits_in, each.waited)?;
            self.describe_holder(each, f)?;
        }
        if self.greenlets.len() > LISTED {
            write!(f, "\n  ... and {} more", self.greenlets.len() - LISTED)?;
        }
        let circle = self.circle();
        if let [first, rest @ ..] = &*circle {
            write!(f, "\n  in a circle: {}", first.greenlet.id())?;
            for each in rest {
                write!(f, " waits for {}, which", each.greenlet.id())?;
            }
            write!(f, " waits for {}", first.greenlet.id())?;
        }
        Ok(())
    }
}
