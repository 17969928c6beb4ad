//! Locks and channels between greenlets of all hubs and plain threads, under kills and timeouts.

mod common;

use common::{Witness, everywhere, inside, inside_on};
use greenhub::channel::{self, RecvTimeoutError, TryRecvError};
use greenhub::sync::{Condvar, Mutex, RwLock, Semaphore};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn a_mutex_excludes_greenlets_of_all_hubs_and_plain_threads() {
    everywhere(|world| {
        let counter = Arc::new(Mutex::new((0_u64, false)));
        let step = |counter: &Mutex<(u64, bool)>, suspend: bool| {
            let mut guard = counter.lock();
            assert!(!std::mem::replace(&mut guard.1, true), "two owners");
            if suspend {
                greenhub::yield_now();
            }
            guard.0 += 1;
            guard.1 = false;
        };
        let handles: Vec<_> = (0..20)
            .map(|n| {
                let counter = counter.clone();
                world.runtime.spawn(move || (0..100).for_each(|round| step(&counter, (n + round) % 7 == 0)))
            })
            .collect();
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| (0..200).for_each(|_| step(&counter, false)));
            }
        });
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(counter.lock().0, 20 * 100 + 400);
    });
}

#[test]
fn killing_who_waits_for_a_lock_leaves_the_lock_to_the_others() {
    inside(|| {
        let mutex = Arc::new(Mutex::new(0));
        for _ in 0..20 {
            let guard = mutex.lock();
            let waiters: Vec<_> = (0..6)
                .map(|_| {
                    let mutex = mutex.clone();
                    greenhub::spawn(move || *mutex.lock() += 1)
                })
                .collect();
            greenhub::sleep(Duration::from_micros(300));
            waiters.iter().step_by(2).for_each(greenhub::JoinHandle::kill);
            drop(guard);
            for (n, waiter) in waiters.into_iter().enumerate() {
                let joined = waiter.join();
                assert!(n % 2 == 0 || joined.is_ok());
            }
            assert!(greenhub::timeout(Duration::from_secs(20), || *mutex.lock() += 1).is_ok());
        }
    });
}

#[test]
fn killing_the_owner_of_a_lock_releases_it_without_poison() {
    inside(|| {
        let mutex = Arc::new(Mutex::new(5));
        let shared = mutex.clone();
        let owner = greenhub::spawn(move || {
            let _guard = shared.lock();
            greenhub::park();
        });
        greenhub::sleep(Duration::from_millis(1));
        assert!(mutex.try_lock().is_none());
        owner.kill();
        assert!(owner.join().unwrap_err().is_killed());
        assert_eq!(*mutex.lock(), 5);
    });
}

#[test]
fn a_kill_or_timeout_in_a_condvar_s_wait_has_the_lock_again_before_it_unwinds() {
    inside(|| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let shared = pair.clone();
        let waiter = greenhub::spawn(move || {
            struct Owns<'a>(greenhub::sync::MutexGuard<'a, i32>);
            impl Drop for Owns<'_> {
                fn drop(&mut self) {
                    *self.0 += 1;
                }
            }
            let mut owns = Owns(shared.0.lock());
            shared.1.wait(&mut owns.0);
        });
        greenhub::sleep(Duration::from_millis(1));
        let guard = pair.0.lock();
        waiter.kill();
        greenhub::sleep(Duration::from_millis(1));
        assert!(!waiter.is_finished(), "it unwound without the lock");
        assert_eq!(*guard, 0);
        drop(guard);
        assert!(waiter.join().unwrap_err().is_killed());
        assert_eq!(*pair.0.lock(), 1);
        let mut guard = pair.0.lock();
        assert!(greenhub::timeout(Duration::from_millis(2), || pair.1.wait(&mut guard)).is_err());
        *guard += 1;
    });
}

#[test]
fn a_condvar_wakes_greenlets_and_threads() {
    everywhere(|world| {
        let pair = Arc::new((Mutex::new(0_usize), Condvar::new()));
        let wait = |pair: &(Mutex<usize>, Condvar)| {
            let mut turn = pair.0.lock();
            while *turn == 0 {
                pair.1.wait(&mut turn);
            }
            *turn -= 1;
        };
        let handles: Vec<_> = (0..10)
            .map(|_| {
                let pair = pair.clone();
                world.runtime.spawn(move || wait(&pair))
            })
            .collect();
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| wait(&pair));
            }
            for _ in 0..12 {
                *pair.0.lock() += 1;
                pair.1.notify_one();
            }
        });
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(*pair.0.lock(), 0);
    });
}

#[test]
fn a_rwlock_lets_readers_in_together_and_writers_alone() {
    inside(|| {
        let lock = Arc::new(RwLock::new(0_usize));
        let readers = Arc::new(AtomicUsize::new(0));
        let together = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..30)
            .map(|n| {
                let (lock, readers, together) = (lock.clone(), readers.clone(), together.clone());
                greenhub::spawn(move || {
                    for _ in 0..20 {
                        if n % 5 == 0 {
                            let mut value = lock.write();
                            assert_eq!(readers.load(SeqCst), 0);
                            *value += 1;
                            greenhub::yield_now();
                            assert_eq!(readers.load(SeqCst), 0);
                        } else {
                            let _value = lock.read();
                            together.fetch_max(readers.fetch_add(1, SeqCst) + 1, SeqCst);
                            greenhub::yield_now();
                            readers.fetch_sub(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(*lock.read(), 6 * 20);
        assert!(together.load(SeqCst) > 1);
    });
}

#[test]
fn a_semaphore_holds_its_limit_and_loses_no_permit_to_kills() {
    inside(|| {
        let semaphore = Arc::new(Semaphore::new(3));
        let inside = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..60)
            .map(|_| {
                let (semaphore, inside) = (semaphore.clone(), inside.clone());
                greenhub::spawn(move || {
                    let _permit = semaphore.acquire();
                    struct Leave(Arc<AtomicUsize>);
                    impl Drop for Leave {
                        fn drop(&mut self) {
                            self.0.fetch_sub(1, SeqCst);
                        }
                    }
                    assert!(inside.fetch_add(1, SeqCst) < 3);
                    let _leave = Leave(inside);
                    greenhub::sleep(Duration::from_micros(200));
                })
            })
            .collect();
        greenhub::sleep(Duration::from_millis(1));
        handles.iter().step_by(3).for_each(greenhub::JoinHandle::kill);
        handles
            .into_iter()
            .for_each(|handle| assert!(handle.join().map_or_else(|e| e.is_killed(), |()| true)));
        let all: Vec<_> = (0..3)
            .map(|_| {
                greenhub::timeout(Duration::from_secs(20), || semaphore.acquire()).expect("a permit is lost")
            })
            .collect();
        assert!(semaphore.try_acquire().is_none());
        drop(all);
    });
}

#[test]
fn every_message_arrives_once_and_in_order_of_its_sender() {
    everywhere(|world| {
        for capacity in [Some(0), Some(1), Some(16), None] {
            let (send, receive) = match capacity {
                Some(capacity) => channel::bounded(capacity),
                None => channel::unbounded(),
            };
            let senders: Vec<_> = (0..4)
                .map(|n| {
                    let send = send.clone();
                    world.runtime.spawn(move || (0..300).for_each(|round| send.send((n, round)).unwrap()))
                })
                .collect();
            let thread =
                std::thread::spawn(move || (0..100).for_each(|round| send.send((4, round)).unwrap()));
            let receivers: Vec<_> = (0..3)
                .map(|_| {
                    let receive = receive.clone();
                    world.runtime.spawn(move || {
                        let mut last = [-1; 5];
                        let mut count = 0;
                        for (sender, round) in receive {
                            assert!(last[sender] < round, "out of order");
                            last[sender] = round;
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            drop(receive);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            thread.join().unwrap();
            let count: usize = receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum();
            assert_eq!(count, 1300);
        }
    });
}

#[test]
fn killed_receivers_and_senders_lose_no_message() {
    inside(|| {
        for capacity in [0, 1, 4] {
            let (send, receive) = channel::bounded(capacity);
            let got = Arc::new(AtomicUsize::new(0));
            let receivers: Vec<_> = (0..8)
                .map(|_| {
                    let (receive, got) = (receive.clone(), got.clone());
                    greenhub::spawn(move || {
                        while receive.recv().is_ok_and(|()| true) {
                            got.fetch_add(1, SeqCst);
                        }
                    })
                })
                .collect();
            let mut sent = 0;
            for victim in &receivers[..7] {
                for _ in 0..5 {
                    send.send(()).unwrap();
                    sent += 1;
                }
                greenhub::yield_now();
                victim.kill();
            }
            drop((send, receive));
            for receiver in receivers {
                assert!(receiver.join().map_or_else(|error| error.is_killed(), |()| true));
            }
            // A message handed to a receiver is received; a kill that comes with it comes after it.
            assert_eq!(got.load(SeqCst), sent, "with capacity {capacity}");
        }
    });
}

#[test]
fn a_channel_whose_last_end_goes_says_so_and_drops_what_is_in_it() {
    inside(|| {
        let (send, receive) = channel::unbounded();
        let (one, seen) = Witness::new();
        send.send(one).unwrap();
        drop(send);
        assert!(receive.recv().is_ok());
        assert!(receive.recv().is_err());
        assert_eq!(receive.try_recv().unwrap_err(), TryRecvError::Disconnected);
        assert_eq!(seen.drops(), 1);
        let (send, receive) = channel::bounded(1);
        let blocked = greenhub::spawn({
            let send = send.clone();
            move || {
                send.send(1).unwrap();
                send.send(2)
            }
        });
        greenhub::sleep(Duration::from_millis(1));
        drop(receive);
        assert_eq!(blocked.join().unwrap().unwrap_err().into_inner(), 2);
        assert!(send.send(3).is_err());
    });
}

#[test]
fn channel_waits_time_out() {
    inside(|| {
        let (send, receive) = channel::bounded::<u8>(1);
        assert_eq!(receive.recv_timeout(Duration::from_millis(2)), Err(RecvTimeoutError::Timeout));
        send.send(1).unwrap();
        assert!(send.send_timeout(2, Duration::from_millis(2)).unwrap_err().is_timeout());
        assert_eq!(receive.recv_timeout(Duration::from_secs(20)), Ok(1));
    });
}

#[test]
fn on_one_hub_waiters_of_a_channel_are_served_in_order() {
    inside_on(&common::ONE_HUB, || {
        let (send, receive) = channel::bounded(0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let receivers: Vec<_> = (0..6)
            .map(|n| {
                let (receive, order) = (receive.clone(), order.clone());
                greenhub::spawn(move || {
                    let value: i32 = receive.recv().unwrap();
                    order.lock().push((n, value));
                })
            })
            .collect();
        greenhub::yield_now();
        (0..6).for_each(|value| send.send(value).unwrap());
        receivers.into_iter().for_each(|receiver| receiver.join().unwrap());
        let mut order = order.lock().clone();
        order.sort_unstable();
        assert_eq!(order, (0..6).map(|n| (n, n)).collect::<Vec<_>>());
    });
}
