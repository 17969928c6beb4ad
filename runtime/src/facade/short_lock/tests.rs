//! What models leave out: the naps, how a lock comes to be biased, and the real fence.

use super::{CountedLock, ShortLock, ThreadMark};
use crate::facade::lopsided_fence;
use crate::greenlet::current;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// The processor time that this thread has used.
fn used() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("less than a second"))
}

#[test]
fn who_waits_long_sleeps_meanwhile() {
    const HELD: Duration = Duration::from_millis(200);
    let lock = ShortLock::new();
    lock.acquire(ThreadMark::NOBODY);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (begin, before) = (Instant::now(), used());
            lock.acquire(ThreadMark::NOBODY);
            (begin.elapsed(), used() - before)
        });
        std::thread::sleep(HELD);
        lock.release();
        let (waited, worked) = waiter.join().expect("it waits");
        assert!(worked < waited / 4, "it worked for {worked:?} of the {waited:?} that it waited");
    });
    assert!(!lock.try_acquire(ThreadMark::NOBODY), "it was not taken");
}

type Counted = lock_api::Mutex<CountedLock, usize>;

fn count(lock: &Counted, times: usize) {
    (0..times).for_each(|_| *lock.lock() += 1);
}

/// The lock within, for a look.
fn within(lock: &Counted) -> &ShortLock {
    // SAFETY: it is looked at, not used.
    unsafe { lock.raw() }.within()
}

#[test]
fn a_lock_is_biased_to_the_hub_that_keeps_taking_it() {
    lopsided_fence::prepare();
    let hub = ThreadMark::new();
    current::set_mark(hub);
    let lock = Counted::new(0);
    count(&lock, 256);
    assert!(!within(&lock).is_biased_to(hub));
    let by_flag = lock.lock();
    assert!(lock.is_locked() && lock.try_lock().is_none());
    drop(by_flag);
    count(&lock, 1);
    assert_eq!(within(&lock).is_biased_to(hub), lopsided_fence::is_lopsided());
    count(&lock, 10);
    assert!(lock.try_lock().is_some() && !lock.is_locked());
    let taken = lock.lock();
    assert!(lock.is_locked() && lock.try_lock().is_none());
    drop(taken);
    // A thread without a hub wants it.
    current::set_mark(ThreadMark::NOBODY);
    count(&lock, 1);
    assert!(within(&lock).is_shared());
    current::set_mark(hub);
    count(&lock, 1000);
    assert!(!within(&lock).is_biased_to(hub), "it was biased once");
    assert_eq!(*lock.lock(), 256 + 1 + 10 + 1 + 1000);
}

#[test]
fn a_lock_that_goes_from_hand_to_hand_is_shared() {
    let lock = Counted::new(0);
    let marks = [ThreadMark::new(), ThreadMark::new()];
    for mark in marks.iter().cycle().take(8) {
        assert!(!within(&lock).is_shared());
        current::set_mark(*mark);
        count(&lock, 3);
    }
    assert!(within(&lock).is_shared());
    current::set_mark(ThreadMark::NOBODY);
}

#[test]
fn a_lock_of_nobody_is_never_biased() {
    let lock = Counted::new(0);
    count(&lock, 1000);
    assert!(!within(&lock).is_biased_to(ThreadMark::NOBODY));
}

/// The bias of many locks, one after the other, is revoked by another thread in the midst of their use.
#[test]
fn no_turn_is_lost_when_a_bias_is_revoked() {
    const LOCKS: usize = if cfg!(debug_assertions) { 500 } else { 5000 };
    lopsided_fence::prepare();
    let locks: Vec<_> = (0..LOCKS).map(|_| Counted::new(0)).collect();
    let biased = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            current::set_mark(ThreadMark::new());
            for lock in &locks {
                count(lock, 300);
                biased.wait();
                count(lock, 500);
            }
        });
        for lock in &locks {
            biased.wait();
            count(lock, 20);
        }
    });
    assert!(locks.iter().all(|lock| *lock.lock() == 820), "turns were lost");
    assert!(locks.iter().all(|lock| within(lock).is_shared()));
}
