//! Watches the wake path: two greenlets that wait for each other over `bounded(1)` channels, so each message is a
//! park, a wake and a switch. One pair, where on two hubs the worst is to spread it; and a thousand pairs, where it
//! is the cache that counts.

use super::{Scope, Workload};
use crate::row::{Goal, Row};
use crate::setting::{Setting, time};
use greenhub::channel::bounded;
use greenhub::{join_all, spawn};
use std::io;

/// One pair; gives when its messages have gone there and back.
fn pair(rounds: u64) -> [greenhub::JoinHandle<()>; 2] {
    let (ping, pinged) = bounded(1);
    let (pong, ponged) = bounded(1);
    let echo = spawn(move || {
        for number in pinged {
            if pong.send(number).is_err() {
                break;
            }
        }
    });
    let player = spawn(move || {
        for round in 0..rounds {
            assert!(ping.send(round).is_ok() && ponged.recv() == Ok(round), "the ball was lost");
        }
    });
    [player, echo]
}

fn pairs(setting: &Setting, pairs: u64, rounds: u64) -> io::Result<Row> {
    setting.timed(pairs * rounds, || {
        time(|| {
            for ended in join_all((0..pairs).flat_map(|_| pair(rounds))) {
                ended.expect("no pair loses its ball");
            }
        })
    })
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "ping-pong",
    watches: "round trips over bounded(1), 1 pair and 1000 pairs: park, wake, switch",
    scope: Scope::Everywhere,
    measure: |setting| {
        let one = pairs(setting, 1, setting.size(1_000_000, 100))?;
        let many = pairs(setting, setting.size(1000, 10), setting.size(1000, 10))?;
        Ok(vec![one.part("1 pair").goal_if(setting.hubs == 1, Goal::AtMost(120.0)), many.part("1000 pairs")])
    },
};
