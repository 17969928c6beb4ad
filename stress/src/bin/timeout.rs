//! Hunts timeouts that strike early, at the wrong `timeout`, or not at all: nested at random around every kind of
//! wait, with and without shields.

use greenhub::sync::{Condvar, Event, Mutex, RwLock, Semaphore};
use greenhub::{channel, park, park_timeout, scope, shield, sleep, spawn, timeout, yield_now};
use greenhub_stress::{Chance, Inside, Stress, progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What the players fight over.
#[derive(Default)]
struct Table {
    mutex: Mutex<()>,
    inside: AtomicI64,
    condvar: Condvar,
    rwlock: RwLock<()>,
    readers: AtomicI64,
    event: Event,
    elapsed: AtomicU64,
    kept: AtomicU64,
}

/// One `timeout` on the way to where a player waits.
#[derive(Clone, Copy)]
struct Frame {
    /// Its deadline is no earlier than this,
    low: Instant,
    /// and no later than this.
    high: Instant,
}

fn main() {
    let mut stress = Stress::start("timeout");
    let runtime = stress.runtime();
    let (mut elapsed, mut kept) = (0, 0);
    while let Some(mut chance) = stress.next_round() {
        let table = Arc::new(Table::default());
        let semaphore = Arc::new(Semaphore::new(2));
        let threads: Vec<_> = (0..chance.below(3))
            .map(|_| {
                let (mut chance, table, semaphore) = (chance.split(), table.clone(), semaphore.clone());
                std::thread::spawn(move || {
                    (0..20).for_each(|_| nest(&mut chance, &table, &semaphore, &mut Vec::new(), 0))
                })
            })
            .collect();
        runtime.run(|| {
            let players: Vec<_> = (0..chance.between(1, 40))
                .map(|_| {
                    let (mut chance, table, semaphore) = (chance.split(), table.clone(), semaphore.clone());
                    spawn(move || {
                        for _ in 0..20 {
                            nest(&mut chance, &table, &semaphore, &mut Vec::new(), 0);
                        }
                    })
                })
                .collect();
            players.into_iter().for_each(|player| player.join().expect("a player ends"));
        });
        threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
        assert!(table.mutex.try_lock().is_some(), "an unwound player kept the mutex");
        assert!(table.rwlock.try_write().is_some(), "an unwound player kept the rwlock");
        assert_eq!(semaphore.available_permits(), 2, "permits were lost or made");
        elapsed += table.elapsed.load(Relaxed);
        kept += table.kept.load(Relaxed);
    }
    if elapsed == 0 || kept == 0 {
        greenhub_stress::die("timeouts always or never struck: this proves nothing");
    }
    stress.finish(runtime, &format!("{elapsed} timeouts struck, {kept} did not"));
}

fn nest(chance: &mut Chance, table: &Table, semaphore: &Semaphore, frames: &mut Vec<Frame>, depth: usize) {
    progress();
    if depth == 5 || chance.one_in(4) {
        return wait(chance, table, semaphore, depth);
    }
    if chance.one_in(6) {
        // Frames outside the shield are held back inside, so nothing is asked of them there.
        let outside = std::mem::take(frames);
        shield(|| nest(chance, table, semaphore, frames, depth + 1));
        *frames = outside;
        return;
    }
    let after = match chance.below(8) {
        0 => Duration::ZERO,
        1 => Duration::from_secs(1000),
        _ => chance.micros(1500),
    };
    let length = frames.len();
    let value = chance.number();
    let low = Instant::now() + after;
    let result = timeout(after, || {
        frames.push(Frame { low, high: Instant::now() + after });
        nest(chance, table, semaphore, frames, depth + 1);
        if chance.one_in(3) {
            nest(chance, table, semaphore, frames, depth + 1);
        }
        value
    });
    let own = Frame { low, high: low };
    match result {
        Ok(given) => {
            assert_eq!(given, value, "another timeout's value");
            table.kept.fetch_add(1, Relaxed);
        }
        Err(_) => {
            assert!(Instant::now() >= own.low, "a timeout of {after:?} struck early");
            // Of those that are due the earliest strikes.
            let outer = &frames[..length];
            assert!(
                !outer.iter().any(|outer| outer.high < own.low),
                "a timeout was struck although one around it was due before it"
            );
            table.elapsed.fetch_add(1, Relaxed);
        }
    }
    frames.truncate(length);
}

/// Waits in some way that ends by itself, or only by a timeout if there may be one around.
fn wait(chance: &mut Chance, table: &Table, semaphore: &Semaphore, depth: usize) {
    let brief = chance.micros(500);
    let from = Instant::now();
    match chance.below(14) {
        0 => {
            sleep(brief);
            assert!(from.elapsed() >= brief, "woke early");
        }
        1 => {
            while from.elapsed() < brief {
                yield_now();
            }
        }
        2 => {
            let _guard = table.mutex.lock();
            let _inside = Inside::alone(&table.inside);
            sleep(brief / 4);
        }
        3 => {
            let mut guard = table.mutex.lock();
            let result = table.condvar.wait_for(&mut guard, brief);
            let _inside = Inside::alone(&table.inside);
            assert!(!result.timed_out() || from.elapsed() >= brief, "a wait_for ended early");
        }
        4 => {
            table.condvar.notify_all();
        }
        5 => {
            let _guard = table.rwlock.write();
            let _inside = Inside::alone(&table.readers);
            sleep(brief / 8);
        }
        6 => {
            let _guard = table.rwlock.read();
            let _inside = Inside::shared(&table.readers);
            sleep(brief / 4);
        }
        7 => {
            let _permit = semaphore.acquire();
            sleep(brief / 4);
        }
        8 => {
            let (_send, receive) = channel::bounded::<u8>(0);
            assert!(receive.recv_timeout(brief).is_err_and(|error| error.is_timeout()));
            assert!(from.elapsed() >= brief, "a recv_timeout ended early");
        }
        9 => {
            assert!(!table.event.wait_timeout(brief));
            assert!(from.elapsed() >= brief, "a wait_timeout ended early");
        }
        10 => park_timeout(brief),
        11 if greenhub::runtime::current_hub().is_some() => {
            spawn(move || sleep(brief)).join().expect("it ends");
            assert!(from.elapsed() >= brief, "a join ended early");
        }
        12 if greenhub::runtime::current_hub().is_some() => {
            let ended = AtomicU64::new(0);
            let children = chance.below(4);
            // Killed children of an unwinding scope have ended too when it goes on.
            scope(|s| {
                for _ in 0..children {
                    s.spawn(|| {
                        sleep(brief);
                        ended.fetch_add(1, Relaxed);
                    });
                }
            });
            assert_eq!(ended.into_inner(), children);
        }
        13 if depth == 0 => {
            let struck = timeout(brief, || {
                if chance.one_in(2) {
                    let (_send, receive) = channel::bounded::<u8>(1);
                    assert!(receive.recv().is_ok(), "a channel with a sender is not disconnected");
                } else if greenhub::runtime::current_hub().is_some() {
                    park();
                } else {
                    table.event.wait();
                }
            });
            assert!(struck.is_err() && from.elapsed() >= brief, "what nobody ends ended");
        }
        _ => {}
    }
}
