//! The primitives under loom: exclusion, no lost wake-up and no lost hand-over, whichever waiter gives up; no permit is
//! swallowed, no notification is lost, and readers pass a writer that gave up.
//!
//! All of `sync/raw_mutex.rs`, `raw_rwlock.rs`, `semaphore.rs`, `condvar.rs` and `event.rs` runs as it ships, behind the
//! types that users have, over the real wait list. Nobody is played. A wake that is lost is a deadlock.

use super::*;
use crate::facade::{Arc, StandStill, UnsafeCell};
use loom::thread;
use std::time::Instant;

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    crate::model::explore_within(preemptions, model);
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
fn three_lockers() {
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
}

#[test]
fn model_mutex_excludes_and_wakes() {
    check(3, || {
        three_lockers();
    });
}

/// The same, but nobody has waited for so long that it is handed the lock: each has to take it.
#[test]
fn model_mutex_excludes_and_wakes_without_hand_over() {
    check(3, || {
        let _no_time_passes = StandStill::begin();
        three_lockers();
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

/// Somebody takes the lock between an unlock that would hand it over and the hand-over: they have it, and their unlock hands
/// it over.
#[test]
fn model_mutex_taken_before_the_hand_over() {
    check(3, || {
        let mutex = Arc::new(Mutex::new(Watched::new()));
        let on_thread = |lock: fn(&Mutex<Watched>)| {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || lock(&mutex))
        };
        let starved = on_thread(|mutex| mutex.lock().add());
        mutex.lock().add();
        let guard = mutex.lock();
        guard.add();
        // It has been woken by now, or will be handed nothing.
        thread::yield_now();
        let slips_in = on_thread(|mutex| mutex.lock().add());
        drop(guard);
        starved.join().unwrap();
        slips_in.join().unwrap();
        assert_eq!(mutex.try_lock().expect("free").get(), 4);
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

/// While one waiter is on its way to try, another is handed the lock, which it unlocks past the list at once.
#[test]
fn model_mutex_hand_over_beside_a_woken_waiter() {
    check(3, || {
        let mutex = Arc::new(Mutex::new(Watched::new()));
        let spawn = || {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || mutex.lock().add())
        };
        let guard = mutex.lock();
        let threads = [spawn(), spawn()];
        drop(guard);
        if let Some(guard) = mutex.try_lock() {
            guard.add();
            MutexGuard::unlock_fair(guard);
        }
        for t in threads {
            t.join().unwrap();
        }
        assert!(mutex.try_lock().expect("free").get() >= 2);
    });
}

/// A hand-over by a fair unlock meets a locker that gives up, while a third holds out: the lock goes to somebody.
#[test]
fn model_mutex_fair_unlock_and_bump() {
    check(2, || {
        let mutex = Arc::new(Mutex::new(Watched::new()));
        let other = {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || {
                let mut guard = mutex.lock();
                guard.add();
                MutexGuard::bump(&mut guard);
                guard.add();
            })
        };
        let guard = mutex.lock();
        guard.add();
        MutexGuard::unlock_fair(guard);
        mutex.lock().add();
        other.join().unwrap();
        assert_eq!(mutex.lock().get(), 4);
    });
}

/// Readers see no writer, writers nobody; whoever gives up at the head lets the others pass.
#[test]
fn model_rwlock_excludes_and_wakes() {
    check(2, || {
        let lock = Arc::new(RwLock::new(Watched::new()));
        let writer = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.write().add())
        };
        let reader = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.read().get())
        };
        let guard = lock.write();
        guard.add();
        let guard = RwLockWriteGuard::downgrade(guard);
        let seen = guard.get();
        drop(guard);
        writer.join().unwrap();
        assert!(reader.join().unwrap() <= 2);
        assert!(seen >= 1);
        assert_eq!(lock.read().get(), 2);
        assert!(lock.try_write().is_some());
    });
}

/// A writer that gives up while a reader waits behind it: the reader gets in beside the one that reads.
#[test]
fn model_rwlock_cancelled_writer_lets_readers_pass() {
    check(2, || {
        let lock = Arc::new(RwLock::new(Watched::new()));
        let outer = lock.read();
        let writer = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || assert!(lock.try_write_until(Instant::now()).is_none()))
        };
        let reader = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.read().get())
        };
        // `outer` is held until both are through: were the reader left behind the writer, this would hang.
        writer.join().unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        drop(outer);
        assert!(lock.try_write().is_some());
    });
}

/// A permit is released while one acquirer gives up and another waits: it is not swallowed.
#[test]
fn model_semaphore_cancelled_acquire_swallows_no_permit() {
    check(2, || {
        let semaphore = Arc::new(Semaphore::new(0));
        let impatient = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || drop(semaphore.acquire_timeout(std::time::Duration::ZERO)))
        };
        let patient = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || drop(semaphore.acquire()))
        };
        semaphore.release();
        impatient.join().unwrap();
        patient.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.try_acquire().is_some());
    });
}

/// Who wants two and gives up lets the one behind, who wants one, have it.
#[test]
fn model_semaphore_the_head_of_the_line_gives_up() {
    check(2, || {
        let semaphore = Arc::new(Semaphore::new(1));
        let large = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || {
                assert!(semaphore.acquire_many_timeout(2, std::time::Duration::ZERO).is_none());
            })
        };
        drop(semaphore.acquire());
        large.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.try_acquire().is_some());
    });
}

/// A change made and notified under the mutex is seen: the waiter enlists before the mutex is free.
#[test]
fn model_condvar_no_notification_is_lost() {
    check(3, || {
        let shared = Arc::new((Mutex::new(Watched::new()), Condvar::new()));
        let waiter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut guard = shared.0.lock();
                while guard.get() == 0 {
                    shared.1.wait(&mut guard);
                }
                guard.add();
            })
        };
        shared.0.lock().add();
        shared.1.notify_one();
        waiter.join().unwrap();
        assert_eq!(shared.0.lock().get(), 2);
    });
}

/// One notification, one waiter that gives up, one that does not: either the first had it, or the second does.
#[test]
fn model_condvar_a_cancelled_wait_loses_no_notification() {
    check(2, || {
        let shared = Arc::new((Mutex::new(Watched::new()), Condvar::new()));
        let spawn = |patient: bool| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut guard = shared.0.lock();
                guard.add();
                if patient {
                    shared.1.wait(&mut guard);
                } else if !shared.1.wait_until(&mut guard, Instant::now()).timed_out() {
                    drop(guard);
                    shared.1.notify_one();
                }
            })
        };
        let threads = [spawn(true), spawn(false)];
        loop {
            let guard = shared.0.lock();
            if guard.get() == 2 {
                break;
            }
            drop(guard);
            thread::yield_now();
        }
        // Both are in line or have given up: one notification reaches the patient one.
        assert!(shared.1.notify_one());
        for t in threads {
            t.join().unwrap();
        }
    });
}

/// A waiter either sees the flag or is woken by the setter, also if it is cleared at once.
#[test]
fn model_event_set_then_clear_wakes_who_waits() {
    check(3, || {
        let event = Arc::new((Event::new(), Watched::new()));
        let waiter = {
            let event = Arc::clone(&event);
            thread::spawn(move || {
                event.0.wait();
                event.1.get()
            })
        };
        event.1.add();
        event.0.set();
        assert_eq!(waiter.join().unwrap(), 1);
    });
}

/// The lock is granted to a waiter that has just given up: it is put back, whether it wanted to read or to write.
#[test]
fn model_rwlock_grant_meets_a_waiter_that_gave_up() {
    for write in [false, true] {
        check(3, move || {
            let lock = Arc::new(RwLock::new(Watched::new()));
            let guard = lock.write();
            let impatient = {
                let lock = Arc::clone(&lock);
                thread::spawn(move || {
                    if write {
                        drop(lock.try_write_until(Instant::now()));
                    } else {
                        drop(lock.try_read_until(Instant::now()));
                    }
                })
            };
            drop(guard);
            impatient.join().unwrap();
            assert!(lock.try_write().is_some());
        });
    }
}

/// A writer that becomes a reader lets a waiting reader in beside it.
#[test]
fn model_rwlock_downgrade_lets_a_waiting_reader_in() {
    check(3, || {
        let lock = Arc::new(RwLock::new(Watched::new()));
        let guard = lock.write();
        guard.add();
        let reader = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.read().get())
        };
        let guard = RwLockWriteGuard::downgrade(guard);
        assert_eq!(reader.join().unwrap(), 1);
        drop(guard);
        assert!(lock.try_write().is_some());
    });
}
