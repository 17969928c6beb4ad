//! Watches timeouts that never fire, as around every request of a server: setting one must be next to free, because
//! the greenlet's node already stands early enough in the wheel.

use super::{Scope, Workload};
use crate::setting::time;
use std::time::Duration;

/// So many yields, each with a timeout.
pub(crate) fn in_time(yields: u64) {
    for _ in 0..yields {
        let in_time = greenhub::timeout(Duration::from_secs(60), greenhub::yield_now);
        assert!(in_time.is_ok(), "a minute was up");
    }
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "timeouts",
    watches: "a timeout that never fires around each yield: setting one is a store",
    scope: Scope::Everywhere,
    measure: |setting| {
        let timeouts = setting.size(1_000_000, 1000);
        let row = setting.timed(timeouts, || time(|| in_time(timeouts)))?;
        Ok(vec![row])
    },
};
