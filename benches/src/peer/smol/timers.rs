//! Tasks that wait for the clock, or for nothing.

use super::{inside, join, spawn, start, timed_on_worker};
use crate::peer::{Figures, LONG_NAP, NAP, SLEEPERS, STARVED, Sample, bytes_each, gorge, late};
use smol::future::{or, yield_now};
use smol::{Timer, block_on};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(super) fn sleep(sample: &Sample) -> io::Result<Figures> {
    start(sample)?;
    let tasks = sample.size;
    let run = async move {
        let sleeping = || {
            spawn(async {
                Timer::after(LONG_NAP).await;
            })
        };
        join((0..tasks).map(|_| sleeping()).collect()).await;
    };
    Ok(Sample::once(|| timed_on_worker(run).saturating_sub(LONG_NAP)))
}

pub(super) fn timeouts(sample: &Sample) -> io::Result<Figures> {
    inside(sample, 1, |rounds| async move {
        for _ in 0..rounds {
            let work = async {
                yield_now().await;
                true
            };
            let too_late = async {
                Timer::after(Duration::from_secs(60)).await;
                false
            };
            assert!(or(work, too_late).await, "a minute was up");
        }
    })
}

pub(super) fn parked(sample: &Sample) -> io::Result<Figures> {
    start(sample)?;
    let started = Arc::new(AtomicU64::new(0));
    bytes_each(sample.size, |count| {
        let wanted = started.load(Ordering::Relaxed) + count;
        for _ in 0..count {
            let started = started.clone();
            let parking = spawn(async move {
                started.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            });
            parking.detach();
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
    start(sample)?;
    let readings = block_on(spawn(async move {
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
                    Timer::after(NAP).await;
                    late.push(start.elapsed().saturating_sub(NAP).as_secs_f64());
                }
                late
            })
        };
        let sleepers: Vec<_> = (0..SLEEPERS).map(|_| sleeper(over.clone())).collect();
        let mut readings = Vec::new();
        for sleeper in sleepers {
            readings.extend(sleeper.await);
        }
        over.store(true, Ordering::Relaxed);
        hog.await;
        readings
    }));
    Ok(late(&readings))
}
