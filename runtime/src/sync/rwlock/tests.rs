use super::*;
use crate::testing::{BRIEF, everywhere, thread};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

#[test]
fn writers_exclude_all_and_readers_only_writers() {
    everywhere(|| {
        let lock = Arc::new(RwLock::new((0u64, 0u64)));
        let inside = Arc::new(AtomicI32::new(0));
        let writes = Arc::new(AtomicU64::new(0));
        let until = Instant::now() + BRIEF;
        let threads: Vec<_> = (0..6)
            .map(|i| {
                let (lock, inside, writes) = (Arc::clone(&lock), Arc::clone(&inside), Arc::clone(&writes));
                thread::spawn(move || {
                    let brief = Duration::from_micros(20);
                    let mut turn = i;
                    while Instant::now() < until {
                        turn += 1;
                        let write = match turn % 6 {
                            0 => lock.try_write_for(brief),
                            1 => Some(lock.write()),
                            _ => None,
                        };
                        if let Some(mut pair) = write {
                            assert_eq!(inside.swap(-1, Ordering::SeqCst), 0);
                            pair.0 += 1;
                            thread::yield_now();
                            pair.1 += 1;
                            writes.fetch_add(1, Ordering::SeqCst);
                            inside.store(0, Ordering::SeqCst);
                            if turn % 12 == 0 {
                                let pair = RwLockWriteGuard::downgrade(pair);
                                assert_eq!(pair.0, pair.1);
                            }
                            continue;
                        }
                        let read = if turn % 2 == 0 { lock.try_read_for(brief) } else { Some(lock.read()) };
                        if let Some(pair) = read {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) >= 0);
                            assert_eq!(pair.0, pair.1);
                            let again = lock.read_recursive();
                            assert_eq!(again.0, pair.1);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let pair = lock.read();
        assert_eq!((pair.0, pair.1), (writes.load(Ordering::SeqCst), writes.load(Ordering::SeqCst)));
        drop(pair);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn a_stream_of_readers_does_not_starve_a_writer() {
    everywhere(|| {
        let lock = Arc::new(RwLock::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (lock, stop) = (Arc::clone(&lock), Arc::clone(&stop));
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let _guard = lock.read();
                        thread::sleep(Duration::from_micros(50));
                    }
                })
            })
            .collect();
        let started = Instant::now();
        for _ in 0..50 {
            *lock.write() += 1;
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|t| t.join().unwrap());
    });
}

#[test]
fn a_waiting_writer_holds_up_readers_and_lets_them_in_when_it_gives_up() {
    everywhere(|| {
        let lock = Arc::new(RwLock::new(()));
        let outer = lock.read();
        let writer = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || lock.try_write_for(Duration::from_millis(100)).is_some())
        };
        while lock.try_read().is_some() {
            thread::yield_now();
        }
        drop(lock.read_recursive());
        drop(lock.read());
        assert!(!writer.join().unwrap());
        drop(outer);
        assert!(!lock.is_locked());
    });
}

#[test]
fn guards_may_be_sent() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<RwLockReadGuard<'static, u32>>();
    is_send_and_sync::<RwLockWriteGuard<'static, u32>>();
    is_send_and_sync::<RwLock<u32>>();
}
