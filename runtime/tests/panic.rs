//! Panics: one ends one greenlet, reaches whoever joins it, and is nobody else's.

mod common;

use common::{ALL, Witness, everywhere, inside, on, quietly, std_panicking};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Whatever hub one asks: nobody is panicking there.
#[track_caller]
fn expect_calm(world: &common::World) {
    for _ in 0..3 {
        let asked: Vec<_> = (0..16)
            .map(|_| {
                world.runtime.spawn(|| {
                    common::compute(Duration::from_micros(50));
                    (std_panicking(), greenhub::panicking())
                })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.join().unwrap(), (false, false), "std and the runtime say somebody panics");
        }
    }
}

/// Sleeps in its destructor, and notes what it is told of panics there.
struct SleepsInDrop {
    expects: bool,
    dropped: Arc<AtomicUsize>,
}

impl Drop for SleepsInDrop {
    fn drop(&mut self) {
        assert_eq!(greenhub::panicking(), self.expects, "before the sleep");
        greenhub::sleep(Duration::from_millis(3));
        assert_eq!(greenhub::panicking(), self.expects, "after the sleep");
        greenhub::yield_now();
        assert_eq!(greenhub::panicking(), self.expects, "after the yield");
        self.dropped.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_panic_reaches_the_joiner_with_its_payload() {
    everywhere(|world| {
        let ((), printed) = quietly(|| {
            world.run(|| {
                let error = greenhub::spawn(|| std::panic::panic_any(vec![1, 2, 3])).join().unwrap_err();
                assert!(error.is_panic() && !error.is_killed());
                assert_eq!(*error.into_panic().downcast::<Vec<i32>>().unwrap(), [1, 2, 3]);
            });
            let error =
                world.runtime.spawn(|| panic!("with {}", std::hint::black_box("text"))).join().unwrap_err();
            assert_eq!(error.into_panic().downcast_ref::<String>().unwrap(), "with text");
        });
        assert_eq!(printed, 2);
        expect_calm(world);
    });
}

#[test]
fn a_panic_in_run_goes_on_in_the_caller() {
    everywhere(|world| {
        let (caught, _) =
            quietly(|| catch_unwind(AssertUnwindSafe(|| world.run(|| std::panic::panic_any(5_u64)))));
        assert_eq!(*caught.unwrap_err().downcast::<u64>().unwrap(), 5);
        let (caught, _) = quietly(|| {
            world.run(|| {
                catch_unwind(|| greenhub::run(|| std::panic::panic_any(6_u64)))
                    .map_err(|e| *e.downcast::<u64>().unwrap())
            })
        });
        assert_eq!(caught, Err(6));
        expect_calm(world);
    });
}

#[test]
fn a_greenlet_that_sleeps_while_it_unwinds_leaves_every_hub_in_order() {
    everywhere(|world| {
        let dropped = Arc::new(AtomicUsize::new(0));
        quietly(|| {
            let handles: Vec<_> = (0..8)
                .map(|n| {
                    let local = SleepsInDrop { expects: true, dropped: dropped.clone() };
                    world.runtime.spawn(move || {
                        let _local = local;
                        if n % 2 == 0 {
                            greenhub::sleep(Duration::from_micros(300 * n));
                        }
                        panic!("expected");
                    })
                })
                .collect();
            // Others come and go on the same hubs meanwhile, and know that it is not they who panic.
            for _ in 0..20 {
                let calm = world.runtime.spawn(|| {
                    let first = greenhub::panicking();
                    greenhub::sleep(Duration::from_micros(200));
                    (first, greenhub::panicking())
                });
                assert_eq!(calm.join().unwrap(), (false, false));
            }
            handles.into_iter().for_each(|handle| assert!(handle.join().unwrap_err().is_panic()));
        });
        assert_eq!(dropped.load(SeqCst), 8);
        expect_calm(world);
    });
}

#[test]
fn a_killed_greenlet_that_sleeps_while_it_unwinds_leaves_every_hub_in_order() {
    everywhere(|world| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let started = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..8)
            .map(|_| {
                let local = SleepsInDrop { expects: true, dropped: dropped.clone() };
                let started = started.clone();
                world.runtime.spawn(move || {
                    let _local = local;
                    started.fetch_add(1, SeqCst);
                    greenhub::park();
                })
            })
            .collect();
        // Who is killed before it starts unwinds nothing.
        common::eventually("all have started", || started.load(SeqCst) == 8);
        handles.iter().for_each(greenhub::JoinHandle::kill);
        handles.into_iter().for_each(|handle| assert!(handle.join().unwrap_err().is_killed()));
        assert_eq!(dropped.load(SeqCst), 8);
        expect_calm(world);
    });
}

#[test]
fn while_one_unwinds_the_others_of_its_hub_may_panic_catch_and_be_killed() {
    everywhere(|world| {
        quietly(|| {
            let dropped = Arc::new(AtomicUsize::new(0));
            let local = SleepsInDrop { expects: true, dropped: dropped.clone() };
            let unwinding = world.runtime.spawn(move || {
                let _local = local;
                panic!("expected");
            });
            let others: Vec<_> = (0..6)
                .map(|n| {
                    let dropped = dropped.clone();
                    world.runtime.spawn(move || match n % 3 {
                        0 => {
                            let _local = SleepsInDrop { expects: true, dropped };
                            panic!("expected too");
                        }
                        1 => {
                            assert!(catch_unwind(|| panic!("caught")).is_err());
                            greenhub::sleep(Duration::from_millis(1));
                        }
                        _ => {
                            let _local = SleepsInDrop { expects: false, dropped };
                            greenhub::yield_now();
                        }
                    })
                })
                .collect();
            for (n, other) in others.into_iter().enumerate() {
                assert_eq!(other.join().is_err(), n % 3 == 0, "number {n}");
            }
            assert!(unwinding.join().is_err());
            assert_eq!(dropped.load(SeqCst), 5);
        });
        expect_calm(world);
    });
}

#[test]
fn a_kill_is_delivered_to_a_greenlet_whose_neighbour_unwinds() {
    // Decisions rest on whether *this* greenlet unwinds, not on what std says of the thread.
    on(&[common::stay(1), common::roam(1)], |world| {
        quietly(|| {
            world.run(|| {
                let go_on = Arc::new(AtomicBool::new(false));
                let flag = go_on.clone();
                let unwinding = greenhub::spawn(|| {
                    struct Sleeps(Arc<AtomicBool>);
                    impl Drop for Sleeps {
                        fn drop(&mut self) {
                            while !self.0.load(SeqCst) {
                                greenhub::sleep(Duration::from_millis(1));
                            }
                        }
                    }
                    let _sleeps = Sleeps(flag);
                    panic!("expected");
                });
                let victim = greenhub::spawn(greenhub::park);
                greenhub::yield_now();
                assert!(!unwinding.is_finished());
                assert!(!greenhub::panicking());
                victim.kill();
                assert!(victim.join_timeout(Duration::from_secs(10)), "the kill waits for the neighbour");
                assert!(victim.join().unwrap_err().is_killed());
                let ended =
                    greenhub::timeout(Duration::from_millis(2), || greenhub::sleep(Duration::from_secs(10)));
                assert!(ended.is_err(), "the timeout waits for the neighbour");
                assert!(!unwinding.is_finished());
                go_on.store(true, SeqCst);
                assert!(unwinding.join().is_err());
            });
        });
        expect_calm(world);
    });
}

#[test]
fn an_unwinding_greenlet_stays_on_its_hub_in_every_mode() {
    struct Stays(Arc<AtomicBool>);
    impl Drop for Stays {
        fn drop(&mut self) {
            let here = common::os_thread();
            for _ in 0..50 {
                greenhub::yield_now();
                greenhub::sleep(Duration::from_micros(50));
                assert_eq!(common::os_thread(), here);
            }
            self.0.store(true, SeqCst);
        }
    }
    everywhere(|world| {
        quietly(|| {
            let stayed: Vec<_> = (0..4).map(|_| Arc::new(AtomicBool::new(false))).collect();
            let handles: Vec<_> = stayed
                .iter()
                .map(|flag| {
                    let local = Stays(flag.clone());
                    world.runtime.spawn(move || {
                        let _local = local;
                        panic!("expected");
                    })
                })
                .collect();
            handles.into_iter().for_each(|handle| assert!(handle.join().is_err()));
            assert!(stayed.iter().all(|flag| flag.load(SeqCst)));
        });
        expect_calm(world);
    });
}

#[test]
fn a_destructor_that_catches_a_panic_of_its_own_while_unwinding_is_fine() {
    struct Catches(Arc<AtomicBool>);
    impl Drop for Catches {
        fn drop(&mut self) {
            let caught = catch_unwind(|| {
                greenhub::sleep(Duration::from_millis(1));
                panic!("expected inside")
            });
            assert!(caught.is_err());
            greenhub::sleep(Duration::from_millis(1));
            self.0.store(greenhub::panicking(), SeqCst);
        }
    }
    everywhere(|world| {
        quietly(|| {
            let still = Arc::new(AtomicBool::new(false));
            let local = Catches(still.clone());
            let handle = world.runtime.spawn(move || {
                let _local = local;
                panic!("expected outside");
            });
            let error = handle.join().unwrap_err();
            assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"expected outside"));
            assert!(still.load(SeqCst), "it no longer knew that it unwinds");
        });
        expect_calm(world);
    });
}

#[test]
fn a_join_of_a_panicking_child_while_unwinding_is_fine() {
    struct Joins;
    impl Drop for Joins {
        fn drop(&mut self) {
            let error = greenhub::spawn(|| panic!("the child's")).join().unwrap_err();
            assert!(error.is_panic());
        }
    }
    everywhere(|world| {
        quietly(|| {
            let error = world
                .runtime
                .spawn(|| {
                    let _joins = Joins;
                    panic!("the parent's");
                })
                .join()
                .unwrap_err();
            assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"the parent's"));
        });
        expect_calm(world);
    });
}

#[test]
fn resume_unwind_carries_on_without_a_message() {
    inside(|| {
        let (error, printed) = quietly(|| {
            greenhub::spawn(|| {
                let payload = catch_unwind(|| std::panic::panic_any("first")).unwrap_err();
                greenhub::sleep(Duration::from_micros(100));
                greenhub::resume_unwind(payload)
            })
            .join()
        });
        let error: greenhub::JoinError = match error {
            Ok(()) => unreachable!(),
            Err(error) => error,
        };
        assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"first"));
        assert_eq!(printed, 1);
    });
}

/// The handler is the process's, so the tests that set it share this one.
fn errors_seen() -> &'static Mutex<Vec<(String, String)>> {
    static SEEN: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
    greenhub::on_error(|greenlet, payload| {
        let message = payload.downcast_ref::<&str>().copied().unwrap_or("no text").to_owned();
        SEEN.lock().unwrap().push((greenlet.name().unwrap_or("nameless").to_owned(), message));
    });
    SEEN.lock().unwrap().clear();
    &SEEN
}

#[test]
fn panics_nobody_joins_go_to_the_error_handler() {
    everywhere(|world| {
        let seen = errors_seen();
        quietly(|| {
            world.run(|| {
                let named = greenhub::Builder::new().name("lost".into());
                drop(named.spawn(|| panic!("detached before its end")).unwrap());
                let handle = greenhub::spawn(|| panic!("detached after its end"));
                common::eventually("it ended", || handle.is_finished());
                drop(handle);
                // A kill is no error, a joined one is not lost.
                let killed = greenhub::spawn(greenhub::park);
                killed.kill();
                drop(killed);
                drop(greenhub::spawn(|| panic!("joined")).join());
            });
            common::eventually("both were reported", || seen.lock().unwrap().len() == 2);
        });
        let mut seen = seen.lock().unwrap().clone();
        seen.sort();
        assert_eq!(
            seen,
            [
                ("lost".into(), "detached before its end".into()),
                ("nameless".into(), "detached after its end".into())
            ]
        );
    });
}

#[test]
fn a_panic_in_the_destructor_of_a_detached_result_is_reported_and_goes_no_further() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            if !std_panicking() {
                panic!("bad result");
            }
        }
    }
    everywhere(|world| {
        let seen = errors_seen();
        quietly(|| {
            drop(world.runtime.spawn(|| {
                greenhub::sleep(Duration::from_millis(1));
                Bad
            }));
            common::eventually("it was reported", || seen.lock().unwrap().len() == 1);
        });
        assert_eq!(seen.lock().unwrap()[0].1, "bad result");
        expect_calm(world);
    });
}

#[test]
fn an_error_handler_that_panics_or_suspends_goes_no_further() {
    everywhere(|world| {
        quietly(|| {
            let calls = Arc::new(AtomicUsize::new(0));
            let count = calls.clone();
            greenhub::on_error(move |_, _| {
                if count.fetch_add(1, SeqCst) == 0 {
                    panic!("the handler's own");
                }
                greenhub::sleep(Duration::from_millis(1));
            });
            for n in 1..=2 {
                drop(world.runtime.spawn(|| panic!("expected")));
                common::eventually("the handler was called", || calls.load(SeqCst) == n);
            }
        });
        errors_seen();
        expect_calm(world);
    });
}

#[test]
fn a_panic_in_a_destructor_of_a_local_ends_the_greenlet_as_that_panic() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("bad local");
        }
    }
    everywhere(|world| {
        quietly(|| {
            let (other, seen) = Witness::new();
            let error = world
                .runtime
                .spawn(move || {
                    let _other = other;
                    let _bad = Bad;
                    greenhub::yield_now();
                })
                .join()
                .unwrap_err();
            assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"bad local"));
            assert_eq!(seen.drops(), 1);
        });
        expect_calm(world);
    });
}

#[test]
fn a_panic_in_the_destructor_of_a_closure_that_never_ran_reaches_the_joiner() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("bad closure");
        }
    }
    inside(|| {
        quietly(|| {
            let bad = Bad;
            let handle = greenhub::spawn_local(move || drop(bad));
            handle.kill();
            let error = handle.join().unwrap_err();
            assert!(error.is_panic(), "{error}");
            assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"bad closure"));
        });
    });
}

#[test]
fn a_panic_in_a_link_is_the_link_s_own() {
    everywhere(|world| {
        let seen = errors_seen();
        quietly(|| {
            let handle = world.runtime.spawn(|| greenhub::sleep(Duration::from_millis(1)));
            handle.greenlet().link(|_| panic!("in a link"));
            handle.join().unwrap();
            common::eventually("it was reported", || seen.lock().unwrap().len() == 1);
        });
        assert_eq!(seen.lock().unwrap()[0].1, "in a link");
    });
}

#[test]
fn a_thousand_panics_leave_every_hub_in_order() {
    everywhere(|world| {
        quietly(|| {
            let handles: Vec<_> = (0..1000)
                .map(|n| {
                    world.runtime.spawn(move || {
                        if n % 3 == 0 {
                            greenhub::yield_now();
                        }
                        panic!("expected")
                    })
                })
                .collect();
            handles.into_iter().for_each(|handle| assert!(handle.join().unwrap_err().is_panic()));
        });
        expect_calm(world);
    });
    assert_eq!(ALL.len(), 6);
}
