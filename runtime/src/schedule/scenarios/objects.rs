//! Channels and locks across hubs and OS threads.

use super::world::with_runtime;
use crate::schedule::{explore, thread, world};
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Everything sent is received once, whatever the capacity.
#[test]
fn schedule_channel() {
    explore("channel", || {
        with_runtime(|runtime| {
            let (send, receive) = match world::below(3) {
                0 => crate::channel::unbounded(),
                capacity => crate::channel::bounded(capacity as usize - 1),
            };
            let sender = |n: u64| {
                let send = send.clone();
                move || (0..3).for_each(|m| send.send(10 * n + m).unwrap())
            };
            let senders = [runtime.spawn(sender(0)), runtime.spawn(sender(1))];
            let outside = thread::spawn(sender(2));
            drop(send);
            let receivers: Vec<_> = (0..2)
                .map(|_| {
                    let receive = receive.clone();
                    runtime.spawn(move || receive.iter().collect::<Vec<u64>>())
                })
                .collect();
            drop(receive);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            outside.join().unwrap();
            let mut all: Vec<_> = receivers.into_iter().flat_map(|each| each.join().unwrap()).collect();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 10, 11, 12, 20, 21, 22], "messages were lost or doubled");
        });
    });
}

/// One holder at a time, and everybody gets it; a condition variable on top.
#[test]
fn schedule_mutex_and_condvar() {
    explore("mutex_and_condvar", || {
        with_runtime(|runtime| {
            let shared = Arc::new((Mutex::new(0), Condvar::new(), AtomicBool::new(false)));
            let adder = || {
                let shared = shared.clone();
                move || {
                    for _ in 0..2 {
                        let mut count = shared.0.lock();
                        assert!(!shared.2.swap(true, Ordering::Relaxed), "two holders");
                        if crate::runtime::current_hub().is_some() {
                            crate::yield_now();
                        }
                        *count += 1;
                        assert!(shared.2.swap(false, Ordering::Relaxed));
                        if *count == 6 {
                            shared.1.notify_all();
                        }
                    }
                }
            };
            let waiter = runtime.spawn({
                let shared = shared.clone();
                move || {
                    let mut count = shared.0.lock();
                    while *count < 6 {
                        shared.1.wait(&mut count);
                    }
                }
            });
            let adders = [runtime.spawn(adder()), runtime.spawn(adder())];
            let outside = thread::spawn(adder());
            waiter.join().unwrap();
            adders.into_iter().for_each(|adder| adder.join().unwrap());
            outside.join().unwrap();
        });
    });
}
