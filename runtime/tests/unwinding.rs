//! Whose unwinding it is, beside a neighbour that is suspended in the middle of its own.

mod common;

use common::{inside, quietly};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// A greenlet of the caller's hub that sleeps in the middle of its unwinding. Its caller, who has a local child now, stays
/// on this hub too.
struct Neighbour {
    handle: greenhub::JoinHandle<()>,
    end: Arc<AtomicBool>,
}

impl Neighbour {
    fn begin() -> Self {
        struct Sleeps(Arc<AtomicBool>);
        impl Drop for Sleeps {
            fn drop(&mut self) {
                while !self.0.load(SeqCst) {
                    greenhub::sleep(Duration::from_millis(1));
                }
            }
        }
        let end = Arc::new(AtomicBool::new(false));
        let sleeps = Sleeps(end.clone());
        let handle = greenhub::spawn_local(move || {
            let _sleeps = sleeps;
            panic!("expected");
        });
        greenhub::yield_now();
        assert!(common::std_panicking() && !greenhub::panicking());
        Self { handle, end }
    }

    fn end(self) {
        assert!(!self.handle.is_finished());
        self.end.store(true, SeqCst);
        assert!(self.handle.join().unwrap_err().is_panic());
    }
}

/// Runs `body` as a greenlet while another one of its hub sleeps in the middle of its unwinding.
fn beside_one_that_unwinds(body: impl Fn() + Send + Sync) {
    quietly(|| {
        inside(|| {
            let neighbour = Neighbour::begin();
            body();
            neighbour.end();
        });
    });
}

#[track_caller]
fn expect_timeouts_to_work() {
    assert!(!greenhub::panicking());
    let begun = Instant::now();
    assert!(greenhub::timeout(Duration::from_millis(1), || greenhub::sleep(LONG)).is_err());
    assert!(begun.elapsed() < LONG, "the timeout was held back");
}

#[test]
fn who_catches_a_kill_does_not_unwind_any_longer() {
    beside_one_that_unwinds(|| {
        let stubborn = greenhub::spawn(|| {
            for _ in 0..3 {
                assert!(catch_unwind(|| greenhub::sleep(LONG)).is_err());
                assert!(!greenhub::panicking());
            }
            expect_timeouts_to_work();
        });
        for _ in 0..3 {
            greenhub::sleep(Duration::from_millis(2));
            stubborn.kill();
        }
        assert!(stubborn.join_timeout(LONG / 2), "a later kill was held back");
        stubborn.join().unwrap();
    });
}

#[test]
fn who_catches_a_timeout_does_not_unwind_any_longer() {
    beside_one_that_unwinds(|| {
        let within = greenhub::timeout(Duration::from_millis(1), || {
            assert!(catch_unwind(|| greenhub::sleep(LONG)).is_err());
            assert!(!greenhub::panicking());
            7
        });
        assert_eq!(within, Ok(7));
        expect_timeouts_to_work();
    });
}

#[test]
fn who_throws_what_it_caught_unwinds_again() {
    struct Asks(Arc<AtomicUsize>);
    impl Drop for Asks {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(1));
            self.0.fetch_add(usize::from(greenhub::panicking()), SeqCst);
        }
    }
    beside_one_that_unwinds(|| {
        let asked = Arc::new(AtomicUsize::new(0));
        for again in [std::panic::resume_unwind, greenhub::resume_unwind] {
            let asks = Asks(asked.clone());
            let killed = greenhub::spawn(move || {
                let _asks = asks;
                let payload = catch_unwind(|| greenhub::sleep(LONG)).unwrap_err();
                again(payload)
            });
            greenhub::sleep(Duration::from_millis(1));
            killed.kill();
            assert!(killed.join().unwrap_err().is_killed());
        }
        assert_eq!(asked.load(SeqCst), 2);
    });
}

#[test]
fn a_payload_that_is_dropped_amid_a_later_unwinding_ends_nothing() {
    struct Asks(Arc<AtomicUsize>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.fetch_add(usize::from(greenhub::panicking()), SeqCst);
        }
    }
    beside_one_that_unwinds(|| {
        let asked = Arc::new(AtomicUsize::new(0));
        let asks = Asks(asked.clone());
        let caught = catch_unwind(AssertUnwindSafe(|| {
            // Dropped in this order: the kept payload, then the one that asks.
            let _asks = asks;
            let _kept = greenhub::timeout(Duration::from_millis(1), || {
                catch_unwind(|| greenhub::sleep(LONG)).unwrap_err()
            });
            panic!("expected");
        }));
        assert!(caught.is_err());
        assert_eq!(asked.load(SeqCst), 1);
    });
}

#[track_caller]
fn expect_panic(caught: std::thread::Result<()>) {
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"expected"));
}

#[test]
fn who_catches_a_panic_is_in_reach_of_timeouts_at_once() {
    beside_one_that_unwinds(|| {
        for _ in 0..2 {
            expect_panic(greenhub::catch_unwind(|| panic!("expected")));
            expect_timeouts_to_work();
        }
        assert_eq!(greenhub::catch_unwind(|| 7).unwrap(), 7);
        expect_timeouts_to_work();
    });
}

#[test]
fn who_catches_a_panic_is_in_reach_of_kills_at_once() {
    beside_one_that_unwinds(|| {
        let careful = greenhub::spawn_local(|| {
            expect_panic(greenhub::catch_unwind(|| panic!("expected")));
            greenhub::sleep(LONG);
        });
        greenhub::yield_now();
        careful.kill();
        assert!(careful.join_timeout(LONG / 2), "the kill was held back");
        assert!(careful.join().unwrap_err().is_killed());
    });
}

#[test]
fn who_catches_a_panic_by_stds_means_inside_a_catch_of_ours_is_in_reach_after_it() {
    beside_one_that_unwinds(|| {
        greenhub::catch_unwind(|| expect_panic(catch_unwind(|| panic!("expected")))).unwrap();
        expect_timeouts_to_work();
    });
}

#[test]
fn a_kill_that_is_caught_is_over_and_thrown_on_it_is_a_kill_again() {
    beside_one_that_unwinds(|| {
        let stubborn = greenhub::spawn_local(|| {
            let kept = greenhub::catch_unwind(|| greenhub::sleep(LONG)).unwrap_err();
            expect_timeouts_to_work();
            assert!(greenhub::catch_unwind(|| greenhub::sleep(LONG)).is_err());
            expect_timeouts_to_work();
            greenhub::resume_unwind(kept)
        });
        for _ in 0..2 {
            greenhub::sleep(Duration::from_millis(10));
            stubborn.kill();
        }
        assert!(stubborn.join_timeout(LONG / 2), "the second kill was held back");
        assert!(stubborn.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_timeout_that_is_caught_is_over_and_thrown_on_it_is_that_timeouts_end() {
    beside_one_that_unwinds(|| {
        let swallowed = greenhub::timeout(Duration::from_millis(1), || {
            assert!(greenhub::catch_unwind(|| greenhub::sleep(LONG)).is_err());
            7
        });
        assert_eq!(swallowed, Ok(7));
        let thrown_on = greenhub::timeout(Duration::from_millis(1), || {
            let kept = greenhub::catch_unwind(|| greenhub::sleep(LONG)).unwrap_err();
            greenhub::resume_unwind(kept)
        });
        assert!(thrown_on.is_err());
        expect_timeouts_to_work();
    });
}

#[test]
fn who_catches_a_panic_amid_its_own_unwinding_still_unwinds() {
    struct Catches(Arc<AtomicBool>);
    impl Drop for Catches {
        fn drop(&mut self) {
            expect_panic(greenhub::catch_unwind(|| panic!("expected")));
            greenhub::sleep(Duration::from_millis(1));
            self.0.store(greenhub::panicking(), SeqCst);
        }
    }
    beside_one_that_unwinds(|| {
        let unwinds = Arc::new(AtomicBool::new(false));
        let catches = Catches(unwinds.clone());
        expect_panic(greenhub::catch_unwind(AssertUnwindSafe(|| {
            let _catches = catches;
            panic!("expected");
        })));
        assert!(unwinds.load(SeqCst));
        expect_timeouts_to_work();
    });
}

#[test]
fn what_was_caught_before_anybody_unwound_is_forgotten() {
    quietly(|| {
        inside(|| {
            expect_panic(catch_unwind(|| panic!("expected")));
            let mut neighbour = None;
            expect_panic(greenhub::catch_unwind(AssertUnwindSafe(|| {
                neighbour = Some(Neighbour::begin());
                panic!("expected");
            })));
            expect_timeouts_to_work();
            neighbour.expect("it was begun").end();
        });
    });
}

#[test]
fn a_plain_thread_catches_as_with_std() {
    quietly(|| {
        expect_panic(greenhub::catch_unwind(|| panic!("expected")));
        assert!(!greenhub::panicking() && !common::std_panicking());
    });
}
