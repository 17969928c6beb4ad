//! A reporter holds a parked greenlet still while others end its wait: the wait is ended once, by whoever owes the push
//! then, and neither its token, its kill nor its mask is lost.
//!
//! `State::borrow_parked` and `give_back` of `greenlet/state.rs` run as they ship, against `wake`, `unpark`, `kill` and
//! `timer`.

use super::{Commit, Kill, State, Wake};
use loom::sync::Arc;
use loom::thread;

/// A greenlet parked in the first wait it ever made.
fn parked(user: bool, masked: bool) -> Arc<State> {
    let state = Arc::new(State::unstarted());
    assert!(state.claim());
    assert_eq!(state.commit_park(0, user, masked, None), Commit::Parked);
    state
}

/// Borrows and gives back; how many pushes that makes the borrower owe.
fn borrow(state: &State) -> u32 {
    let Some(borrowed) = state.borrow_parked() else { return 0 };
    u32::from(state.give_back(borrowed) == Commit::Requeue)
}

#[test]
fn model_a_borrowed_greenlet_is_woken_exactly_once() {
    crate::model::explore(|| {
        let state = parked(false, false);
        let waker = {
            let state = state.clone();
            thread::spawn(move || {
                let woken = state.wake(0);
                assert_ne!(woken, Wake::Stale, "nobody else ends this wait");
                u32::from(woken == Wake::Enqueue)
            })
        };
        let pushes = borrow(&state);
        assert_eq!(pushes + waker.join().unwrap(), 1);
        assert_eq!(state.load().epoch(), 1);
    });
}

#[test]
fn model_an_unpark_of_a_borrowed_greenlet_ends_its_park() {
    crate::model::explore(|| {
        let state = parked(true, false);
        let waker = {
            let state = state.clone();
            thread::spawn(move || u32::from(state.unpark() == Wake::Enqueue))
        };
        let pushes = borrow(&state);
        assert_eq!(pushes + waker.join().unwrap(), 1);
        assert_eq!(state.load().epoch(), 1);
        assert!(!state.take_unpark(), "the token was spent on the park it ended");
    });
}

#[test]
fn model_kill_and_timer_of_a_borrowed_greenlet_end_its_wait_once() {
    crate::model::explore(|| {
        let state = parked(false, false);
        let killer = {
            let state = state.clone();
            thread::spawn(move || u32::from(state.kill() == Kill::Enqueue))
        };
        let timer = {
            let state = state.clone();
            thread::spawn(move || u32::from(state.timer() == Wake::Enqueue))
        };
        let pushes = borrow(&state);
        assert_eq!(pushes + killer.join().unwrap() + timer.join().unwrap(), 1);
        assert!(state.load().kill_requested());
    });
}

#[test]
fn model_a_masked_wait_stays_masked_when_it_is_given_back() {
    crate::model::explore(|| {
        let state = parked(false, true);
        let killer = {
            let state = state.clone();
            thread::spawn(move || assert_eq!(state.kill(), Kill::Noted))
        };
        assert_eq!(borrow(&state), 0);
        killer.join().unwrap();
        assert_eq!(state.load().epoch(), 0);
        assert_eq!(state.wake(0), Wake::Enqueue);
    });
}
