//! Whose unwinding it is, beside a neighbour that is suspended in the middle of its own.

mod common;

use common::{inside_on, quietly, roam, stay};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

/// Runs `body` as a greenlet while another one of its hub sleeps in the middle of its unwinding.
fn beside_one_that_unwinds(body: impl Fn() + Send + Sync) {
    struct Sleeps(Arc<AtomicBool>);
    impl Drop for Sleeps {
        fn drop(&mut self) {
            while !self.0.load(SeqCst) {
                greenhub::sleep(Duration::from_millis(1));
            }
        }
    }
    quietly(|| {
        inside_on(&[stay(1), roam(1)], || {
            let end = Arc::new(AtomicBool::new(false));
            let sleeps = Sleeps(end.clone());
            let neighbour = greenhub::spawn(move || {
                let _sleeps = sleeps;
                panic!("expected");
            });
            greenhub::yield_now();
            assert!(common::std_panicking() && !greenhub::panicking());
            body();
            assert!(!neighbour.is_finished());
            end.store(true, SeqCst);
            assert!(neighbour.join().unwrap_err().is_panic());
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
