//! What tokio's own benchmark of its multi-threaded scheduler measures, in our words: the way in and out is measured
//! with it, the future in `block_on` being none of a worker's.

use super::{inside, join, runtime};
use crate::peer::{Figures, Sample, stall};
use crate::setting::time;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use tokio::spawn;
use tokio::sync::oneshot;
use tokio::task::yield_now;

pub(super) fn spawn_many(sample: &Sample) -> io::Result<Figures> {
    let count = sample.size;
    inside(sample, count, move |rounds| async move {
        for _ in 0..rounds {
            let (done, all_done) = oneshot::channel();
            let done = Arc::new(std::sync::Mutex::new(Some(done)));
            let left = Arc::new(AtomicU64::new(count));
            for _ in 0..count {
                let (done, left) = (done.clone(), left.clone());
                spawn(async move {
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        say(&done);
                    }
                });
            }
            assert!(all_done.await.is_ok(), "the last one says so");
        }
    })
}

/// Says that all are done.
fn say(done: &std::sync::Mutex<Option<oneshot::Sender<()>>>) {
    let done = done.lock().ok().and_then(|mut done| done.take());
    assert!(done.is_some_and(|done| done.send(()).is_ok()), "somebody waits");
}

pub(super) fn spawn_busy(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let over = Arc::new(AtomicBool::new(false));
    let busy = |over: Arc<AtomicBool>| {
        runtime.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                stall();
                yield_now().await;
            }
        })
    };
    let busy: Vec<_> = (0..sample.hubs).map(|_| busy(over.clone())).collect();
    let figures = sample.timed(sample.size, |rounds| {
        time(|| {
            for _ in 0..rounds {
                let batch = (0..sample.size).map(|n| runtime.spawn(async move { n })).collect();
                runtime.block_on(join(batch));
            }
        })
    });
    over.store(true, Ordering::Relaxed);
    runtime.block_on(join(busy));
    Ok(figures)
}

pub(super) fn yield_many(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    Ok(sample.timed(sample.size, |yields| {
        let (done, ended) = mpsc::sync_channel(sample.size as usize);
        time(|| {
            for _ in 0..sample.size {
                let done = done.clone();
                runtime.spawn(async move {
                    for _ in 0..yields {
                        yield_now().await;
                    }
                    assert!(done.send(()).is_ok(), "somebody waits");
                });
            }
            (0..sample.size).for_each(|_| assert_eq!(ended.recv(), Ok(()), "all end"));
        })
    }))
}

pub(super) fn ping_pong(sample: &Sample) -> io::Result<Figures> {
    let count = sample.size;
    inside(sample, count, move |rounds| async move {
        for _ in 0..rounds {
            let (done, all_done) = oneshot::channel();
            let done = Arc::new(std::sync::Mutex::new(Some(done)));
            let left = Arc::new(AtomicU64::new(count));
            spawn(async move {
                for _ in 0..count {
                    let (done, left) = (done.clone(), left.clone());
                    spawn(async move {
                        let (ping, pinged) = oneshot::channel();
                        let (pong, ponged) = oneshot::channel();
                        spawn(async move {
                            assert!(pinged.await == Ok(()) && pong.send(()).is_ok(), "a ball was lost");
                        });
                        assert!(ping.send(()).is_ok() && ponged.await == Ok(()), "a ball was lost");
                        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                            say(&done);
                        }
                    });
                }
            });
            assert!(all_done.await.is_ok(), "the last one says so");
        }
    })
}

pub(super) fn chained_spawn(sample: &Sample) -> io::Result<Figures> {
    fn link(left: u64, done: oneshot::Sender<()>) {
        if left == 0 {
            assert!(done.send(()).is_ok(), "somebody waits");
        } else {
            spawn(async move { link(left - 1, done) });
        }
    }
    let length = sample.size;
    inside(sample, length, move |rounds| async move {
        for _ in 0..rounds {
            let (done, all_done) = oneshot::channel();
            link(length, done);
            assert!(all_done.await.is_ok(), "the last one says so");
        }
    })
}
