//! Watches a tree of greenlets that answer over channels: 10^6 leaves, ten children a node. Nobody joins, so only the
//! queue's order (newest first once there are many) keeps the number of live stacks in the thousands.

use super::{Scope, Workload, stacks};
use crate::row::{Goal, Row, Unit};
use crate::setting::time;
use greenhub::channel::{Sender, bounded};
use greenhub::spawn;

const CHILDREN: u64 = 10;

/// Answers with the sum of the numbers of its leaves.
fn node(answer: &Sender<u64>, number: u64, leaves: u64) {
    let sum = if leaves == 1 {
        number
    } else {
        let (sender, receiver) = bounded(CHILDREN as usize);
        let each = leaves / CHILDREN;
        for child in 0..CHILDREN {
            let sender = sender.clone();
            drop(spawn(move || node(&sender, number + child * each, each)));
        }
        drop(sender);
        receiver.iter().sum()
    };
    if answer.send(sum).is_err() {
        panic!("the parent of node {number} did not wait for its answer");
    }
}

/// Spawns the tree and waits for its sum.
pub(crate) fn tree(leaves: u64) {
    let (sender, receiver) = bounded(1);
    drop(spawn(move || node(&sender, 0, leaves)));
    assert_eq!(receiver.recv(), Ok(leaves * (leaves - 1) / 2), "every leaf answers once");
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "skynet",
    watches: "a tree of 10^6 leaves over channels: spawn, channel, and live stacks in the thousands",
    scope: Scope::Everywhere,
    measure: |setting| {
        let leaves = setting.size(1_000_000, 1000);
        let timed = setting.timed(leaves + leaves / 9, || time(|| tree(leaves)))?;
        let runtime = setting.runtime()?;
        let most = stacks::most_in_use(&runtime, || tree(leaves));
        Ok(vec![timed, Row::plain(Unit::Count, vec![most]).part("live stacks").goal(Goal::AtMost(9999.0))])
    },
};
