//! Watches the lock: 1000 greenlets and 4 greenlets that add to one number. On one hub the lock is free whenever it is
//! asked for; on two, the few fight for one cache line, and barging decides how often somebody must sleep.

use super::{Scope, Workload};
use crate::row::Row;
use crate::setting::{Setting, time};
use greenhub::sync::Mutex;
use greenhub::{join_all, spawn};
use std::io;
use std::sync::Arc;

/// So many greenlets add one so often, each.
pub(crate) fn add_together(greenlets: u64, each: u64) {
    let number = Arc::new(Mutex::new(0));
    let adding = |number: Arc<Mutex<u64>>| {
        spawn(move || {
            for _ in 0..each {
                *number.lock() += 1;
            }
        })
    };
    for ended in join_all((0..greenlets).map(|_| adding(number.clone()))) {
        ended.expect("adding does not fail");
    }
    assert_eq!(*number.lock(), greenlets * each, "the lock keeps others out");
}

fn measure(setting: &Setting, greenlets: u64, locks: u64) -> io::Result<Row> {
    let each = locks / greenlets;
    let row = setting.timed(greenlets * each, || time(|| add_together(greenlets, each)))?;
    Ok(row.part(format!("{greenlets} greenlets")))
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "mutex",
    watches: "1000 and 4 greenlets at one lock: uncontended cost on one hub, the fight on two",
    scope: Scope::Everywhere,
    measure: |setting| {
        let locks = setting.size(2_000_000, 10_000);
        Ok(vec![measure(setting, 1000, locks)?, measure(setting, 4, locks)?])
    },
};
