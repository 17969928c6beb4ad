//! Hunts lost, doubled and stray unpark tokens: from hubs and OS threads, against park, park_timeout and waits that
//! must leave the token alone.

use greenhub::{Greenlet, current, park, park_timeout, sleep, spawn, yield_now};
use greenhub_stress::{Chance, Stress, progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn main() {
    let mut stress = Stress::start("unpark");
    let runtime = stress.runtime();
    let mut tokens = 0;
    while let Some(mut chance) = stress.next_round() {
        tokens += runtime.run(|| {
            let games = (0..chance.between(1, 10)).map(|_| {
                let chance = chance.split();
                spawn(|| game(chance))
            });
            games.collect::<Vec<_>>().into_iter().map(|game| game.join().expect("a game ends")).sum::<u64>()
        });
    }
    stress.finish(runtime, &format!("{tokens} tokens"));
}

fn game(mut chance: Chance) -> u64 {
    match chance.below(5) {
        0 => one_for_one(chance),
        1 => coalesced(chance, false),
        2 => coalesced(chance, true),
        3 => timed(chance),
        _ => kept(chance),
    }
}

/// Runs `f` on a plain OS thread or in a greenlet, and gives what waits for its end.
fn somewhere(chance: &mut Chance, f: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce() + Send> {
    if chance.one_in(3) {
        let thread = std::thread::spawn(f);
        Box::new(move || {
            // Joined off the hub: it may need this hub to end.
            greenhub::unblock(move || thread.join()).expect("a thread ends");
        })
    } else {
        let greenlet = spawn(f);
        Box::new(move || greenlet.join().expect("a greenlet ends"))
    }
}

/// Each token is given only when the one before has been used: every park uses exactly one.
fn one_for_one(mut chance: Chance) -> u64 {
    let count = chance.below(500) + 1;
    let timed = chance.one_in(2);
    let (given, used) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let waiter = spawn({
        let (given, used) = (given.clone(), used.clone());
        move || {
            for number in 1..=count {
                if timed {
                    park_timeout(Duration::from_secs(1000));
                } else {
                    park();
                }
                assert!(given.load(SeqCst) >= number, "park returned without a token");
                used.store(number, SeqCst);
            }
            number_of_strays()
        }
    });
    let target = waiter.greenlet().clone();
    let mut own = chance.split();
    let end = somewhere(&mut chance, move || {
        for number in 1..=count {
            given.store(number, SeqCst);
            target.unpark();
            while used.load(SeqCst) < number {
                if own.one_in(64) { sleep(own.micros(50)) } else { yield_now() }
            }
            progress();
        }
    });
    end();
    assert_eq!(waiter.join().expect("the waiter ends"), 0, "a token too many");
    count
}

/// How many parks return although all tokens have been used.
fn number_of_strays() -> u64 {
    let (limit, from) = (Duration::from_micros(200), Instant::now());
    park_timeout(limit);
    u64::from(from.elapsed() < limit)
}

/// Many give, each after it has done something: the waiter sees all of it, and never wakes more often than it was
/// unparked.
fn coalesced(mut chance: Chance, thread: bool) -> u64 {
    let (givers, each) = (chance.below(6) + 1, chance.below(300) + 1);
    let (work, given) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let total = givers * each;
    let (tell, told) = std::sync::mpsc::channel::<Greenlet>();
    let wait = {
        let (work, given) = (work.clone(), given.clone());
        move || {
            tell.send(current()).expect("it is waited for");
            let (mut seen, mut returns) = (0, 0);
            while seen < total {
                park();
                returns += 1;
                // std's park, on a thread, may return without reason.
                assert!(thread || returns <= given.load(SeqCst), "park returned without a token");
                seen += work.swap(0, SeqCst);
            }
            assert_eq!(seen, total);
        }
    };
    let end: Box<dyn FnOnce() + Send> = if thread {
        let thread = std::thread::spawn(wait);
        Box::new(move || greenhub::unblock(move || thread.join()).expect("the waiter ends"))
    } else {
        let greenlet = spawn(wait);
        Box::new(move || greenlet.join().expect("the waiter ends"))
    };
    let target = greenhub::unblock(move || told.recv()).expect("the waiter began");
    let ends: Vec<_> = (0..givers)
        .map(|_| {
            let (work, given, target) = (work.clone(), given.clone(), target.clone());
            let mut own = chance.split();
            somewhere(&mut chance, move || {
                for _ in 0..each {
                    work.fetch_add(1, SeqCst);
                    given.fetch_add(1, SeqCst);
                    target.unpark();
                    match own.below(16) {
                        0 => sleep(own.micros(30)),
                        1..8 => yield_now(),
                        _ => {}
                    }
                }
                progress();
            })
        })
        .collect();
    ends.into_iter().for_each(|end| end());
    end();
    total
}

/// A park that ends before its time has used a token; there are never more of them than tokens, and the last token is
/// not lost however close it comes to the end of a time.
fn timed(mut chance: Chance) -> u64 {
    let count = chance.below(300) + 1;
    let (given, used) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut own = chance.split();
    let waiter = spawn({
        let (given, used) = (given.clone(), used.clone());
        move || {
            let mut early = 0;
            while used.load(SeqCst) < count {
                let limit = own.micros(100);
                let from = Instant::now();
                park_timeout(limit);
                if from.elapsed() < limit {
                    early += 1;
                    assert!(early <= given.load(SeqCst), "park_timeout returned early without a token");
                }
                used.store(given.load(SeqCst), SeqCst);
            }
            // A token given in vain may be left: one park gets it.
            park_timeout(Duration::from_micros(1));
            number_of_strays()
        }
    });
    let target = waiter.greenlet().clone();
    let mut own = chance.split();
    let end = somewhere(&mut chance, move || {
        for _ in 0..count {
            given.fetch_add(1, SeqCst);
            target.unpark();
            sleep(own.micros(100));
        }
        progress();
    });
    end();
    let strays = waiter.join().expect("the waiter ends");
    // The giver's last `unpark` may come after the waiter has seen its count.
    assert!(strays <= 1, "a token was used more than once");
    count
}

/// A token that comes during another wait does not end that wait, and is there for the next park.
fn kept(mut chance: Chance) -> u64 {
    let count = chance.below(50) + 1;
    let turn = Arc::new(AtomicU64::new(0));
    let mut own = chance.split();
    let waiter = spawn({
        let turn = turn.clone();
        move || {
            let event = greenhub::sync::Event::new();
            let lock = greenhub::sync::Mutex::new(());
            for number in 1..=count {
                turn.store(number * 2, SeqCst);
                let limit = own.micros(300) + Duration::from_micros(1);
                let from = Instant::now();
                match own.below(4) {
                    0 => sleep(limit),
                    1 => assert!(!event.wait_timeout(limit), "an event was set by nobody"),
                    2 => {
                        let guard = lock.lock();
                        assert!(lock.try_lock_for(limit).is_none(), "a lock was had twice");
                        drop(guard);
                    }
                    _ => {
                        spawn(move || sleep(limit)).join().expect("it ends");
                    }
                }
                assert!(from.elapsed() >= limit, "an unpark ended another wait");
                // Given during the wait or yet to be given: this returns.
                park();
                turn.store(number * 2 + 1, SeqCst);
            }
            number_of_strays()
        }
    });
    let target = waiter.greenlet().clone();
    let mut own = chance.split();
    let end = somewhere(&mut chance, move || {
        for number in 1..=count {
            while turn.load(SeqCst) < number * 2 {
                yield_now();
            }
            if own.one_in(2) {
                sleep(own.micros(200));
            }
            target.unpark();
            progress();
            while turn.load(SeqCst) < number * 2 + 1 {
                if own.one_in(8) { sleep(own.micros(50)) } else { yield_now() }
            }
        }
    });
    end();
    assert_eq!(waiter.join().expect("the waiter ends"), 0, "a token too many");
    count
}
