//! Watches timers in bulk: 100,000 greenlets sleep 200 ms each, all at once. What goes beyond the 200 ms is spawning,
//! starting, the wheel, and waking them all.

use super::{Scope, Workload};
use crate::setting::time;
use greenhub::{join_all, spawn};
use std::time::Duration;

/// So many greenlets sleep at once; gives what it took beyond the sleep.
pub(crate) fn beyond(greenlets: u64, span: Duration) -> Duration {
    let whole = time(|| join_all((0..greenlets).map(|_| spawn(move || greenhub::sleep(span)))));
    whole.checked_sub(span).expect("nobody sleeps less than was asked for")
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "sleep",
    watches: "10^5 greenlets sleep 200 ms; counted is what goes beyond: start, wheel, wake",
    scope: Scope::Everywhere,
    measure: |setting| {
        let greenlets = setting.size(100_000, 100);
        let span = Duration::from_millis(setting.size(200, 2));
        Ok(vec![setting.timed(greenlets, || beyond(greenlets, span))?])
    },
};
