//! Joining: the result of a greenlet reaches whoever waits for its end, once.

mod common;

use common::{Witness, everywhere, inside, quietly};
use greenhub::{JoinError, JoinHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[test]
fn join_gives_the_result_in_every_state_of_the_greenlet() {
    inside(|| {
        // Unstarted.
        assert_eq!(greenhub::spawn(|| 1).join().unwrap(), 1);
        // Ready.
        let ready = greenhub::spawn(|| {
            greenhub::yield_now();
            2
        });
        greenhub::yield_now();
        assert_eq!(ready.join().unwrap(), 2);
        // Waiting.
        let waiting = greenhub::spawn(|| {
            greenhub::sleep(Duration::from_millis(2));
            3
        });
        greenhub::yield_now();
        assert_eq!(waiting.join().unwrap(), 3);
        // Ended.
        let ended = greenhub::spawn(|| 4);
        common::eventually("it ended", || ended.is_finished());
        assert_eq!(ended.join().unwrap(), 4);
        // Not due yet.
        assert_eq!(greenhub::spawn_later(Duration::from_millis(2), || 5).join().unwrap(), 5);
    });
}

#[test]
fn plain_threads_join_greenlets_in_every_state() {
    everywhere(|world| {
        assert_eq!(world.runtime.spawn(|| 1).join().unwrap(), 1);
        let waiting = world.runtime.spawn(|| {
            greenhub::sleep(Duration::from_millis(2));
            2
        });
        assert_eq!(waiting.join().unwrap(), 2);
        let ended = world.runtime.spawn(|| 3);
        common::eventually("it ended", || ended.is_finished());
        assert_eq!(ended.join().unwrap(), 3);
    });
}

#[test]
fn join_timeout_says_whether_the_greenlet_has_ended() {
    everywhere(|world| {
        let check = || {
            let handle = greenhub::spawn(greenhub::park);
            let start = Instant::now();
            assert!(!handle.join_timeout(Duration::from_millis(3)));
            assert!(start.elapsed() >= Duration::from_millis(3), "early: {:?}", start.elapsed());
            assert!(!handle.join_timeout(Duration::ZERO));
            handle.greenlet().unpark();
            assert!(handle.join_timeout(Duration::MAX));
            assert!(handle.join_timeout(Duration::ZERO));
            handle.join().unwrap();
        };
        world.run(check);
        let handle = world.runtime.spawn(greenhub::park);
        let start = Instant::now();
        assert!(!handle.join_timeout(Duration::from_millis(3)), "and on a plain thread");
        assert!(start.elapsed() >= Duration::from_millis(3));
        handle.greenlet().unpark();
        assert!(handle.join_timeout(Duration::from_secs(20)));
        handle.join().unwrap();
    });
}

#[test]
fn a_join_that_timed_out_leaves_no_trace() {
    inside(|| {
        let handle = Arc::new(greenhub::spawn(greenhub::park));
        for _ in 0..20 {
            assert!(!handle.join_timeout(Duration::from_micros(200)));
        }
        let waiters: Vec<_> = (0..10)
            .map(|_| {
                let handle = handle.clone();
                greenhub::spawn(move || handle.join_timeout(Duration::from_micros(300)))
            })
            .collect();
        waiters.into_iter().for_each(|waiter| assert!(!waiter.join().unwrap()));
        handle.greenlet().unpark();
        assert!(handle.join_timeout(Duration::from_secs(20)));
        Arc::into_inner(handle).unwrap().join().unwrap();
    });
}

#[test]
fn many_wait_for_one() {
    everywhere(|world| {
        let target = Arc::new(world.runtime.spawn(greenhub::park));
        let woken = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..50)
            .map(|_| {
                let (target, woken) = (target.clone(), woken.clone());
                world.runtime.spawn(move || {
                    assert!(target.join_timeout(Duration::from_secs(30)));
                    woken.fetch_add(1, SeqCst);
                })
            })
            .collect();
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    assert!(target.join_timeout(Duration::from_secs(30)));
                    woken.fetch_add(1, SeqCst);
                });
            }
            common::settle();
            assert_eq!(woken.load(SeqCst), 0);
            target.greenlet().unpark();
        });
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(woken.load(SeqCst), 53);
        Arc::into_inner(target).unwrap().join().unwrap();
    });
}

#[test]
fn join_all_gives_results_in_order_and_keeps_errors_apart() {
    inside(|| {
        let (results, printed) = quietly(|| {
            greenhub::join_all((0..30).map(|n| {
                greenhub::spawn(move || {
                    greenhub::sleep(Duration::from_micros(100 * (30 - n)));
                    if n % 10 == 3 { panic!("expected {n}") } else { n }
                })
            }))
        });
        assert_eq!(printed, 3);
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value, n as u64),
                Err(error) => {
                    assert_eq!(n % 10, 3);
                    assert!(error.is_panic());
                    assert!(error.to_string().contains(&format!("expected {n}")), "{error}");
                }
            }
        }
    });
}

#[test]
fn a_handle_is_send_and_may_be_joined_elsewhere() {
    everywhere(|world| {
        let handle: JoinHandle<String> = world.run(|| {
            greenhub::spawn(|| {
                greenhub::sleep(Duration::from_millis(1));
                "moved".to_owned()
            })
        });
        assert_eq!(std::thread::spawn(move || handle.join().unwrap()).join().unwrap(), "moved");
        let handle = world.runtime.spawn(|| 7);
        assert_eq!(world.runtime.spawn(move || handle.join().unwrap()).join().unwrap(), 7);
    });
}

#[test]
fn an_ended_greenlet_is_joined_after_its_runtime() {
    let _alone = common::alone();
    let runtime = greenhub::runtime::Builder::new().hubs(2).build().unwrap();
    let handle = runtime.spawn(|| String::from("left behind"));
    common::eventually("it ended", || handle.is_finished());
    let (result, dropped) = Witness::new();
    let unjoined = runtime.spawn(move || result);
    common::eventually("it ended", || unjoined.is_finished());
    assert!(runtime.shutdown_timeout(Duration::from_secs(5)));
    assert_eq!(handle.join().unwrap(), "left behind");
    assert_eq!(dropped.drops(), 0);
    drop(unjoined);
    assert_eq!(dropped.drops(), 1);
}

#[test]
fn dropping_the_handle_drops_the_result_exactly_once() {
    inside(|| {
        // Before the end.
        let (result, seen) = Witness::new();
        let handle = greenhub::spawn(move || {
            greenhub::sleep(Duration::from_millis(1));
            result
        });
        drop(handle);
        common::eventually("the result of a detached greenlet is dropped", || seen.drops() == 1);
        // After it.
        let (result, seen) = Witness::new();
        let handle = greenhub::spawn(move || result);
        common::eventually("it ended", || handle.is_finished());
        assert_eq!(seen.drops(), 0);
        drop(handle);
        assert_eq!(seen.drops(), 1);
        // By joining.
        let (result, seen) = Witness::new();
        let joined = greenhub::spawn(move || result).join().unwrap();
        assert_eq!(seen.drops(), 0);
        drop(joined);
        assert_eq!(seen.drops(), 1);
    });
}

#[test]
fn detaching_races_with_ending_without_losing_a_result() {
    everywhere(|world| {
        let seen = Arc::new(common::Seen::default());
        const ROUNDS: usize = 2000;
        for n in 0..ROUNDS {
            let witness = Witness::of(&seen);
            let handle = world.runtime.spawn(move || witness);
            if n % 3 == 0 {
                std::thread::yield_now();
            }
            drop(handle);
        }
        common::eventually("every result is dropped", || seen.drops() == ROUNDS);
    });
}

#[test]
fn the_result_of_a_local_greenlet_is_dropped_on_its_hub() {
    inside(|| {
        let here = common::os_thread();
        let (result, seen) = Witness::new();
        let local = std::rc::Rc::new(result);
        drop(greenhub::spawn_local(move || {
            greenhub::sleep(Duration::from_millis(1));
            local
        }));
        common::eventually("the result is dropped", || seen.drops() == 1);
        assert_eq!(seen.thread(), here);
    });
}

#[test]
fn the_result_of_a_detached_greenlet_may_suspend_when_it_is_dropped() {
    struct Slow(Arc<AtomicBool>);
    impl Drop for Slow {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(1));
            greenhub::spawn(|| ()).join().unwrap();
            self.0.store(true, SeqCst);
        }
    }
    inside(|| {
        let dropped = Arc::new(AtomicBool::new(false));
        let slow = Slow(dropped.clone());
        drop(greenhub::spawn(move || slow));
        common::eventually("the slow result is dropped", || dropped.load(SeqCst));
    });
}

#[test]
fn joining_ones_parent_chain_in_a_deep_tree_works() {
    fn tree(depth: u32) -> u64 {
        if depth == 0 {
            return 1;
        }
        let left = greenhub::spawn(move || tree(depth - 1));
        let right = tree(depth - 1);
        left.join().unwrap() + right
    }
    inside(|| assert_eq!(tree(12), 1 << 12));
}

#[test]
fn a_chain_of_joins_a_thousand_deep_unwinds_to_its_start() {
    fn chain(depth: u32) -> u32 {
        if depth == 0 { 0 } else { greenhub::spawn(move || chain(depth - 1)).join().unwrap() + 1 }
    }
    inside(|| assert_eq!(chain(1000), 1000));
}

#[test]
fn errors_say_who_it_was() {
    inside(|| {
        let (error, _) = quietly(|| {
            let named = greenhub::Builder::new().name("clerk".into()).spawn(|| panic!("out of ink")).unwrap();
            named.join().unwrap_err()
        });
        let text = error.to_string();
        assert!(text.contains("clerk") && text.contains("out of ink") && text.contains("join.rs"), "{text}");
        let killed = greenhub::spawn(greenhub::park);
        killed.kill();
        let error: JoinError = killed.join().unwrap_err();
        assert!(error.is_killed() && !error.is_panic());
        assert!(error.to_string().contains("killed") && error.to_string().contains("join.rs"), "{error}");
        let _std: &dyn std::error::Error = &error;
        assert!(error.try_into_panic().unwrap_err().is_killed());
    });
}

/// A greenlet whose end runs through a grandchild, which it claims and runs in the middle of its own turn.
fn parent_of_one() -> JoinHandle<()> {
    greenhub::spawn(|| greenhub::spawn(|| ()).join().unwrap())
}

#[test]
fn a_pinned_greenlet_that_joins_stays_on_its_hub() {
    inside(|| {
        let pinned = greenhub::spawn(|| {
            // From now on it may not leave.
            greenhub::spawn_local(|| ()).join().unwrap();
            let here = common::os_thread();
            for _ in 0..2_000 {
                parent_of_one().join().unwrap();
                assert_eq!(common::os_thread(), here);
            }
        });
        pinned.join().unwrap();
    });
}

#[test]
fn a_greenlet_that_joins_while_it_unwinds_stays_on_its_hub() {
    struct JoinInDrop(Option<JoinHandle<()>>);
    impl Drop for JoinInDrop {
        fn drop(&mut self) {
            let here = common::os_thread();
            self.0.take().expect("it is dropped once").join().unwrap();
            assert_eq!(common::os_thread(), here);
        }
    }
    inside(|| {
        for _ in 0..2_000 {
            let unwinding = greenhub::spawn(|| {
                let _joined = JoinInDrop(Some(parent_of_one()));
                greenhub::resume_unwind(Box::new("over"));
            });
            assert!(unwinding.join().unwrap_err().is_panic());
        }
    });
}
