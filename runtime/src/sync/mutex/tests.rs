use super::*;
use crate::testing::{BRIEF, everywhere, thread};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn lockers_exclude_each_other() {
    everywhere(|| {
        let mutex = Arc::new(Mutex::new((0u64, 0u64)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                thread::spawn(move || {
                    for _ in 0..20_000 {
                        let mut guard = mutex.lock();
                        guard.0 += 1;
                        guard.1 += 1;
                        assert_eq!(guard.0, guard.1);
                    }
                })
            })
            .collect();
        for t in threads {
            t.join().unwrap();
        }
        assert_eq!(*mutex.lock(), (80_000, 80_000));
    });
}

#[test]
fn timed_out_lockers_take_nothing_and_lose_nothing() {
    everywhere(|| {
        let mutex = Arc::new(Mutex::new(0u64));
        let taken = Arc::new(AtomicU64::new(0));
        let until = Instant::now() + BRIEF;
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let (mutex, taken) = (Arc::clone(&mutex), Arc::clone(&taken));
                thread::spawn(move || {
                    while Instant::now() < until {
                        let guard = match i % 2 {
                            0 => mutex.try_lock_for(Duration::from_micros(20)),
                            _ => Some(mutex.lock()),
                        };
                        if let Some(mut guard) = guard {
                            *guard += 1;
                            taken.fetch_add(1, Ordering::Relaxed);
                            if *guard % 64 == 0 {
                                thread::sleep(Duration::from_micros(30));
                            }
                            if *guard % 7 == 0 {
                                MutexGuard::unlock_fair(guard);
                            }
                        }
                    }
                })
            })
            .collect();
        for t in threads {
            t.join().unwrap();
        }
        assert_eq!(*mutex.lock(), taken.load(Ordering::Relaxed));
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_starved_locker_is_handed_the_lock() {
    everywhere(|| {
        const LOCKS: u64 = 20;
        /// About 5 on an idle machine; a busy one may keep the woken thread waiting. Without hand-over it is 30,000.
        const LIMIT: u64 = 500;
        let mutex = Arc::new(Mutex::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let greedy = {
            let (mutex, stop) = (Arc::clone(&mutex), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut taken = mutex.lock();
                    *taken += 1;
                    if *taken > LIMIT * LOCKS {
                        break;
                    }
                    let started = Instant::now();
                    while started.elapsed() < Duration::from_micros(200) {
                        std::hint::spin_loop();
                    }
                    // With the lock: let others of this hub come and see that it is taken.
                    thread::yield_now();
                }
            })
        };
        for _ in 0..LOCKS {
            while !mutex.is_locked() && !greedy.is_finished() {
                thread::yield_now();
            }
            drop(mutex.lock());
        }
        stop.store(true, Ordering::Relaxed);
        greedy.join().unwrap();
        let overtaken = *mutex.lock() / LOCKS;
        assert!(overtaken < LIMIT, "overtaken {overtaken} times a lock");
    });
}

#[test]
fn a_fair_unlock_leaves_the_lock_to_the_waiter() {
    everywhere(|| {
        let mutex = Arc::new(Mutex::new(()));
        let done = Arc::new(AtomicBool::new(false));
        let guard = mutex.lock();
        let waiter = {
            let (mutex, done) = (Arc::clone(&mutex), Arc::clone(&done));
            thread::spawn(move || {
                let _guard = mutex.lock();
                while !done.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
            })
        };
        thread::sleep(Duration::from_millis(50));
        MutexGuard::unlock_fair(guard);
        assert!(mutex.try_lock().is_none());
        done.store(true, Ordering::Relaxed);
        waiter.join().unwrap();
    });
}

#[test]
fn fair_unlocks_serve_waiters_in_order() {
    everywhere(|| {
        let mutex = Arc::new(Mutex::new(Vec::new()));
        let mut guard = mutex.lock();
        let mut threads = Vec::new();
        for i in 0..5 {
            let locker = Arc::clone(&mutex);
            threads.push(thread::spawn(move || {
                let mut guard = locker.lock();
                guard.push(i);
                MutexGuard::unlock_fair(guard);
            }));
            // SAFETY: nothing is locked or unlocked through it.
            while unsafe { mutex.0.raw() }.waiting() <= i {
                thread::sleep(Duration::from_millis(1));
            }
        }
        guard.push(100);
        MutexGuard::unlock_fair(guard);
        for t in threads {
            t.join().unwrap();
        }
        assert_eq!(*mutex.lock(), [100, 0, 1, 2, 3, 4]);
    });
}

#[test]
fn the_lock_names_its_holder() {
    let mutex = Mutex::new(());
    // SAFETY: nothing is locked or unlocked through it.
    let raw = unsafe { mutex.0.raw() };
    assert_eq!(raw.holder(), 0);
    let guard = mutex.lock();
    assert_eq!(raw.holder(), crate::wait::current_id().get());
    drop(guard);
    assert_eq!(raw.holder(), 0);
}

#[test]
fn a_panic_unlocks() {
    everywhere(|| {
        let mutex = Arc::new(Mutex::new(1));
        let inner = Arc::clone(&mutex);
        let failed = thread::spawn(move || {
            let _guard = inner.lock();
            std::panic::resume_unwind(Box::new(()));
        })
        .join();
        assert!(failed.is_err());
        assert_eq!(*mutex.lock(), 1);
    });
}

#[test]
fn bump_lets_the_longest_waiter_in() {
    everywhere(|| {
        let mutex = Arc::new(Mutex::new(0));
        let mut guard = mutex.lock();
        let waiter = {
            let mutex = Arc::clone(&mutex);
            thread::spawn(move || *mutex.lock() = 1)
        };
        while *guard == 0 {
            MutexGuard::bump(&mut guard);
            // The waiter may be a greenlet of this hub that has not come yet.
            thread::yield_now();
        }
        drop(guard);
        waiter.join().unwrap();
    });
}

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}

#[test]
fn guards_may_be_sent() {
    is_send::<MutexGuard<'static, u32>>();
    is_sync::<MutexGuard<'static, u32>>();
    is_send::<Mutex<u32>>();
    is_sync::<Mutex<std::cell::Cell<u32>>>();
}
