//! A kill or a timeout ends every wait of this module, takes nothing with it, and never comes while a lock is taken
//! again.

use super::*;
use crate::testing::{dies, in_greenlets};
use crate::{shield, sleep, spawn, timeout, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(50);

/// One of everything, with all that can be held held by the caller.
#[derive(Default)]
struct Everything {
    mutex: Mutex<()>,
    rwlock: RwLock<()>,
    reentrant: ReentrantMutex<()>,
    semaphore: Semaphore,
    event: Event,
    condvar: Condvar,
    condition: Mutex<()>,
    group: WaitGroup,
}

impl Default for Semaphore {
    fn default() -> Self {
        Self::new(0)
    }
}

/// A wait that does not end by itself.
type Blocks = fn(&Everything);

/// Every wait of this module, those with a deadline too.
const WAITS: [(&str, Blocks); 15] = [
    ("Mutex::lock", |all| drop(all.mutex.lock())),
    ("Mutex::try_lock_for", |all| drop(all.mutex.try_lock_for(LONG))),
    ("RwLock::read", |all| drop(all.rwlock.read())),
    ("RwLock::read_recursive", |all| drop(all.rwlock.read_recursive())),
    ("RwLock::try_read_for", |all| drop(all.rwlock.try_read_for(LONG))),
    ("RwLock::write", |all| drop(all.rwlock.write())),
    ("ReentrantMutex::lock", |all| drop(all.reentrant.lock())),
    ("ReentrantMutex::try_lock_for", |all| drop(all.reentrant.try_lock_for(LONG))),
    ("Semaphore::acquire", |all| drop(all.semaphore.acquire())),
    ("Semaphore::acquire_timeout", |all| drop(all.semaphore.acquire_timeout(LONG))),
    ("Event::wait", |all| all.event.wait()),
    ("Event::wait_timeout", |all| assert!(!all.event.wait_timeout(LONG))),
    ("Condvar::wait", |all| all.condvar.wait(&mut all.condition.lock())),
    ("Condvar::wait_for", |all| assert!(all.condvar.wait_for(&mut all.condition.lock(), LONG).timed_out())),
    ("WaitGroup::wait", |all| all.group.clone().wait()),
];

impl Everything {
    /// Runs `f` while the caller holds the locks; then looks whether all is as it was.
    fn while_held(f: impl FnOnce(&Arc<Everything>)) {
        let all = Arc::new(Everything::default());
        {
            let _held = (all.mutex.lock(), all.rwlock.write(), all.reentrant.lock());
            f(&all);
        }
        assert!(all.mutex.try_lock().is_some() && all.condition.try_lock().is_some());
        assert!(all.rwlock.try_write().is_some() && all.reentrant.try_lock().is_some());
        assert_eq!(all.semaphore.available_permits(), 0);
        all.semaphore.release();
        assert!(all.semaphore.try_acquire().is_some());
        assert!(!all.condvar.notify_one(), "nobody is left in line");
    }
}

#[test]
fn a_kill_ends_every_wait() {
    in_greenlets(|| {
        Everything::while_held(|all| {
            for (what, wait) in WAITS {
                let shared = all.clone();
                assert!(dies(SOON, move || wait(&shared)), "{what}");
            }
        });
    });
}

#[test]
fn a_timeout_ends_every_wait_and_passes_through_those_within() {
    in_greenlets(|| {
        Everything::while_held(|all| {
            let results = WAITS.map(|(what, wait)| {
                let all = all.clone();
                (
                    what,
                    spawn(move || {
                        let started = Instant::now();
                        let inner = AtomicBool::new(false);
                        let outer = timeout(SOON, || {
                            let result = timeout(LONG, || wait(&all));
                            inner.store(true, Ordering::Relaxed);
                            result
                        });
                        outer.is_err() && !inner.into_inner() && started.elapsed() >= SOON
                    }),
                )
            });
            for (what, ended) in results {
                assert!(ended.join().unwrap(), "{what}");
            }
        });
    });
}

#[test]
fn a_killed_waiter_no_longer_counts_at_the_barrier() {
    in_greenlets(|| {
        let barrier = Arc::new(Barrier::new(2));
        let first = barrier.clone();
        assert!(dies(SOON, move || first.wait().is_leader()));
        let second = barrier.clone();
        let second = spawn(move || second.wait().is_leader());
        sleep(SOON);
        assert!(!second.is_finished());
        assert!(barrier.wait().is_leader() != second.join().unwrap());
    });
}

#[test]
fn inside_shield_only_their_own_deadlines_end_waits() {
    in_greenlets(|| {
        Everything::while_held(|all| {
            let shared = all.clone();
            let waited = Arc::new(AtomicU32::new(0));
            let counted = waited.clone();
            let shielded = move || {
                let limit = SOON * 3;
                let timed: [&dyn Fn() -> bool; 5] = [
                    &|| shared.mutex.try_lock_for(limit).is_none(),
                    &|| shared.rwlock.try_write_for(limit).is_none(),
                    &|| shared.semaphore.acquire_timeout(limit).is_none(),
                    &|| !shared.event.wait_timeout(limit),
                    &|| shared.condvar.wait_for(&mut shared.condition.lock(), limit).timed_out(),
                ];
                for wait in timed {
                    let started = Instant::now();
                    assert!(wait() && started.elapsed() >= limit);
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            };
            let again = shielded.clone();
            assert!(dies(SOON, move || {
                shield(shielded);
                yield_now();
            }));
            assert_eq!(waited.swap(0, Ordering::Relaxed), 5, "the kill waited for the end of the shield");
            let outer = timeout(SOON, || {
                shield(again);
                yield_now();
            });
            assert!(outer.is_err());
            assert_eq!(waited.load(Ordering::Relaxed), 5, "the timeout too");
        });
    });
}

#[test]
fn no_timed_wait_ends_early() {
    in_greenlets(|| {
        Everything::while_held(|all| {
            let waits: [fn(&Everything, Duration) -> bool; 7] = [
                |all, limit| all.mutex.try_lock_for(limit).is_none(),
                |all, limit| all.reentrant.try_lock_for(limit).is_none(),
                |all, limit| all.rwlock.try_read_for(limit).is_none(),
                |all, limit| all.rwlock.try_write_for(limit).is_none(),
                |all, limit| all.semaphore.acquire_timeout(limit).is_none(),
                |all, limit| !all.event.wait_timeout(limit),
                |all, limit| all.condvar.wait_for(&mut all.condition.lock(), limit).timed_out(),
            ];
            let waiters: Vec<_> = (0..waits.len() * 20)
                .map(|i| {
                    let (all, wait) = (all.clone(), waits[i % waits.len()]);
                    spawn(move || {
                        let limit = Duration::from_micros(i as u64 * 37);
                        let started = Instant::now();
                        let timed_out = wait(&all, limit);
                        (timed_out, started.elapsed() >= limit)
                    })
                })
                .collect();
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), (true, true));
            }
        });
    });
}

#[test]
fn condvar_locks_again_before_it_unwinds() {
    in_greenlets(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let shared = pair.clone();
        let waiter = spawn(move || {
            let mut guard = shared.0.lock();
            let unwound = catch_unwind(AssertUnwindSafe(|| shared.1.wait(&mut guard))).is_err();
            // The guard guards: the other side held the mutex for a while and is through with it.
            *guard += 1;
            assert!(shared.0.is_locked());
            (unwound, *guard)
        });
        sleep(SOON);
        let mut guard = pair.0.lock();
        waiter.kill();
        sleep(SOON);
        *guard = 10;
        drop(guard);
        assert_eq!(waiter.join().unwrap(), (true, 11));
        assert!(!pair.0.is_locked());
    });
}

/// Has `relock` let a lock go and take it again, while another holds it for a while and a kill or timeout comes; then
/// `held` says whether the lock is held.
fn keeps_interrupts_for_later<L: Send + Sync + 'static>(
    lock: L,
    relock: fn(&L, &dyn Fn()),
    take: fn(&L),
    hold: fn(&L, &dyn Fn()),
) {
    let lock = Arc::new(lock);
    let reached = Arc::new(AtomicU32::new(0));
    for kill in [true, false] {
        let (shared, reached2) = (lock.clone(), reached.clone());
        let body = move || {
            relock(&shared, &|| {
                let other = shared.clone();
                let taken = Arc::new(Event::new());
                let told = taken.clone();
                drop(spawn(move || {
                    hold(&other, &|| {
                        told.set();
                        sleep(SOON * 4);
                    });
                }));
                shield(|| taken.wait());
            });
            reached2.fetch_add(1, Ordering::Relaxed);
            sleep(SOON);
            unreachable!("the interrupt is due");
        };
        if kill {
            assert!(dies(SOON, body));
        } else {
            assert!(timeout(SOON, body).is_err());
        }
    }
    assert_eq!(reached.load(Ordering::Relaxed), 2, "locking again was not interrupted");
    take(&lock);
}

#[test]
fn locking_again_keeps_kill_and_timeout_for_later() {
    in_greenlets(|| {
        keeps_interrupts_for_later(
            Mutex::new(()),
            |lock, f| {
                let mut guard = lock.lock();
                MutexGuard::unlocked(&mut guard, f);
                assert!(lock.is_locked());
            },
            |lock| drop(lock.try_lock().expect("free")),
            |lock, f| {
                let _guard = lock.lock();
                f();
            },
        );
        keeps_interrupts_for_later(
            RwLock::new(()),
            |lock, f| {
                let mut guard = lock.write();
                RwLockWriteGuard::unlocked(&mut guard, f);
                assert!(lock.is_locked_exclusive());
            },
            |lock| drop(lock.try_write().expect("free")),
            |lock, f| {
                let _guard = lock.write();
                f();
            },
        );
        keeps_interrupts_for_later(
            RwLock::new(()),
            |lock, f| {
                let mut guard = lock.read();
                RwLockReadGuard::unlocked(&mut guard, f);
                assert!(lock.try_write().is_none());
            },
            |lock| drop(lock.try_write().expect("free")),
            |lock, f| {
                let _guard = lock.write();
                f();
            },
        );
    });
}

#[test]
fn bump_keeps_the_kill_for_later() {
    in_greenlets(|| {
        let mutex = Arc::new(Mutex::new(()));
        let bumped = Arc::new(AtomicBool::new(false));
        let (shared, told) = (mutex.clone(), bumped.clone());
        assert!(dies(SOON, move || {
            let mut guard = shared.lock();
            let other = shared.clone();
            let waiter = spawn(move || {
                let _guard = other.lock();
                sleep(SOON * 4);
            });
            shield(|| sleep(SOON / 2));
            MutexGuard::bump(&mut guard);
            assert!(waiter.is_finished() || shared.is_locked());
            told.store(true, Ordering::Relaxed);
            yield_now();
        }));
        assert!(bumped.load(Ordering::Relaxed));
        assert!(mutex.try_lock_for(LONG).is_some());
    });
}

#[test]
fn waits_leave_the_unpark_token_alone() {
    in_greenlets(|| {
        Everything::while_held(|all| {
            let waiters: Vec<_> = WAITS
                .map(|(what, wait)| {
                    let all = all.clone();
                    (
                        what,
                        spawn(move || {
                            let interrupted = timeout(SOON * 4, || wait(&all)).is_err();
                            let started = Instant::now();
                            crate::park_timeout(LONG);
                            (interrupted, started.elapsed() < LONG / 2)
                        }),
                    )
                })
                .into_iter()
                .collect();
            sleep(SOON);
            waiters.iter().for_each(|(_, waiter)| waiter.greenlet().unpark());
            for (what, waiter) in waiters {
                assert_eq!(waiter.join().unwrap(), (true, true), "{what}");
            }
        });
    });
}

#[test]
fn what_was_handed_over_before_the_kill_is_kept() {
    /// A wait, and what ends it.
    type Case = (&'static str, Blocks, fn(&Everything));
    const CASES: [Case; 3] = [
        ("Semaphore", |all| all.semaphore.acquire().forget(), |all| all.semaphore.release()),
        ("Event", |all| all.event.wait(), |all| all.event.set()),
        (
            "Condvar",
            |all| all.condvar.wait(&mut all.condition.lock()),
            |all| assert!(all.condvar.notify_one()),
        ),
    ];
    in_greenlets(|| {
        for (what, wait, end) in CASES {
            let all = Arc::new(Everything::default());
            let came_through = Arc::new(AtomicBool::new(false));
            let (shared, told) = (all.clone(), came_through.clone());
            let waiter = spawn(move || {
                wait(&shared);
                told.store(true, Ordering::Relaxed);
                sleep(LONG);
            });
            sleep(SOON);
            end(&all);
            waiter.kill();
            assert!(waiter.join().is_err_and(|error| error.is_killed()), "{what}");
            assert!(came_through.load(Ordering::Relaxed), "{what}");
            assert!(!all.condition.is_locked(), "{what}");
        }
    });
}
