//! Shutdown: how a runtime ends what lives on it.

mod common;

use common::{ALL, Witness, everywhere, left, stay};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SECONDS: Duration = Duration::from_secs(20);

#[test]
fn shutdown_kills_what_is_left_and_runs_its_destructors() {
    let _alone = common::alone();
    for place in ALL {
        let before = left::Resources::now();
        let runtime = place.builder().build().unwrap();
        let seen = Arc::new(common::Seen::default());
        let handles: Vec<_> = (0..400)
            .map(|n| {
                let witness = Witness::of(&seen);
                runtime.spawn(move || {
                    let _witness = witness;
                    match n % 5 {
                        0 => greenhub::park(),
                        1 => greenhub::sleep(Duration::from_secs(60)),
                        2 => greenhub::block_on(std::future::pending::<()>()),
                        3 => drop(greenhub::spawn(greenhub::park).join()),
                        _ => loop {
                            greenhub::yield_now();
                        },
                    }
                })
            })
            .collect();
        let late = Witness::of(&seen);
        let unstarted =
            runtime.run(move || greenhub::spawn_later(Duration::from_secs(600), move || drop(late)));
        common::settle();
        assert!(runtime.shutdown_timeout(SECONDS), "on {place:?}");
        assert_eq!(seen.drops(), 401);
        for (n, handle) in handles.into_iter().enumerate() {
            // Who joins a child that was killed first may return before its own kill comes.
            assert!(handle.join().map_or_else(|error| error.is_killed(), |()| n % 5 == 3));
        }
        assert!(unstarted.join().unwrap_err().is_killed());
        left::expect_as_before(&before, place);
    }
}

#[test]
fn shutdown_lets_destructors_wait() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(10));
            self.0.fetch_add(1, SeqCst);
        }
    }
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let slow = Slow(dropped.clone());
            drop(runtime.spawn(move || {
                let _slow = slow;
                greenhub::park();
            }));
        }
        common::settle();
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(dropped.load(SeqCst), 10);
    }
}

#[test]
fn shutdown_asks_again_who_swallowed_the_first_kill() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let swallowed = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicBool::new(false));
        let (count, began) = (swallowed.clone(), begun.clone());
        drop(runtime.spawn(move || {
            began.store(true, SeqCst);
            for _ in 0..3 {
                assert!(catch_unwind(AssertUnwindSafe(greenhub::park)).is_err());
                count.fetch_add(1, SeqCst);
            }
            greenhub::park();
        }));
        common::eventually("it began", || begun.load(SeqCst));
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(swallowed.load(SeqCst), 3);
    }
}

#[test]
fn shutdown_says_so_when_something_does_not_end() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let (release, running) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let handle = runtime.spawn({
            let (release, running) = (release.clone(), running.clone());
            move || {
                running.store(true, SeqCst);
                while !release.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        common::eventually("it runs", || running.load(SeqCst));
        let start = Instant::now();
        assert!(
            !runtime.shutdown_timeout(Duration::from_millis(30)),
            "a greenlet that never suspends has ended?"
        );
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(start.elapsed() < Duration::from_secs(10));
        // It ends at last, and with it its hub.
        release.store(true, SeqCst);
        common::eventually("it ended", || handle.is_finished());
        handle.join().unwrap();
    }
}

#[test]
fn a_spawn_after_shutdown_joins_as_killed() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let results: Arc<std::sync::Mutex<Vec<bool>>> = Arc::default();
        struct SpawnsInDrop(Arc<std::sync::Mutex<Vec<bool>>>);
        impl Drop for SpawnsInDrop {
            fn drop(&mut self) {
                let (captured, seen) = Witness::new();
                let handle = greenhub::spawn(move || drop(captured));
                let killed = handle.join().is_err_and(|error| error.is_killed());
                let later = greenhub::spawn_later(Duration::from_secs(60), || ()).join();
                let local = greenhub::spawn_local(|| ()).join();
                let all = killed && later.is_err() && local.is_err() && seen.drops() == 1;
                self.0.lock().unwrap().push(all);
            }
        }
        let spawns = SpawnsInDrop(results.clone());
        drop(runtime.spawn(move || {
            let _spawns = spawns;
            greenhub::park();
        }));
        common::settle();
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(*results.lock().unwrap(), [true], "on {place:?}");
    }
}

#[test]
fn threads_that_spawn_while_the_runtime_ends_get_a_result_or_a_kill() {
    let _alone = common::alone();
    for round in 0..20 {
        let place = ALL[round % ALL.len()];
        let runtime = Arc::new(place.builder().build().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let handles: Vec<_> = std::thread::scope(|threads| {
            let spawners: Vec<_> = (0..2)
                .map(|_| {
                    let (runtime, stop) = (runtime.clone(), stop.clone());
                    threads.spawn(move || {
                        let mut handles = Vec::new();
                        while !stop.load(SeqCst) && handles.len() < 5000 {
                            handles.push(runtime.spawn(greenhub::yield_now));
                        }
                        handles
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(2));
            stop.store(true, SeqCst);
            spawners.into_iter().flat_map(|spawner| spawner.join().unwrap()).collect()
        });
        let runtime = Arc::into_inner(runtime).unwrap();
        assert!(runtime.shutdown_timeout(SECONDS));
        for handle in handles {
            if let Err(error) = handle.join() {
                assert!(error.is_killed());
            }
        }
    }
}

#[test]
fn a_runtime_that_is_shut_down_from_within_says_why_not_and_ends_in_the_background() {
    let _alone = common::alone();
    for place in ALL {
        for by_drop in [false, true] {
            let before = left::Resources::now();
            let runtime = Arc::new(place.builder().build().unwrap());
            let inside = runtime.clone();
            let refused = Arc::new(AtomicBool::new(false));
            let flag = refused.clone();
            let greenlet = runtime.spawn(move || {
                while Arc::strong_count(&inside) > 1 {
                    greenhub::sleep(Duration::from_micros(100));
                }
                let runtime = Arc::into_inner(inside).unwrap();
                if by_drop {
                    drop(runtime);
                } else {
                    let caught = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_timeout(SECONDS)));
                    let text = *caught.unwrap_err().downcast::<&'static str>().unwrap();
                    flag.store(text.contains("own greenlets"), SeqCst);
                }
                greenhub::park();
            });
            common::quietly(|| {
                drop(runtime);
                assert!(greenlet.join().unwrap_err().is_killed());
            });
            assert!(refused.load(SeqCst) || by_drop);
            left::expect_as_before(&before, place);
        }
    }
}

#[test]
fn a_runtime_that_is_shut_down_in_no_switch_says_why_not_and_ends_in_the_background() {
    everywhere(|world| {
        // The first greenlet reserves stacks.
        world.run(|| ());
        for by_drop in [false, true] {
            let before = left::Resources::now();
            let other = stay(2).builder().build().unwrap();
            let parked = other.spawn(greenhub::park);
            let (caught, _) = common::quietly(|| {
                world.run(|| {
                    catch_unwind(AssertUnwindSafe(|| {
                        greenhub::no_switch(|| {
                            if by_drop {
                                drop(other);
                            } else {
                                _ = other.shutdown_timeout(SECONDS);
                            }
                        });
                    }))
                    .is_err()
                })
            });
            assert_eq!(caught, !by_drop);
            assert!(parked.join().unwrap_err().is_killed());
            left::expect_as_before(&before, stay(2));
        }
    });
}

/// Does something that blocks when it is dropped, as a file does that is flushed.
struct Flush(Arc<AtomicUsize>);

impl Drop for Flush {
    fn drop(&mut self) {
        let written = greenhub::unblock(|| {
            std::thread::sleep(Duration::from_millis(1));
            1
        });
        self.0.fetch_add(written, SeqCst);
    }
}

#[test]
fn destructors_may_unblock_while_the_runtime_shuts_down() {
    let _alone = common::alone();
    for place in ALL {
        let before = left::Resources::now();
        let runtime = place.builder().build().unwrap();
        let flushed = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..40 {
            let (flush, begun) = (Flush(flushed.clone()), begun.clone());
            drop(runtime.spawn(move || {
                let _flush = flush;
                begun.fetch_add(1, SeqCst);
                greenhub::park();
            }));
        }
        common::eventually("all have begun", || begun.load(SeqCst) == 40);
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(flushed.load(SeqCst), 40, "{place:?}");
        left::expect_as_before(&before, place);
    }
}

#[test]
fn a_greenlet_the_kill_has_not_reached_may_unblock_too() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let begun = Arc::new(AtomicUsize::new(0));
        let in_shield = begun.clone();
        let handle = runtime.spawn(move || {
            // Inside `shield` no kill reaches it.
            greenhub::shield(|| {
                in_shield.store(1, SeqCst);
                (0..50)
                    .map(|n| {
                        greenhub::sleep(Duration::from_millis(1));
                        greenhub::unblock(move || n)
                    })
                    .sum::<u32>()
            })
        });
        common::eventually("it has begun", || begun.load(SeqCst) == 1);
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(handle.join().unwrap(), 49 * 50 / 2, "{place:?}");
    }
}
