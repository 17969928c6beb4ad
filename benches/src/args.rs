//! The command line.

use crate::setting::{Mode, Setting};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures greenhub.
#[derive(Parser)]
#[command(name = "bench")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Name the workloads, and the regression each one watches.
    List,
    /// Measure workloads and print a table.
    Run(Request),
    /// Run one primitive a fixed number of times on one hub, and nothing else.
    Probe {
        /// Which: switch, yield, spawn-join, wake, channel, lock, timer.
        name: String,
        /// How often.
        #[arg(long)]
        count: u64,
    },
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
