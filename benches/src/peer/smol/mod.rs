//! smol: one work-stealing `Executor`, run by as many threads as there are hubs; I/O and timers are async-io's, whose
//! loop is turned by whichever of the threads is idle, or by its own thread.

mod messages;
mod own_set;
mod server;
mod tasks;
mod timers;

use super::{Figures, Peer, Sample};
use crate::setting::Mode;
use smol::{Executor, Task, block_on};
use std::future::{Future, pending};
use std::io;
use std::time::{Duration, Instant};

/// smol.
pub(super) const PEER: Peer = Peer {
    name: "smol",
    mode: Mode::Default,
    stackful: false,
    programs: &[
        ("yield", tasks::yields),
        ("spawn-batch", tasks::spawn_batch),
        ("spawn-one", tasks::spawn_one),
        ("spawn-outside", tasks::spawn_outside),
        ("skynet", tasks::skynet),
        ("fork-join", tasks::fork_join),
        ("ping-pong", messages::ping_pong),
        ("ring", messages::ring),
        ("mpmc", messages::mpmc),
        ("mutex", messages::mutex),
        ("sleep", timers::sleep),
        ("timeouts", timers::timeouts),
        ("parked", timers::parked),
        ("hog-yielding", timers::hog_yielding),
        ("hog-computing", timers::hog_computing),
        ("rt-spawn-many", own_set::spawn_many),
        ("rt-spawn-busy", own_set::spawn_busy),
        ("rt-yield-many", own_set::yield_many),
        ("rt-ping-pong", own_set::ping_pong),
        ("rt-chained-spawn", own_set::chained_spawn),
    ],
    serve: Some(server::serve),
};

static EXECUTOR: Executor<'static> = Executor::new();

/// Gives the executor its threads. A sample is a process, so this is called once.
fn start(sample: &Sample) -> io::Result<()> {
    for _ in 0..sample.hubs {
        std::thread::Builder::new().spawn(|| block_on(EXECUTOR.run(pending::<()>())))?;
    }
    Ok(())
}

fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
    EXECUTOR.spawn(future)
}

/// Times a future on one of the executor's threads.
fn timed_on_worker(future: impl Future<Output = ()> + Send + 'static) -> Duration {
    block_on(spawn(async move {
        let start = Instant::now();
        future.await;
        start.elapsed()
    }))
}

/// Times rounds on one of the executor's threads.
fn inside<F>(sample: &Sample, per_round: u64, run: impl Fn(u64) -> F) -> io::Result<Figures>
where
    F: Future<Output = ()> + Send + 'static,
{
    start(sample)?;
    Ok(sample.timed(per_round, |rounds| timed_on_worker(run(rounds))))
}

async fn join<T>(tasks: Vec<Task<T>>) {
    for task in tasks {
        task.await;
    }
}
