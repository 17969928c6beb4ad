//! The runtime's clock: nanoseconds since the process first asked.

use crate::facade::time;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A time that never comes.
pub(crate) const NEVER: u64 = u64::MAX;

fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(time::origin)
}

/// Now.
#[inline]
pub(crate) fn now() -> u64 {
    nanos(time::now())
}

/// `at` on this clock; times too far to count become [`NEVER`].
pub(crate) fn nanos(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(base()).as_nanos()).unwrap_or(NEVER)
}

/// The instant `after` from now, or `None` if it is too far to be told: it never comes.
pub(crate) fn deadline(after: Duration) -> Option<Instant> {
    time::now().checked_add(after)
}

/// The instant of a time on this clock; none for [`NEVER`].
pub(crate) fn instant(nanos: u64) -> Option<Instant> {
    if nanos == NEVER { None } else { base().checked_add(Duration::from_nanos(nanos)) }
}
