//! The workloads: one file each, which opens with the regression it watches.

mod accept_skew;
pub(crate) mod fork_join;
pub(crate) mod hog;
mod hubs;
mod idle;
mod machine;
pub(crate) mod mpmc;
pub(crate) mod mutex;
pub(crate) mod parked_memory;
pub(crate) mod ping_pong;
pub(crate) mod ring;
pub(crate) mod skynet;
pub(crate) mod sleep;
mod sleep_lateness;
pub(crate) mod spawn_join;
mod speed_up;
mod stacks;
mod switch;
pub(crate) mod timeouts;
pub(crate) mod yields;

use crate::row::Row;
use crate::setting::{Mode, Setting};
use std::io;

/// Something to measure.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// The regression it watches.
    pub(crate) watches: &'static str,
    /// Measures it.
    pub(crate) measure: fn(&Setting) -> io::Result<Vec<Row>>,
    /// Where it makes sense.
    pub(crate) scope: Scope,
}

/// In which settings a workload makes sense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In all.
    Everywhere,
    /// It says itself on how many hubs it runs: measured once a mode.
    OwnHubs,
    /// On two hubs and more.
    SeveralHubs,
}

/// All of them.
pub(crate) const ALL: &[Workload] = &[
    switch::WORKLOAD,
    yields::WORKLOAD,
    spawn_join::WORKLOAD,
    fork_join::WORKLOAD,
    skynet::WORKLOAD,
    ping_pong::WORKLOAD,
    ring::WORKLOAD,
    mpmc::WORKLOAD,
    mutex::WORKLOAD,
    sleep::WORKLOAD,
    timeouts::WORKLOAD,
    sleep_lateness::WORKLOAD,
    hog::WORKLOAD,
    idle::WORKLOAD,
    parked_memory::WORKLOAD,
    accept_skew::WORKLOAD,
    speed_up::WORKLOAD,
    hubs::WORKLOAD,
    machine::WORKLOAD,
];

impl Workload {
    /// Whether it is measured in this setting.
    pub(crate) fn applies(&self, setting: &Setting) -> bool {
        match self.scope {
            Scope::Everywhere => true,
            Scope::OwnHubs => setting.first,
            Scope::SeveralHubs => setting.hubs > 1,
        }
    }
}

/// The workloads of these names, or all.
pub(crate) fn chosen(names: &[String]) -> io::Result<Vec<&'static Workload>> {
    if names.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |name: &String| {
        ALL.iter().find(|workload| workload.name == name).ok_or_else(|| {
            let names: Vec<_> = ALL.iter().map(|workload| workload.name).collect();
            io::Error::other(format!("no workload is called {name:?}; there are: {}", names.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

/// Whether the default mode's promises hold here.
fn is_default(setting: &Setting) -> bool {
    setting.mode == Mode::Default
}
