//! The runtime's clock: nanoseconds since the process first asked.

use crate::facade::{clock_zero, instant_now};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(clock_zero)
}

/// Sets the clock's zero, if that has not been done: under a lock that a fork waits for.
pub(crate) fn start() {
    base();
}

/// Now.
#[inline]
pub(crate) fn now() -> u64 {
    nanos(instant_now())
}

/// So long from now; [`NEVER`] if that is too far to count.
pub(crate) fn after(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).map_or(NEVER, |time| now().saturating_add(time))
}

/// `at` on this clock; times too far to count become [`NEVER`].
pub(crate) fn nanos(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(base()).as_nanos()).unwrap_or(NEVER)
}

/// The instant `after` from now, or `None` if it is too far to be told: it never comes.
pub(crate) fn deadline(after: Duration) -> Option<Instant> {
    instant_now().checked_add(after)
}

/// The instant of a time on this clock; none for [`NEVER`].
pub(crate) fn instant(nanos: u64) -> Option<Instant> {
    if nanos == NEVER { None } else { base().checked_add(Duration::from_nanos(nanos)) }
}
