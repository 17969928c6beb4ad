//! Tasks that wait for the clock, or for nothing.

use super::{inside, join, on_worker, runtime};
use crate::peer::{Figures, LONG_NAP, NAP, SLEEPERS, STARVED, Sample, bytes_each, gorge, late};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::spawn;
use tokio::task::yield_now;

pub(super) fn sleep(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let tasks = sample.size;
    let run = async move {
        let start = Instant::now();
        join((0..tasks).map(|_| spawn(tokio::time::sleep(LONG_NAP))).collect()).await;
        start.elapsed().saturating_sub(LONG_NAP)
    };
    Ok(Sample::once(|| on_worker(&runtime, run)))
}

pub(super) fn timeouts(sample: &Sample) -> io::Result<Figures> {
    inside(sample, 1, |rounds| async move {
        for _ in 0..rounds {
            let in_time = tokio::time::timeout(Duration::from_secs(60), yield_now()).await;
            assert!(in_time.is_ok(), "a minute was up");
        }
    })
}

pub(super) fn parked(sample: &Sample) -> io::Result<Figures> {
    let runtime = runtime(sample)?;
    let started = Arc::new(AtomicU64::new(0));
    bytes_each(sample.size, |count| {
        let wanted = started.load(Ordering::Relaxed) + count;
        for _ in 0..count {
            let started = started.clone();
            runtime.spawn(async move {
                started.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            });
        }
        while started.load(Ordering::Relaxed) < wanted {
            std::thread::sleep(Duration::from_millis(5));
        }
    })
}

pub(super) fn hog_yielding(sample: &Sample) -> io::Result<Figures> {
    beside(sample, || ())
}

pub(super) fn hog_computing(sample: &Sample) -> io::Result<Figures> {
    beside(sample, gorge)
}

fn beside(sample: &Sample, step: fn()) -> io::Result<Figures> {
    let sleeps = sample.sleeps();
    let readings = on_worker(&runtime(sample)?, async move {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let start = Instant::now();
        let hog = spawn(async move {
            while !seen.load(Ordering::Relaxed) && start.elapsed() < STARVED {
                step();
                yield_now().await;
            }
            seen.store(true, Ordering::Relaxed);
        });
        let sleeper = |over: Arc<AtomicBool>| {
            spawn(async move {
                let mut late = Vec::with_capacity(sleeps);
                for _ in 0..sleeps {
                    if over.load(Ordering::Relaxed) {
                        late.push(STARVED.as_secs_f64());
                        continue;
                    }
                    let start = Instant::now();
                    tokio::time::sleep(NAP).await;
                    late.push(start.elapsed().saturating_sub(NAP).as_secs_f64());
                }
                late
            })
        };
        let sleepers: Vec<_> = (0..SLEEPERS).map(|_| sleeper(over.clone())).collect();
        let mut readings = Vec::new();
        for sleeper in sleepers {
            readings.extend(sleeper.await.expect("no sleeper fails"));
        }
        over.store(true, Ordering::Relaxed);
        hog.await.expect("the hog does not fail");
        readings
    });
    Ok(late(&readings))
}
