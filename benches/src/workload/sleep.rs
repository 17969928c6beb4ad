//! Watches timers in bulk: 100,000 greenlets sleep 200 ms each, all at once. What goes beyond the 200 ms is spawning,
//! starting, the wheel, and waking them all.

use super::{Scope, Workload};
use crate::setting::time;
use greenhub::{join_all, spawn};
use std::time::Duration;

pub(super) const WORKLOAD: Workload = Workload {
    name: "sleep",
    watches: "10^5 greenlets sleep 200 ms; counted is what goes beyond: start, wheel, wake",
    scope: Scope::Everywhere,
    measure: |setting| {
        let greenlets = setting.size(100_000, 100);
        let span = Duration::from_millis(setting.size(200, 2));
        let row = setting.timed(greenlets, || {
            let whole = time(|| join_all((0..greenlets).map(|_| spawn(move || greenhub::sleep(span)))));
            whole.checked_sub(span).expect("nobody sleeps less than was asked for")
        })?;
        Ok(vec![row])
    },
};
