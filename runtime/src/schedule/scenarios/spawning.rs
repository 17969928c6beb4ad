//! Spawning, queues and stealing: everything runs, once, and in order.

use super::world::{Tally, any_mode, with, with_hubs, with_runtime, with_settings};
use crate::runtime::{Migration, Runtime};
use crate::schedule::{explore, thread, world};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// From OS threads, and from greenlets.
#[test]
fn schedule_spawn_from_outside_and_inside() {
    explore("spawn_from_outside_and_inside", || {
        with_runtime(|runtime| {
            let tally = Tally::default();
            let other = thread::spawn({
                let (shared, tally) = (runtime.shared().clone(), tally.clone());
                move || spawn_some(&Runtime::for_schedule(shared), &tally)
            });
            let handles = spawn_some(runtime, &tally);
            for handle in handles.into_iter().chain(other.join().unwrap()) {
                handle.join().unwrap().into_iter().for_each(|child| child.join().unwrap());
            }
            tally.check_all_ran();
        });
    });
}

type Parents = Vec<crate::JoinHandle<Vec<crate::JoinHandle<()>>>>;

fn spawn_some(runtime: &Runtime, tally: &Tally) -> Parents {
    let spawn_one = |_| {
        let (mut mark, tally) = (tally.mark(), tally.clone());
        runtime.spawn(move || {
            mark.run();
            let spawn_child = |_| {
                let mut mark = tally.mark();
                crate::spawn(move || mark.run())
            };
            (0..2).map(spawn_child).collect()
        })
    };
    (0..2).map(spawn_one).collect()
}

/// Many at once, while others steal and look.
#[test]
fn schedule_steal_storm() {
    explore("steal_storm", || {
        let tally = Tally::default();
        with_hubs(|runtime| {
            let (count, yields) = (4 + world::below(20), world::below(3));
            runtime.run(|| {
                let spawn_one = |_| {
                    let mut mark = tally.mark();
                    crate::spawn(move || {
                        mark.run();
                        (0..yields).for_each(|_| crate::yield_now());
                    })
                };
                let handles: Vec<_> = (0..count).map(spawn_one).collect();
                // The newest first, so that they are claimed, and their entries become stale; the others wait for a hub.
                for (n, handle) in handles.into_iter().enumerate().rev() {
                    if n % 3 != 0 {
                        handle.join().unwrap();
                    }
                }
                while tally.ran() < count as usize {
                    crate::yield_now();
                }
            });
        });
        tally.check_all_ran();
    });
}

/// Spawns nobody joins, from a greenlet that then sleeps: some hub must run them.
#[test]
fn schedule_detached_all_run() {
    explore("detached_all_run", || {
        with_runtime(|runtime| {
            let tally = Tally::default();
            let (send, receive) = crate::channel::unbounded();
            let count = 1 + world::below(9);
            runtime.run(|| {
                for _ in 0..count {
                    let (mut mark, send) = (tally.mark(), send.clone());
                    drop(crate::spawn(move || {
                        mark.run();
                        send.send(()).unwrap();
                    }));
                }
            });
            (0..count).for_each(|_| receive.recv().unwrap());
            assert_eq!(tally.ran(), count as usize);
        });
    });
}

/// Spawns and yields on one hub are one queue, whatever others do meanwhile.
#[test]
fn schedule_order() {
    explore("order", || {
        with_runtime(|runtime| {
            let log = Arc::new(Mutex::new(Vec::new()));
            runtime.run(|| {
                let spawn_one = |name: usize| {
                    let log = log.clone();
                    crate::spawn_local(move || {
                        for turn in 0..3 {
                            log.lock().unwrap().push((turn, name));
                            crate::yield_now();
                        }
                    })
                };
                let handles: Vec<_> = (0..3).map(spawn_one).collect();
                (0..5).for_each(|_| crate::yield_now());
                handles.into_iter().for_each(|handle| handle.join().unwrap());
            });
            let expected: Vec<_> = (0..3).flat_map(|turn| (0..3).map(move |name| (turn, name))).collect();
            assert_eq!(*log.lock().unwrap(), expected, "the order is wrong");
        });
    });
}

/// There are fewer stacks than greenlets: those without wait for one.
#[test]
fn schedule_too_few_stacks() {
    explore("too_few_stacks", || {
        let (hubs, stacks) = (1 + world::below(3) as usize, 2 + world::below(2) as usize);
        with_settings(
            hubs,
            any_mode(),
            |builder| builder.max_stacks(stacks),
            |runtime| {
                let tally = Tally::default();
                let spawn_one = |_| {
                    let mut mark = tally.mark();
                    runtime.spawn(move || {
                        mark.run();
                        crate::yield_now();
                    })
                };
                let handles: Vec<_> = (0..6).map(spawn_one).collect();
                handles.into_iter().for_each(|handle| handle.join().unwrap());
                tally.check_all_ran();
            },
        );
    });
}

/// A hub with many greenlets that wait for time gives new ones to others.
#[test]
fn schedule_placement() {
    explore("placement", || {
        with(2 + world::below(2) as usize, Migration::Never, |runtime| {
            let tally = Tally::default();
            runtime.run(|| {
                let sleeper = |_| {
                    let mut mark = tally.mark();
                    crate::Builder::new().pinned().spawn(move || {
                        mark.run();
                        crate::sleep(std::time::Duration::from_millis(1));
                    })
                };
                let mut handles: Vec<_> = (0..20).map(|n| sleeper(n).unwrap()).collect();
                crate::yield_now();
                let spawn_one = |_| {
                    let mut mark = tally.mark();
                    crate::spawn(move || mark.run())
                };
                handles.extend((0..3).map(spawn_one));
                handles.into_iter().for_each(|handle| handle.join().unwrap());
            });
            tally.check_all_ran();
        });
    });
}

/// A greenlet spawns and keeps its hub, while others wake for it and fall asleep again, or wake for greenlets of their own
/// and are kept by them: what it leaves in the deque is watched at every moment.
#[test]
fn schedule_spawns_beside_hubs_that_fall_asleep() {
    explore("spawns_beside_hubs_that_fall_asleep", || {
        let tally = Tally::default();
        with_hubs(|runtime| {
            runtime.run(|| {
                let busy = world::below(3);
                let others = (0..busy).map(|_| {
                    crate::spawn(|| {
                        for _ in 0..4 {
                            crate::sleep(Duration::from_nanos(1_000 * world::below(2_000)));
                            world::pause(1_000 * world::below(500));
                        }
                    })
                });
                let others: Vec<_> = others.collect();
                for _ in 0..6 {
                    match world::below(3) {
                        0 => world::pause(1_000 * world::below(3_000)),
                        _ => (0..world::below(80)).for_each(|_| world::step()),
                    }
                    let mut mark = tally.mark();
                    drop(crate::spawn(move || mark.run()));
                    // Long enough for everybody else to come to rest.
                    world::pause(1_000 + 40_000 * world::below(4));
                }
                while tally.ran() < 6 {
                    crate::yield_now();
                }
                others.into_iter().for_each(|other| other.join().unwrap());
            });
        });
        tally.check_all_ran();
    });
}
