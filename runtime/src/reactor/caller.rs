//! What the reactor asks about whoever calls it: which hub it runs on, and how it steps aside or sleeps.
//!
//! The rest of the crate answers; a plain OS thread has no reactor, yields to no one and sleeps in the kernel.

use super::Reactor;
use crate::facade::Arc;
use std::io;
use std::time::{Duration, Instant};

use crate::greenlet::{current, kill};

/// The reactor of the hub the caller runs on right now; `None` on a plain OS thread. Asked anew after each wait, for a
/// greenlet may have moved.
#[inline]
pub(super) fn current_reactor() -> Option<Here> {
    if let Some((hub, _)) = current::hub_and_greenlet() {
        return Some(Here::Hub(hub));
    }
    #[cfg(test)]
    return super::testing::current_reactor().map(Here::Test);
    #[cfg(not(test))]
    None
}

/// Where the caller runs: not to be used across a switch.
pub(super) enum Here {
    Hub(current::HubPtr),
    #[cfg(test)]
    Test(Arc<Reactor>),
}

impl std::ops::Deref for Here {
    type Target = Arc<Reactor>;
    #[inline]
    fn deref(&self) -> &Arc<Reactor> {
        match self {
            Here::Hub(hub) => &hub.shared().reactor,
            #[cfg(test)]
            Here::Test(reactor) => reactor,
        }
    }
}

/// Lets the other greenlets of the hub run, after many calls in a row that did not have to wait.
pub(super) fn yield_budget() {
    if current::greenlet().is_some() {
        crate::yield_now();
    }
}

/// To be called before an OS thread waits. Panics where it is a hub, on its own stack.
pub(super) fn check_may_block() {
    current::check_may_block();
}

/// The sooner of a call's own deadline and those of the timeouts around it, on a plain OS thread.
pub(super) fn effective_deadline(own: Option<Instant>) -> Option<Instant> {
    let around = if std::thread::panicking() { None } else { current::thread().masks.earliest_instant() };
    match (own, around) {
        (Some(own), Some(around)) => Some(own.min(around)),
        (own, around) => own.or(around),
    }
}

/// Delivers the kill or timeout that ended a wait: unwinds, or, where nothing can be unwound, gives it as an error.
pub(super) fn deliver_interrupts() -> io::Result<()> {
    kill::deliver_or_report()
}

/// Sleeps where there is nothing to wait on but time.
pub(crate) fn sleep(duration: Duration) {
    crate::sleep(duration);
}
