//! Watches how late a sleep ends on hubs that have nothing else to do; and that none ends early, ever.

use super::{Scope, Workload};
use crate::lateness::{lateness, quantiles};
use std::time::Duration;

const SPANS: [Duration; 4] = [
    Duration::from_micros(200),
    Duration::from_micros(700),
    Duration::from_micros(1300),
    Duration::from_micros(5000),
];

pub(super) const WORKLOAD: Workload = Workload {
    name: "sleep-lateness",
    watches: "how late sleeps of 0.2 to 5 ms end on idle hubs; none is ever early",
    scope: Scope::Everywhere,
    measure: |setting| {
        let runtime = setting.runtime()?;
        let rounds = setting.samples * setting.size(20, 1);
        let late = runtime.run(|| lateness((0..rounds).flat_map(|_| SPANS)));
        Ok(quantiles(&late, Some(300e-6)).into())
    },
};
