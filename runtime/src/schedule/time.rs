//! The execution's clock, as `Instant`s.

use super::world;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Where every execution's clock starts.
pub(crate) fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Now, in the calling thread's execution; outside of any, really now.
pub(crate) fn now() -> Instant {
    match world::now() {
        Some(now) => origin() + Duration::from_nanos(now),
        None => Instant::now(),
    }
}

/// The time on the execution's clock.
pub(super) fn nanos(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin()).as_nanos()).unwrap_or(u64::MAX)
}
