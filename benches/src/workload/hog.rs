//! Watches what one greedy greenlet does to sleepers: one that yields all the time must not delay them, since a hub
//! looks at its timers between turns; one that computes for 20 ms without a suspension holds up those of its own
//! hub, and in the migrating mode, with a second hub, nobody.

use super::{Scope, Workload};
use crate::compute::compute;
use crate::lateness::{lateness, quantiles};
use crate::row::Row;
use crate::setting::Setting;
use greenhub::{join_all, spawn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SLEEPERS: usize = 100;

fn beside(setting: &Setting, name: &str, rounds: usize, step: fn()) -> io::Result<Vec<Row>> {
    let runtime = setting.runtime()?;
    let late = runtime.run(|| {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let hog = spawn(move || {
            // Relaxed: the flag publishes nothing.
            while !seen.load(Ordering::Relaxed) {
                step();
            }
        });
        let sleeper = || spawn(move || lateness((0..rounds).map(|_| Duration::from_millis(5))));
        let sleepers: Vec<_> = (0..SLEEPERS).map(|_| sleeper()).collect();
        let late: Vec<f64> = join_all(sleepers).into_iter().flatten().flatten().collect();
        over.store(true, Ordering::Relaxed);
        hog.join().expect("the hog does not fail");
        late
    });
    assert_eq!(late.len(), SLEEPERS * rounds, "a sleeper failed");
    let named = |row: Row| {
        let quantile = row.part.clone();
        row.part(format!("{name} {quantile}"))
    };
    Ok(quantiles(&late, None).map(named).into())
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "hog",
    watches: "lateness of 100 sleepers beside one that yields all the time, and one that computes for 20 ms",
    scope: Scope::Everywhere,
    measure: |setting| {
        let mut rows = beside(setting, "yielding", setting.size(100, 1), greenhub::yield_now)?;
        rows.extend(beside(setting, "computing", setting.size(5, 1), || {
            compute(Duration::from_millis(20));
            greenhub::yield_now();
        })?);
        Ok(rows)
    },
};
