//! Scopes: what is lent to greenlets outlives them, whatever happens.

mod common;

use common::{Witness, everywhere, inside, quietly};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[test]
fn scoped_greenlets_borrow_and_the_scope_waits_for_them() {
    everywhere(|world| {
        let test = || {
            let mut numbers = vec![1_u64; 1000];
            let total = AtomicUsize::new(0);
            let value = greenhub::scope(|s| {
                for part in numbers.chunks_mut(10) {
                    let total = &total;
                    s.spawn(move || {
                        greenhub::yield_now();
                        part.iter_mut().for_each(|n| *n += 1);
                        total.fetch_add(part.len(), SeqCst);
                    });
                }
                "value"
            });
            assert_eq!(value, "value");
            assert_eq!(total.load(SeqCst), 1000);
            assert!(numbers.iter().all(|&n| n == 2));
        };
        world.run(test);
    });
}

#[test]
fn a_plain_thread_has_scopes_too() {
    let _alone = common::alone();
    let mut text = String::from("plain");
    greenhub::scope(|s| {
        s.spawn(|| {
            greenhub::sleep(Duration::from_millis(2));
            text.push_str(" thread");
        });
    });
    assert_eq!(text, "plain thread");
}

#[test]
fn an_empty_scope_returns_at_once_and_scopes_nest() {
    inside(|| {
        assert_eq!(greenhub::scope(|_| 3), 3);
        let count = AtomicUsize::new(0);
        greenhub::scope(|outer| {
            for _ in 0..10 {
                outer.spawn(|| {
                    greenhub::scope(|inner| {
                        for _ in 0..10 {
                            inner.spawn(|| count.fetch_add(1, SeqCst));
                        }
                    });
                });
            }
        });
        assert_eq!(count.load(SeqCst), 100);
    });
}

#[test]
fn scoped_greenlets_spawn_siblings_in_the_same_scope() {
    inside(|| {
        let count = AtomicUsize::new(0);
        greenhub::scope(|s| {
            s.spawn(|| {
                for _ in 0..20 {
                    s.spawn(|| {
                        greenhub::yield_now();
                        s.spawn(|| count.fetch_add(1, SeqCst));
                        count.fetch_add(1, SeqCst);
                    });
                }
            });
        });
        assert_eq!(count.load(SeqCst), 40);
    });
}

#[test]
fn a_scoped_handle_gives_result_state_and_identity() {
    inside(|| {
        let word = String::from("lent");
        greenhub::scope(|s| {
            let handle = s.spawn(|| word.len());
            assert_eq!(handle.join().unwrap(), 4);
            let named =
                greenhub::Builder::new().name("child".into()).spawn_scoped(s, greenhub::park).unwrap();
            assert_eq!(named.greenlet().name(), Some("child"));
            assert!(!named.join_timeout(Duration::from_millis(1)));
            assert!(!named.is_finished());
            named.greenlet().unpark();
            assert!(named.join_timeout(Duration::from_secs(20)));
            assert!(named.is_finished());
        });
    });
}

#[test]
fn a_scope_panics_if_a_child_did_and_nobody_joined_it() {
    inside(|| {
        let other = AtomicBool::new(false);
        let (caught, printed) = quietly(|| {
            catch_unwind(AssertUnwindSafe(|| {
                greenhub::scope(|s| {
                    s.spawn(|| panic!("expected"));
                    s.spawn(|| {
                        greenhub::sleep(Duration::from_millis(3));
                        other.store(true, SeqCst);
                    });
                });
            }))
        });
        let payload = caught.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a scoped greenlet panicked"));
        assert_eq!(printed, 2);
        assert!(other.load(SeqCst), "the scope waited for the other child all the same");
    });
}

#[test]
fn a_child_s_panic_that_was_joined_is_no_panic_of_the_scope() {
    inside(|| {
        let (value, printed) = quietly(|| {
            greenhub::scope(|s| {
                let error = s.spawn(|| panic!("expected")).join().unwrap_err();
                assert!(error.is_panic());
                8
            })
        });
        assert_eq!((value, printed), (8, 1));
    });
}

#[test]
fn an_unjoined_killed_child_is_no_panic() {
    inside(|| {
        let value = greenhub::scope(|s| {
            let waiting = s.spawn(greenhub::park);
            greenhub::yield_now();
            waiting.kill();
            let unstarted = s.spawn(|| ());
            unstarted.kill();
            assert!(s.spawn(|| greenhub::current().kill()).join().unwrap_err().is_killed());
            9
        });
        assert_eq!(value, 9);
    });
}

#[test]
fn a_scope_whose_body_panics_waits_for_its_children_first() {
    inside(|| {
        let ended = AtomicUsize::new(0);
        let (caught, _) = quietly(|| {
            catch_unwind(AssertUnwindSafe(|| {
                greenhub::scope(|s| {
                    for _ in 0..5 {
                        s.spawn(|| {
                            greenhub::sleep(Duration::from_millis(3));
                            ended.fetch_add(1, SeqCst);
                        });
                    }
                    panic!("expected body");
                });
            }))
        });
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"expected body"));
        assert_eq!(ended.load(SeqCst), 5);
    });
}

#[test]
fn a_scope_that_panics_while_its_children_are_parked_on_the_same_hub_ends() {
    inside(|| {
        let parked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let waker = greenhub::spawn({
            let parked = parked.clone();
            move || {
                greenhub::sleep(Duration::from_millis(5));
                let greenlets: Vec<greenhub::Greenlet> = parked.lock().unwrap().clone();
                greenlets.iter().for_each(greenhub::Greenlet::unpark);
            }
        });
        let (caught, _) = quietly(|| {
            catch_unwind(AssertUnwindSafe(|| {
                greenhub::scope(|s| {
                    for _ in 0..5 {
                        let child =
                            greenhub::Builder::new().pinned().spawn_scoped(s, greenhub::park).unwrap();
                        parked.lock().unwrap().push(child.greenlet().clone());
                    }
                    greenhub::yield_now();
                    panic!("expected");
                });
            }))
        });
        assert!(caught.is_err());
        waker.join().unwrap();
        assert!(!std::thread::panicking());
        assert!(!greenhub::panicking());
    });
}

#[test]
fn a_greenlet_killed_at_its_scope_s_end_kills_its_children_and_waits_for_them() {
    inside(|| {
        let unwound = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicUsize::new(0));
        let (outlived, ended_before) = (Arc::new(AtomicBool::new(true)), unwound.clone());
        let (flag, count) = (outlived.clone(), begun.clone());
        let parent = greenhub::spawn(move || {
            struct SlowEnd<'a>(&'a AtomicUsize);
            impl Drop for SlowEnd<'_> {
                fn drop(&mut self) {
                    greenhub::sleep(Duration::from_millis(3));
                    self.0.fetch_add(1, SeqCst);
                }
            }
            struct AfterAll(Arc<AtomicUsize>, Arc<AtomicBool>);
            impl Drop for AfterAll {
                fn drop(&mut self) {
                    self.1.store(self.0.load(SeqCst) == 4, SeqCst);
                }
            }
            let _after = AfterAll(ended_before.clone(), flag);
            let lent = &*ended_before;
            greenhub::scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| {
                        let _slow = SlowEnd(lent);
                        count.fetch_add(1, SeqCst);
                        greenhub::park();
                    });
                }
            });
        });
        common::eventually("all children began", || begun.load(SeqCst) == 4);
        parent.kill();
        assert!(parent.join().unwrap_err().is_killed());
        assert_eq!(unwound.load(SeqCst), 4);
        assert!(outlived.load(SeqCst), "the parent unwound before its children had ended");
    });
}

#[test]
fn a_timeout_at_a_scope_s_end_kills_the_children_and_waits_for_them() {
    everywhere(|world| {
        let test = || {
            let (local, seen) = Witness::new();
            let ended = greenhub::timeout(Duration::from_millis(3), || {
                greenhub::scope(|s| {
                    s.spawn(move || {
                        let _local = local;
                        greenhub::sleep(Duration::from_secs(60));
                    });
                });
            });
            assert!(ended.is_err());
            assert_eq!(seen.drops(), 1);
        };
        world.run(test);
    });
}

#[test]
fn a_timeout_on_a_plain_thread_s_scope_kills_its_children_too() {
    let _alone = common::alone();
    let (local, seen) = Witness::new();
    let start = Instant::now();
    let ended = greenhub::timeout(Duration::from_millis(3), || {
        greenhub::scope(|s| {
            s.spawn(move || {
                let _local = local;
                greenhub::sleep(Duration::from_secs(60));
            });
        });
    });
    assert!(ended.is_err());
    assert_eq!(seen.drops(), 1);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_kill_in_a_scope_s_body_kills_the_children_and_waits_until_they_have_unwound() {
    inside(|| {
        let unwound = Arc::new(AtomicUsize::new(0));
        let count = unwound.clone();
        let parent = common::spawn_begun(move || {
            struct Count<'a>(&'a AtomicUsize);
            impl Drop for Count<'_> {
                fn drop(&mut self) {
                    greenhub::sleep(Duration::from_millis(2)); // it takes its time, and is waited for
                    self.0.fetch_add(1, SeqCst);
                }
            }
            let lent = &*count;
            greenhub::scope(|s| {
                for _ in 0..3 {
                    let guard = Count(lent);
                    s.spawn(move || {
                        let _guard = guard;
                        greenhub::sleep(Duration::from_secs(3600));
                    });
                }
                greenhub::shield(greenhub::yield_now);
                greenhub::park();
            });
        });
        parent.kill();
        assert!(parent.join().unwrap_err().is_killed());
        assert_eq!(unwound.load(SeqCst), 3);
    });
}

#[test]
fn a_timeout_in_a_scope_s_body_ends_the_scope() {
    inside(|| {
        let ended = greenhub::timeout(Duration::from_millis(5), || {
            greenhub::scope(|s| {
                s.spawn(|| greenhub::sleep(Duration::from_secs(3600)));
                greenhub::sleep(Duration::from_secs(3600));
            });
        });
        assert!(ended.is_err());
    });
}

#[test]
fn a_child_that_swallows_its_kill_is_waited_for_all_the_same() {
    inside(|| {
        let went_on = Arc::new(AtomicBool::new(false));
        let begun = Arc::new(AtomicBool::new(false));
        let (flag, began) = (went_on.clone(), begun.clone());
        let parent = greenhub::spawn(move || {
            let lent = &*flag;
            greenhub::scope(|s| {
                s.spawn(|| {
                    began.store(true, SeqCst);
                    drop(catch_unwind(AssertUnwindSafe(greenhub::park)));
                    greenhub::sleep(Duration::from_millis(4));
                    lent.store(true, SeqCst);
                });
            });
        });
        common::eventually("the child began", || begun.load(SeqCst));
        parent.kill();
        assert!(parent.join().unwrap_err().is_killed());
        assert!(went_on.load(SeqCst));
    });
}

#[test]
fn borrowed_data_outlives_the_destructors_of_results() {
    struct Result<'a>(&'a [AtomicUsize]);
    impl Drop for Result<'_> {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(2));
            self.0.iter().for_each(|n| _ = n.fetch_add(1, SeqCst));
        }
    }
    inside(|| {
        let lent: Vec<AtomicUsize> = (0..8).map(|_| AtomicUsize::new(0)).collect();
        greenhub::scope(|s| {
            drop(s.spawn(|| Result(&lent)));
            let kept = s.spawn(|| Result(&lent));
            while !kept.is_finished() {
                greenhub::yield_now();
            }
        });
        assert!(lent.iter().all(|n| n.load(SeqCst) == 2), "{lent:?}");
    });
}

#[test]
fn borrowed_data_outlives_closures_that_never_ran() {
    struct Captured<'a>(&'a AtomicUsize);
    impl Drop for Captured<'_> {
        fn drop(&mut self) {
            // On several hubs one may have started, and then its kill comes here.
            greenhub::shield(|| greenhub::sleep(Duration::from_millis(1)));
            self.0.fetch_add(1, SeqCst);
        }
    }
    inside(|| {
        let dropped = AtomicUsize::new(0);
        greenhub::scope(|s| {
            for _ in 0..10 {
                let captured = Captured(&dropped);
                s.spawn(move || drop(captured)).kill();
            }
        });
        assert_eq!(dropped.load(SeqCst), 10);
    });
}

#[test]
fn run_never_returns_while_what_it_was_lent_is_in_use() {
    inside(|| {
        // `run` inside a greenlet that is killed: its greenlet is killed too, and waited for.
        let ended = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicBool::new(false));
        let (count, began) = (ended.clone(), begun.clone());
        let parent = greenhub::spawn(move || {
            let lent = &*count;
            greenhub::run(|| {
                struct Slow<'a>(&'a AtomicUsize);
                impl Drop for Slow<'_> {
                    fn drop(&mut self) {
                        greenhub::sleep(Duration::from_millis(3));
                        self.0.fetch_add(1, SeqCst);
                    }
                }
                let _slow = Slow(lent);
                began.store(true, SeqCst);
                greenhub::park();
            });
        });
        common::eventually("it began", || begun.load(SeqCst));
        parent.kill();
        assert!(parent.join().unwrap_err().is_killed());
        assert_eq!(ended.load(SeqCst), 1);
    });
}

#[test]
fn ten_thousand_children_of_one_scope_come_and_go() {
    inside(|| {
        let count = AtomicUsize::new(0);
        greenhub::scope(|s| {
            for n in 0..10_000 {
                s.spawn(|| count.fetch_add(1, SeqCst));
                if n % 100 == 0 {
                    greenhub::yield_now();
                }
            }
        });
        assert_eq!(count.load(SeqCst), 10_000);
    });
}

/// Nothing was lent, so there is nothing to wait for.
#[test]
fn a_scope_whose_spawn_panics_does_not_wait_for_it() {
    const NAME: &str = "a_scope_whose_spawn_panics_does_not_wait_for_it";
    if common::child::is_child(NAME) {
        let (caught, _) = quietly(|| catch_unwind(|| greenhub::scope(|s| _ = s.spawn(|| ()))));
        let payload = caught.expect_err("there is no default runtime to be had");
        let text = payload.downcast_ref::<String>().expect("a message");
        assert!(text.contains("GREENHUB_HUBS"), "{text}");
        return;
    }
    common::child::succeed(NAME, |command| _ = command.env("GREENHUB_HUBS", "none"));
}
