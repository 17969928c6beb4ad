//! Every greenlet of a runtime, as text. Read while they run, so each line is of a slightly different moment.

use crate::facade::atomic::Ordering;
use crate::greenlet::current;
use crate::greenlet::header::{Header, Ref};
use crate::greenlet::state::Phase;
use crate::runtime::{Shared, started_default_runtime};
use crate::timer::clock::{self, NEVER};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// Lists every greenlet of the current runtime (on a plain OS thread: of the default one) that has not ended: its
/// number, its name, what it does or waits for and since when, and where it was spawned. Hub by hub, one line each.
///
/// ```
/// greenhub::run(|| {
///     let sleeper = greenhub::Builder::new().name("sleeper".into()).spawn(|| greenhub::park()).unwrap();
///     greenhub::yield_now();
///     let listed = greenhub::runtime::dump();
///     assert!(listed.contains("'sleeper'"), "{listed}");
///     sleeper.kill();
/// });
/// ```
#[must_use]
pub fn dump() -> String {
    match current::hub() {
        Some(hub) => dump_of(hub.runtime()),
        None => match started_default_runtime() {
            Some(shared) => dump_of(shared),
            None => "the default runtime has not been started\n".to_owned(),
        },
    }
}

/// The list of one runtime.
pub(crate) fn dump_of(shared: &Shared) -> String {
    let mut greenlets = shared.greenlets();
    greenlets.sort_by_key(|greenlet| (greenlet.home().hub(), greenlet.id));
    let jobs = shared.blocking.counts();
    let mut out = String::new();
    let now = clock::now();
    let _infallible = writeln!(
        out,
        "runtime #{}: {} hubs, {} greenlets, {} stacks in use, {} blocking jobs",
        shared.id,
        shared.hubs().len(),
        greenlets.len(),
        shared.stacks.counts().in_use,
        jobs.queued + jobs.running
    );
    let mut rest = &*greenlets;
    for (index, hub) in shared.hubs().iter().enumerate() {
        let running = hub.running.load(Ordering::Relaxed);
        let asleep = hub.mailbox.bed.is_asleep();
        let here = rest.partition_point(|greenlet| greenlet.home().hub() <= index);
        let (mine, others) = rest.split_at(here);
        rest = others;
        let does = if asleep { "asleep" } else { "up" };
        let _infallible = writeln!(out, "hub {index}: {does}, {} greenlets", mine.len());
        for greenlet in mine {
            let running = !asleep && greenlet.id == running;
            let _infallible = writeln!(out, "  {}", Line { greenlet, running, now });
        }
    }
    out
}

struct Line<'a> {
    greenlet: &'a Ref,
    /// Its hub ran it last, and is up.
    running: bool,
    now: u64,
}

impl Line<'_> {
    fn state(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header: &Header = self.greenlet;
        match header.state.load().phase() {
            Phase::Later => write!(f, "starts in {:.1?}", self.until(header.alarm.deadline())),
            Phase::Unstarted => f.write_str("unstarted"),
            Phase::Awake if header.waiting.is_for_stack() => f.write_str("waits for a stack"),
            Phase::Awake if self.running => f.write_str("running"),
            Phase::Awake => f.write_str("ready"),
            Phase::Done => f.write_str("ended"),
            Phase::Parked => {
                let Some(waiting) = header.waits_for() else { return f.write_str("ready") };
                let waited = Duration::from_nanos(self.now.saturating_sub(waiting.since));
                write!(f, "waits in {} for {waited:.1?}", waiting.what)?;
                if waiting.object != 0 {
                    write!(f, " at {:#x}", waiting.object)?;
                }
                if waiting.deadline != NEVER {
                    write!(f, ", at most {:.1?} more", self.until(waiting.deadline))?;
                }
                Ok(())
            }
        }
    }

    fn until(&self, at: u64) -> Duration {
        Duration::from_nanos(at.saturating_sub(self.now))
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", crate::ids::shown(self.greenlet.id))?;
        if let Some(name) = self.greenlet.name() {
            write!(f, " '{name}'")?;
        }
        if self.greenlet.run_mark().is_some() {
            f.write_str(" (run)")?;
        }
        f.write_str(": ")?;
        self.state(f)?;
        write!(f, "; spawned at {}", self.greenlet.spawned_at)
    }
}
