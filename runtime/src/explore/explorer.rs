//! What one hub keeps of the exploration it runs: who may run, who was chosen, what was found.
//!
//! Everything here belongs to the hub's OS thread. Greenlets come here from the points between their operations, the
//! hub's loop from between two greenlets; nobody keeps a borrow of the [`State`] across a switch or into user code.
//! [`crate::hub::explore`] does what touches the hub's queues.

use super::report::{Problem, Step};
use super::seed::Seed;
use super::strategy::{Chooser, Ordinal, TIME, mix};
use crate::greenlet::header::{Header, Kind, Ref};
use crate::hub::queue::Entry;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What holds for every schedule of an exploration.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// The most steps of one schedule.
    pub(super) steps: u64,
    /// Time may pass while somebody could run.
    pub(super) time_races: bool,
    /// Whoever is left when the root has ended is killed.
    pub(super) kill_leftovers: bool,
}

/// A hub's exploration.
pub(crate) struct Explorer {
    pub(crate) terms: Terms,
    /// What time it is in this exploration, on the runtime's clock.
    pub(crate) now: Cell<u64>,
    pub(crate) state: RefCell<State>,
    /// Steps taken in all schedules, for whoever waits outside.
    pub(super) progress: Arc<AtomicU64>,
}

/// One schedule.
pub(crate) struct State {
    chooser: Chooser,
    tasks: Vec<Task>,
    /// Where each task is in `tasks`, by its number.
    by_id: Vec<(u64, Ordinal)>,
    /// Those that may not have ended.
    live: Vec<Ref>,
    /// Who is ready, in the order of their ordinals. A start entry may go stale here.
    ready: Vec<(Ordinal, Entry)>,
    /// Scratch: who may be chosen.
    candidates: Vec<Ordinal>,
    /// Chosen at a point between two operations of a greenlet that has not come back to its hub yet.
    pub(crate) planned: Option<Action>,
    /// Who has just come back to the hub, of its own accord.
    pub(crate) last: Option<Ordinal>,
    pub(super) steps: u64,
    pub(super) trace: Vec<Step>,
    pub(super) fingerprint: u64,
    pub(super) found: Option<Found>,
}

/// A greenlet of this schedule.
struct Task {
    /// Greenlets of one group share a hub, so that none runs while another is between two operations that do not
    /// suspend. Groups are named by their first member.
    group: Ordinal,
    /// The member of this group (if it names one) that is between two such operations.
    holder: Option<Ordinal>,
    /// What it is about to do.
    before: &'static str,
}

/// What was found, without what is known of everybody else.
pub(super) struct Found {
    pub(super) problem: Problem,
    pub(super) message: String,
}

/// What happens next.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// This one runs.
    Run(Ordinal, Entry),
    /// Whoever is at a point goes on.
    GoOn,
    /// Time passes until then.
    Pass(u64),
    /// Nobody can run.
    Nothing,
    /// The schedule is not to go on.
    Stop,
}

/// What a greenlet that was chosen does that is at no operation.
const STARTS: &str = "starts";
const GOES_ON: &str = "goes on";

impl Explorer {
    pub(super) fn new(terms: Terms, progress: Arc<AtomicU64>) -> Self {
        let nobody = Seed { method: super::seed::Method::Random, number: 0 };
        Self { terms, now: Cell::new(0), state: RefCell::new(State::new(nobody)), progress }
    }

    /// Something is wrong. What is found first counts.
    pub(crate) fn found(&self, problem: Problem, message: String) {
        self.state.borrow_mut().find(problem, message);
    }
}

impl State {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            chooser: Chooser::new(seed),
            tasks: Vec::new(),
            by_id: Vec::new(),
            live: Vec::new(),
            ready: Vec::new(),
            candidates: Vec::new(),
            planned: None,
            last: None,
            steps: 0,
            trace: Vec::new(),
            fingerprint: 0,
            found: None,
        }
    }

    fn find(&mut self, problem: Problem, message: String) {
        if self.found.is_none() {
            self.found = Some(Found { problem, message });
        }
    }

    /// Notes a new greenlet, spawned by `parent`.
    pub(crate) fn spawned(&mut self, header: &Header, parent: Option<&Header>) {
        let shares_hub_with = match header.kind {
            Kind::Free => None,
            Kind::Pinned | Kind::Local => parent.map(|parent| self.ordinal(parent)),
        };
        self.add(header, shares_hub_with);
    }

    fn add(&mut self, header: &Header, shares_hub_with: Option<Ordinal>) -> Ordinal {
        // SAFETY: a borrowed header is alive.
        self.live.push(unsafe { Ref::share(NonNull::from(header)) });
        let ordinal = self.tasks.len() as Ordinal;
        let group = shares_hub_with.map_or(ordinal, |other| self.tasks[other as usize].group);
        self.tasks.push(Task { group, holder: None, before: STARTS });
        let at = self.by_id.partition_point(|&(other, _)| other < header.id);
        self.by_id.insert(at, (header.id, ordinal));
        ordinal
    }

    /// The place of a greenlet in the order of spawning. One that a plain OS thread spawned comes when it is seen.
    pub(crate) fn ordinal(&mut self, header: &Header) -> Ordinal {
        match self.by_id.binary_search_by_key(&header.id, |&(id, _)| id) {
            Ok(at) => self.by_id[at].1,
            Err(_) => self.add(header, None),
        }
    }

    /// Everybody who has not ended, in the order in which they were seen first.
    pub(crate) fn live(&mut self) -> &[Ref] {
        self.live.retain(|greenlet| !greenlet.state.load().is_done());
        &self.live
    }

    /// Puts an entry among those that are ready. Gives what it takes the place of: a start entry that went stale.
    pub(crate) fn add_ready(&mut self, header: &Header, entry: Entry) -> Option<Entry> {
        let ordinal = self.ordinal(header);
        match self.ready.binary_search_by_key(&ordinal, |&(other, _)| other) {
            Ok(at) => Some(std::mem::replace(&mut self.ready[at].1, entry)),
            Err(at) => {
                self.ready.insert(at, (ordinal, entry));
                None
            }
        }
    }

    /// Everybody who is ready, for a schedule that ends early.
    pub(crate) fn forget_ready(&mut self) {
        self.ready.clear();
    }

    /// Looks who may be chosen besides `current`, which is between two operations.
    pub(crate) fn look(&mut self, current: Option<Ordinal>) {
        if let Some(last) = self.last.take()
            && self.is_ready(last)
        {
            self.chooser.gave_way(last);
        }
        let group = |ordinal: Ordinal| self.tasks[ordinal as usize].group;
        let mine = current.map(group);
        self.candidates.clear();
        for &(ordinal, _) in &self.ready {
            let holder = self.tasks[group(ordinal) as usize].holder;
            if holder.is_none_or(|holder| holder == ordinal) && mine != Some(group(ordinal)) {
                self.candidates.push(ordinal);
            }
        }
        if let Some(current) = current {
            let at = self.candidates.partition_point(|&other| other < current);
            self.candidates.insert(at, current);
        }
    }

    fn is_ready(&self, ordinal: Ordinal) -> bool {
        self.ready.binary_search_by_key(&ordinal, |&(other, _)| other).is_ok()
    }

    /// Chooses among those seen at the last [`look`](Self::look) and time, which may pass to the `deadline`, if these
    /// greenlets have one.
    pub(crate) fn choose(
        &mut self,
        explorer: &Explorer,
        current: Option<Ordinal>,
        deadline: impl Fn(&[Ref]) -> Option<u64>,
    ) -> Action {
        if self.found.is_some() {
            return Action::Stop;
        }
        let mut passes_to = None;
        if self.candidates.is_empty() {
            passes_to = deadline(self.live());
            if passes_to.is_none() {
                return Action::Nothing;
            }
        }
        self.steps += 1;
        // Relaxed: a glance from outside.
        explorer.progress.fetch_add(1, Ordering::Relaxed);
        if self.steps > explorer.terms.steps {
            let steps = explorer.terms.steps;
            self.find(
                Problem::TooLong,
                format!(
                    "this schedule has not ended after {steps} steps: either greenlets keep each other busy without \
                     getting on, or it needs more than that: see `Builder::steps`"
                ),
            );
            return Action::Stop;
        }
        let chosen = if passes_to.is_some() {
            self.chooser.only_time();
            TIME
        } else {
            // Those that have ended have no alarm.
            let live = &self.live;
            let may_pass = || {
                passes_to = if explorer.terms.time_races { deadline(live) } else { None };
                passes_to.is_some()
            };
            self.chooser.choose(&self.candidates, may_pass, current)
        };
        self.fingerprint = mix(self.fingerprint ^ u64::from(chosen)).wrapping_add(1);
        if chosen == TIME {
            self.trace.push(Step { ordinal: TIME, what: "time passes" });
            return Action::Pass(passes_to.expect("time is chosen only where it can pass"));
        }
        if Some(chosen) == current {
            return Action::GoOn;
        }
        let at = self.ready.binary_search_by_key(&chosen, |&(other, _)| other);
        let (ordinal, entry) = self.ready.remove(at.expect("a candidate is ready"));
        Action::Run(ordinal, entry)
    }

    /// Greenlet `ordinal` is switched away from before it does `what`, and may be switched to again any time.
    pub(crate) fn hold(&mut self, ordinal: Ordinal, what: &'static str) {
        let group = self.tasks[ordinal as usize].group;
        self.tasks[group as usize].holder = Some(ordinal);
        self.tasks[ordinal as usize].before = if what.is_empty() { GOES_ON } else { what };
    }

    /// Greenlet `ordinal` is about to run.
    pub(crate) fn runs(&mut self, ordinal: Ordinal) {
        let group = self.tasks[ordinal as usize].group;
        self.tasks[group as usize].holder = None;
        let what = std::mem::replace(&mut self.tasks[ordinal as usize].before, GOES_ON);
        self.trace.push(Step { ordinal, what });
    }

    /// Greenlet `ordinal` does `what` without having been switched away from.
    pub(crate) fn does(&mut self, ordinal: Ordinal, what: &'static str) {
        if !what.is_empty() {
            self.trace.push(Step { ordinal, what });
        }
    }
}
