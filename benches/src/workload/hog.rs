//! Watches what one greedy greenlet does to sleepers: one that yields all the time must not delay them, since a hub
//! looks at its timers between turns; one that computes for 20 ms without a suspension holds up those of its own
//! hub, and in the migrating mode, with a second hub, nobody.

use super::{Scope, Workload};
use crate::compute::compute;
use crate::lateness::{lateness, quantiles};
use crate::row::Row;
use crate::setting::Setting;
use greenhub::runtime::Runtime;
use greenhub::{join_all, spawn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) const SLEEPERS: usize = 100;

/// How long the hog goes on at most: by then sleepers that have not slept count as late by that much.
pub(crate) const STARVED: Duration = Duration::from_secs(2);

/// How late each of the sleeps of a hundred sleepers is, while another greenlet takes one step after another.
pub(crate) fn late_beside(runtime: &Runtime, rounds: usize, span: Duration, step: fn()) -> Vec<f64> {
    let late = runtime.run(|| {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let start = Instant::now();
        let hog = spawn(move || {
            // Relaxed: the flag publishes nothing.
            while !seen.load(Ordering::Relaxed) && start.elapsed() < STARVED {
                step();
            }
            seen.store(true, Ordering::Relaxed);
        });
        let sleeper = |over: Arc<AtomicBool>| {
            let once = move || match over.load(Ordering::Relaxed) {
                false => lateness([span]),
                true => vec![STARVED.as_secs_f64()],
            };
            spawn(move || (0..rounds).flat_map(|_| once()).collect::<Vec<_>>())
        };
        let sleepers: Vec<_> = (0..SLEEPERS).map(|_| sleeper(over.clone())).collect();
        let late: Vec<f64> = join_all(sleepers).into_iter().flatten().flatten().collect();
        over.store(true, Ordering::Relaxed);
        hog.join().expect("the hog does not fail");
        late
    });
    assert_eq!(late.len(), SLEEPERS * rounds, "a sleeper failed");
    late
}

fn beside(setting: &Setting, name: &str, rounds: usize, step: fn()) -> io::Result<Vec<Row>> {
    let late = late_beside(&setting.runtime()?, rounds, Duration::from_millis(5), step);
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
