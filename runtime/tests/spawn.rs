//! Spawning: greenlets start, from everywhere, with what they were given.

mod common;

use common::{ALL, STAY, Witness, everywhere, inside, inside_on, on, on_built, os_thread, quietly};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn a_spawned_greenlet_runs_and_its_result_reaches_the_joiner() {
    inside(|| {
        let words = [String::from("green"), String::from("hub")];
        assert_eq!(greenhub::spawn(move || words.concat()).join().unwrap(), "greenhub");
    });
}

#[test]
fn a_detached_greenlet_runs_to_its_end() {
    everywhere(|world| {
        let ran = Arc::new(AtomicUsize::new(0));
        let inner = ran.clone();
        world.run(move || {
            for _ in 0..100 {
                let ran = inner.clone();
                drop(greenhub::spawn(move || {
                    greenhub::yield_now();
                    ran.fetch_add(1, SeqCst)
                }));
            }
        });
        common::eventually("all detached greenlets ran", || ran.load(SeqCst) == 100);
    });
}

#[test]
fn many_greenlets_all_run_once() {
    inside(|| {
        let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..20_000).map(|_| AtomicUsize::new(0)).collect());
        let handles: Vec<_> = (0..counts.len())
            .map(|n| {
                let counts = counts.clone();
                greenhub::spawn(move || counts[n].fetch_add(1, SeqCst))
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert!(counts.iter().all(|count| count.load(SeqCst) == 1));
    });
}

#[test]
fn plain_threads_spawn_into_a_runtime() {
    everywhere(|world| {
        let sum: usize = std::thread::scope(|threads| {
            let spawners: Vec<_> = (0..3)
                .map(|_| {
                    threads.spawn(|| {
                        let handles: Vec<_> = (0..500).map(|n| world.runtime.spawn(move || n)).collect();
                        handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
                    })
                })
                .collect();
            spawners.into_iter().map(|spawner| spawner.join().unwrap()).sum()
        });
        assert_eq!(sum, 3 * 499 * 500 / 2);
    });
}

#[test]
fn greenlets_spawn_greenlets_of_their_own_runtime() {
    everywhere(|world| {
        let before = world.runtime.metrics().spawned_outside;
        world.run(|| greenhub::spawn(|| greenhub::spawn(|| ()).join().unwrap()).join().unwrap());
        let after = world.runtime.metrics();
        assert_eq!(after.spawned_outside - before, 1, "only `run` itself came from outside");
        assert_eq!(common::sum(&after, |hub| hub.spawned), 2);
    });
}

#[test]
fn greenlets_spawn_into_another_runtime() {
    let _alone = common::alone();
    for hubs in [1, 2] {
        let one = greenhub::runtime::Builder::new().hubs(hubs).build().unwrap();
        let other = greenhub::runtime::Builder::new().hubs(hubs).build().unwrap();
        let thread_there = other.run(os_thread);
        let sum = one.run(|| {
            let handles: Vec<_> = (0..200).map(|n| other.spawn(move || (n, os_thread()))).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).map(|(n, _)| n).sum::<i32>()
        });
        assert_eq!(sum, 199 * 200 / 2);
        if hubs == 1 {
            assert_eq!(one.run(|| other.spawn(os_thread).join().unwrap()), thread_there);
        }
        assert!(one.shutdown_timeout(Duration::from_secs(5)));
        assert!(other.shutdown_timeout(Duration::from_secs(5)));
    }
}

#[test]
fn names_and_identities_are_as_given() {
    inside(|| {
        let named = greenhub::Builder::new()
            .name("worker".into())
            .spawn(|| (greenhub::current().name().map(str::to_owned), greenhub::current().id()));
        let named = named.unwrap();
        let id = named.greenlet().id();
        assert_eq!(named.greenlet().name(), Some("worker"));
        assert_eq!(named.join().unwrap(), (Some("worker".into()), id));
        assert_eq!(greenhub::spawn(|| greenhub::current().name().map(str::to_owned)).join().unwrap(), None);
        let ids: HashSet<_> =
            greenhub::join_all((0..500).map(|_| greenhub::spawn(|| greenhub::current().id())))
                .into_iter()
                .map(Result::unwrap)
                .collect();
        assert_eq!(ids.len(), 500);
        assert!(!ids.contains(&id));
    });
}

#[test]
fn a_stack_size_holds_what_it_says() {
    #[inline(never)]
    fn use_stack(bytes: usize) -> u8 {
        let page = std::hint::black_box([1_u8; 4096]);
        if bytes <= 8192 { page[17] } else { use_stack(bytes - 4096).wrapping_add(page[99]) }
    }
    inside(|| {
        for size in [64 << 10, 1 << 20, 8 << 20, 32 << 20] {
            let handle =
                greenhub::Builder::new().stack_size(size).spawn(move || use_stack(size / 4)).unwrap();
            handle.join().unwrap();
        }
    });
}

#[test]
fn an_absurd_stack_size_is_an_error_and_not_a_panic() {
    inside(|| {
        for size in [usize::MAX, 1 << 40] {
            let (sent, seen) = Witness::new();
            let error = greenhub::Builder::new().stack_size(size).spawn(move || drop(sent)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains("stack"), "{error}");
            assert_eq!(seen.drops(), 1, "the closure was dropped");
            let late = greenhub::Builder::new().stack_size(size).spawn_later(Duration::from_secs(9), || ());
            assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
            greenhub::scope(|s| {
                let scoped = greenhub::Builder::new().stack_size(size).spawn_scoped(s, || ());
                assert_eq!(scoped.err().unwrap().kind(), std::io::ErrorKind::InvalidInput);
            });
        }
        // The smallest ones are rounded up to something that works.
        greenhub::Builder::new().stack_size(0).spawn(|| ()).unwrap().join().unwrap();
    });
}

#[test]
fn spawn_later_starts_neither_early_nor_out_of_order() {
    inside(|| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let handles: Vec<_> = [30, 10, 20]
            .into_iter()
            .map(|delay| {
                let order = order.clone();
                let start = Instant::now();
                greenhub::spawn_later(Duration::from_millis(delay), move || {
                    assert!(
                        start.elapsed() >= Duration::from_millis(delay),
                        "started after {:?}",
                        start.elapsed()
                    );
                    order.lock().unwrap().push(delay);
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [10, 20, 30]);
        assert_eq!(greenhub::spawn_later(Duration::ZERO, || 5).join().unwrap(), 5);
    });
}

#[test]
fn spawn_later_from_a_plain_thread_wakes_a_hub_that_sleeps() {
    everywhere(|world| {
        let start = Instant::now();
        let handle = world.run(|| greenhub::spawn_later(Duration::from_millis(20), Instant::now));
        let began = handle.join().unwrap();
        assert!(began - start >= Duration::from_millis(20));
        assert!(began - start < Duration::from_secs(5), "started {:?} late", began - start);
    });
}

#[test]
fn a_far_away_start_can_be_given_up() {
    inside(|| {
        for delay in [Duration::MAX, Duration::from_secs(1 << 40), Duration::from_secs(3600)] {
            let (sent, seen) = Witness::new();
            let handle = greenhub::spawn_later(delay, move || drop(sent));
            assert!(!handle.join_timeout(Duration::from_millis(2)));
            assert_eq!(seen.drops(), 0);
            handle.kill();
            assert!(handle.join().unwrap_err().is_killed());
            assert_eq!(seen.drops(), 1);
        }
    });
}

#[test]
fn spawn_local_shares_an_rc_on_one_hub() {
    inside(|| {
        let shared = Rc::new(RefCell::new(Vec::new()));
        let here = os_thread();
        let handles: Vec<_> = (0..50)
            .map(|n| {
                let shared = shared.clone();
                greenhub::spawn_local(move || {
                    for _ in 0..5 {
                        shared.borrow_mut().push(n);
                        assert_eq!(os_thread(), here);
                        greenhub::yield_now();
                    }
                    Rc::strong_count(&shared)
                })
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(shared.borrow().len(), 250);
        assert_eq!(Rc::strong_count(&shared), 1);
        assert_eq!(os_thread(), here);
    });
}

#[test]
fn a_caller_of_spawn_local_stays_where_it_is() {
    on(&ALL, |world| {
        world.run(|| {
            let spawner = greenhub::spawn(|| {
                let here = os_thread();
                let local = Rc::new(5);
                let handle = greenhub::spawn_local({
                    let local = local.clone();
                    move || {
                        greenhub::sleep(Duration::from_millis(1));
                        *local
                    }
                });
                for _ in 0..200 {
                    greenhub::yield_now();
                    assert_eq!(os_thread(), here);
                }
                greenhub::sleep(Duration::from_millis(2));
                assert_eq!(os_thread(), here);
                handle.join().unwrap()
            });
            let others: Vec<_> =
                (0..8).map(|_| greenhub::spawn(|| (0..200).for_each(|_| greenhub::yield_now()))).collect();
            assert_eq!(spawner.join().unwrap(), 5);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    });
}

#[test]
fn a_pinned_greenlet_starts_and_stays_on_the_hub_that_spawned_it() {
    inside(|| {
        let spawner = greenhub::Builder::new().pinned().spawn(|| {
            let here = os_thread();
            let pinned: Vec<_> = (0..40)
                .map(|_| {
                    greenhub::Builder::new()
                        .pinned()
                        .spawn(move || {
                            for _ in 0..20 {
                                assert_eq!(os_thread(), here);
                                greenhub::yield_now();
                            }
                            greenhub::sleep(Duration::from_millis(1));
                            os_thread()
                        })
                        .unwrap()
                })
                .collect();
            common::compute(Duration::from_millis(2));
            pinned.into_iter().for_each(|pinned| assert_eq!(pinned.join().unwrap(), here));
        });
        spawner.unwrap().join().unwrap();
    });
}

#[test]
fn in_the_default_mode_no_greenlet_changes_its_thread_after_its_first_run() {
    inside_on(&STAY, || {
        let handles: Vec<_> = (0..200)
            .map(|n| {
                greenhub::spawn(move || {
                    let here = os_thread();
                    let hub = greenhub::runtime::current_hub();
                    for step in 0..20 {
                        match (n + step) % 3 {
                            0 => greenhub::yield_now(),
                            1 => greenhub::sleep(Duration::from_micros(50)),
                            _ => {
                                greenhub::spawn(|| common::compute(Duration::from_micros(5))).join().unwrap()
                            }
                        }
                        assert_eq!(os_thread(), here);
                        assert_eq!(greenhub::runtime::current_hub(), hub);
                        assert_eq!(greenhub::current().hub(), hub);
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn a_greenlet_knows_its_hub_until_it_has_ended() {
    everywhere(|world| {
        let greenlet = world.run(|| {
            let handle = greenhub::spawn(greenhub::park);
            greenhub::yield_now();
            assert!(handle.greenlet().hub().is_some_and(|hub| hub < 4));
            handle.greenlet().unpark();
            let greenlet = handle.greenlet().clone();
            handle.join().unwrap();
            greenlet
        });
        assert!(greenlet.is_finished());
        assert_eq!(greenlet.hub(), None);
        assert_eq!(greenhub::runtime::current_hub(), None);
    });
}

#[test]
fn with_all_stacks_in_use_a_greenlet_waits_for_a_free_one() {
    on_built(
        &ALL,
        |builder| builder.max_stacks(8),
        |world| {
            world.run(|| {
                let sum: u32 = greenhub::join_all((0..300).map(|n| {
                    greenhub::spawn(move || {
                        greenhub::sleep(Duration::from_micros(100));
                        n
                    })
                }))
                .into_iter()
                .map(Result::unwrap)
                .sum();
                assert_eq!(sum, 299 * 300 / 2);
            });
            assert!(world.runtime.metrics().stacks_cached <= 8 + world.place.hubs * 64);
        },
    );
}

#[test]
fn a_stack_that_cannot_be_had_at_all_is_an_error_at_join() {
    // One stack in all, and one of a size the system will not reserve a thousand times over.
    on_built(
        &[common::stay(1), common::roam(1)],
        |builder| builder.max_stacks(1),
        |world| {
            let (sent, seen) = Witness::new();
            let waiting = world.run(move || {
                // No stack is left for this one while its spawner lives.
                greenhub::spawn(move || drop(sent))
            });
            waiting.join().unwrap();
            assert_eq!(seen.drops(), 1);
        },
    );
}

#[test]
fn the_closure_of_a_greenlet_is_gone_before_its_joiner_goes_on() {
    inside(|| {
        for _ in 0..200 {
            let (captured, seen) = Witness::new();
            let handle = greenhub::spawn(move || {
                let _captured = &captured;
                greenhub::yield_now();
            });
            handle.join().unwrap();
            assert_eq!(seen.drops(), 1);
        }
    });
}

#[test]
fn links_run_in_order_once_the_greenlet_has_ended() {
    inside(|| {
        let order = Arc::new(Mutex::new(Vec::new()));
        let worker = greenhub::spawn(greenhub::park);
        let add = |n: i32| {
            let order = order.clone();
            worker.greenlet().link(move |ended| {
                assert!(ended.is_finished());
                order.lock().unwrap().push((n, ended.id()));
            })
        };
        add(1);
        let taken_back = add(2);
        add(3);
        assert!(worker.greenlet().unlink(taken_back));
        assert!(!worker.greenlet().unlink(taken_back));
        greenhub::yield_now();
        assert!(order.lock().unwrap().is_empty());
        worker.greenlet().unpark();
        let greenlet = worker.greenlet().clone();
        worker.join().unwrap();
        common::eventually("both links ran", || order.lock().unwrap().len() == 2);
        let mut seen = order.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, [(1, greenlet.id()), (3, greenlet.id())]);
        // A link made too late runs at once.
        let late = Arc::new(AtomicUsize::new(0));
        let counter = late.clone();
        greenlet.link(move |_| _ = counter.fetch_add(1, SeqCst));
        common::eventually("the late link ran", || late.load(SeqCst) == 1);
    });
}

#[test]
fn on_one_hub_links_run_in_the_order_they_were_made() {
    inside_on(&common::ONE_HUB, || {
        let order = Arc::new(Mutex::new(Vec::new()));
        let worker = greenhub::spawn(|| ());
        for n in 0..10 {
            let order = order.clone();
            worker.greenlet().link(move |_| order.lock().unwrap().push(n));
        }
        worker.join().unwrap();
        common::eventually("all links ran", || order.lock().unwrap().len() == 10);
        assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn links_run_for_killed_and_panicked_greenlets_too() {
    inside(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let (_, printed) = quietly(|| {
            let killed = greenhub::spawn(greenhub::park);
            let panicked = greenhub::spawn(|| panic!("expected"));
            for greenlet in [killed.greenlet(), panicked.greenlet()] {
                let ended = ended.clone();
                greenlet.link(move |_| _ = ended.fetch_add(1, SeqCst));
            }
            killed.kill();
            assert!(killed.join().unwrap_err().is_killed());
            assert!(panicked.join().unwrap_err().is_panic());
        });
        assert_eq!(printed, 1);
        common::eventually("both links ran", || ended.load(SeqCst) == 2);
    });
}
