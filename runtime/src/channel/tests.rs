use super::*;
use crate::facade::Arc;
use crate::testing::{BRIEF, dies, everywhere, in_greenlets, thread};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Every message arrives once, and those of one sender in order, whatever the capacity.
fn every_message_arrives_once(capacity: Option<usize>) {
    const SENDERS: usize = 3;
    const EACH: usize = 4_000;
    let (sender, receiver) = ends(capacity);
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.iter().collect::<Vec<(usize, usize)>>())
        })
        .collect();
    drop(receiver);
    let senders: Vec<_> = (0..SENDERS)
        .map(|who| {
            let sender = sender.clone();
            thread::spawn(move || (0..EACH).for_each(|i| sender.send((who, i)).unwrap()))
        })
        .collect();
    drop(sender);
    senders.into_iter().for_each(|t| t.join().unwrap());
    let mut seen = vec![vec![false; EACH]; SENDERS];
    for t in receivers {
        let mut last = [None; SENDERS];
        for (who, i) in t.join().unwrap() {
            assert!(last[who].is_none_or(|before| before < i));
            last[who] = Some(i);
            assert!(!std::mem::replace(&mut seen[who][i], true));
        }
    }
    assert!(seen.iter().flatten().all(|&seen| seen));
}

/// Lets others run until it is so; the watchdog of [`everywhere`] ends what takes too long.
fn until(so: impl Fn() -> bool) {
    while !so() {
        thread::sleep(ms(1));
    }
}

#[test]
fn every_message_arrives_once_at_a_rendezvous() {
    everywhere(|| {
        every_message_arrives_once(Some(0));
    });
}

#[test]
fn every_message_arrives_once_through_a_small_buffer() {
    everywhere(|| {
        every_message_arrives_once(Some(2));
    });
}

#[test]
fn every_message_arrives_once_without_bounds() {
    everywhere(|| {
        every_message_arrives_once(None);
    });
}

#[test]
fn cancelled_sends_and_receives_lose_and_duplicate_nothing() {
    everywhere(|| {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded::<Box<u64>>(capacity);
            let (sent, got) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let until = Instant::now() + BRIEF;
            let mut threads = Vec::new();
            for i in 0..3u64 {
                let (sender, sent) = (sender.clone(), Arc::clone(&sent));
                threads.push(thread::spawn(move || {
                    let mut n = i * 1_000_000_000;
                    while Instant::now() < until {
                        n += 1;
                        match sender.send_timeout(Box::new(n), Duration::from_micros(n % 50)) {
                            Ok(()) => {
                                sent.fetch_add(n, Ordering::Relaxed);
                            }
                            Err(error) => assert_eq!(*error.into_inner(), n),
                        }
                    }
                }));
                let (receiver, got) = (receiver.clone(), Arc::clone(&got));
                threads.push(thread::spawn(move || {
                    let mut wait = 0;
                    loop {
                        wait += 7;
                        match receiver.recv_timeout(Duration::from_micros(wait % 50)) {
                            Ok(n) => {
                                got.fetch_add(*n, Ordering::Relaxed);
                            }
                            Err(error) if error.is_disconnected() => break,
                            Err(_) => {}
                        }
                    }
                }));
            }
            drop((sender, receiver));
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(sent.load(Ordering::Relaxed), got.load(Ordering::Relaxed));
            assert!(got.load(Ordering::Relaxed) > 0);
        }
    });
}

#[test]
fn a_send_waits_for_room_and_keeps_its_turn() {
    everywhere(|| {
        let (sender, receiver) = bounded(1);
        sender.send(0).unwrap();
        let senders: Vec<_> = (1..4)
            .map(|i| {
                let sender = sender.clone();
                let waiting = sender.clone();
                let thread = thread::spawn(move || sender.send(i).unwrap());
                until(|| waiting.shared.waiting().0 == i);
                thread
            })
            .collect();
        assert!(receiver.is_full());
        assert_eq!((0..4).map(|_| receiver.recv().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        senders.into_iter().for_each(|t| t.join().unwrap());
    });
}

#[test]
fn receivers_are_served_in_the_order_they_came() {
    everywhere(|| {
        let (sender, receiver) = unbounded();
        let receivers: Vec<_> = (0..4)
            .map(|already| {
                let receiver = receiver.clone();
                let thread = thread::spawn(move || receiver.recv().unwrap());
                until(|| sender.shared.waiting().1 == already + 1);
                thread
            })
            .collect();
        (0..4).for_each(|i| sender.send(i).unwrap());
        let got: Vec<i32> = receivers.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(got, [0, 1, 2, 3]);
    });
}

#[test]
fn the_last_receiver_gives_waiting_senders_their_messages_back() {
    everywhere(|| {
        let (sender, receiver) = bounded(0);
        let senders: Vec<_> = (0..3)
            .map(|i| {
                let sender = sender.clone();
                thread::spawn(move || sender.send(i).unwrap_err().into_inner() == i)
            })
            .collect();
        thread::sleep(ms(30));
        drop(receiver);
        assert!(senders.into_iter().all(|t| t.join().unwrap()));
        assert!(sender.try_send(9).unwrap_err().is_disconnected());
    });
}

#[test]
fn the_last_sender_wakes_waiting_receivers() {
    everywhere(|| {
        let (sender, receiver) = bounded::<()>(1);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || receiver.recv())
            })
            .collect();
        thread::sleep(ms(30));
        drop(sender);
        assert!(receivers.into_iter().all(|t| t.join().unwrap() == Err(RecvError)));
    });
}

#[test]
fn undelivered_messages_are_dropped_with_the_last_receiver() {
    everywhere(|| {
        struct Counted(Arc<AtomicUsize>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = bounded(4);
        (0..3).for_each(|_| assert!(sender.send(Counted(Arc::clone(&dropped))).is_ok()));
        drop(receiver.recv());
        drop(receiver);
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        assert!(sender.send(Counted(Arc::clone(&dropped))).is_err());
        assert_eq!(dropped.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn what_is_buffered_outlives_the_senders() {
    let (sender, receiver) = bounded(2);
    sender.send(1).unwrap();
    drop(sender);
    assert_eq!(receiver.recv_timeout(ms(1)), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn a_rendezvous_ends_only_when_the_message_is_taken() {
    everywhere(|| {
        let (sender, receiver) = bounded(0);
        let taken = Arc::new(AtomicBool::new(false));
        let taken2 = Arc::clone(&taken);
        let giver = thread::spawn(move || {
            sender.send(()).unwrap();
            assert!(taken2.load(Ordering::SeqCst));
        });
        thread::sleep(ms(30));
        taken.store(true, Ordering::SeqCst);
        receiver.recv().unwrap();
        giver.join().unwrap();
        assert_eq!((receiver.len(), receiver.is_empty(), receiver.is_full()), (0, true, true));
    });
}

#[test]
fn several_receivers_share_one_timer() {
    everywhere(|| {
        let timer = after(ms(20));
        let other = timer.clone();
        let thread = thread::spawn(move || other.recv_timeout(ms(200)).is_ok());
        let here = timer.recv_timeout(ms(200)).is_ok();
        assert!(here != thread.join().unwrap());
    });
}

#[test]
fn errors_say_what_happened() {
    assert_eq!(RecvError.to_string(), "the channel is empty and all its senders are gone");
    assert_eq!(format!("{:?}", TrySendError::Full(1)), "Full(..)");
    assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
}

#[test]
fn a_killed_sender_drops_its_message_and_sends_nothing() {
    in_greenlets(|| {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded(capacity);
            (0..capacity).for_each(|_| sender.send(Arc::new(0)).unwrap());
            let message = Arc::new(1);
            let sent = Arc::clone(&message);
            assert!(dies(ms(5), move || sender.send(sent)));
            assert_eq!(Arc::strong_count(&message), 1);
            assert_eq!(receiver.try_iter().count(), capacity);
        }
    });
}

#[test]
fn a_killed_receiver_takes_nothing_and_the_next_one_gets_it() {
    in_greenlets(|| {
        let (sender, receiver) = bounded(0);
        let (first, second) = (receiver.clone(), receiver);
        let first = crate::spawn(move || first.recv());
        thread::sleep(ms(2));
        let second = crate::spawn(move || second.recv());
        thread::sleep(ms(2));
        first.kill();
        sender.send(7).unwrap();
        assert_eq!(second.join().unwrap(), Ok(7));
        assert!(first.join().unwrap_err().is_killed());
    });
}

#[test]
fn timed_sends_and_receives_are_never_early_and_outer_timeouts_pass_through() {
    in_greenlets(|| {
        let (sender, receiver) = bounded(0);
        let waiters: Vec<_> = (0..60u64)
            .map(|i| {
                let (sender, limit) = (sender.clone(), Duration::from_micros(i * 91));
                crate::spawn(move || {
                    let started = Instant::now();
                    sender.send_timeout(i, limit).is_err_and(|error| error.is_timeout())
                        && started.elapsed() >= limit
                })
            })
            .collect();
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        for i in 0..20 {
            let (limit, started) = (Duration::from_micros(i * 91), Instant::now());
            assert!(receiver.recv_timeout(limit).is_err_and(|error| error.is_timeout()));
            assert!(started.elapsed() >= limit);
        }
        let mut returned = false;
        let outer = crate::timeout(ms(3), || {
            let inner = crate::timeout(ms(50_000), || receiver.recv_timeout(ms(60_000)));
            returned = true;
            inner
        });
        assert!(outer.is_err() && !returned);
        let outer = crate::timeout(ms(3), || {
            crate::shield(|| {
                let started = Instant::now();
                assert!(receiver.recv_timeout(ms(10)).is_err_and(|error| error.is_timeout()));
                assert!(started.elapsed() >= ms(10));
            });
            returned = true;
            receiver.recv()
        });
        assert!(outer.is_err() && returned);
    });
}

#[test]
fn waiting_leaves_the_unpark_token_alone() {
    in_greenlets(|| {
        let (sender, receiver) = bounded(0);
        let waiter = crate::spawn(move || {
            let got = receiver.recv();
            crate::park();
            got
        });
        thread::sleep(ms(2));
        waiter.greenlet().unpark();
        thread::sleep(ms(2));
        sender.send(1).unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(1));
    });
}
