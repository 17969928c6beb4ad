//! Side by side: the same workloads in several runtimes, a process a sample, the samples of one workload taken in
//! turns, so that what the machine does meanwhile falls on all alike.

pub(crate) mod case;
pub(crate) mod chart;
pub(crate) mod diff;
pub(crate) mod floor;
pub(crate) mod machine;
pub(crate) mod results;
pub(crate) mod runtimes;
pub(crate) mod sample;
pub(crate) mod scale;
pub(crate) mod table;

use case::Case;
use indicatif::{ProgressBar, ProgressStyle};
use machine::Machine;
use results::{Entry, Participant, Results};
use runtimes::Runtime;
use sample::Effort;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Instant;

/// What to measure.
pub(crate) struct Plan {
    pub(crate) cases: Vec<&'static Case>,
    pub(crate) runtimes: Vec<Runtime>,
    pub(crate) hubs: Vec<usize>,
    /// How many samples are taken of each; of the heavy ones, half as many.
    pub(crate) samples: usize,
    pub(crate) effort: Effort,
    /// What is to be known beside the results, as who is missing.
    pub(crate) notes: Vec<String>,
}

impl Plan {
    /// Takes a sample. Where it is only to be seen whether everything works, a peer may fail once: some hang now and then.
    fn take(&self, case: &Case, runtime: &Runtime, hubs: usize) -> io::Result<sample::Readings> {
        let taken = sample::take(case, runtime, hubs, self.effort);
        match taken {
            Err(error) if self.effort.tiny && !runtimes::is_greenhub(&runtime.name) => {
                eprintln!("bench: {} of {} on {hubs} hubs, once more: {error}", case.name, runtime.name);
                sample::take(case, runtime, hubs, self.effort)
            }
            taken => taken,
        }
    }

    fn samples(&self, case: &Case) -> usize {
        if case.heavy { self.samples.div_ceil(2) } else { self.samples }
    }

    /// Who takes part in a round of one workload, and on how many hubs.
    fn round(&self, case: &Case) -> Vec<(&Runtime, usize)> {
        let pairs =
            self.hubs.iter().flat_map(|&hubs| self.runtimes.iter().map(move |runtime| (runtime, hubs)));
        pairs.filter(|(runtime, hubs)| runtime.takes_part(case, *hubs)).collect()
    }

    /// Measures it all.
    pub(crate) fn run(self) -> Results {
        let machine = Machine::this();
        let mut notes = self.notes.clone();
        notes.extend(machine.doubts());
        for note in &notes {
            eprintln!("bench: {note}");
        }
        let total: usize = self.cases.iter().map(|case| self.round(case).len() * self.samples(case)).sum();
        let progress = Progress::new(total);
        let mut entries = BTreeMap::new();
        for (place, case) in self.cases.iter().enumerate() {
            progress.workload(case.name);
            for number in 0..self.samples(case) {
                let mut round = self.round(case);
                let length = round.len().max(1);
                // Nobody always runs after the same neighbour's heat.
                round.rotate_left(number * 3 % length);
                for (runtime, hubs) in round {
                    let who = self.runtimes.iter().position(|other| other.name == runtime.name);
                    let entry: &mut Entry = entries.entry((place, hubs, who)).or_insert_with(|| Entry {
                        case: case.name.into(),
                        runtime: runtime.name.clone(),
                        hubs,
                        ..Entry::default()
                    });
                    progress.sample(case.name, &runtime.name, hubs);
                    // Who has failed once is not asked again: it takes long, and says nothing new.
                    if entry.failure.is_none() {
                        match self.take(case, runtime, hubs) {
                            Ok(readings) => entry.add(readings),
                            Err(error) => entry.failure = Some(error.to_string()),
                        }
                    }
                }
            }
        }
        progress.finish();
        let participant = |runtime: &Runtime| Participant {
            name: runtime.name.clone(),
            version: runtime.version.clone(),
            stackful: runtime.stackful,
        };
        let runtimes = self.runtimes.iter().map(participant).collect();
        Results { machine, runtimes, notes, samples: self.samples, entries: entries.into_values().collect() }
    }
}

impl Results {
    /// An error if any of ours has failed; of a run that only asks whether everything works, if anything has.
    pub(crate) fn verdict(&self, all: bool) -> io::Result<()> {
        let concerns = |entry: &&Entry| all || runtimes::is_greenhub(&entry.runtime);
        let failed = self.entries.iter().filter(concerns);
        let failed: Vec<_> =
            failed.filter_map(|entry| Some((entry, entry.failure.as_ref()?))).map(describe).collect();
        if failed.is_empty() { Ok(()) } else { Err(io::Error::other(failed.join("; "))) }
    }
}

fn describe((entry, failure): (&Entry, &String)) -> String {
    format!("{} of {} on {} hubs failed: {failure}", entry.case, entry.runtime, entry.hubs)
}

/// How far it is: a bar on a terminal, elsewhere a line a workload.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
    started: Instant,
}

impl Progress {
    fn new(total: usize) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new(total as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} (left: {eta}) {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, terminal, started: Instant::now() }
    }

    fn workload(&self, name: &str) {
        if !self.terminal {
            eprintln!("bench: {name} ({} s)", self.started.elapsed().as_secs());
        }
    }

    fn sample(&self, case: &str, runtime: &str, hubs: usize) {
        self.bar.set_message(format!("{case}, {runtime} on {hubs}"));
        self.bar.inc(1);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
        eprintln!("bench: done in {} s", self.started.elapsed().as_secs());
    }
}
