//! Kills and timeouts at random moments, while greenlets and OS threads contend: nothing is lost, nobody is let in who
//! must wait, and nobody is left waiting.

use super::*;
use crate::testing::{BRIEF, Chance, in_greenlets, with_random_kills};
use crate::{spawn, yield_now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WORKERS: usize = 6;

/// Counts somebody in for as long as it lives.
struct Inside<'a>(&'a AtomicI64, i64);

impl<'a> Inside<'a> {
    /// Comes in with this weight; gives the sum of all inside.
    fn enter(count: &'a AtomicI64, weight: i64) -> (Self, i64) {
        (Self(count, weight), count.fetch_add(weight, Ordering::SeqCst) + weight)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

/// Maybe gives way: where one is killed, or overtaken.
fn dawdle(chance: &mut Chance) {
    if chance.one_in(2) {
        yield_now();
    } else if chance.one_in(8) {
        crate::sleep(chance.micros(50));
    }
}

#[test]
fn mutex() {
    in_greenlets(|| {
        let shared = Arc::new((Mutex::new(0u64), AtomicU64::new(0), AtomicI64::new(0)));
        let all = shared.clone();
        let killed = with_random_kills(WORKERS, true, move |chance| {
            let (mutex, taken, inside) = &*all;
            let guard = match chance.below(3) {
                0 => mutex.try_lock_for(chance.micros(100)),
                1 => mutex.try_lock(),
                _ => Some(mutex.lock()),
            };
            let Some(mut guard) = guard else { return };
            let (_inside, sum) = Inside::enter(inside, 1);
            assert_eq!(sum, 1, "two hold the lock");
            *guard += 1;
            taken.fetch_add(1, Ordering::SeqCst);
            dawdle(chance);
            match chance.below(4) {
                0 => {
                    drop(_inside);
                    MutexGuard::unlock_fair(guard);
                }
                1 => {
                    drop(_inside);
                    MutexGuard::bump(&mut guard);
                }
                _ => {}
            }
        });
        let (mutex, taken, _) = &*shared;
        assert_eq!(*mutex.try_lock().expect("free"), taken.load(Ordering::SeqCst));
        assert!(killed > 0);
    });
}

#[test]
fn rwlock() {
    in_greenlets(|| {
        const WRITER: i64 = 1 << 20;
        let shared = Arc::new((RwLock::new(()), AtomicI64::new(0)));
        let all = shared.clone();
        with_random_kills(WORKERS, true, move |chance| {
            let (lock, inside) = &*all;
            if chance.one_in(3) {
                let guard = match chance.below(3) {
                    0 => lock.try_write_for(chance.micros(100)),
                    1 => lock.try_write(),
                    _ => Some(lock.write()),
                };
                let Some(guard) = guard else { return };
                let (as_writer, sum) = Inside::enter(inside, WRITER);
                assert_eq!(sum, WRITER, "a writer is not alone");
                dawdle(chance);
                drop(as_writer);
                if chance.one_in(3) {
                    let _guard = RwLockWriteGuard::downgrade(guard);
                    let (_inside, sum) = Inside::enter(inside, 1);
                    assert!(sum < WRITER, "a writer beside a reader");
                    dawdle(chance);
                }
            } else {
                let guard = match chance.below(4) {
                    0 => lock.try_read_for(chance.micros(100)),
                    1 => lock.try_read(),
                    2 => Some(lock.read_recursive()),
                    _ => Some(lock.read()),
                };
                let Some(_guard) = guard else { return };
                let (_inside, sum) = Inside::enter(inside, 1);
                assert!(sum < WRITER, "a writer beside a reader");
                dawdle(chance);
                drop(lock.read_recursive());
            }
        });
        assert!(shared.0.try_write().is_some());
        assert!(shared.0.try_read().is_some(), "nobody is thought to wait");
    });
}

#[test]
fn semaphore() {
    in_greenlets(|| {
        const PERMITS: usize = 3;
        let shared = Arc::new((Semaphore::new(PERMITS), AtomicI64::new(0)));
        let all = shared.clone();
        with_random_kills(WORKERS, true, move |chance| {
            let (semaphore, inside) = &*all;
            let count = 1 + chance.below(PERMITS as u64) as usize;
            let permit = match chance.below(3) {
                0 => semaphore.acquire_many_timeout(count, chance.micros(100)),
                1 => semaphore.try_acquire_many(count),
                _ => Some(semaphore.acquire_many(count)),
            };
            let Some(_permit) = permit else { return };
            let (_inside, sum) = Inside::enter(inside, count as i64);
            assert!(sum <= PERMITS as i64, "{sum} permits are out");
            dawdle(chance);
        });
        assert_eq!(shared.0.available_permits(), PERMITS);
        assert!(shared.0.try_acquire_many(PERMITS).is_some(), "nobody is thought to wait");
    });
}

/// A queue of mutex and condition variable. Those who are killed leave their notifications to nobody: whoever is
/// notified takes an item before it suspends again. So those who are not killed get all the rest.
#[test]
fn condvar_loses_no_wake_up() {
    #[derive(Default)]
    struct Shared {
        items: Mutex<VecDeque<u64>>,
        more: Condvar,
        put: AtomicU64,
        got: AtomicU64,
        closed: AtomicBool,
    }
    impl Shared {
        fn put(&self) {
            self.items.lock().push_back(self.put.fetch_add(1, Ordering::SeqCst));
            self.more.notify_one();
        }
        fn get(&self) -> bool {
            let mut items = self.items.lock();
            self.more.wait_while(&mut items, |items| items.is_empty() && !self.closed.load(Ordering::SeqCst));
            let got = items.pop_front().is_some();
            self.got.fetch_add(u64::from(got), Ordering::SeqCst);
            got
        }
    }
    in_greenlets(|| {
        let shared = Arc::new(Shared::default());
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                spawn(move || while shared.get() {})
            })
            .collect();
        let all = shared.clone();
        with_random_kills(WORKERS, true, move |chance| match chance.below(3) {
            0 => {
                // Put and told, or neither: what is put and not told is nobody's to find.
                crate::shield(|| all.put());
            }
            1 => {
                let mut items = all.items.lock();
                let result = all.more.wait_for(&mut items, chance.micros(200));
                if !result.timed_out() && items.pop_front().is_some() {
                    all.got.fetch_add(1, Ordering::SeqCst);
                } else if !items.is_empty() {
                    // Notified for an item that somebody else took, or not at all.
                    all.more.notify_one();
                }
            }
            _ => {
                let mut items = all.items.lock();
                if items.pop_front().is_some() {
                    all.got.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let until = Instant::now() + Duration::from_secs(20);
        while shared.got.load(Ordering::SeqCst) < shared.put.load(Ordering::SeqCst) {
            assert!(Instant::now() < until, "items lie there, and nobody was told");
            crate::sleep(Duration::from_millis(1));
        }
        shared.closed.store(true, Ordering::SeqCst);
        drop(shared.items.lock());
        shared.more.notify_all();
        consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
        assert_eq!(shared.got.load(Ordering::SeqCst), shared.put.load(Ordering::SeqCst));
    });
}

#[test]
fn event_and_wait_group() {
    in_greenlets(|| {
        let shared = Arc::new((Event::new(), AtomicU64::new(0)));
        let all = shared.clone();
        with_random_kills(WORKERS, true, move |chance| {
            let (event, waits) = &*all;
            match chance.below(4) {
                0 => event.set(),
                1 => event.clear(),
                2 => {
                    let _set = event.wait_timeout(chance.micros(100));
                }
                _ => {
                    let group = WaitGroup::new();
                    let member = group.clone();
                    drop(spawn(move || drop(member)));
                    group.wait();
                    waits.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        shared.0.set();
        shared.0.wait();
    });
}

#[test]
fn barrier_rounds_close_whoever_is_killed() {
    in_greenlets(|| {
        const SIZE: usize = 3;
        let barrier = Arc::new(Barrier::new(SIZE));
        let stop = Arc::new(AtomicBool::new(false));
        let waiter = || {
            let (barrier, stop) = (barrier.clone(), stop.clone());
            spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    barrier.wait();
                    yield_now();
                }
            })
        };
        let mut chance = Chance::new();
        let mut waiters: Vec<_> = (0..SIZE + 2).map(|_| waiter()).collect();
        let until = Instant::now() + BRIEF;
        while Instant::now() < until {
            let at = chance.below(waiters.len() as u64) as usize;
            waiters[at].kill();
            let dead = std::mem::replace(&mut waiters[at], waiter());
            assert!(dead.join().is_err_and(|error| error.is_killed()));
            crate::sleep(chance.micros(200));
        }
        stop.store(true, Ordering::SeqCst);
        for waiter in waiters {
            waiter.kill();
            drop(waiter.join());
        }
        // Everybody counted is gone: a round needs as many as ever.
        let round: Vec<_> = (0..SIZE - 1)
            .map(|_| {
                let barrier = barrier.clone();
                spawn(move || barrier.wait().is_leader())
            })
            .collect();
        crate::sleep(Duration::from_millis(2));
        assert!(round.iter().all(|waiter| !waiter.is_finished()));
        let leaders = usize::from(barrier.wait().is_leader());
        let leaders = leaders + round.into_iter().map(|w| usize::from(w.join().unwrap())).sum::<usize>();
        assert_eq!(leaders, 1);
    });
}
