//! Explorations find what is planted, and find nothing where nothing is. How their schedules come about is the subject
//! of `explore_schedules.rs`.

mod common;

use common::explored::{finds, passes};
use greenhub::channel;
use greenhub::explore::{Builder, Problem, Strategy};
use greenhub::sync::{Condvar, Event, Mutex, RwLock, Semaphore};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn two_locks_in_opposite_orders_are_found_and_both_greenlets_named() {
    fn program() {
        let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let locker = |name: &str, first: Arc<Mutex<()>>, second: Arc<Mutex<()>>| {
            let both = move || drop((first.lock(), second.lock()));
            greenhub::Builder::new().name(name.into()).spawn(both).unwrap()
        };
        let one = locker("one", a.clone(), b.clone());
        let other = locker("other", b, a);
        one.join().unwrap();
        other.join().unwrap();
    }
    let report = finds(Problem::Deadlock, program).to_string();
    for part in [
        "'one' (#",
        "'other' (#",
        "waits in Mutex::lock, held by greenlet 'o",
        "GREENHUB_REPLAY=",
        "spawned at runtime/tests/explore.rs",
        "two_locks_in_opposite_orders",
    ] {
        assert!(report.contains(part), "no {part:?} in:\n{report}");
    }
}

#[test]
fn a_wake_lost_between_check_and_park_is_found() {
    finds(Problem::Deadlock, || {
        let shared = Arc::new((AtomicBool::new(false), Mutex::new(None)));
        let seen = shared.clone();
        let waiter = greenhub::spawn(move || {
            if !seen.0.load(Ordering::SeqCst) {
                *seen.1.lock() = Some(greenhub::current());
                greenhub::park();
            }
        });
        shared.0.store(true, Ordering::SeqCst);
        if let Some(waiter) = shared.1.lock().take() {
            waiter.unpark();
        }
        waiter.join().unwrap();
    });
}

#[test]
fn a_notify_that_the_mutex_does_not_order_is_found() {
    finds(Problem::Deadlock, || {
        let shared = Arc::new((AtomicBool::new(false), Mutex::new(()), Condvar::new()));
        let seen = shared.clone();
        let waiter = greenhub::spawn(move || {
            let mut guard = seen.1.lock();
            while !seen.0.load(Ordering::SeqCst) {
                seen.2.wait(&mut guard);
            }
        });
        // Without the mutex: between the waiter's look and its wait.
        shared.0.store(true, Ordering::SeqCst);
        shared.2.notify_one();
        waiter.join().unwrap();
    });
}

#[test]
fn a_read_and_a_write_under_two_holds_of_a_lock_are_found() {
    finds(Problem::Panic, || {
        let count = Arc::new(Mutex::new(0));
        greenhub::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let seen = *count.lock();
                    *count.lock() = seen + 1;
                });
            }
        });
        assert_eq!(*count.lock(), 2);
    });
}

#[test]
fn a_transfer_seen_half_done_through_two_locks_is_found() {
    finds(Problem::Panic, || {
        let accounts = Arc::new((RwLock::new(10), RwLock::new(0)));
        let mine = accounts.clone();
        let transfer = greenhub::spawn(move || {
            *mine.0.write() -= 5;
            *mine.1.write() += 5;
        });
        let (one, other) = (*accounts.0.read(), *accounts.1.read());
        assert_eq!(one + other, 10);
        transfer.join().unwrap();
    });
}

#[test]
fn a_permit_that_is_not_given_back_is_found() {
    finds(Problem::Deadlock, || {
        let permits = Arc::new(Semaphore::new(2));
        let stop = Arc::new(Event::new());
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (permits, stop) = (permits.clone(), stop.clone());
                greenhub::spawn(move || {
                    let permit = permits.acquire();
                    if stop.is_set() {
                        permit.forget(); // on the way out, in a hurry
                    }
                })
            })
            .collect();
        stop.set();
        workers.into_iter().for_each(|each| each.join().unwrap());
        drop(permits.acquire_many(1));
        drop(permits.acquire_many(1));
    });
}

#[test]
fn a_message_that_comes_as_the_time_is_up_is_found() {
    // The requester gives its slot back when it has waited long enough; the server, when it has answered.
    finds(Problem::Panic, || {
        let slots = Arc::new(AtomicUsize::new(0));
        let (send, receive) = channel::bounded(1);
        let server = greenhub::spawn({
            let slots = slots.clone();
            move || {
                greenhub::sleep(Duration::from_secs(1));
                send.send("answer").unwrap();
                slots.fetch_add(1, Ordering::SeqCst);
            }
        });
        if greenhub::timeout(Duration::from_secs(2), || receive.recv().unwrap()).is_err() {
            slots.fetch_add(1, Ordering::SeqCst);
        }
        server.join().unwrap();
        assert_eq!(slots.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_rendezvous_hands_over_or_does_not() {
    fn ask(capacity: usize) {
        let (answer, answered) = channel::bounded(capacity);
        let server = greenhub::spawn(move || {
            greenhub::sleep(Duration::from_secs(30));
            answer.send(42)
        });
        let got = greenhub::timeout(Duration::from_secs(60), || answered.recv());
        drop(answered);
        assert_eq!(got.is_ok(), server.join().unwrap().is_ok(), "an answer was sent, and nobody got it");
    }
    finds(Problem::Panic, || ask(1));
    passes(|| ask(0));
}

#[test]
fn a_panic_nobody_joined_is_found() {
    let failure = finds(Problem::Panic, || {
        let (send, receive) = channel::unbounded();
        drop(greenhub::spawn(move || assert_eq!(receive.try_recv().ok(), None, "an early message")));
        let _too_late = send.send(1);
    });
    assert!(failure.message().contains("an early message"), "{failure}");
}

#[test]
fn a_panic_that_is_joined_is_the_programs_own_affair() {
    passes(|| assert!(greenhub::spawn(|| greenhub::resume_unwind(Box::new("over"))).join().is_err()));
}

#[test]
fn a_greenlet_that_is_left_waiting_is_found() {
    let failure = finds(Problem::Leak, || {
        let (send, receive) = channel::unbounded::<u32>();
        let kept = send.clone();
        drop(greenhub::spawn(move || (receive.recv().is_ok(), kept).0));
        drop(send);
    });
    assert!(failure.greenlets().any(|line| line.contains("waits in Receiver::recv")), "{failure}");
}

#[test]
fn greenlets_that_keep_each_other_busy_are_found() {
    let hopeless = || {
        while !greenhub::current().is_finished() {
            greenhub::yield_now();
        }
    };
    let failure = Builder::new().steps(500).check(hopeless).unwrap_err();
    assert_eq!(failure.problem(), Problem::TooLong, "{failure}");
}

#[test]
fn who_gives_way_lets_others_on_at_once_under_strict_priorities_too() {
    let program = || {
        let done = Arc::new(AtomicBool::new(false));
        let seen = done.clone();
        let spinner = greenhub::spawn(move || {
            while !seen.load(Ordering::SeqCst) {
                greenhub::yield_now();
            }
        });
        greenhub::spawn(move || done.store(true, Ordering::SeqCst)).join().unwrap();
        spinner.join().unwrap();
    };
    Builder::new().strategy(Strategy::Pct { depth: 1 }).steps(100).run(program);
}

#[test]
fn spinning_on_a_lock_that_another_holds_ends() {
    passes(|| {
        let lock = Arc::new(Mutex::new(0));
        let spinner = greenhub::spawn({
            let lock = lock.clone();
            move || {
                loop {
                    if let Some(mut value) = lock.try_lock() {
                        return *value += 1;
                    }
                }
            }
        });
        let value = lock.lock();
        greenhub::yield_now();
        drop(value);
        spinner.join().unwrap();
        assert_eq!(*lock.lock(), 1);
    });
}
