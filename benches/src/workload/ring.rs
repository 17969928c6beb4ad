//! Watches a chain of wakes: a token goes round 503 greenlets, each of which waits for its neighbour. Only one can
//! run at any time, so more hubs must not make it slower than one does.

use super::{Scope, Workload};
use crate::setting::time;
use greenhub::channel::{Receiver, Sender, bounded};
use greenhub::{join_all, spawn};

const RING: u64 = 503;

/// Sends a token round so many greenlets that is passed on `passes` times.
pub(crate) fn ring(greenlets: u64, passes: u64) {
    let (mut senders, receivers): (Vec<_>, Vec<_>) = (0..greenlets).map(|_| bounded::<u64>(1)).unzip();
    let first = senders[0].clone();
    // Each sends to the receiver after its own.
    senders.rotate_left(1);
    let pass = |(receiver, next): (Receiver<u64>, Sender<u64>)| {
        spawn(move || {
            while let Ok(left) = receiver.recv() {
                // Who gets the last pass ends, which ends the next one, and so round the ring.
                if left == 0 || next.send(left - 1).is_err() {
                    break;
                }
            }
        })
    };
    let greenlets: Vec<_> = receivers.into_iter().zip(senders).map(pass).collect();
    assert!(first.send(passes).is_ok(), "the ring takes its token");
    drop(first);
    for ended in join_all(greenlets) {
        ended.expect("the ring holds");
    }
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "ring",
    watches: "a token round 503 greenlets: chains of wakes, on one hub and on several",
    scope: Scope::Everywhere,
    measure: |setting| {
        let passes = setting.size(1_000_000, 2000);
        Ok(vec![setting.timed(passes, || time(|| ring(RING, passes)))?])
    },
};
