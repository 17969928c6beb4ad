//! Watches the wake path: two greenlets that wait for each other over `bounded(1)` channels, so each message is a
//! park, a wake and a switch. One pair, where on two hubs the worst is to spread it; a thousand pairs, where it is the
//! cache that counts; and, to tell what the worst would be, a pair that is kept apart.

use super::{Scope, Workload};
use crate::row::{Goal, Row};
use crate::setting::{Setting, time};
use greenhub::channel::bounded;
use greenhub::{JoinHandle, current, join_all, spawn};
use std::hint::spin_loop;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One pair; each of the two tells in the end which hub it is on.
fn pair(rounds: u64) -> [JoinHandle<Option<usize>>; 2] {
    let (ping, pinged) = bounded(1);
    let (pong, ponged) = bounded(1);
    let echo = spawn(move || {
        for number in pinged {
            if pong.send(number).is_err() {
                break;
            }
        }
        current().hub()
    });
    let player = spawn(move || {
        for round in 0..rounds {
            assert!(ping.send(round).is_ok() && ponged.recv() == Ok(round), "the ball was lost");
        }
        current().hub()
    });
    [player, echo]
}

/// So many pairs, so many round trips each; gives how many pairs were split over two hubs.
pub(crate) fn play(pairs: u64, rounds: u64) -> usize {
    let ended = join_all((0..pairs).flat_map(|_| pair(rounds)));
    let hubs: Vec<_> = ended.into_iter().map(|hub| hub.expect("no pair loses its ball")).collect();
    hubs.chunks(2).filter(|pair| pair[0] != pair[1]).count()
}

/// A pair whose players start on two hubs. It stays so in the default mode; in the other it may come together.
fn apart(rounds: u64) -> Duration {
    let begun = Arc::new(AtomicBool::new(false));
    let (ping, pinged) = bounded(1);
    let (pong, ponged) = bounded(1);
    let echo = spawn({
        let begun = begun.clone();
        move || {
            begun.store(true, Ordering::Relaxed);
            pinged.iter().all(|number| pong.send(number).is_ok())
        }
    });
    // Without suspending: some other hub has to take it.
    while !begun.load(Ordering::Relaxed) {
        spin_loop();
    }
    let played = time(|| {
        for round in 0..rounds {
            assert!(ping.send(round).is_ok() && ponged.recv() == Ok(round), "the ball was lost");
        }
    });
    drop(ping);
    assert!(echo.join().is_ok(), "the other one failed");
    played
}

fn pairs(setting: &Setting, pairs: u64, rounds: u64) -> io::Result<Row> {
    setting.timed(pairs * rounds, || time(|| play(pairs, rounds)))
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "ping-pong",
    watches: "round trips over bounded(1), 1 pair and 1000 pairs: park, wake, switch",
    scope: Scope::Everywhere,
    measure: |setting| {
        let one = pairs(setting, 1, setting.size(1_000_000, 100))?;
        let many = pairs(setting, setting.size(1000, 10), setting.size(1000, 10))?;
        let mut rows =
            vec![one.part("1 pair").goal_if(setting.hubs == 1, Goal::AtMost(120.0)), many.part("1000 pairs")];
        if setting.hubs > 1 {
            let rounds = setting.size(20_000, 100);
            rows.push(setting.timed(rounds, || apart(rounds))?.part("1 pair, kept apart"));
        }
        Ok(rows)
    },
};
