//! A hub that is stuck in one greenlet: others do for it what may be done by others.

use super::world::{any_mode, with, with_hubs};
use crate::facade::{Condvar, Mutex};
use crate::runtime::Migration;
use crate::schedule::{explore, time, world};
use std::sync::Arc;
use std::time::Duration;

/// What the OS thread of a hub blocks on until somebody else has run.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let mut open = self.0.0.lock();
        while !*open {
            self.0.1.wait(&mut open);
        }
    }

    fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

/// A greenlet blocks its hub until another has run that was left to that very hub: in its queue, in its inbox, or in
/// its wheel. Another hub must come for it.
#[test]
fn schedule_unstarted_behind_a_stuck_hub() {
    explore("unstarted_behind_a_stuck_hub", || {
        with_hubs(|runtime| {
            let gate = Gate::default();
            let how = world::below(3);
            let inside = gate.clone();
            if world::below(2) == 0 {
                // Until everybody sleeps, the monitor too.
                crate::sleep(Duration::from_millis(200));
            }
            let stuck = runtime.spawn(move || {
                let key = inside.clone();
                match how {
                    0 => drop(crate::spawn(move || key.open())),
                    1 => drop(crate::spawn_later(Duration::from_micros(100), move || key.open())),
                    _ => {}
                }
                inside.wait();
            });
            if how == 2 {
                // One of these lies in the inbox of the hub that is stuck.
                let opener = || {
                    let key = gate.clone();
                    runtime.spawn(move || key.open())
                };
                let openers: Vec<_> = (0..3).map(|_| opener()).collect();
                openers.into_iter().for_each(|opener| opener.join().unwrap());
            }
            stuck.join().unwrap();
        });
    });
}

/// The same with started greenlets, which may leave in migrate mode only: one that yields, one that sleeps, one that is
/// woken.
#[test]
fn schedule_started_behind_a_stuck_hub() {
    explore("started_behind_a_stuck_hub", || {
        with(2 + world::below(2) as usize, Migration::Allowed, |runtime| {
            let gate = Gate::default();
            let how = world::below(3);
            let opener = runtime.spawn({
                let key = gate.clone();
                move || {
                    match how {
                        0 => crate::yield_now(),
                        1 => crate::sleep(Duration::from_micros(200)),
                        _ => crate::park(),
                    }
                    key.open();
                }
            });
            let greenlet = opener.greenlet().clone();
            let stuck = runtime.spawn(move || gate.wait());
            crate::sleep(Duration::from_micros(world::below(300)));
            greenlet.unpark();
            opener.join().unwrap();
            stuck.join().unwrap();
        });
    });
}

/// A hub that is stuck for a while loses nothing: what came meanwhile is there when it goes on.
#[test]
fn schedule_wakes_for_a_stuck_hub() {
    explore("wakes_for_a_stuck_hub", || {
        with(1 + world::below(3) as usize, any_mode(), |runtime| {
            let sleepers: Vec<_> = (0..2).map(|_| runtime.spawn(crate::park)).collect();
            let gate = Gate::default();
            let inside = gate.clone();
            let stuck = runtime.spawn(move || inside.wait());
            crate::sleep(Duration::from_micros(world::below(2_000)));
            sleepers.iter().for_each(|sleeper| sleeper.greenlet().unpark());
            crate::sleep(Duration::from_micros(world::below(2_000)));
            gate.open();
            stuck.join().unwrap();
            sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        });
    });
}

/// Others fire the timers of a hub that is stuck now and then, of greenlets that wait and of the one that keeps it: none
/// is lost, and none is early.
#[test]
fn schedule_timers_of_a_stuck_hub() {
    explore("timers_of_a_stuck_hub", || {
        with_hubs(|runtime| {
            let sleeper = |_| {
                let (keeps, long) = (world::below(2) == 0, Duration::from_micros(20 + world::below(100)));
                runtime.spawn(move || {
                    for _ in 0..3 {
                        let _expired = crate::timeout(long, || {
                            if keeps {
                                world::pause(1_500_000);
                            }
                            crate::sleep(long / 2);
                        });
                        let start = time::now();
                        crate::sleep(long);
                        assert!(time::now() - start >= long, "a timer fired early");
                    }
                })
            };
            let sleepers: Vec<_> = (0..4).map(sleeper).collect();
            sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        });
    });
}
