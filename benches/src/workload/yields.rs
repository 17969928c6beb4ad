//! Watches what a turn costs when a thousand greenlets take turns: queue traffic, and how many cache lines of a
//! greenlet one turn touches.

use super::{Scope, Workload};
use crate::row::Goal;
use crate::setting::time;
use greenhub::{join_all, spawn, yield_now};

const GREENLETS: u64 = 1000;

/// So many greenlets yield so often, each.
pub(crate) fn take_turns(greenlets: u64, yields: u64) {
    let yielding = || {
        spawn(move || {
            for _ in 0..yields {
                yield_now();
            }
        })
    };
    join_all((0..greenlets).map(|_| yielding()));
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "yield",
    watches: "1000 greenlets yield to each other: queues, and cache lines touched a turn",
    scope: Scope::Everywhere,
    measure: |setting| {
        let yields = setting.size(5000, 10);
        let row = setting.timed(GREENLETS * yields, || time(|| take_turns(GREENLETS, yields)))?;
        Ok(vec![row.goal_if(setting.hubs == 1, Goal::AtMost(15.0))])
    },
};
