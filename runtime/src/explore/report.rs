//! [`Failure`]: what an exploration has found, and how to see it again.

use super::explorer::State;
use super::seed::{Method, Seed};
use super::strategy::{Ordinal, TIME};
use crate::greenlet::handle::Describe;
use crate::greenlet::header::Ref;
use crate::greenlet::state::Phase;
use crate::greenlet::waiting::held_by;
use crate::ids::shown;
use crate::runtime::Shared;
use std::fmt::{self, Write as _};
use std::panic::Location;

/// How many greenlets, and how many of the last steps, a printed report lists.
const LISTED: usize = 40;

/// What kind of thing was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The explored closure panicked, or a greenlet did whose end nobody joined.
    Panic,
    /// Everybody waits, nothing is left that could wake one, and the explored closure has not returned.
    Deadlock,
    /// The explored closure has returned, and a greenlet is left that will wait for ever.
    Leak,
    /// The schedule did not end within the [steps](super::Builder::steps) it was given.
    TooLong,
}

/// A schedule on which the explored code goes wrong. Its `Display` (and `Debug`) is what
/// [`explore`](super::explore()) panics with.
#[derive(Clone)]
pub struct Failure(pub(super) Box<Details>);

#[derive(Clone)]
pub(super) struct Details {
    pub(super) problem: Problem,
    pub(super) message: String,
    pub(super) seed: Seed,
    pub(super) iteration: usize,
    pub(super) fingerprint: u64,
    pub(super) greenlets: Vec<String>,
    pub(super) trace: Vec<Step>,
    pub(super) explored_at: &'static Location<'static>,
    /// The OS thread that explored: in tests, the name of the test.
    pub(super) thread: Option<String>,
}

/// One step of a schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) ordinal: Ordinal,
    pub(super) what: &'static str,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ordinal {
            TIME => f.write_str(self.what),
            ordinal => write!(f, "{}: {}", Short(ordinal), self.what),
        }
    }
}

/// A greenlet as the schedule names it.
struct Short(Ordinal);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("root") } else { self.0.fmt(f) }
    }
}

impl Failure {
    /// What kind of thing it is.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.0.problem
    }

    /// What happened: the panic's message, or who waits for whom.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The schedule: for `GREENHUB_REPLAY`, or [`Builder::replay`](super::Builder::replay).
    #[must_use]
    pub fn seed(&self) -> Seed {
        self.0.seed
    }

    /// How many schedules went well before this one.
    #[must_use]
    pub fn iteration(&self) -> usize {
        self.0.iteration
    }

    /// A number that two runs of the schedule have in common if they made the same choices at every step: if a replay
    /// gives another, the explored code depends on something besides its schedule.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }

    /// Every greenlet that was left, and what it waited for, one line each.
    pub fn greenlets(&self) -> impl Iterator<Item = &str> {
        self.0.greenlets.iter().map(String::as_str)
    }

    /// The schedule, step by step: who did what. `root` is the explored closure, and numbers count the greenlets in the
    /// order in which they were spawned.
    pub fn schedule(&self) -> impl Iterator<Item = String> {
        self.0.trace.iter().map(Step::to_string)
    }
}

impl std::error::Error for Failure {}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.problem {
            Problem::Panic => "a panic",
            Problem::Deadlock => "a deadlock",
            Problem::Leak => "a greenlet that never ends",
            Problem::TooLong => "a schedule that does not end",
        };
        let strategy = match self.0.seed.method {
            Method::Random => "random".to_owned(),
            Method::Pct { depth, .. } => format!("PCT of depth {depth}"),
        };
        write!(
            f,
            "greenhub::explore at {} found {what} in iteration {} ({strategy}, seed {}, fingerprint {:016x}):\n  {}",
            self.0.explored_at, self.0.iteration, self.0.seed, self.0.fingerprint, self.0.message
        )?;
        if !self.0.greenlets.is_empty() {
            f.write_str("\nGreenlets that had not ended:")?;
        }
        for each in self.0.greenlets.iter().take(LISTED) {
            write!(f, "\n  {each}")?;
        }
        if self.0.greenlets.len() > LISTED {
            write!(f, "\n  and {} more", self.0.greenlets.len() - LISTED)?;
        }
        let skipped = self.0.trace.len().saturating_sub(LISTED);
        f.write_str("\nThe schedule (greenlets in the order of spawning)")?;
        if skipped > 0 {
            write!(f, ", its last {LISTED} of {} steps", self.0.trace.len())?;
        }
        f.write_char(':')?;
        for step in &self.0.trace[skipped..] {
            write!(f, "\n  {step}")?;
        }
        write!(f, "\nTo see it again: GREENHUB_REPLAY={} ", self.0.seed)?;
        match self.0.thread.as_deref() {
            // Not a test's, or one of tests that share a thread.
            None | Some("main") => f.write_str("and the same program"),
            Some(name) => write!(f, "cargo test -- --exact '{name}' --nocapture"),
        }
    }
}

/// What every greenlet that is left does or waits for. On the hub's stack, where none of them runs.
pub(super) fn describe_greenlets(shared: &Shared, state: &mut State) -> Vec<String> {
    let mut greenlets = shared.greenlets();
    greenlets.sort_by_key(|greenlet| greenlet.id);
    greenlets.iter().map(|greenlet| describe(greenlet, &greenlets, state)).collect()
}

fn describe(greenlet: &Ref, all: &[Ref], state: &mut State) -> String {
    let mut line = format!("{}: {}", Short(state.ordinal(greenlet)), Describe(greenlet));
    let doing = match greenlet.state.load().phase() {
        Phase::Later => " has yet to start".to_owned(),
        Phase::Unstarted => " has not started".to_owned(),
        Phase::Awake => " could run".to_owned(),
        Phase::Done => " has ended".to_owned(),
        Phase::Parked => match greenlet.waits_for() {
            None => " waits".to_owned(),
            Some(waiting) => {
                let holder = if waiting.may_be_held { held_by(greenlet) } else { None };
                let holder = holder.map(|id| match all.binary_search_by_key(&id, |each| each.id) {
                    Ok(at) if all[at].id == greenlet.id => "itself".to_owned(),
                    Ok(at) => Describe(&all[at]).to_string(),
                    Err(_) => format!("#{}, which has ended", shown(id)),
                });
                match holder {
                    Some(holder) if waiting.what == "JoinHandle::join" => {
                        format!(" waits in {} for {holder}", waiting.what)
                    }
                    Some(holder) => format!(" waits in {}, held by {holder}", waiting.what),
                    None => format!(" waits in {}", waiting.what),
                }
            }
        },
    };
    line.push_str(&doing);
    line
}
