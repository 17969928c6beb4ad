//! Wakes from anywhere, against parks and timers.

use super::world::{any_mode, with, with_runtime};
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::runtime::Migration;
use crate::schedule::{explore, thread, time, world};
use std::sync::Arc;
use std::time::Duration;

/// Unparks from greenlets of other hubs and from an OS thread: none that matters is lost.
#[test]
fn schedule_unpark() {
    explore("unpark", || {
        with_runtime(|runtime| {
            const EACH: usize = 3;
            let count = Arc::new(AtomicUsize::new(0));
            let sleeper = runtime.spawn({
                let count = count.clone();
                let stays = runtime.shared().migration == Migration::Never;
                move || {
                    let hub = crate::runtime::current_hub();
                    while count.load(Ordering::Acquire) < 3 * EACH {
                        crate::park();
                        assert!(!stays || crate::runtime::current_hub() == hub, "it changed hubs");
                    }
                }
            });
            let waker = |count: Arc<AtomicUsize>, greenlet: crate::Greenlet| {
                move || {
                    for _ in 0..EACH {
                        count.fetch_add(1, Ordering::Release);
                        greenlet.unpark();
                        if crate::runtime::current_hub().is_some() {
                            crate::yield_now();
                        }
                    }
                }
            };
            let inside: Vec<_> =
                (0..2).map(|_| runtime.spawn(waker(count.clone(), sleeper.greenlet().clone()))).collect();
            let outside = thread::spawn(waker(count.clone(), sleeper.greenlet().clone()));
            sleeper.join().unwrap();
            inside.into_iter().for_each(|waker| waker.join().unwrap());
            outside.join().unwrap();
        });
    });
}

/// Two greenlets that wake each other, over plain stores.
#[test]
fn schedule_ping_pong() {
    explore("ping_pong", || {
        with_runtime(|runtime| {
            let turn = Arc::new(AtomicUsize::new(0));
            let player = |me: usize| {
                let turn = turn.clone();
                move |other: crate::Greenlet| {
                    for round in 0..4 {
                        while turn.load(Ordering::Acquire) != 2 * round + me {
                            crate::park();
                        }
                        turn.store(2 * round + me + 1, Ordering::Release);
                        other.unpark();
                    }
                }
            };
            let (first, second) = (player(0), player(1));
            runtime.run(|| {
                let me = crate::current();
                let other = crate::spawn(move || second(me));
                first(other.greenlet().clone());
                other.join().unwrap();
            });
        });
    });
}

/// Sleeps never end early, and all end; a wake may come with the timer or long before.
#[test]
fn schedule_timers_against_wakes() {
    explore("timers_against_wakes", || {
        with_runtime(|runtime| {
            let sleeper = |_| {
                let (kind, long) = (world::below(4), Duration::from_micros(1 + world::below(400)));
                runtime.spawn(move || {
                    let start = time::now();
                    match kind {
                        0 => crate::sleep(long),
                        1 => crate::park_timeout(long),
                        2 => assert!(
                            crate::timeout(long, || loop {
                                crate::yield_now()
                            })
                            .is_err()
                        ),
                        _ => {
                            let late = crate::timeout(long, || crate::sleep(Duration::from_secs(3600)));
                            assert!(late.is_err());
                        }
                    }
                    assert!(kind == 1 || time::now() - start >= long, "a timer fired early");
                })
            };
            let sleepers: Vec<_> = (0..4).map(sleeper).collect();
            let wakers: Vec<_> = sleepers
                .iter()
                .map(|sleeper| {
                    let greenlet = sleeper.greenlet().clone();
                    let wait = Duration::from_micros(world::below(400));
                    runtime.spawn(move || {
                        crate::sleep(wait);
                        greenlet.unpark();
                    })
                })
                .collect();
            sleepers.into_iter().chain(wakers).for_each(|each| each.join().unwrap());
        });
    });
}

/// A hub that sleeps for good must hear of what comes from outside, again and again.
#[test]
fn schedule_work_for_sleeping_hubs() {
    explore("work_for_sleeping_hubs", || {
        with(1 + world::below(3) as usize, any_mode(), |runtime| {
            for _ in 0..4 {
                let grandchild = runtime.spawn(|| crate::spawn(|| crate::spawn(crate::yield_now)));
                grandchild.join().unwrap().join().unwrap().join().unwrap();
            }
        });
    });
}
