//! Watches runtimes of many more hubs than cores, past the 64 and 128 where bit sets end: starting them, work that
//! reaches them, and ending them.

use super::{Scope, Workload};
use crate::row::Row;
use crate::setting::time;
use greenhub::{join_all, spawn};

pub(super) const WORKLOAD: Workload = Workload {
    name: "hubs",
    watches: "130 and 300 hubs: start, spawn and join, end",
    scope: Scope::OwnHubs,
    measure: |setting| {
        let greenlets = setting.size(100_000_u64, 1000);
        let mut rows = Vec::new();
        for hubs in [130, 300] {
            let (mut whole, mut work) = (Vec::new(), Vec::new());
            for _ in 0..setting.samples {
                let start = std::time::Instant::now();
                let runtime = setting.runtime_on(hubs)?;
                work.push(runtime.run(|| time(|| join_all((0..greenlets).map(|n| spawn(move || n))))));
                drop(runtime);
                whole.push(start.elapsed());
            }
            rows.push(Row::timed(greenlets, work).part(format!("{hubs}, spawn+join")));
            rows.push(Row::timed(hubs as u64, whole).part(format!("{hubs}, start to end, a hub")));
        }
        Ok(rows)
    },
};
