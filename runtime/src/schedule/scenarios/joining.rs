//! Joins: a joiner claims what has not started, while others steal it.

use super::world::{Tally, with_hubs, with_runtime};
use crate::schedule::{explore, thread, world};
use std::sync::Arc;
use std::time::Duration;

fn tree(depth: u64, tally: &Tally) -> u64 {
    if depth < 2 {
        return depth;
    }
    let (mut mark, inner) = (tally.mark(), tally.clone());
    let left = crate::spawn(move || {
        mark.run();
        tree(depth - 1, &inner)
    });
    let right = tree(depth - 2, tally);
    left.join().unwrap() + right
}

/// A tree of joins: every one is run by its joiner or by a thief.
#[test]
fn schedule_claim_against_steal() {
    explore("claim_against_steal", || {
        with_hubs(|runtime| {
            let tally = Tally::default();
            let depth = world::below(4) as usize;
            assert_eq!(runtime.run(|| tree(3 + depth as u64, &tally)), [2, 3, 5, 8][depth]);
            tally.check_all_ran();
        });
    });
}

/// Several joiners of one greenlet, with and without patience, in greenlets and OS threads.
#[test]
fn schedule_many_joiners() {
    explore("many_joiners", || {
        with_runtime(|runtime| {
            let pause = world::below(3);
            let child = Arc::new(runtime.spawn(move || match pause {
                0 => {}
                1 => crate::yield_now(),
                _ => crate::sleep(Duration::from_micros(300)),
            }));
            let joiners: Vec<_> = (0..3)
                .map(|n| {
                    let child = child.clone();
                    runtime.spawn(move || child.join_timeout(Duration::from_micros(n * 150)))
                })
                .collect();
            let outside = thread::spawn({
                let child = child.clone();
                move || child.join_timeout(Duration::from_secs(9))
            });
            assert!(outside.join().unwrap());
            joiners.into_iter().for_each(|joiner| _ = joiner.join().unwrap());
            assert!(child.is_finished());
        });
    });
}

/// Joiners that claim their children give up about when those end, perhaps on another hub, and end as well.
#[test]
fn schedule_joiners_give_up() {
    explore("joiners_give_up", || {
        with_hubs(|runtime| {
            for _ in 0..2 {
                let (pause, patience) = (world::below(3) * 100, world::below(4) * 100);
                drop(runtime.spawn(move || {
                    let child = crate::spawn(move || {
                        crate::sleep(Duration::from_micros(pause));
                        crate::yield_now();
                    });
                    let _has_ended = child.join_timeout(Duration::from_micros(patience));
                }));
            }
            runtime.run(|| crate::sleep(Duration::from_millis(1)));
        });
    });
}

/// A scope's children borrow; one of them is killed, or its parent is.
#[test]
fn schedule_scope() {
    explore("scope", || {
        with_runtime(|runtime| {
            let (tally, kill_parent, brief) = (Tally::default(), world::below(2) == 0, world::below(2) == 0);
            let parent = runtime.spawn({
                let tally = tally.clone();
                move || {
                    let lent = tally.clone();
                    crate::scope(|scope| {
                        for _ in 0..2 {
                            let mut mark = tally.mark();
                            let lent = &lent;
                            drop(scope.spawn(move || {
                                mark.run();
                                crate::sleep(Duration::from_micros(if brief { 1 } else { 900 }));
                                // Gone if the scope returned before.
                                assert!(lent.ran() <= 2);
                            }));
                        }
                        let killed = scope.spawn(|| crate::sleep(Duration::from_secs(1)));
                        killed.greenlet().kill();
                        assert!(killed.join().unwrap_err().is_killed());
                    });
                }
            });
            if kill_parent {
                parent.kill();
            }
            let ended = parent.join();
            assert!(ended.is_ok() || kill_parent);
            tally.check_dropped();
        });
    });
}

/// A link runs when the greenlet ends, or at once if it has.
#[test]
fn schedule_links() {
    explore("links", || {
        with_runtime(|runtime| {
            let (send, receive) = crate::channel::unbounded();
            let child = runtime.spawn(crate::yield_now);
            let linker = runtime.spawn({
                let (greenlet, send) = (child.greenlet().clone(), send.clone());
                move || {
                    greenlet.link(move |_| send.send(()).unwrap());
                }
            });
            let greenlet = child.greenlet().clone();
            runtime.run(move || _ = greenlet.link(move |_| send.send(()).unwrap()));
            linker.join().unwrap();
            child.join().unwrap();
            (0..2).for_each(|_| receive.recv().unwrap());
        });
    });
}
