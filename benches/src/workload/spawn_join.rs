//! Watches the life of a greenlet that does nothing: allocation, queue, stack, end, join. In batches the queue grows
//! long and stays in order; one by one the joiner claims the child and hands itself back.

use super::{Scope, Workload};
use crate::row::Goal;
use crate::setting::time;
use greenhub::{join_all, spawn};

/// Spawns a batch and joins it, so often.
pub(crate) fn in_batches(batches: u64, batch: u64) {
    for _ in 0..batches {
        join_all((0..batch).map(|n| spawn(move || n)));
    }
}

/// Spawns one and joins it, so often.
pub(crate) fn one_by_one(greenlets: u64) {
    for n in 0..greenlets {
        // An empty greenlet cannot fail, and the time would show if it did not run.
        let _n = spawn(move || n).join();
    }
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "spawn-join",
    watches: "empty greenlets, 10,000 at a time and one by one: allocation, queue, stack, end",
    scope: Scope::Everywhere,
    measure: |setting| {
        let batches = setting.size(50, 1);
        let batch = setting.size(10_000_u64, 100);
        let batched = setting.timed(batches * batch, || time(|| in_batches(batches, batch)))?;
        let single = setting.timed(batches * batch, || time(|| one_by_one(batches * batch)))?;
        let goal = |row: crate::row::Row| row.goal_if(setting.hubs == 1, Goal::AtMost(120.0));
        Ok(vec![goal(batched.part("batches")), goal(single.part("one by one"))])
    },
};
