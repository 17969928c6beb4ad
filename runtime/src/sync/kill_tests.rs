//! A kill ends every wait of this module, takes nothing with it, and never comes while a lock is taken again.

use super::*;
use crate::wait::list::kill::{dies, is_kill_due, kill_me_after};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(10);

#[test]
fn every_wait_is_a_suspension_point() {
    let (mutex, rwlock, reentrant) = (Mutex::new(()), RwLock::new(()), ReentrantMutex::new(()));
    let (semaphore, event, barrier, condvar) =
        (Semaphore::new(0), Event::new(), Barrier::new(2), Condvar::new());
    {
        let _held = (mutex.lock(), rwlock.write(), reentrant.lock());
        assert!(dies(SOON, || drop(mutex.lock())));
        assert!(dies(SOON, || drop(mutex.try_lock_for(Duration::from_secs(9)))));
        assert!(dies(SOON, || drop(rwlock.read())));
        assert!(dies(SOON, || drop(rwlock.write())));
        assert!(dies(SOON, || drop(reentrant.lock())));
    }
    assert!(dies(SOON, || drop(semaphore.acquire())));
    assert!(dies(SOON, || event.wait()));
    assert!(dies(SOON, || barrier.wait().is_leader()));
    assert!(dies(SOON, || condvar.wait(&mut mutex.lock())));
    let group = WaitGroup::new();
    let member = group.clone();
    assert!(dies(SOON, || group.wait()));
    drop(member);
    // Nothing was taken, and nothing is left in a line.
    assert!(mutex.try_lock().is_some() && rwlock.try_write().is_some() && reentrant.try_lock().is_some());
    semaphore.release();
    assert!(semaphore.try_acquire().is_some());
    assert!(!condvar.notify_one());
    thread::scope(|s| {
        // Two must come: the killed one no longer counts.
        let other = s.spawn(|| barrier.wait().is_leader());
        assert!(barrier.wait().is_leader() != other.join().unwrap());
    });
}

#[test]
fn condvar_locks_again_before_it_unwinds() {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    thread::scope(|s| {
        let waiter = s.spawn(|| {
            let mut guard = mutex.lock();
            kill_me_after(SOON);
            let killed = catch_unwind(AssertUnwindSafe(|| condvar.wait(&mut guard))).is_err();
            // The guard guards: the other side holds the mutex for a while and is through with it.
            *guard += 1;
            assert!(mutex.is_locked());
            (killed, *guard)
        });
        thread::sleep(SOON / 2);
        let mut guard = mutex.lock();
        thread::sleep(SOON * 4);
        *guard = 10;
        drop(guard);
        assert_eq!(waiter.join().unwrap(), (true, 11));
    });
}

#[test]
fn locking_again_keeps_the_kill_for_later() {
    let mutex = Mutex::new(0);
    thread::scope(|s| {
        s.spawn(|| {
            let mut guard = mutex.lock();
            kill_me_after(SOON);
            MutexGuard::unlocked(&mut guard, || {
                let other = s.spawn(|| {
                    let _guard = mutex.lock();
                    thread::sleep(SOON * 4);
                });
                while !mutex.is_locked() {
                    thread::yield_now();
                }
                drop(other);
            });
            assert!(mutex.is_locked() && is_kill_due());
        });
    });
}

#[test]
fn kills_race_with_hand_overs_without_loss() {
    let (mutex, semaphore, rwlock) = (Mutex::new(0u64), Semaphore::new(2), RwLock::new(0u64));
    let (taken, killed) = (AtomicU64::new(0), AtomicU64::new(0));
    let until = Instant::now() + Duration::from_millis(400);
    thread::scope(|s| {
        for i in 0..4u32 {
            let (mutex, semaphore, rwlock, taken, killed) = (&mutex, &semaphore, &rwlock, &taken, &killed);
            s.spawn(move || {
                while Instant::now() < until {
                    let turn = catch_unwind(AssertUnwindSafe(|| {
                        if i % 2 == 0 {
                            kill_me_after(Duration::from_micros(15));
                        }
                        let mut guard = mutex.lock();
                        *guard += 1;
                        taken.fetch_add(1, Ordering::Relaxed);
                        if *guard % 5 == 0 {
                            thread::yield_now();
                            MutexGuard::unlock_fair(guard);
                        } else {
                            drop(guard);
                        }
                        let permits = semaphore.acquire_many(1 + i as usize % 2);
                        thread::yield_now();
                        drop(permits);
                        thread::yield_now();
                        *rwlock.write() += 1;
                        assert!(*rwlock.read() > 0);
                    }));
                    killed.fetch_add(u64::from(turn.is_err()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(*mutex.try_lock().unwrap(), taken.load(Ordering::Relaxed));
    assert_eq!(semaphore.available_permits(), 2);
    assert!(semaphore.try_acquire_many(2).is_some());
    assert!(rwlock.try_write().is_some());
    assert!(killed.load(Ordering::Relaxed) > 0);
}
