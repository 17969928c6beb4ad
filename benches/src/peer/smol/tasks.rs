//! Tasks that yield, end, and have children.

use super::{inside, join, spawn, start, timed_on_worker};
use crate::peer::{Figures, Sample, forks};
use crate::setting::time;
use async_channel::{Sender, bounded};
use smol::block_on;
use smol::future::yield_now;
use std::future::Future;
use std::io;
use std::pin::Pin;

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
            std::hint::black_box(spawn(async move { n }).await);
        }
    })
}

pub(super) fn spawn_outside(sample: &Sample) -> io::Result<Figures> {
    start(sample)?;
    let batch = || block_on(join((0..sample.size).map(|n| spawn(async move { n })).collect()));
    Ok(sample.timed(sample.size, |rounds| time(|| (0..rounds).for_each(|_| batch()))))
}

const CHILDREN: u64 = 10;

fn node(answer: Sender<u64>, number: u64, leaves: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let mut sum = 0;
        if leaves == 1 {
            sum = number;
        } else {
            let (sender, receiver) = bounded(CHILDREN as usize);
            let each = leaves / CHILDREN;
            for child in 0..CHILDREN {
                spawn(node(sender.clone(), number + child * each, each)).detach();
            }
            drop(sender);
            while let Ok(answer) = receiver.recv().await {
                sum += answer;
            }
        }
        assert!(answer.send(sum).await.is_ok(), "the parent did not wait");
    })
}

pub(super) fn skynet(sample: &Sample) -> io::Result<Figures> {
    start(sample)?;
    let leaves = sample.size;
    let run = async move {
        let (sender, receiver) = bounded(1);
        spawn(node(sender, 0, leaves)).detach();
        assert_eq!(receiver.recv().await, Ok(leaves * (leaves - 1) / 2), "every leaf answers once");
    };
    Ok(Sample::once(|| timed_on_worker(run)))
}

fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let half = spawn(fib(n - 1));
        let other = fib(n - 2).await;
        half.await + other
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
