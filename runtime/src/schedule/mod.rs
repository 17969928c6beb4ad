//! Whole hubs under a seeded schedule: the runtime that ships, with a scheduler in the place of the system's.
//!
//! Loom checks each protocol alone, in every interleaving. Here everything runs together: the hubs' loop, queues,
//! stealing, the inbox, sleep and wake, timers, reactor, monitor, shutdown, on several hubs and with several OS
//! threads, in thousands of schedules chosen by chance. Each follows from its seed, so one that fails can be had again.
//!
//! `--cfg greenhub_schedule` makes the [façade](crate::facade) hand out this module's forms of atomics, locks, threads,
//! clock and event queue. Nothing else of the runtime knows of it. [`world`] says how the threads take turns,
//! [`strategy`] how the next is chosen, [`buffer`] which reordering of stores is shown.
//!
//! What is not seen: everything between two steps is one step, so the insides of the stack pool, which
//! synchronises in its own way, are taken to work. Orders weaker than x86's are loom's business. Values
//! come from what ran before (an execution shares the process with its predecessors): mailboxes and the stack depot
//! are used again, and nothing is decided by an address or an identity.
//!
//! A test is a [`scenario`](scenarios): a function that runs the runtime and checks what came of it. `.ci/schedules.sh`
//! runs them all:
//!
//! * `SCHEDULE_SECONDS`: how long all of them take together;
//! * `SCHEDULE_SEED`: runs the one schedule with this seed, which is what a failure prints. It is the same schedule only
//!   in the same build.
//!
#![doc = include_str!("planted.md")]

pub(crate) mod atomic;
mod buffer;
mod chance;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod mio;
#[cfg(test)]
mod scenarios;
mod strategy;
pub(crate) mod thread;
pub(crate) mod time;
mod world;

#[cfg(test)]
pub(crate) use run::explore;
use std::io::Write;

/// Prints what has gone wrong, past the capture of the test harness, and ends the process: the other threads of the
/// execution stand where they are, and nothing can be taken up again.
fn report_and_exit(report: &str) -> ! {
    // Nothing is left to be done if that fails.
    let _written = std::io::stderr().write_all(report.as_bytes());
    std::process::exit(101)
}

#[cfg(test)]
mod run;
