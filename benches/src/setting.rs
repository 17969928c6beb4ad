//! [`Setting`]: on how many hubs, in which mode and how often a workload is measured.

use crate::row::Row;
use clap::ValueEnum;
use greenhub::runtime::{Builder, Runtime};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// Whether started greenlets may change hubs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// They stay.
    Default,
    /// They may.
    Migrate,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Default => "default",
            Mode::Migrate => "migrate",
        })
    }
}

/// How a workload is measured.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) hubs: usize,
    pub(crate) mode: Mode,
    pub(crate) samples: usize,
    pub(crate) tiny: bool,
    /// The first of the settings of its mode that are measured.
    pub(crate) first: bool,
}

impl Setting {
    /// A size: `full`, or a small one if this run only checks that everything works.
    pub(crate) fn size<N>(&self, full: N, tiny: N) -> N {
        if self.tiny { tiny } else { full }
    }

    /// A runtime of this setting.
    pub(crate) fn runtime(&self) -> io::Result<Runtime> {
        self.runtime_on(self.hubs)
    }

    /// A runtime of this setting's mode, on that many hubs.
    pub(crate) fn runtime_on(&self, hubs: usize) -> io::Result<Runtime> {
        let builder = Builder::new().hubs(hubs);
        match self.mode {
            Mode::Default => builder.build(),
            // SAFETY: the workloads hold nothing but `Send` values across suspensions, use no thread-local and no
            // foreign code around one, and ask no OS thread who it is.
            Mode::Migrate => unsafe { builder.migrate_started() }.build(),
        }
    }

    /// Measures `run` as often as the setting says, after one run that does not count (unless this is a tiny run).
    /// It runs in a greenlet, does `operations` operations, and says how long they took.
    pub(crate) fn timed(&self, operations: u64, run: impl Fn() -> Duration + Sync) -> io::Result<Row> {
        let runtime = self.runtime()?;
        if !self.tiny {
            runtime.run(&run);
        }
        let times = (0..self.samples).map(|_| runtime.run(&run)).collect();
        Ok(Row::timed(operations, times))
    }
}

/// How long `f` takes.
pub(crate) fn time<T>(f: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(f());
    start.elapsed()
}
