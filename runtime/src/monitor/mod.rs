//! The monitor: one thread a runtime that sees what the hubs cannot see of themselves.
//!
//! * [`watcher`]: the thread. While a hub is up it looks at all hubs every few milliseconds; [`rest`]: while all sleep it
//!   sleeps too, and the first hub that gets up wakes it.
//! * [`blocked`]: a hub that has been in one greenlet for too long is reported, with the likely [`cause`]; meanwhile its
//!   timers and I/O are looked after.
//! * [`deadlock`]: everybody waits, and nobody is left who could wake them.
//! * [`dump`]: every greenlet and what it waits for, on demand and ([`signal`]) on SIGUSR1.
//! * [`settings`]: what the user wants to hear of, and how.
//!
//! It reads what the hubs write anyway (counters, beds, the state words and wait reports of greenlets), so all that
//! it costs a hub is one fence and one load when it gets up.

#[cfg(not(greenhub_loom))]
mod blocked;
#[cfg(not(greenhub_loom))]
mod cause;
#[cfg(not(greenhub_loom))]
mod deadlock;
#[cfg(not(greenhub_loom))]
mod dump;
mod rest;
#[cfg(not(greenhub_loom))]
mod settings;
#[cfg(not(greenhub_loom))]
mod signal;
#[cfg(not(greenhub_loom))]
mod watcher;

#[cfg(not(greenhub_loom))]
mod names {
    pub use super::blocked::BlockedReport;
    pub use super::cause::Cause;
    pub(crate) use super::cause::thread_number;
    pub use super::deadlock::{DeadlockReport, StuckGreenlet};
    pub use super::dump::dump;
    pub(crate) use super::dump::dump_of;
    pub use super::settings::Deadlock;
    pub(crate) use super::settings::Settings;
    pub(crate) use super::watcher::Monitor;
}
#[cfg(not(greenhub_loom))]
pub use names::*;

/// Prints a report on stderr, as one piece.
#[cfg(not(greenhub_loom))]
fn print(report: &dyn std::fmt::Display) {
    use std::io::Write as _;
    // There is nobody to tell that stderr is closed.
    let _closed = std::io::stderr().lock().write_all(format!("greenhub: {report}\n").as_bytes());
}
