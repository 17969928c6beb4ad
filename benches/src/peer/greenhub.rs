//! greenhub, in both modes: the workloads of `bench run`, and what the peers' own suites add.

use super::{Figures, NAP, Peer, Sample, bytes_each, forks, gorge, late, listening, repeat};
use crate::setting::{Mode, Setting, time};
use crate::workload::{
    fork_join, hog, mpmc, mutex, parked_memory, ping_pong, ring, skynet, sleep, spawn_join, timeouts, yields,
};
use greenhub::channel::bounded;
use greenhub::net::{TcpListener, TcpStream};
use greenhub::runtime::Runtime;
use greenhub::{JoinHandle, spawn, yield_now};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Started greenlets stay.
pub(super) const DEFAULT: Peer =
    Peer { name: "greenhub", mode: Mode::Default, stackful: true, programs: PROGRAMS, serve: Some(serve) };
/// Started greenlets may change hubs.
pub(super) const MIGRATE: Peer = Peer { name: "greenhub-migrate", mode: Mode::Migrate, ..DEFAULT };

const PROGRAMS: &[(&str, super::Program)] = &[
    ("yield", |s| inside(s, s.size, |rounds| yields::take_turns(s.size, rounds))),
    ("spawn-batch", |s| inside(s, s.size, |rounds| spawn_join::in_batches(rounds, s.size))),
    ("spawn-one", |s| inside(s, 1, spawn_join::one_by_one)),
    ("spawn-outside", spawn_outside),
    ("skynet", |s| once_inside(s, || skynet::tree(s.size))),
    ("ping-pong", playing),
    ("ring", |s| inside(s, 1, |passes| ring::ring(s.size, passes))),
    ("fork-join", |s| inside(s, forks(s.size), |rounds| repeat(rounds, || fork_join::fib(s.size as u32)))),
    ("mpmc", |s| inside(s, mpmc::SIDES, |each| mpmc::exchange(s.size as usize, each * mpmc::SIDES))),
    ("mutex", |s| inside(s, s.size, |rounds| mutex::add_together(s.size, rounds))),
    ("sleep", sleeping),
    ("timeouts", |s| inside(s, 1, timeouts::in_time)),
    ("parked", parked),
    ("hog-yielding", |s| Ok(late(&hog::late_beside(&runtime(s)?, s.sleeps(), NAP, yield_now)))),
    ("hog-computing", |s| {
        let step = || {
            gorge();
            yield_now();
        };
        Ok(late(&hog::late_beside(&runtime(s)?, s.sleeps(), NAP, step)))
    }),
    ("rt-spawn-many", |s| inside(s, s.size, |rounds| repeat(rounds, || spawn_many(s.size)))),
    ("rt-spawn-busy", spawn_busy),
    ("rt-yield-many", yield_many),
    ("rt-ping-pong", |s| inside(s, s.size, |rounds| repeat(rounds, || fresh_pairs(s.size)))),
    ("rt-chained-spawn", |s| inside(s, s.size, |rounds| repeat(rounds, || chain(s.size)))),
];

fn runtime(sample: &Sample) -> io::Result<Runtime> {
    let setting = Setting { hubs: sample.hubs, mode: sample.mode, samples: 1, tiny: false, first: true };
    setting.runtime()
}

/// Times rounds in a greenlet.
fn inside(sample: &Sample, per_round: u64, run: impl Fn(u64) + Sync) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    Ok(sample.timed(per_round, |rounds| runtime.run(|| time(|| run(rounds)))))
}

/// Also tells which share of the pairs was split over two hubs.
fn playing(sample: &Sample) -> io::Result<Figures> {
    let split = AtomicUsize::new(0);
    let mut figures = inside(sample, sample.size, |rounds| {
        // Relaxed: the run's end publishes it. What counts is the last run, which is the measured one.
        split.store(ping_pong::play(sample.size, rounds), Ordering::Relaxed);
    })?;
    figures.push(("split", split.into_inner() as f64 / sample.size as f64));
    Ok(figures)
}

fn once_inside(sample: &Sample, run: impl Fn() + Sync) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    Ok(Sample::once(|| runtime.run(|| time(&run))))
}

fn join<T>(handles: Vec<JoinHandle<T>>) {
    for handle in handles {
        assert!(handle.join().is_ok(), "a greenlet failed");
    }
}

fn spawn_outside(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let batch = || join((0..sample.size).map(|n| runtime.spawn(move || n)).collect());
    Ok(sample.timed(sample.size, |rounds| time(|| repeat(rounds, batch))))
}

fn sleeping(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let size = sample.size;
    Ok(Sample::once(|| runtime.run(|| sleep::beyond(size, super::LONG_NAP))))
}

fn parked(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let started = Arc::default();
    bytes_each(sample.size, |count| parked_memory::park_more(&runtime, &started, count as usize))
}

fn spawn_many(count: u64) {
    let (done, all_done) = bounded(1);
    let left = Arc::new(AtomicU64::new(count));
    for _ in 0..count {
        let (done, left) = (done.clone(), left.clone());
        drop(spawn(move || {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                assert!(done.send(()).is_ok(), "somebody waits");
            }
        }));
    }
    assert_eq!(all_done.recv(), Ok(()), "the last one says so");
}

fn spawn_busy(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let over = Arc::new(AtomicBool::new(false));
    let busy = |over: Arc<AtomicBool>| {
        runtime.spawn(move || {
            // Relaxed: the flag publishes nothing.
            while !over.load(Ordering::Relaxed) {
                super::stall();
                yield_now();
            }
        })
    };
    let busy: Vec<_> = (0..sample.hubs).map(|_| busy(over.clone())).collect();
    let batch = || join((0..sample.size).map(|n| runtime.spawn(move || n)).collect());
    let figures = sample.timed(sample.size, |rounds| time(|| repeat(rounds, batch)));
    over.store(true, Ordering::Relaxed);
    join(busy);
    Ok(figures)
}

fn yield_many(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    Ok(sample.timed(sample.size, |yields| {
        let (done, ended) = mpsc::sync_channel(sample.size as usize);
        time(|| {
            for _ in 0..sample.size {
                let done = done.clone();
                drop(runtime.spawn(move || {
                    (0..yields).for_each(|_| yield_now());
                    assert!(done.send(()).is_ok(), "somebody waits");
                }));
            }
            (0..sample.size).for_each(|_| assert_eq!(ended.recv(), Ok(()), "all end"));
        })
    }))
}

fn fresh_pairs(count: u64) {
    let (done, all_done) = bounded(1);
    let left = Arc::new(AtomicU64::new(count));
    drop(spawn(move || {
        for _ in 0..count {
            let (done, left) = (done.clone(), left.clone());
            drop(spawn(move || {
                let (ping, pinged) = bounded(1);
                let (pong, ponged) = bounded(1);
                drop(spawn(move || {
                    assert!(pinged.recv().is_ok() && pong.send(()).is_ok(), "a ball was lost")
                }));
                assert!(ping.send(()).is_ok() && ponged.recv().is_ok(), "a ball was lost");
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    assert!(done.send(()).is_ok(), "somebody waits");
                }
            }));
        }
    }));
    assert_eq!(all_done.recv(), Ok(()), "the last one says so");
}

fn chain(length: u64) {
    fn link(left: u64, done: greenhub::channel::Sender<()>) {
        if left == 0 {
            assert!(done.send(()).is_ok(), "somebody waits");
        } else {
            drop(spawn(move || link(left - 1, done)));
        }
    }
    let (done, all_done) = bounded(1);
    link(length, done);
    assert_eq!(all_done.recv(), Ok(()), "the last one says so");
}

fn serve(sample: &Sample) -> io::Result<()> {
    let sample = *sample;
    runtime(&sample)?.run(move || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept()?;
            drop(spawn(move || echo(stream, &sample)));
        }
    })
}

fn echo(mut stream: TcpStream, sample: &Sample) {
    let mut buffer = [0; super::BUFFER];
    // The client leaves in the end, one way or another.
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        sample.answer();
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}
