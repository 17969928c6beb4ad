//! The command line.

use crate::compare::case::{self, Case};
use crate::compare::sample::Effort;
use crate::compare::{Plan, runtimes, scale};
use crate::peer;
use crate::setting::{Mode, Setting};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

/// Measures greenhub, alone and beside its peers.
#[derive(Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Name the workloads: those of `run`, and those that are measured side by side.
    List,
    /// Measure workloads and print a table.
    Run(Request),
    /// Measure greenhub and its peers side by side, and print one table.
    Compare(Comparison),
    /// Measure on more and more hubs, and draw what they are worth.
    Scale(Scaling),
    /// Print each of greenhub's figures beside its floor: what the machine asks for it at least.
    Floor(Beside),
    /// Hold two recorded runs against each other.
    Diff {
        /// The earlier one, or the one machine's.
        a: PathBuf,
        /// The later one, or the other machine's.
        b: PathBuf,
    },
    /// Run one primitive a fixed number of times on one hub, and nothing else.
    Probe {
        /// Which: switch, yield, spawn-join, wake, channel, lock, timer.
        name: String,
        /// How often.
        #[arg(long)]
        count: u64,
    },
    /// The child process of a comparison.
    #[command(hide = true)]
    Sample { runtime: String, workload: String, hubs: usize, size: u64, milliseconds: u64 },
    /// The server of a comparison.
    #[command(hide = true)]
    Serve { runtime: String, hubs: usize, computing: u64 },
    /// The load on a server.
    #[command(hide = true)]
    Load { port: u16, connections: usize, milliseconds: u64 },
    /// The child process of the workload of that name.
    #[command(hide = true)]
    ParkedMemory {
        /// How many greenlets.
        count: usize,
        /// On how many hubs.
        hubs: usize,
        /// In which mode.
        mode: Mode,
    },
}

/// What to measure, and how.
#[derive(Args)]
pub(crate) struct Request {
    /// The workloads; all of them if none is named.
    pub(crate) workloads: Vec<String>,
    /// On how many hubs.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    hubs: Vec<usize>,
    /// In which mode of migration.
    #[arg(long, value_enum, default_value_t = Modes::Default)]
    mode: Modes,
    /// How many times each is measured, after one run that does not count.
    #[arg(long, default_value_t = 5)]
    samples: usize,
    /// Everything once with tiny sizes: to see that it works, not how fast.
    #[arg(long)]
    tiny: bool,
}

/// What all side-by-side measurements are told.
#[derive(Args)]
pub(crate) struct Beside {
    /// The workloads, or families of them (`echo` is all that start with `echo-`); all if none is named.
    workloads: Vec<String>,
    /// On how many hubs [default: 1,2; for `scale`: from 1 to as many as there are cores].
    #[arg(long, value_delimiter = ',', value_parser = hubs)]
    hubs: Vec<usize>,
    /// How many samples of each, a process each; of the heavy workloads half as many [default: 5].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    samples: Option<u16>,
    /// Fewer and shorter samples: less than a third of the time, and a wider spread.
    #[arg(long, conflicts_with = "tiny")]
    quick: bool,
    /// Everything once with tiny sizes: to see that it works, not how fast.
    #[arg(long)]
    tiny: bool,
    /// Write what was read to this file, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// What to compare.
#[derive(Args)]
pub(crate) struct Comparison {
    #[command(flatten)]
    pub(crate) beside: Beside,
    /// Whom: greenhub, greenhub-migrate, tokio, may, smol, threads, rayon, go, gevent, floor [default: all but floor].
    #[arg(long, value_delimiter = ',')]
    runtimes: Vec<String>,
    /// Write the table into this page, between its two marks.
    #[arg(long)]
    pub(crate) results: Option<PathBuf>,
}

/// What to draw.
#[derive(Args)]
pub(crate) struct Scaling {
    #[command(flatten)]
    pub(crate) beside: Beside,
    /// Whose lines: any that `compare` knows [default: greenhub, greenhub-migrate, tokio].
    #[arg(long, value_delimiter = ',')]
    runtimes: Vec<String>,
    /// The folder for the page, the charts and the results.
    #[arg(long, default_value = "target/scale")]
    pub(crate) out: PathBuf,
}

/// A number of hubs.
fn hubs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        Ok(0) => Err("there is no runtime without a hub".into()),
        Err(error) => Err(error.to_string()),
    }
}

impl Beside {
    pub(crate) fn is_tiny(&self) -> bool {
        self.tiny
    }

    fn plan(&self, cases: Vec<&'static Case>, runtimes: &[String], usual: Vec<usize>) -> io::Result<Plan> {
        let (runtimes, notes) = runtimes::chosen(runtimes)?;
        let mut hubs = if self.hubs.is_empty() { usual } else { self.hubs.clone() };
        hubs.sort_unstable();
        hubs.dedup();
        let (samples, milliseconds) = match (self.tiny, self.quick) {
            (true, _) => (1, 20),
            (false, true) => (2, 20),
            (false, false) => (5, 80),
        };
        let samples = if self.tiny { 1 } else { self.samples.map_or(samples, usize::from) };
        let effort = Effort { span: Duration::from_millis(milliseconds), tiny: self.tiny };
        Ok(Plan { cases, runtimes, hubs, samples, effort, notes })
    }

    /// What `floor` measures: what has a floor.
    pub(crate) fn floors(&self) -> io::Result<Plan> {
        let mut cases = case::chosen(&self.workloads)?;
        cases.retain(|case| peer::floor::WHAT.iter().any(|(workload, _)| *workload == case.workload));
        if cases.is_empty() {
            return Err(io::Error::other("none of these workloads has a floor"));
        }
        let runtimes = ["greenhub", "greenhub-migrate", runtimes::FLOOR].map(String::from);
        let mut plan = self.plan(cases, &runtimes, vec![1, 2])?;
        // A floor is one thread's.
        if !plan.hubs.contains(&1) {
            plan.hubs.insert(0, 1);
        }
        Ok(plan)
    }
}

impl Comparison {
    pub(crate) fn plan(&self) -> io::Result<Plan> {
        let all = || runtimes::COMPARED.iter().map(ToString::to_string).collect();
        let runtimes = if self.runtimes.is_empty() { all() } else { self.runtimes.clone() };
        self.beside.plan(case::chosen(&self.beside.workloads)?, &runtimes, vec![1, 2])
    }
}

impl Scaling {
    pub(crate) fn plan(&self) -> io::Result<Plan> {
        let usual = || ["greenhub", "greenhub-migrate", "tokio"].map(String::from).to_vec();
        let runtimes = if self.runtimes.is_empty() { usual() } else { self.runtimes.clone() };
        let mut cases = case::chosen(&self.beside.workloads)?;
        if self.beside.workloads.is_empty() {
            cases.retain(|case| case.scales);
        }
        self.beside.plan(cases, &runtimes, scale::steps(available_parallelism()?.get()))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Modes {
    Default,
    Migrate,
    Both,
}

impl Request {
    /// Every combination of hubs and mode asked for.
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let modes: &[Mode] = match self.mode {
            Modes::Default => &[Mode::Default],
            Modes::Migrate => &[Mode::Migrate],
            Modes::Both => &[Mode::Default, Mode::Migrate],
        };
        let samples = if self.tiny { 1 } else { self.samples.max(1) };
        let setting = |(place, &hubs): (usize, &usize), mode| Setting {
            hubs,
            mode,
            samples,
            tiny: self.tiny,
            first: place == 0,
        };
        self.hubs
            .iter()
            .enumerate()
            .flat_map(|hubs| modes.iter().map(move |&mode| setting(hubs, mode)))
            .collect()
    }
}
