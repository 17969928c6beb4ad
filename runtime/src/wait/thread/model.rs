//! A thread's wait under loom: a wake is not lost and shows what was written before it; of two wakers one ends the wait; a
//! waker and a deadline agree on which of them did; a stale epoch ends no later wait.
//!
//! `ThreadParker::park`, `end`, `ring` and `epoch` of `wait/thread.rs` run as they ship. Nobody is played.

use super::*;
use crate::facade::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// Ends a wait, as `Waiter::wake` and `Wakeup::deliver` do between them. Whether it was this that ended it.
fn wake(parker: &ThreadParker, epoch: u32) -> bool {
    let end = parker.end(epoch);
    if end == End::MustRing {
        parker.ring();
    }
    end != End::Stale
}

/// Time is not looked at under loom: any deadline may pass at once.
fn at_any_time() -> Option<Instant> {
    Some(Instant::now())
}

#[test]
fn model_a_wake_is_not_lost_and_shows_what_came_before_it() {
    crate::model::explore(|| {
        let parker = Arc::new(ThreadParker::new());
        let data = Arc::new(AtomicUsize::new(0));
        let epoch = parker.epoch();
        let waker = {
            let (parker, data) = (Arc::clone(&parker), Arc::clone(&data));
            thread::spawn(move || {
                // Relaxed: the parker's lock is what makes this visible.
                data.store(1, Ordering::Relaxed);
                assert!(wake(&parker, epoch), "nobody else ends this wait");
            })
        };
        // A lost wake is a deadlock, which loom reports.
        assert!(parker.park(epoch, None));
        assert_eq!(data.load(Ordering::Relaxed), 1);
        waker.join().unwrap();
    });
}

#[test]
fn model_of_two_wakers_one_ends_the_wait() {
    crate::model::explore(|| {
        let parker = Arc::new(ThreadParker::new());
        let epoch = parker.epoch();
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let parker = Arc::clone(&parker);
                thread::spawn(move || wake(&parker, epoch))
            })
            .collect();
        assert!(parker.park(epoch, None));
        let ended = wakers.into_iter().map(|waker| waker.join().unwrap()).filter(|ended| *ended);
        assert_eq!(ended.count(), 1);
        assert_ne!(parker.epoch(), epoch);
    });
}

#[test]
fn model_a_wake_and_a_deadline_agree_on_who_ended_the_wait() {
    crate::model::explore(|| {
        let parker = Arc::new(ThreadParker::new());
        let epoch = parker.epoch();
        let waker = {
            let parker = Arc::clone(&parker);
            thread::spawn(move || wake(&parker, epoch))
        };
        let woken = parker.park(epoch, at_any_time());
        assert_eq!(woken, waker.join().unwrap());
    });
}

/// The first wait ends by its deadline or by a waker that is late for it; the second waits for its own waker only.
#[test]
fn model_a_stale_epoch_never_ends_a_later_wait() {
    crate::model::explore(|| {
        let parker = Arc::new(ThreadParker::new());
        let (first, data) = (parker.epoch(), Arc::new(AtomicUsize::new(0)));
        let late = {
            let parker = Arc::clone(&parker);
            thread::spawn(move || wake(&parker, first))
        };
        let woken = parker.park(first, at_any_time());
        let second = parker.epoch();
        let waker = {
            let (parker, data) = (Arc::clone(&parker), Arc::clone(&data));
            thread::spawn(move || {
                // Relaxed: as above.
                data.store(1, Ordering::Relaxed);
                assert!(wake(&parker, second));
            })
        };
        assert!(parker.park(second, None));
        assert_eq!(data.load(Ordering::Relaxed), 1, "ended by somebody else");
        assert_eq!(woken, late.join().unwrap());
        waker.join().unwrap();
    });
}
