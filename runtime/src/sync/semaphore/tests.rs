use super::*;
use crate::testing::{BRIEF, everywhere, thread};
use std::sync::atomic::AtomicI64;

#[test]
fn never_more_holders_than_permits_and_none_is_lost() {
    everywhere(|| {
        let semaphore = Arc::new(Semaphore::new(3));
        let inside = Arc::new(AtomicI64::new(0));
        let until = Instant::now() + BRIEF;
        let threads: Vec<_> = (0..6)
            .map(|i| {
                let (semaphore, inside) = (Arc::clone(&semaphore), Arc::clone(&inside));
                thread::spawn(move || {
                    while Instant::now() < until {
                        let count = 1 + i % 3;
                        let permit = match i % 2 {
                            0 => semaphore.acquire_many_timeout(count, Duration::from_micros(15)),
                            _ => Some(semaphore.acquire_many(count)),
                        };
                        if permit.is_some() {
                            let holders = inside.fetch_add(count as i64, Ordering::SeqCst) + count as i64;
                            assert!(holders <= 3, "{holders} permits out");
                            thread::yield_now();
                            inside.fetch_sub(count as i64, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(semaphore.available_permits(), 3);
        assert_eq!(semaphore.state.load(Ordering::SeqCst) & WAITERS, 0);
    });
}

#[test]
fn who_gives_up_at_the_head_lets_the_smaller_ones_behind_pass() {
    everywhere(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let large = {
            let semaphore = Arc::clone(&semaphore);
            thread::spawn(move || semaphore.acquire_many_timeout(2, Duration::from_millis(100)).is_some())
        };
        while semaphore.state.load(Ordering::SeqCst) & WAITERS == 0 {
            thread::yield_now();
        }
        assert!(semaphore.try_acquire().is_none(), "nobody overtakes");
        drop(semaphore.acquire());
        assert!(!large.join().unwrap());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_failed_timed_acquire_leaves_the_count_right() {
    everywhere(|| {
        let semaphore = Semaphore::new(0);
        assert!(semaphore.acquire_timeout(Duration::from_millis(5)).is_none());
        semaphore.release();
        assert_eq!(semaphore.available_permits(), 1);
        assert!(semaphore.try_acquire().is_some());
    });
}
