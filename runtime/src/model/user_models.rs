//! Users' programs, each of which catches a bug planted in the library (`.ci/mutants`): they name no private item.
//!
//! Compiled twice: here, where `.ci/mutants.sh` finds them, and by `runtime/tests/model.rs`, which could name nothing
//! private if it wanted to.

use greenhub::channel::{self, RecvError};
use greenhub::sync::{Mutex, Semaphore};
use greenhub::{model, scope, sleep, spawn, timeout, yield_now};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);

/// Somebody who has been overtaken at a mutex is handed it, and has it. Catches a lost hand-off in `Mutex`.
#[test]
fn model_who_is_overtaken_at_a_mutex_is_handed_it() {
    model(|| {
        let mutex = Arc::new(Mutex::new(0));
        let guard = mutex.lock();
        let waiter = {
            let mutex = mutex.clone();
            spawn(move || *mutex.lock() += 1)
        };
        yield_now();
        drop(guard);
        // Woken by now, or about to come: overtaken.
        let guard = mutex.lock();
        yield_now();
        drop(guard);
        waiter.join().unwrap();
        assert_eq!(*mutex.lock(), 1);
    });
}

/// Who takes a message out of a full channel wakes the sender that waits for the room. Catches a wake dropped in
/// `recv`.
#[test]
fn model_room_made_in_a_channel_wakes_the_sender() {
    model(|| {
        let (sender, receiver) = channel::bounded(1);
        let giver = spawn(move || (0..3).try_for_each(|n| sender.send(n)));
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
        giver.join().unwrap().unwrap();
    });
}

/// A permit that comes free while the one who waits for it gives up is free afterwards. Catches a permit swallowed by a
/// cancelled `acquire`.
#[test]
fn model_a_permit_is_not_lost_to_an_acquire_that_gives_up() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let held = semaphore.acquire();
        let impatient = {
            let semaphore = semaphore.clone();
            spawn(move || timeout(SOON, || drop(semaphore.acquire())).is_ok())
        };
        sleep(SOON);
        drop(held);
        let _got_it = impatient.join().unwrap();
        // The one permit is back.
        drop(semaphore.acquire());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

/// Who gives up in one line and waits in the next is served in that one alone. Catches a look at a node that wakers still have.
#[test]
fn model_who_gives_up_in_one_line_waits_in_the_next() {
    model(|| {
        let (first, from_first) = channel::bounded(1);
        let (second, from_second) = channel::bounded(1);
        let waiter = {
            let from_first = from_first.clone();
            spawn(move || (from_first.recv_timeout(SOON).ok(), from_second.recv().ok()))
        };
        first.send(1).unwrap();
        second.send(2).unwrap();
        let (early, late) = waiter.join().unwrap();
        assert_eq!((early.or_else(|| from_first.try_recv().ok()), late), (Some(1), Some(2)));
    });
}

/// What the last sender sent before it went is received. Catches a close that overtakes the last message.
#[test]
fn model_the_last_message_comes_before_the_close() {
    model(|| {
        let (sender, receiver) = channel::unbounded();
        let giver = spawn(move || sender.send(1).unwrap());
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.recv(), Err(RecvError));
        giver.join().unwrap();
    });
}

/// A kill that comes when its greenlet is about to park ends the park. Catches a kill lost on the way to it.
#[test]
fn model_a_kill_ends_a_park_that_has_just_begun() {
    model(|| {
        let parked = spawn(greenhub::park);
        parked.kill();
        assert!(parked.join().unwrap_err().is_killed());
    });
}

/// Locks and scopes: what scoped greenlets borrow is theirs until the scope has ended.
#[test]
fn model_a_scope_waits_for_all_it_has_lent_to() {
    model(|| {
        let mut numbers = [1, 2];
        let (left, right) = numbers.split_at_mut(1);
        scope(|s| {
            s.spawn(|| left[0] = 10);
            s.spawn(|| right[0] = 20);
        });
        assert_eq!(numbers, [10, 20]);
    });
}
