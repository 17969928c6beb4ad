use super::*;
use crate::wait::list::kill;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
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

#[test]
fn every_message_arrives_once_at_a_rendezvous() {
    every_message_arrives_once(Some(0));
}

#[test]
fn every_message_arrives_once_through_a_small_buffer() {
    every_message_arrives_once(Some(2));
}

#[test]
fn every_message_arrives_once_without_bounds() {
    every_message_arrives_once(None);
}

#[test]
fn cancelled_sends_and_receives_lose_and_duplicate_nothing() {
    for capacity in [0, 1] {
        let (sender, receiver) = bounded::<Box<u64>>(capacity);
        let (sent, got) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let until = Instant::now() + ms(300);
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
}

#[test]
fn a_send_waits_for_room_and_keeps_its_turn() {
    let (sender, receiver) = bounded(1);
    sender.send(0).unwrap();
    let senders: Vec<_> = (1..4)
        .map(|i| {
            let sender = sender.clone();
            let thread = thread::spawn(move || sender.send(i).unwrap());
            thread::sleep(ms(20));
            thread
        })
        .collect();
    assert!(receiver.is_full());
    assert_eq!((0..4).map(|_| receiver.recv().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    senders.into_iter().for_each(|t| t.join().unwrap());
}

#[test]
fn receivers_are_served_in_the_order_they_came() {
    let (sender, receiver) = unbounded();
    let receivers: Vec<_> = (0..4)
        .map(|_| {
            let receiver = receiver.clone();
            let thread = thread::spawn(move || receiver.recv().unwrap());
            thread::sleep(ms(20));
            thread
        })
        .collect();
    (0..4).for_each(|i| sender.send(i).unwrap());
    let got: Vec<i32> = receivers.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(got, [0, 1, 2, 3]);
}

#[test]
fn the_last_receiver_gives_waiting_senders_their_messages_back() {
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
}

#[test]
fn the_last_sender_wakes_waiting_receivers() {
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
}

#[test]
fn undelivered_messages_are_dropped_with_the_last_receiver() {
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
}

#[test]
fn several_receivers_share_one_timer() {
    let timer = after(ms(20));
    let other = timer.clone();
    let thread = thread::spawn(move || other.recv_timeout(ms(200)).is_ok());
    let here = timer.recv_timeout(ms(200)).is_ok();
    assert!(here != thread.join().unwrap());
}

#[test]
fn errors_say_what_happened() {
    assert_eq!(RecvError.to_string(), "the channel is empty and all its senders are gone");
    assert_eq!(format!("{:?}", TrySendError::Full(1)), "Full(..)");
    assert_eq!(TrySendError::from(SendError(1)), TrySendError::Disconnected(1));
}

/// `cargo test --release -- --ignored --nocapture price_`: one message through an uncontended buffer.
#[test]
#[ignore = "a measurement"]
fn price_of_a_message_on_one_thread() {
    const ROUNDS: u32 = 10_000_000;
    let (sender, receiver) = bounded(128);
    for _ in 0..3 {
        let started = Instant::now();
        for _ in 0..ROUNDS / 64 {
            (0..64u64).for_each(|i| sender.send(i).unwrap());
            (0..64).for_each(|_| assert!(receiver.recv().is_ok()));
        }
        println!("{:.2} ns a message", started.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
    }
}

#[test]
fn a_killed_sender_drops_its_message_and_sends_nothing() {
    for capacity in [0, 1] {
        let (sender, receiver) = bounded(capacity);
        (0..capacity).for_each(|_| sender.send(Arc::new(0)).unwrap());
        let message = Arc::new(1);
        let sent = Arc::clone(&message);
        assert!(kill::dies(ms(10), || sender.send(sent)));
        assert_eq!(Arc::strong_count(&message), 1);
        assert_eq!(receiver.try_iter().count(), capacity);
    }
}

#[test]
fn a_killed_receiver_takes_nothing_and_the_next_one_gets_it() {
    let (sender, receiver) = bounded(0);
    thread::scope(|s| {
        let first = s.spawn(|| kill::dies(ms(40), || receiver.recv()));
        thread::sleep(ms(10));
        let second = s.spawn(|| receiver.recv());
        thread::sleep(ms(80));
        sender.send(7).unwrap();
        assert_eq!(second.join().unwrap(), Ok(7));
        assert!(first.join().unwrap());
    });
}

#[test]
fn kills_and_messages_race_without_loss() {
    let (sender, receiver) = bounded::<u64>(0);
    let (sent, got) = (AtomicU64::new(0), AtomicU64::new(0));
    let until = Instant::now() + ms(300);
    let killed = AtomicU64::new(0);
    thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while Instant::now() < until {
                    if sender.send_timeout(1, Duration::from_micros(30)).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            s.spawn(|| {
                while Instant::now() < until {
                    let one = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        kill::kill_me_after(Duration::from_micros(20));
                        receiver.recv_timeout(Duration::from_micros(50))
                    }));
                    match one {
                        Ok(Ok(n)) => {
                            got.fetch_add(n, Ordering::Relaxed);
                        }
                        Ok(Err(_)) => {}
                        Err(_) => {
                            killed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert_eq!(sent.load(Ordering::Relaxed), got.load(Ordering::Relaxed));
    assert!(got.load(Ordering::Relaxed) > 0 && killed.load(Ordering::Relaxed) > 0);
}

/// As above: there and back between two OS threads, and four against four over a buffer of 128.
#[test]
#[ignore = "a measurement"]
fn price_of_a_message_between_threads() {
    const ROUNDS: u32 = 50_000;
    let (there, here) = (bounded(1), bounded(1));
    thread::scope(|s| {
        s.spawn(|| (0..ROUNDS).for_each(|_| here.0.send(there.1.recv().unwrap()).unwrap()));
        let started = Instant::now();
        (0..ROUNDS).for_each(|i| {
            there.0.send(i).unwrap();
            here.1.recv().unwrap();
        });
        println!("{:?} a round trip", started.elapsed() / ROUNDS);
    });
    let (sender, receiver) = bounded(128);
    let started = Instant::now();
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..ROUNDS).for_each(|i| sender.send(i).unwrap()));
            s.spawn(|| (0..ROUNDS).for_each(|_| assert!(receiver.recv().is_ok())));
        }
    });
    println!("{:?} a message, four to four", started.elapsed() / (4 * ROUNDS));
}
