//! may: stackful coroutines on one work-stealing scheduler a process. Its channels have no bound, so nobody ever
//! waits for room. It has neither timeouts around arbitrary code nor a way to have more stacks than mappings.

use super::{
    Figures, LONG_NAP, NAP, Peer, SIDES, SLEEPERS, STARVED, Sample, bytes_each, forks, gorge, late,
    listening, repeat,
};
use crate::setting::{Mode, time};
use may::coroutine::{self, JoinHandle, yield_now};
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::mpsc::{self, Receiver, Sender};
use may::sync::{Mutex, mpmc};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// may.
pub(super) const PEER: Peer = Peer {
    name: "may",
    mode: Mode::Default,
    stackful: true,
    programs: &[
        ("yield", yields),
        ("spawn-batch", |s| inside(s, s.size, |rounds, size| repeat(rounds, || batch(size)))),
        ("spawn-one", |s| inside(s, 1, |rounds, _| repeat(rounds, || batch(1)))),
        ("spawn-outside", spawn_outside),
        ("skynet", skynet),
        ("ping-pong", |s| inside(s, s.size, ping_pong)),
        ("ring", |s| inside(s, 1, ring)),
        ("fork-join", |s| inside(s, forks(s.size), |rounds, size| repeat(rounds, || fib(size)))),
        ("mpmc", |s| inside(s, SIDES, exchange)),
        ("mutex", |s| inside(s, s.size, add_together)),
        ("sleep", sleep),
        ("parked", parked),
        ("hog-yielding", |s| beside(s, || ())),
        ("hog-computing", |s| beside(s, gorge)),
        ("rt-spawn-many", |s| inside(s, s.size, |rounds, size| repeat(rounds, || spawn_many(size)))),
        ("rt-yield-many", yields),
        ("rt-chained-spawn", |s| inside(s, s.size, |rounds, size| repeat(rounds, || chain(size)))),
    ],
    serve: Some(serve),
};

/// Its scheduler starts with the first coroutine.
fn start(sample: &Sample) {
    may::config().set_workers(sample.hubs);
}

/// Times rounds in a coroutine; `run` gets their number and the size.
fn inside(sample: &Sample, per_round: u64, run: fn(u64, u64)) -> io::Result<Figures> {
    start(sample);
    let size = sample.size;
    Ok(sample.timed(per_round, |rounds| in_coroutine(move || time(|| run(rounds, size)))))
}

fn in_coroutine<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    match go!(run).join() {
        Ok(output) => output,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

fn join<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) {
    for handle in handles {
        assert!(handle.join().is_ok(), "a coroutine failed");
    }
}

fn batch(count: u64) {
    join((0..count).map(|n| go!(move || n)).collect::<Vec<_>>());
}

fn yields(sample: &Sample) -> io::Result<Figures> {
    inside(sample, sample.size, |rounds, size| {
        let yielding = || go!(move || repeat(rounds, yield_now));
        join((0..size).map(|_| yielding()).collect::<Vec<_>>());
    })
}

fn spawn_outside(sample: &Sample) -> io::Result<Figures> {
    start(sample);
    Ok(sample.timed(sample.size, |rounds| time(|| repeat(rounds, || batch(sample.size)))))
}

const CHILDREN: u64 = 10;

fn node(answer: &Sender<u64>, number: u64, leaves: u64) {
    let sum = if leaves == 1 {
        number
    } else {
        let (sender, receiver) = mpsc::channel();
        let each = leaves / CHILDREN;
        for child in 0..CHILDREN {
            let sender = sender.clone();
            drop(go!(move || node(&sender, number + child * each, each)));
        }
        drop(sender);
        receiver.iter().sum()
    };
    assert!(answer.send(sum).is_ok(), "the parent did not wait");
}

fn skynet(sample: &Sample) -> io::Result<Figures> {
    start(sample);
    let leaves = sample.size;
    let tree = move || {
        let (sender, receiver) = mpsc::channel();
        drop(go!(move || node(&sender, 0, leaves)));
        assert_eq!(receiver.recv(), Ok(leaves * (leaves - 1) / 2), "every leaf answers once");
    };
    Ok(Sample::once(|| in_coroutine(move || time(tree))))
}

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let half = go!(move || fib(n - 1));
    let other = fib(n - 2);
    match half.join() {
        Ok(half) => half + other,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

fn ping_pong(rounds: u64, pairs: u64) {
    let pair = || {
        let (ping, pinged) = mpsc::channel::<u64>();
        let (pong, ponged) = mpsc::channel();
        let echo = go!(move || {
            for number in pinged.iter() {
                if pong.send(number).is_err() {
                    break;
                }
            }
        });
        let player = go!(move || {
            for round in 0..rounds {
                assert!(ping.send(round).is_ok() && ponged.recv() == Ok(round), "the ball was lost");
            }
        });
        [player, echo]
    };
    join((0..pairs).flat_map(|_| pair()).collect::<Vec<_>>());
}

fn ring(passes: u64, size: u64) {
    let (mut senders, receivers): (Vec<_>, Vec<_>) = (0..size).map(|_| mpsc::channel::<u64>()).unzip();
    let first = senders[0].clone();
    senders.rotate_left(1);
    let pass = |(receiver, next): (Receiver<u64>, Sender<u64>)| {
        go!(move || {
            while let Ok(left) = receiver.recv() {
                if left == 0 || next.send(left - 1).is_err() {
                    break;
                }
            }
        })
    };
    let coroutines: Vec<_> = receivers.into_iter().zip(senders).map(pass).collect();
    assert!(first.send(passes).is_ok(), "the ring takes its token");
    drop(first);
    join(coroutines);
}

fn exchange(each: u64, _room: u64) {
    let (sender, receiver) = mpmc::channel::<u64>();
    let sending = |sender: mpmc::Sender<u64>| go!(move || assert!((0..each).all(|n| sender.send(n).is_ok())));
    let senders: Vec<_> = (0..SIDES).map(|_| sending(sender.clone())).collect();
    drop(sender);
    let receiving = |receiver: mpmc::Receiver<u64>| go!(move || receiver.iter().count() as u64);
    let receivers: Vec<_> = (0..SIDES).map(|_| receiving(receiver.clone())).collect();
    let received: u64 = receivers.into_iter().flat_map(JoinHandle::join).sum();
    assert_eq!(received, each * SIDES, "every message is received once");
    join(senders);
}

fn add_together(each: u64, coroutines: u64) {
    let number = Arc::new(Mutex::new(0));
    let adding = |number: Arc<Mutex<u64>>| {
        go!(move || {
            for _ in 0..each {
                *number.lock().expect("nobody panics") += 1;
            }
        })
    };
    join((0..coroutines).map(|_| adding(number.clone())).collect::<Vec<_>>());
    assert_eq!(*number.lock().expect("nobody panics"), coroutines * each, "the lock keeps others out");
}

fn sleep(sample: &Sample) -> io::Result<Figures> {
    start(sample);
    let size = sample.size;
    let sleeping = move || join((0..size).map(|_| go!(|| coroutine::sleep(LONG_NAP))).collect::<Vec<_>>());
    Ok(Sample::once(|| in_coroutine(move || time(sleeping)).saturating_sub(LONG_NAP)))
}

fn parked(sample: &Sample) -> io::Result<Figures> {
    start(sample);
    let started = Arc::new(AtomicU64::new(0));
    bytes_each(sample.size, |count| {
        let wanted = started.load(Ordering::Relaxed) + count;
        for _ in 0..count {
            let started = started.clone();
            drop(go!(move || {
                // Relaxed: the count publishes nothing.
                started.fetch_add(1, Ordering::Relaxed);
                coroutine::park();
            }));
        }
        while started.load(Ordering::Relaxed) < wanted {
            std::thread::sleep(Duration::from_millis(5));
        }
    })
}

fn beside(sample: &Sample, step: fn()) -> io::Result<Figures> {
    start(sample);
    let sleeps = sample.sleeps();
    let readings = in_coroutine(move || {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let start = Instant::now();
        let hog = go!(move || {
            // Relaxed: the flag publishes nothing.
            while !seen.load(Ordering::Relaxed) && start.elapsed() < STARVED {
                step();
                yield_now();
            }
            seen.store(true, Ordering::Relaxed);
        });
        let nap = |over: &AtomicBool| {
            if over.load(Ordering::Relaxed) {
                return STARVED.as_secs_f64();
            }
            let start = Instant::now();
            coroutine::sleep(NAP);
            start.elapsed().saturating_sub(NAP).as_secs_f64()
        };
        let sleeper =
            |over: Arc<AtomicBool>| go!(move || (0..sleeps).map(|_| nap(&over)).collect::<Vec<_>>());
        let sleepers: Vec<_> = (0..SLEEPERS).map(|_| sleeper(over.clone())).collect();
        let readings: Vec<f64> = sleepers.into_iter().flat_map(JoinHandle::join).flatten().collect();
        over.store(true, Ordering::Relaxed);
        join([hog]);
        readings
    });
    Ok(late(&readings))
}

fn spawn_many(count: u64) {
    let (done, all_done) = mpsc::channel();
    let left = Arc::new(AtomicU64::new(count));
    for _ in 0..count {
        let (done, left) = (done.clone(), left.clone());
        drop(go!(move || {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                assert!(done.send(()).is_ok(), "somebody waits");
            }
        }));
    }
    assert_eq!(all_done.recv(), Ok(()), "the last one says so");
}

fn chain(length: u64) {
    fn link(left: u64, done: Sender<()>) {
        if left == 0 {
            assert!(done.send(()).is_ok(), "somebody waits");
        } else {
            drop(go!(move || link(left - 1, done)));
        }
    }
    let (done, all_done) = mpsc::channel();
    link(length, done);
    assert_eq!(all_done.recv(), Ok(()), "the last one says so");
}

fn serve(sample: &Sample) -> io::Result<()> {
    start(sample);
    let sample = *sample;
    in_coroutine(move || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept()?;
            drop(go!(move || echo(stream, &sample)));
        }
    })
}

fn echo(mut stream: TcpStream, sample: &Sample) {
    let mut buffer = [0; super::BUFFER];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        sample.answer();
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}
