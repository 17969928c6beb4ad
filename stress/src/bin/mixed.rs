//! Hunts what goes wrong between OS threads and greenlets: both on one mutex, condition variable, channel, rwlock,
//! semaphore and barrier.

use greenhub::runtime::Runtime;
use greenhub::sync::{Barrier, Condvar, Mutex, RwLock, Semaphore};
use greenhub::{channel, sleep, yield_now};
use greenhub_stress::{Chance, Inside, Ledger, Stress, progress};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn main() {
    let mut stress = Stress::start("mixed");
    let runtime = stress.runtime();
    let mut done = 0;
    while let Some(mut chance) = stress.next_round() {
        done += match chance.below(6) {
            0 => mutex(&runtime, chance),
            1 => condvar(&runtime, chance),
            2 => messages(&runtime, chance),
            3 => rwlock(&runtime, chance),
            4 => semaphore(&runtime, chance),
            _ => barrier(&runtime, chance),
        };
    }
    stress.finish(runtime, &format!("{done} operations"));
}

/// Runs `player` in some greenlets and on some threads, and waits for all; gives how many there were.
fn play(
    runtime: &Runtime,
    chance: &mut Chance,
    player: impl Fn(usize, Chance) + Clone + Send + 'static,
) -> usize {
    let (threads, greenlets) = (chance.between(1, 5), chance.between(1, 20));
    play_with(runtime, chance, threads, greenlets, player);
    threads + greenlets
}

fn play_with(
    runtime: &Runtime,
    chance: &mut Chance,
    threads: usize,
    greenlets: usize,
    player: impl Fn(usize, Chance) + Clone + Send + 'static,
) {
    let threads: Vec<_> = (0..threads)
        .map(|number| {
            let (player, chance) = (player.clone(), chance.split());
            std::thread::spawn(move || player(number, chance))
        })
        .collect();
    let first = threads.len();
    let greenlets: Vec<_> = (0..greenlets)
        .map(|number| {
            let (player, chance) = (player.clone(), chance.split());
            runtime.spawn(move || player(first + number, chance))
        })
        .collect();
    greenlets.into_iter().for_each(|greenlet| greenlet.join().expect("a greenlet ends"));
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
}

/// Something between two operations, or nothing.
fn pause(chance: &mut Chance) {
    match chance.below(32) {
        0 => sleep(chance.micros(50)),
        1..6 => yield_now(),
        _ => {}
    }
}

fn mutex(runtime: &Runtime, mut chance: Chance) -> u64 {
    let shared = Arc::new((Mutex::new(0u64), AtomicI64::new(0)));
    let each = chance.below(200) + 1;
    let players = play(runtime, &mut chance, {
        let shared = shared.clone();
        move |_, mut chance| {
            for _ in 0..each {
                let mut guard = match chance.below(4) {
                    0 => loop {
                        match shared.0.try_lock_for(chance.micros(100)) {
                            Some(guard) => break guard,
                            None => continue,
                        }
                    },
                    _ => shared.0.lock(),
                };
                {
                    let _alone = Inside::alone(&shared.1);
                    let before = *guard;
                    pause(&mut chance);
                    *guard = before + 1;
                }
                drop(guard);
                pause(&mut chance);
            }
            progress();
        }
    });
    let total = players as u64 * each;
    assert_eq!(*shared.0.lock(), total, "increments under the mutex were lost");
    total
}

/// A bounded buffer as in the textbook: everything put is taken once.
fn condvar(runtime: &Runtime, mut chance: Chance) -> u64 {
    struct Buffer {
        items: Mutex<VecDeque<usize>>,
        not_empty: Condvar,
        not_full: Condvar,
    }
    let (pairs, each) = (chance.between(1, 5), chance.between(1, 200));
    let room = chance.between(1, 8);
    let (threads, greenlets) = (chance.between(0, pairs * 2 + 1), pairs * 2);
    let greenlets = greenlets - threads.min(greenlets);
    let buffer =
        Arc::new(Buffer { items: Mutex::default(), not_empty: Condvar::new(), not_full: Condvar::new() });
    let taken = Ledger::new("an item", pairs * each);
    let timed = chance.one_in(2);
    play_with(runtime, &mut chance, threads, greenlets, {
        let (buffer, taken) = (buffer.clone(), taken.clone());
        move |number, mut chance| {
            let wait = |condvar: &Condvar, guard: &mut _, chance: &mut Chance| {
                if timed {
                    condvar.wait_for(guard, chance.micros(200));
                } else {
                    condvar.wait(guard);
                }
            };
            for item in 0..each {
                let mut guard = buffer.items.lock();
                if number % 2 == 0 {
                    while guard.len() == room {
                        wait(&buffer.not_full, &mut guard, &mut chance);
                    }
                    guard.push_back(number / 2 * each + item);
                    drop(guard);
                    buffer.not_empty.notify_one();
                } else {
                    let item = loop {
                        match guard.pop_front() {
                            Some(item) => break item,
                            None => wait(&buffer.not_empty, &mut guard, &mut chance),
                        }
                    };
                    drop(guard);
                    buffer.not_full.notify_one();
                    taken.mark(item);
                }
                pause(&mut chance);
            }
            progress();
        }
    });
    taken.expect_all();
    assert!(buffer.items.lock().is_empty());
    (pairs * each) as u64
}

fn messages(runtime: &Runtime, mut chance: Chance) -> u64 {
    let (senders, receivers) = (chance.between(1, 6), chance.between(1, 6));
    let each = chance.between(1, 300);
    let (send, receive) = match chance.below(4) {
        0 => channel::unbounded(),
        n => channel::bounded([0, 1, 8][n as usize - 1]),
    };
    let total = senders * each;
    let (received, dropped) = (Ledger::new("a message", total), Ledger::new("a message's drop", total));
    let threads = chance.between(0, senders + receivers + 1);
    let ends = Arc::new(Mutex::new((vec![send; senders], vec![receive; receivers])));
    play_with(runtime, &mut chance, threads, senders + receivers - threads, {
        let (received, dropped) = (received.clone(), dropped.clone());
        move |number, mut chance| {
            // Each takes an end; those who come later find only what is left.
            let (sender, receiver) = {
                let mut ends = ends.lock();
                let first = if number % 2 == 0 { ends.0.pop() } else { None };
                let second = if first.is_none() { ends.1.pop() } else { None };
                let first = if first.is_none() && second.is_none() {
                    ends.0.pop().map(|s| (s, ends.0.len()))
                } else {
                    first.map(|s| (s, ends.0.len()))
                };
                (first, second)
            };
            if let Some((sender, place)) = sender {
                for item in 0..each {
                    let mut message = dropped.witness(place * each + item);
                    if chance.one_in(4) {
                        while let Err(error) = sender.send_timeout(message, chance.micros(100)) {
                            assert!(error.is_timeout(), "all receivers are gone");
                            message = error.into_inner();
                        }
                    } else {
                        assert!(sender.send(message).is_ok(), "all receivers are gone");
                    }
                    pause(&mut chance);
                }
            } else if let Some(receiver) = receiver {
                loop {
                    let message = if chance.one_in(4) {
                        match receiver.recv_timeout(chance.micros(100)) {
                            Ok(message) => message,
                            Err(error) if error.is_timeout() => continue,
                            Err(_) => break,
                        }
                    } else {
                        match receiver.recv() {
                            Ok(message) => message,
                            Err(_) => break,
                        }
                    };
                    received.mark(message.thing());
                    pause(&mut chance);
                }
            }
            progress();
        }
    });
    received.expect_all();
    dropped.expect_all();
    total as u64
}

fn rwlock(runtime: &Runtime, mut chance: Chance) -> u64 {
    let shared = Arc::new((RwLock::new((0u64, 0u64)), AtomicI64::new(0), AtomicU64::new(0)));
    let each = chance.below(200) + 1;
    let players = play(runtime, &mut chance, {
        let shared = shared.clone();
        move |_, mut chance| {
            let (lock, inside, writes) = &*shared;
            for _ in 0..each {
                match chance.below(8) {
                    0 | 1 => {
                        let mut guard = lock.write();
                        let _alone = Inside::alone(inside);
                        guard.0 += 1;
                        pause(&mut chance);
                        guard.1 += 1;
                        writes.fetch_add(1, SeqCst);
                    }
                    2 => {
                        if let Some(mut guard) = lock.try_write_for(chance.micros(100)) {
                            let _alone = Inside::alone(inside);
                            *guard = (guard.0 + 1, guard.1 + 1);
                            writes.fetch_add(1, SeqCst);
                        }
                    }
                    3 => {
                        if let Some(guard) = lock.try_read_for(chance.micros(100)) {
                            let _shared = Inside::shared(inside);
                            assert_eq!(guard.0, guard.1, "torn");
                        }
                    }
                    _ => {
                        let guard = lock.read();
                        let _shared = Inside::shared(inside);
                        pause(&mut chance);
                        assert_eq!(guard.0, guard.1, "torn");
                    }
                }
                pause(&mut chance);
            }
            progress();
        }
    });
    let writes = shared.2.load(SeqCst);
    assert_eq!(*shared.0.read(), (writes, writes), "writes were lost");
    players as u64 * each
}

fn semaphore(runtime: &Runtime, mut chance: Chance) -> u64 {
    let permits = chance.between(1, 5);
    let shared = Arc::new((Semaphore::new(permits), AtomicI64::new(0)));
    let each = chance.below(150) + 1;
    let players = play(runtime, &mut chance, {
        let shared = shared.clone();
        move |_, mut chance| {
            for _ in 0..each {
                let many = if chance.one_in(3) { chance.between(1, permits + 1) } else { 1 };
                let permit = if chance.one_in(3) {
                    shared.0.acquire_many_timeout(many, chance.micros(200))
                } else {
                    Some(shared.0.acquire_many(many))
                };
                if permit.is_some() {
                    let out = shared.1.fetch_add(many as i64, SeqCst) + many as i64;
                    assert!(out <= permits as i64, "{out} of {permits} permits are out");
                    pause(&mut chance);
                    shared.1.fetch_sub(many as i64, SeqCst);
                }
                drop(permit);
            }
            progress();
        }
    });
    assert_eq!(shared.0.available_permits(), permits, "permits were lost or made");
    players as u64 * each
}

fn barrier(runtime: &Runtime, mut chance: Chance) -> u64 {
    let (threads, greenlets) = (chance.between(1, 5), chance.between(1, 20));
    let size = threads + greenlets;
    let rounds = chance.below(30) + 1;
    let shared = Arc::new((Barrier::new(size), AtomicU64::new(0), AtomicU64::new(0)));
    play_with(runtime, &mut chance, threads, greenlets, {
        let shared = shared.clone();
        move |_, mut chance| {
            for round in 1..=rounds {
                shared.1.fetch_add(1, SeqCst);
                let leader = shared.0.wait().is_leader();
                assert!(shared.1.load(SeqCst) >= round * size as u64, "through before all had come");
                shared.2.fetch_add(u64::from(leader), SeqCst);
                if chance.one_in(8) {
                    sleep(Duration::from_micros(20));
                }
            }
            progress();
        }
    });
    assert_eq!(shared.2.load(SeqCst), rounds, "each round has one leader");
    rounds * size as u64
}
