//! What an execution knows: its threads and what each waits for, its clock, and the way it has come.

use super::baton::Baton;
use crate::schedule::buffer::Buffer;
use crate::schedule::chance::Chance;
use crate::schedule::strategy::Strategy;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of the way to a failure is told.
const TOLD: usize = 60;

/// Steps taken in this process, for the watchdog.
pub(crate) static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// All of it belongs to whoever holds the baton.
pub(super) struct State {
    pub(super) threads: Vec<Thread>,
    pub(super) chance: Chance,
    pub(super) strategy: Strategy,
    pub(super) now: u64,
    /// How much time a step takes.
    tick: u64,
    /// Once in so many steps a lot of time passes at once, or never.
    stalls: Option<u64>,
    /// Whether plain stores are kept back, as by a processor's store buffer.
    pub(super) buffered: bool,
    pub(super) steps: u64,
    /// No deadline is earlier.
    pub(super) earliest: u64,
    /// Every step.
    pub(super) told: Vec<Told>,
    /// What must hold whenever nobody can run.
    pub(super) at_rest: Option<AtRest>,
    /// The execution has failed or is being looked at: nothing is a step any more.
    pub(super) still: bool,
    describe: String,
}

/// One step: which thread, where, and when.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    thread: usize,
    place: &'static Location<'static>,
    now: u64,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "thread {} at {} ({} ns)", self.thread, self.place, self.now)
    }
}

pub(super) struct Thread {
    pub(super) name: String,
    pub(super) baton: Arc<Baton>,
    pub(super) status: Status,
    /// Its wait was ended by its deadline.
    pub(super) timed_out: bool,
    pub(super) buffer: Buffer,
}

pub(super) enum Status {
    Ready,
    Waiting { key: usize, until: u64, what: &'static str },
    Ended,
}

/// A check of a scenario's, which says what is wrong.
pub(super) type AtRest = Box<dyn Fn(&Resting<'_>) -> Result<(), String>>;

/// What may be asked while nobody can run.
pub(crate) struct Resting<'a> {
    pub(super) threads: &'a [Thread],
    pub(super) now: u64,
}

impl Resting<'_> {
    /// What the thread with this name waits for; `None` if there is none or it has ended.
    pub(crate) fn waits_for(&self, name: &str) -> Option<&'static str> {
        self.waiting(name).map(|(what, _)| what)
    }

    /// Whether it goes on within so many nanoseconds, whatever the others do.
    pub(crate) fn goes_on_within(&self, nanos: u64, name: &str) -> bool {
        self.waiting(name).is_some_and(|(_, until)| until <= self.now + nanos)
    }

    fn waiting(&self, name: &str) -> Option<(&'static str, u64)> {
        self.threads.iter().find_map(|thread| match thread.status {
            Status::Waiting { what, until, .. } if thread.name == name => Some((what, until)),
            _ => None,
        })
    }
}

impl Thread {
    /// One that can run.
    pub(super) fn new(name: String, baton: Arc<Baton>) -> Self {
        Self { name, baton, status: Status::Ready, timed_out: false, buffer: Buffer::new() }
    }

    fn until(&self) -> Option<u64> {
        match self.status {
            Status::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }
}

impl State {
    /// A state with one thread, which can run. Everything else follows from the seed.
    pub(super) fn new(describe: String, seed: u64, first: Thread) -> Self {
        let mut chance = Chance::new(seed);
        let mut strategy = Strategy::new(&mut chance);
        strategy.add(&mut chance);
        Self {
            threads: vec![first],
            strategy,
            now: 1_000_000_000,
            tick: chance.pick(&[3, 50, 1_000, 20_000]),
            stalls: chance.pick(&[None, None, Some(100), Some(1_000)]),
            buffered: chance.one_in(2),
            chance,
            steps: 0,
            earliest: u64::MAX,
            told: Vec::new(),
            at_rest: None,
            still: false,
            describe,
        }
    }

    pub(super) fn count(&mut self, me: usize, place: &'static Location<'static>) {
        self.steps += 1;
        PROGRESS.store(PROGRESS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.told.push(Told { thread: me, place, now: self.now });
    }

    pub(super) fn ready(&self) -> u64 {
        let ready = |(at, thread): (usize, &Thread)| u64::from(matches!(thread.status, Status::Ready)) << at;
        self.threads.iter().enumerate().map(ready).sum()
    }

    /// Nobody can run: the time is that of the nearest deadline. `false`: there is none.
    pub(super) fn skip_to_deadline(&mut self) -> bool {
        self.now = self.now.max(self.threads.iter().filter_map(Thread::until).min().unwrap_or(u64::MAX));
        if self.now == u64::MAX {
            return false;
        }
        self.expire();
        true
    }

    pub(super) fn let_time_pass(&mut self) {
        self.now += self.tick;
        if self.stalls.is_some_and(|every| self.chance.one_in(every)) {
            self.now += self.chance.pick(&[30_000, 1_200_000, 30_000_000]);
        }
        if self.now >= self.earliest {
            self.expire();
        }
    }

    /// Ends the waits whose time is up.
    pub(super) fn expire(&mut self) {
        self.earliest = u64::MAX;
        for thread in &mut self.threads {
            match thread.status {
                Status::Waiting { until, .. } if until <= self.now => {
                    thread.status = Status::Ready;
                    thread.timed_out = true;
                }
                Status::Waiting { until, .. } => self.earliest = self.earliest.min(until),
                _ => {}
            }
        }
    }

    pub(super) fn release(&mut self, wanted: usize, all: bool) {
        let waits = |thread: &Thread| matches!(thread.status, Status::Waiting { key, .. } if key == wanted);
        let mut count = self.threads.iter().filter(|thread| waits(thread)).count() as u64;
        if count == 0 {
            return;
        }
        let chosen = if all { 0 } else { self.chance.below(count) };
        for thread in self.threads.iter_mut().filter(|thread| waits(thread)) {
            count -= 1;
            if all || count == chosen {
                thread.status = Status::Ready;
            }
        }
    }

    /// Stores come to be seen by and by: those of the running thread soon, those of a halted one too.
    pub(super) fn age_buffers(&mut self, me: usize) {
        if !self.buffered {
            return;
        }
        if self.chance.one_in(4) {
            self.threads[me].buffer.drain_one();
        }
        let other = self.chance.below(16) as usize;
        if let Some(thread) = self.threads.get_mut(other) {
            thread.buffer.drain_one();
        }
    }

    /// What is said when the execution has failed.
    pub(super) fn report(&self, why: &str) -> String {
        let mut report = format!("\nschedule: {}: {why}\n", self.describe);
        report += &format!("after {} steps, {} ns on the clock; the threads:\n", self.steps, self.now);
        for thread in &self.threads {
            let status = match thread.status {
                Status::Ready => "can run".into(),
                Status::Ended => "has ended".into(),
                Status::Waiting { what, until: u64::MAX, .. } => format!("waits for {what}"),
                Status::Waiting { what, until, .. } => format!("waits for {what} until {until}"),
            };
            report += &format!("  {}: {status}\n", thread.name);
        }
        report += "the last changes of thread:\n";
        let changes =
            self.told.windows(2).filter(|steps| steps[0].thread != steps[1].thread).map(|steps| steps[0]);
        let changes: Vec<_> = changes.chain(self.told.last().copied()).collect();
        for told in &changes[changes.len().saturating_sub(TOLD)..] {
            report += &format!("  {}: {told}\n", self.threads[told.thread].name);
        }
        #[cfg(test)]
        {
            report += &format!("panics so far:\n{}\n", crate::schedule::run::panics());
        }
        report
    }
}
