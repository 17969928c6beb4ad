//! tokio's multi-threaded runtime, with as many workers as there are hubs. Workloads run in a spawned task: the future
//! that `block_on` drives itself does not run on a worker.

mod messages;
mod own_set;
mod server;
mod tasks;
mod timers;

use super::{Figures, Peer, Sample};
use crate::setting::{Mode, time};
use std::future::Future;
use std::io;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// tokio.
pub(super) const PEER: Peer = Peer {
    name: "tokio",
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

fn runtime(sample: &Sample) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(sample.hubs).enable_all().build()
}

/// Runs a future on a worker.
fn on_worker<F>(runtime: &Runtime, future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match runtime.block_on(runtime.spawn(future)) {
        Ok(output) => output,
        Err(error) => panic!("a task failed: {error}"),
    }
}

/// Times rounds on a worker.
fn inside<F>(sample: &Sample, per_round: u64, run: impl Fn(u64) -> F) -> io::Result<Figures>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime(sample)?;
    Ok(sample.timed(per_round, |rounds| {
        let future = run(rounds);
        on_worker(&runtime, async move {
            let start = Instant::now();
            future.await;
            start.elapsed()
        })
    }))
}

/// Times rounds from a thread that is none of the runtime's.
fn outside<F>(sample: &Sample, per_round: u64, run: impl Fn(&Runtime, u64) -> F) -> io::Result<Figures>
where
    F: Future<Output = ()>,
{
    let runtime = runtime(sample)?;
    Ok(sample.timed(per_round, |rounds| time(|| runtime.block_on(run(&runtime, rounds)))))
}

async fn join<T>(handles: Vec<JoinHandle<T>>) {
    for handle in handles {
        assert!(handle.await.is_ok(), "a task failed");
    }
}
