//! The blocking pool: OS threads for calls that would otherwise stop a hub (files, name look-ups, foreign
//! libraries).
//!
//! A runtime has one [`BlockingPool`]. A greenlet that calls [`unblock`](unblock::unblock_on) hands over a closure,
//! waits as it waits for anything else, and goes on with the result. Threads are made when a job finds no idle one,
//! up to a limit; beyond it jobs queue without bound (the greenlets behind them are bounded by other means). An idle
//! thread ends after a while, and those used last are used first, so that a pool shrinks to what its load needs.
//!
//! `queue` is the protocol, `pool` the handle a runtime owns, `unblock` the wait.

mod pool;
#[cfg(not(greenhub_loom))]
mod public;
mod queue;
mod unblock;

#[cfg(all(test, greenhub_loom))]
mod model;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;

pub(crate) use pool::BlockingPool;
#[cfg(not(greenhub_loom))]
pub use public::unblock;
