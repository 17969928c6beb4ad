//! Probes: one primitive, a fixed number of times, on one hub, with nothing else in the way. Run at two counts under
//! an instruction counter, the difference is what the primitive costs, free of start-up and of the machine's noise.

use crate::setting::{Mode, Setting};
use greenhub::channel::bounded;
use greenhub::sync::Mutex;
use greenhub::{JoinHandle, current, join_all, park, spawn, yield_now};
use std::io;
use std::time::Duration;

type Probe = fn(u64);

/// Every probe: its name, and what does it so many times.
const PROBES: &[(&str, Probe)] = &[
    ("switch", switch),
    ("yield", yields),
    ("spawn-join", spawn_join),
    ("spawn-batch", spawn_batch),
    ("wake", wake),
    ("channel", channel),
    ("lock", lock),
    ("timer", timer),
];

/// Runs a probe.
pub(crate) fn run(name: &str, count: u64) -> io::Result<()> {
    let Some((_, probe)) = PROBES.iter().find(|(known, _)| *known == name) else {
        let names: Vec<_> = PROBES.iter().map(|(name, _)| *name).collect();
        return Err(io::Error::other(format!(
            "no probe is called {name:?}; there are: {}",
            names.join(", ")
        )));
    };
    let setting = Setting { hubs: 1, mode: Mode::Default, samples: 1, tiny: true, first: true };
    setting.runtime()?.run(|| probe(count));
    Ok(())
}

fn ended<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) {
    for result in join_all(handles) {
        if let Err(error) = result {
            panic!("a probe failed: {error}");
        }
    }
}

/// One greenlet yields alone.
fn switch(count: u64) {
    for _ in 0..count {
        yield_now();
    }
}

/// A hundred greenlets yield to each other.
fn yields(count: u64) {
    const GREENLETS: u64 = 100;
    ended((0..GREENLETS).map(|_| spawn(move || switch(count / GREENLETS))));
}

/// Spawns an empty greenlet and joins it, one by one.
fn spawn_join(count: u64) {
    for n in 0..count {
        // An empty greenlet cannot fail.
        let _n = spawn(move || n).join();
    }
}

/// Spawns a hundred empty greenlets and joins them, over and over.
fn spawn_batch(count: u64) {
    const BATCH: u64 = 100;
    for _ in 0..count / BATCH {
        ended((0..BATCH).map(|n| spawn(move || n)));
    }
}

/// Two greenlets unpark each other: an unpark, a park and a switch each time.
fn wake(count: u64) {
    let first = current();
    let second = spawn(move || {
        for _ in 0..count / 2 {
            park();
            first.unpark();
        }
    });
    for _ in 0..count / 2 {
        second.greenlet().unpark();
        park();
    }
    ended([second]);
}

/// A round trip over two channels of room for one.
fn channel(count: u64) {
    let (ping, pinged) = bounded(1);
    let (pong, ponged) = bounded(1);
    let echo = spawn(move || pinged.iter().all(|number: u64| pong.send(number).is_ok()));
    for number in 0..count {
        assert!(ping.send(number).is_ok() && ponged.recv() == Ok(number), "the ball was lost");
    }
    drop(ping);
    ended([echo]);
}

/// A lock that nobody else wants.
fn lock(count: u64) {
    let number = Mutex::new(0);
    for _ in 0..count {
        *std::hint::black_box(&number).lock() += 1;
    }
}

/// A timeout that does not fire.
fn timer(count: u64) {
    for _ in 0..count {
        let in_time = greenhub::timeout(Duration::from_secs(3600), || std::hint::black_box(()));
        assert!(in_time.is_ok(), "an hour was up");
    }
}
