//! The runtimes that are measured beside each other, each with the same workloads written as its users would write
//! them. A sample is one workload of one runtime in a process of its own; its program prints a line a figure.
//!
//! Which primitive stands for what:
//!
//! | | yield | channel of room for one | channel of many | lock |
//! |---|---|---|---|---|
//! | greenhub | `yield_now` | `channel::bounded(1)` | `channel::bounded` | `sync::Mutex` |
//! | tokio, multi-threaded | `task::yield_now` | `mpsc::channel(1)` | async-channel, since its own has one receiver | `sync::Mutex` |
//! | may | `yield_now` | `mpsc::channel`, which has no bound | `mpmc::channel`, likewise | `sync::Mutex` |
//! | smol | `future::yield_now` | async-channel | async-channel | `lock::Mutex` |
//! | OS threads | `thread::yield_now` | `mpsc::sync_channel(1)` | crossbeam-channel | `std::sync::Mutex` |
//! | Go | `runtime.Gosched` | `make(chan, 1)` | `make(chan, n)` | `sync.Mutex` |
//! | gevent | `sleep(0)` | `queue.Queue(1)` | `queue.Queue(n)` | `lock.BoundedSemaphore` |

pub(crate) mod floor;
mod greenhub;
mod may;
mod rayon;
mod smol;
mod threads;
mod tokio;

use crate::compute::compute;
use crate::process::raise_descriptor_limit;
use crate::setting::Mode;
use crate::statistics::quantile;
use crate::workload::{fork_join, hog, mpmc};
use std::io;
use std::time::Duration;

/// What one sample is to do.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// On how many hubs, workers or threads.
    pub(crate) hubs: usize,
    /// In which mode, if it is greenhub.
    pub(crate) mode: Mode,
    /// The workload's size; of a server, the microseconds of computing a request.
    pub(crate) size: u64,
    /// About how long the measured part shall take, where the workload repeats something; zero: once.
    pub(crate) span: Duration,
}

/// What a sample found: names and numbers.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// A workload in one runtime.
pub(crate) type Program = fn(&Sample) -> io::Result<Figures>;

/// An echo server. Says its port and serves until the process ends.
pub(crate) type Serve = fn(&Sample) -> io::Result<()>;

/// One runtime.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) mode: Mode,
    /// Whether its tasks have stacks of their own.
    pub(crate) stackful: bool,
    pub(crate) programs: &'static [(&'static str, Program)],
    pub(crate) serve: Option<Serve>,
}

/// All that are part of this program.
pub(crate) const ALL: &[Peer] = &[
    greenhub::DEFAULT,
    greenhub::MIGRATE,
    tokio::PEER,
    may::PEER,
    smol::PEER,
    threads::PEER,
    rayon::PEER,
    floor::PEER,
];

/// The peer of that name.
pub(crate) fn named(name: &str) -> Option<&'static Peer> {
    ALL.iter().find(|peer| peer.name == name)
}

/// Takes one sample of a peer and prints what it found.
pub(crate) fn sample(peer: &Peer, workload: &str, sample: &Sample) -> io::Result<()> {
    let program = peer.programs.iter().find(|(name, _)| *name == workload);
    let (_, program) =
        program.ok_or_else(|| io::Error::other(format!("{} has no program for {workload:?}", peer.name)))?;
    // The first call finds out how fast this machine is: not while something is measured.
    compute(Duration::ZERO);
    for (name, value) in program(sample)? {
        println!("{name} {value}");
    }
    // Nothing is measured after this, and to end a million tasks in good order takes a while.
    std::process::exit(0)
}

/// Serves.
pub(crate) fn serve(peer: &Peer, sample: &Sample) -> io::Result<()> {
    let serve = peer.serve.ok_or_else(|| io::Error::other(format!("{} has no server", peer.name)))?;
    raise_descriptor_limit()?;
    // The first call finds out how fast this machine is: not while somebody waits.
    sample.answer();
    serve(sample)
}

/// Says where a server listens.
fn listening(address: std::net::SocketAddr) {
    println!("port {}", address.port());
}

impl Sample {
    /// Repeats `run`, which does so many rounds of `per_round` operations and says how long they took: first few, to
    /// warm up and to see how long a round takes, then as many as fill the span. Gives nanoseconds per operation.
    ///
    /// What was held up in the first, by a cold start or another program, would pass for the length of a round: so a run
    /// that fills less than half of the span is not what was meant, and made again with more.
    fn timed(&self, per_round: u64, mut run: impl FnMut(u64) -> Duration) -> Figures {
        let mut rounds = 1;
        let mut took = run(rounds);
        let warm = self.span / 5;
        while took < warm {
            let factor = warm.as_secs_f64() / took.as_secs_f64().max(1e-9);
            rounds *= factor.ceil().clamp(2.0, 100.0) as u64;
            took = run(rounds);
        }
        let mut measured = self.span.is_zero();
        while !measured {
            let fitting = self.span.as_secs_f64() / took.as_secs_f64().max(1e-9) * rounds as f64;
            rounds = fitting.ceil().max(1.0) as u64;
            took = run(rounds);
            measured = took >= self.span / 2;
        }
        vec![("ns", took.as_secs_f64() * 1e9 / (rounds * per_round) as f64)]
    }

    /// Runs once: for what has a size of its own, and shall be seen cold.
    fn once(run: impl FnOnce() -> Duration) -> Figures {
        vec![("ms", run().as_secs_f64() * 1e3)]
    }

    /// Computes as long as a request takes.
    fn answer(&self) {
        if self.size > 0 {
            compute(Duration::from_micros(self.size));
        }
    }

    /// How often each sleeper sleeps beside a hog, so that it fills the span.
    fn sleeps(&self) -> usize {
        (self.span.as_millis() as usize * 2 / 3).max(2)
    }
}

/// Does it so often.
fn repeat<T>(rounds: u64, run: impl Fn() -> T) {
    for _ in 0..rounds {
        std::hint::black_box(run());
    }
}

/// How late sleepers were, in seconds.
fn late(late: &[f64]) -> Figures {
    vec![("p50_us", quantile(late, 0.5) * 1e6), ("p99_us", quantile(late, 0.99) * 1e6)]
}

/// How long the sleepers beside a hog sleep.
const NAP: Duration = Duration::from_millis(1);

/// How long the many sleepers sleep.
const LONG_NAP: Duration = Duration::from_millis(200);

/// How long a hog may take what it takes: by then sleepers beside it that have not slept are starved, and count as late
/// by that much for each sleep they have not had.
const STARVED: Duration = hog::STARVED;

/// How many sleep beside a hog.
const SLEEPERS: usize = hog::SLEEPERS;

/// How many send, and how many receive, through one channel.
const SIDES: u64 = mpmc::SIDES;

/// How long a message is that a server echoes, in bytes.
pub(crate) const MESSAGE: usize = 64;

/// What it reads into: more than a message, as a server that does not know what will come. A read that does not fill it
/// says that there is no more.
const BUFFER: usize = 1024;

/// What a busy task does between two yields while others are spawned from outside.
fn stall() {
    compute(Duration::from_micros(10));
}

/// What a hog that does not yield does before it yields after all.
fn gorge() {
    compute(Duration::from_millis(10));
}

/// How many greenlets `fib(n)` spawns, one for every call that is not a leaf.
fn forks(n: u64) -> u64 {
    fork_join::spawns(n as u32)
}

/// Resident bytes each, of so many parked by `park`, which returns when all are parked.
fn bytes_each(count: u64, mut park: impl FnMut(u64)) -> io::Result<Figures> {
    // The first few pay for what is there only once.
    park(100);
    let before = crate::process::Memory::now()?;
    park(count);
    let after = crate::process::Memory::now()?;
    Ok(vec![("bytes", after.resident.saturating_sub(before.resident) as f64 / count as f64)])
}
