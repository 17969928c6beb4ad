//! crossbeam-deque alone, with a coroutine on a reused stack where a task needs one.

use super::switches::Moved;
use crate::peer::{Figures, Sample, forks};
use crate::setting::time;
use corosensei::Coroutine;
use crossbeam_deque::{Injector, Worker};
use std::io;

type Job = Box<dyn FnOnce() -> u64>;

/// Runs a job as a coroutine, and gives the stack back.
fn run(job: Job, stack: Moved) -> Moved {
    let mut coroutine: Coroutine<(), (), u64, Moved> = Coroutine::with_stack(stack, move |_, ()| job());
    std::hint::black_box(coroutine.resume(()).as_return());
    coroutine.into_stack()
}

/// Pushes a batch, then pops and runs it.
fn batch(queue: &Worker<Job>, count: u64, mut stack: Moved) -> Moved {
    for n in 0..count {
        queue.push(Box::new(move || n));
    }
    while let Some(job) = queue.pop() {
        stack = run(job, stack);
    }
    stack
}

/// Batches of that size.
pub(super) fn spawns(sample: &Sample, size: u64) -> io::Result<Figures> {
    let queue = Worker::new_fifo();
    let mut stack = Some(Moved::new(0)?);
    Ok(sample.timed(size, |rounds| {
        time(|| {
            for _ in 0..rounds {
                stack = stack.take().map(|stack| batch(&queue, size, stack));
            }
        })
    }))
}

/// Batches through an injector.
pub(super) fn injected(sample: &Sample) -> io::Result<Figures> {
    let queue: Injector<Job> = Injector::new();
    let mut stack = Some(Moved::new(0)?);
    Ok(sample.timed(sample.size, |rounds| {
        time(|| {
            for _ in 0..rounds {
                for n in 0..sample.size {
                    queue.push(Box::new(move || n));
                }
                while let Some(job) = queue.steal().success() {
                    stack = stack.take().map(|stack| run(job, stack));
                }
            }
        })
    }))
}

/// As many as a tree of that many leaves has nodes, in the tree's batches of ten.
pub(super) fn tree(sample: &Sample) -> io::Result<Figures> {
    let queue = Worker::new_fifo();
    let mut stack = Some(Moved::new(0)?);
    let nodes = sample.size + sample.size / 9;
    Ok(Sample::once(|| {
        time(|| {
            for _ in 0..nodes.div_ceil(10) {
                stack = stack.take().map(|stack| batch(&queue, 10, stack));
            }
        })
    }))
}

fn fib(queue: &Worker<Box<u64>>, n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    queue.push(Box::new(n - 1));
    let other = fib(queue, n - 2);
    match queue.pop() {
        Some(half) => fib(queue, *half) + other,
        None => unreachable!("nobody steals"),
    }
}

/// Each call pushes one half, computes the other, pops and computes the first.
pub(super) fn fork_join(sample: &Sample) -> io::Result<Figures> {
    let queue = Worker::new_lifo();
    Ok(sample.timed(forks(sample.size), |rounds| {
        time(|| {
            for _ in 0..rounds {
                std::hint::black_box(fib(&queue, sample.size));
            }
        })
    }))
}
