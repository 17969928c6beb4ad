//! Tasks that yield, end, and have children.

use super::{inside, join, on_worker, outside, runtime};
use crate::peer::{Figures, Sample, forks};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Instant;
use tokio::spawn;
use tokio::sync::mpsc;
use tokio::task::yield_now;

pub(super) fn yields(sample: &Sample) -> io::Result<Figures> {
    let tasks = sample.size;
    inside(sample, tasks, move |rounds| async move {
        let yielding = || {
            spawn(async move {
                for _ in 0..rounds {
                    yield_now().await;
                }
            })
        };
        join((0..tasks).map(|_| yielding()).collect()).await;
    })
}

pub(super) fn spawn_batch(sample: &Sample) -> io::Result<Figures> {
    let batch = sample.size;
    inside(sample, batch, move |rounds| async move {
        for _ in 0..rounds {
            join((0..batch).map(|n| spawn(async move { n })).collect()).await;
        }
    })
}

pub(super) fn spawn_one(sample: &Sample) -> io::Result<Figures> {
    inside(sample, 1, |rounds| async move {
        for n in 0..rounds {
            assert!(spawn(async move { n }).await.is_ok(), "a task failed");
        }
    })
}

pub(super) fn spawn_outside(sample: &Sample) -> io::Result<Figures> {
    let batch = sample.size;
    outside(sample, batch, |runtime, rounds| {
        let handle = runtime.handle().clone();
        async move {
            for _ in 0..rounds {
                join((0..batch).map(|n| handle.spawn(async move { n })).collect()).await;
            }
        }
    })
}

const CHILDREN: u64 = 10;

fn node(answer: mpsc::Sender<u64>, number: u64, leaves: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let mut sum = 0;
        if leaves == 1 {
            sum = number;
        } else {
            let (sender, mut receiver) = mpsc::channel(CHILDREN as usize);
            let each = leaves / CHILDREN;
            for child in 0..CHILDREN {
                spawn(node(sender.clone(), number + child * each, each));
            }
            drop(sender);
            while let Some(answer) = receiver.recv().await {
                sum += answer;
            }
        }
        assert!(answer.send(sum).await.is_ok(), "the parent did not wait");
    })
}

pub(super) fn skynet(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let leaves = sample.size;
    let run = async move {
        let start = Instant::now();
        let (sender, mut receiver) = mpsc::channel(1);
        spawn(node(sender, 0, leaves));
        assert_eq!(receiver.recv().await, Some(leaves * (leaves - 1) / 2), "every leaf answers once");
        start.elapsed()
    };
    Ok(Sample::once(|| on_worker(&runtime, run)))
}

fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let half = spawn(fib(n - 1));
        let other = fib(n - 2).await;
        match half.await {
            Ok(half) => half + other,
            Err(error) => panic!("one half failed: {error}"),
        }
    })
}

pub(super) fn fork_join(sample: &Sample) -> io::Result<Figures> {
    let size = sample.size;
    inside(sample, forks(size), move |rounds| async move {
        for _ in 0..rounds {
            std::hint::black_box(fib(size).await);
        }
    })
}
