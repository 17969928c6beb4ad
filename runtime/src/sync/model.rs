//! Models of the primitives: exclusion, no lost wake-up and no lost hand-over, whichever waiter gives up.

use super::*;
use crate::facade::{Arc, UnsafeCell};
use loom::thread;
use std::time::Instant;

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// A number that loom watches for unsynchronised access.
struct Watched(UnsafeCell<u32>);

// SAFETY: the models reach it only under the lock being modelled; loom fails the model otherwise.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

impl Watched {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }
    fn add(&self) {
        // SAFETY: see the type.
        self.0.with_mut(|n| unsafe { *n += 1 });
    }
    fn get(&self) -> u32 {
        // SAFETY: see the type.
        self.0.with(|n| unsafe { *n })
    }
}

/// Three lockers, each of them waits, barges or is handed the lock; nobody is left behind.
#[test]
fn model_mutex_excludes_and_wakes() {
    check(2, || {
        let mutex = Arc::new(Mutex::new(Watched::new()));
        let spawn = || {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || mutex.lock().add())
        };
        let threads = [spawn(), spawn()];
        mutex.lock().add();
        for t in threads {
            t.join().unwrap();
        }
        assert_eq!(mutex.lock().get(), 3);
    });
}

/// The same two lockers come back: the woken one loses to a barger, starves and is handed the lock.
#[test]
fn model_mutex_hands_over_to_the_starved() {
    check(3, || {
        let mutex = Arc::new(Mutex::new(Watched::new()));
        let other = {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || {
                mutex.lock().add();
            })
        };
        for _ in 0..3 {
            mutex.lock().add();
        }
        other.join().unwrap();
        assert_eq!(mutex.lock().get(), 4);
    });
}

/// One gives up at once; the lock must not be handed to it, nor the wake of the patient one lost with it.
#[test]
fn model_mutex_cancelled_lock_loses_no_hand_over() {
    check(2, || {
        let mutex = Arc::new(Mutex::new(Watched::new()));
        let impatient = {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || {
                if let Some(guard) = mutex.try_lock_until(Instant::now()) {
                    guard.add();
                }
            })
        };
        let patient = {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || mutex.lock().add())
        };
        let guard = mutex.lock();
        guard.add();
        MutexGuard::unlock_fair(guard);
        impatient.join().unwrap();
        patient.join().unwrap();
        assert!(mutex.lock().get() >= 2);
    });
}
