//! What tokio's benchmark of its multi-threaded scheduler measures, on smol.

use super::{inside, join, spawn, start};
use crate::peer::{Figures, Sample, stall};
use crate::setting::time;
use async_channel::{Sender, bounded};
use smol::block_on;
use smol::future::yield_now;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

pub(super) fn spawn_many(sample: &Sample) -> io::Result<Figures> {
    let count = sample.size;
    inside(sample, count, move |rounds| async move {
        for _ in 0..rounds {
            let (done, all_done) = bounded(1);
            let left = Arc::new(AtomicU64::new(count));
            for _ in 0..count {
                let (done, left) = (done.clone(), left.clone());
                spawn(async move {
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        say(&done);
                    }
                })
                .detach();
            }
            assert!(all_done.recv().await.is_ok(), "the last one says so");
        }
    })
}

/// Says that all are done.
fn say(done: &Sender<()>) {
    assert!(done.try_send(()).is_ok(), "somebody waits");
}

pub(super) fn spawn_busy(sample: &Sample) -> io::Result<Figures> {
    start(sample)?;
    let over = Arc::new(AtomicBool::new(false));
    let busy = |over: Arc<AtomicBool>| {
        spawn(async move {
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
                let batch = (0..sample.size).map(|n| spawn(async move { n })).collect();
                block_on(join(batch));
            }
        })
    });
    over.store(true, Ordering::Relaxed);
    block_on(join(busy));
    Ok(figures)
}

pub(super) fn yield_many(sample: &Sample) -> io::Result<Figures> {
    start(sample)?;
    Ok(sample.timed(sample.size, |yields| {
        let (done, ended) = mpsc::sync_channel(sample.size as usize);
        time(|| {
            for _ in 0..sample.size {
                let done = done.clone();
                spawn(async move {
                    for _ in 0..yields {
                        yield_now().await;
                    }
                    assert!(done.send(()).is_ok(), "somebody waits");
                })
                .detach();
            }
            (0..sample.size).for_each(|_| assert_eq!(ended.recv(), Ok(()), "all end"));
        })
    }))
}

pub(super) fn ping_pong(sample: &Sample) -> io::Result<Figures> {
    let count = sample.size;
    inside(sample, count, move |rounds| async move {
        for _ in 0..rounds {
            let (done, all_done) = bounded(1);
            let left = Arc::new(AtomicU64::new(count));
            spawn(async move {
                for _ in 0..count {
                    let (done, left) = (done.clone(), left.clone());
                    spawn(async move {
                        let (ping, pinged) = bounded(1);
                        let (pong, ponged) = bounded(1);
                        spawn(async move {
                            assert!(
                                pinged.recv().await.is_ok() && pong.send(()).await.is_ok(),
                                "a ball was lost"
                            );
                        })
                        .detach();
                        assert!(
                            ping.send(()).await.is_ok() && ponged.recv().await.is_ok(),
                            "a ball was lost"
                        );
                        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                            say(&done);
                        }
                    })
                    .detach();
                }
            })
            .detach();
            assert!(all_done.recv().await.is_ok(), "the last one says so");
        }
    })
}

pub(super) fn chained_spawn(sample: &Sample) -> io::Result<Figures> {
    fn link(left: u64, done: Sender<()>) {
        if left == 0 {
            say(&done);
        } else {
            spawn(async move { link(left - 1, done) }).detach();
        }
    }
    let length = sample.size;
    inside(sample, length, move |rounds| async move {
        for _ in 0..rounds {
            let (done, all_done) = bounded(1);
            link(length, done);
            assert!(all_done.recv().await.is_ok(), "the last one says so");
        }
    })
}
