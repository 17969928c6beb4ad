//! Watches the bare cost of giving way: one greenlet that yields alone, so nothing but the switch to its hub, one
//! turn of the hub's loop and the switch back.

use super::{Scope, Workload};
use crate::setting::time;

pub(super) const WORKLOAD: Workload = Workload {
    name: "switch",
    watches: "one greenlet yields alone: the switch and the hub's turn",
    scope: Scope::Everywhere,
    measure: |setting| {
        let yields = setting.size(5_000_000, 1000);
        let row = setting.timed(yields, || {
            time(|| {
                for _ in 0..yields {
                    greenhub::yield_now();
                }
            })
        })?;
        Ok(vec![row])
    },
};
