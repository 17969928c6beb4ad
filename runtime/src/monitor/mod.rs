//! The monitor: one thread a runtime that sees what the hubs cannot see of themselves.
//!
//! * [`watcher`]: the thread. While a hub is up it looks at all hubs every few milliseconds; [`rest`]: while all sleep it
//!   sleeps too, and the first hub that gets up wakes it.
//! * [`blocked`]: a hub that has been in one greenlet for too long is reported, with the likely [`cause`]; meanwhile its
//!   timers and I/O are looked after.
//! * [`deadlock`]: everybody waits, and nobody is left who could wake them.
//! * [`mod@dump`]: every greenlet and what it waits for, on demand and ([`signal`]) on SIGUSR1.
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
#[cfg(not(greenhub_loom))]
mod print;
mod rest;
#[cfg(not(greenhub_loom))]
mod settings;
#[cfg(not(greenhub_loom))]
mod signal;
#[cfg(not(greenhub_loom))]
mod watcher;

#[cfg(not(greenhub_loom))]
pub use blocked::BlockedReport;
#[cfg(not(greenhub_loom))]
pub use cause::Cause;
#[cfg(not(greenhub_loom))]
pub(crate) use cause::thread_number;
#[cfg(not(greenhub_loom))]
pub use deadlock::{DeadlockReport, StuckGreenlet};
#[cfg(not(greenhub_loom))]
pub use dump::dump;
#[cfg(not(greenhub_loom))]
pub(crate) use dump::dump_of;
#[cfg(not(greenhub_loom))]
use print::print;
#[cfg(not(greenhub_loom))]
pub use settings::Deadlock;
#[cfg(not(greenhub_loom))]
pub(crate) use settings::Settings;
#[cfg(not(greenhub_loom))]
pub(crate) use watcher::Monitor;
