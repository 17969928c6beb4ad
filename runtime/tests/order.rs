//! The order in which one hub runs things, and that nothing on it starves.

mod common;

use common::{ONE_HUB, compute, inside, inside_on, on, stay};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Log = Arc<Mutex<Vec<String>>>;

fn log() -> (Log, impl Fn(&str) + Clone + Send + 'static) {
    let log = Log::default();
    let writer = log.clone();
    (log, move |word: &str| writer.lock().unwrap().push(word.to_owned()))
}

fn read(log: &Log) -> String {
    log.lock().unwrap().join(" ")
}

#[test]
fn two_greenlets_that_yield_take_turns_as_in_gevent() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        let handles = ["1", "2"].map(|name| {
            let say = say.clone();
            greenhub::spawn(move || {
                say(&format!("{name}A"));
                greenhub::yield_now();
                say(&format!("{name}B"));
            })
        });
        greenhub::join_all(handles).into_iter().for_each(|joined| joined.unwrap());
        assert_eq!(read(&log), "1A 2A 1B 2B");
    });
}

#[test]
fn a_spawner_runs_on_before_its_child() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        let child = greenhub::spawn({
            let say = say.clone();
            move || say("child")
        });
        say("parent");
        greenhub::yield_now();
        say("parent again");
        child.join().unwrap();
        assert_eq!(read(&log), "parent child parent again");
    });
}

#[test]
fn greenlets_start_in_the_order_they_were_spawned() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        for n in 0..500 {
            let say = say.clone();
            drop(greenhub::spawn(move || say(&n.to_string())));
        }
        // Neither joins nor claims: one trip round the queue.
        greenhub::yield_now();
        let expected: Vec<_> = (0..500).map(|n| n.to_string()).collect();
        assert_eq!(*log.lock().unwrap(), expected);
    });
}

#[test]
fn spawns_yields_and_wakes_form_one_queue() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        let parked = greenhub::spawn({
            let say = say.clone();
            move || {
                greenhub::park();
                say("woken");
            }
        });
        greenhub::yield_now();
        let spawn = |word: &'static str| {
            let say = say.clone();
            greenhub::spawn(move || say(word))
        };
        let first = spawn("spawned first");
        parked.greenlet().unpark();
        let last = spawn("spawned last");
        say("caller");
        greenhub::yield_now();
        say("caller again");
        drop((first, last));
        parked.join().unwrap();
        assert_eq!(read(&log), "caller spawned first woken spawned last caller again");
    });
}

#[test]
fn local_pinned_and_free_greenlets_share_one_order() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        let (a, b, c) = (say.clone(), say.clone(), say.clone());
        drop(greenhub::spawn(move || a("free")));
        drop(greenhub::spawn_local(move || b("local")));
        drop(greenhub::Builder::new().pinned().spawn(move || c("pinned")).unwrap());
        drop(greenhub::spawn(move || say("free again")));
        greenhub::yield_now();
        assert_eq!(read(&log), "free local pinned free again");
    });
}

#[test]
fn parked_greenlets_run_in_the_order_they_are_woken() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        let parked: Vec<_> = (0..10)
            .map(|n| {
                let say = say.clone();
                greenhub::spawn(move || {
                    greenhub::park();
                    say(&n.to_string());
                })
            })
            .collect();
        greenhub::yield_now();
        for n in [3, 1, 4, 0, 5, 9, 2, 6, 8, 7] {
            parked[n].greenlet().unpark();
        }
        greenhub::yield_now();
        assert_eq!(read(&log), "3 1 4 0 5 9 2 6 8 7");
        parked.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn joiners_of_one_greenlet_wake_in_the_order_they_came() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        let target = Arc::new(greenhub::spawn(greenhub::park));
        greenhub::yield_now();
        let waiters: Vec<_> = (0..5)
            .map(|n| {
                let (say, target) = (say.clone(), target.clone());
                greenhub::spawn(move || {
                    assert!(target.join_timeout(Duration::from_secs(20)));
                    say(&n.to_string());
                })
            })
            .collect();
        greenhub::yield_now();
        target.greenlet().unpark();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(read(&log), "0 1 2 3 4");
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    inside_on(&ONE_HUB, || {
        let (log, say) = log();
        // Far enough away for all of them to be asleep by then, on a loaded machine too.
        let start = Instant::now() + Duration::from_millis(200);
        let sleepers: Vec<_> = [12, 4, 8, 2, 10, 6]
            .into_iter()
            .map(|delay| {
                let say = say.clone();
                greenhub::spawn(move || {
                    greenhub::sleep_until(start + Duration::from_millis(delay));
                    say(&delay.to_string());
                })
            })
            .collect();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        assert_eq!(read(&log), "2 4 6 8 10 12");
    });
}

#[test]
fn joining_an_unstarted_greenlet_runs_it_next_and_then_its_joiner() {
    inside_on(&ONE_HUB, || {
        if common::moves_every_time() {
            return;
        }
        let (log, say) = log();
        let spawn = |word: &'static str| {
            let say = say.clone();
            greenhub::spawn(move || say(word))
        };
        let first = spawn("first");
        let joined = spawn("joined");
        joined.join().unwrap();
        say("joiner");
        first.join().unwrap();
        assert_eq!(read(&log), "joined joiner first");
    });
}

#[test]
fn a_yield_loop_starves_neither_timers_nor_new_greenlets() {
    inside_on(&ONE_HUB, || {
        let stop = Arc::new(AtomicBool::new(false));
        let loops: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                greenhub::spawn(move || {
                    while !stop.load(SeqCst) {
                        greenhub::yield_now();
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            let start = Instant::now();
            greenhub::sleep(Duration::from_millis(1));
            assert!(start.elapsed() < Duration::from_millis(300), "slept {:?}", start.elapsed());
        }
        assert_eq!(greenhub::spawn(|| 3).join().unwrap(), 3);
        stop.store(true, SeqCst);
        loops.into_iter().for_each(|each| each.join().unwrap());
    });
}

#[test]
fn a_yield_loop_does_not_starve_network_waits() {
    use greenhub::net::{TcpListener, TcpStream};
    use std::io::{Read, Write};
    inside(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let hubs = 4;
        let loops: Vec<_> = (0..hubs)
            .map(|_| {
                let stop = stop.clone();
                greenhub::spawn(move || {
                    while !stop.load(SeqCst) {
                        greenhub::yield_now();
                    }
                })
            })
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = greenhub::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).unwrap() == 1 {
                stream.write_all(&byte).unwrap();
            }
        });
        let mut client = TcpStream::connect(address).unwrap();
        let start = Instant::now();
        for n in 0..20 {
            client.write_all(&[n]).unwrap();
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            assert_eq!(byte[0], n);
        }
        assert!(start.elapsed() < Duration::from_secs(5), "20 round trips took {:?}", start.elapsed());
        drop(client);
        server.join().unwrap();
        stop.store(true, SeqCst);
        loops.into_iter().for_each(|each| each.join().unwrap());
    });
}

#[test]
fn a_loop_of_spawn_and_join_starves_nobody() {
    inside_on(&ONE_HUB, || {
        let stop = Arc::new(AtomicBool::new(false));
        let steps = Arc::new(AtomicUsize::new(0));
        let greedy = greenhub::spawn({
            let stop = stop.clone();
            move || {
                let mut joined = 0_u64;
                while !stop.load(SeqCst) {
                    greenhub::spawn(|| ()).join().unwrap();
                    joined += 1;
                }
                joined
            }
        });
        let modest = greenhub::spawn({
            let steps = steps.clone();
            move || {
                for _ in 0..100 {
                    steps.fetch_add(1, SeqCst);
                    greenhub::yield_now();
                }
            }
        });
        let start = Instant::now();
        greenhub::sleep(Duration::from_millis(5));
        assert!(start.elapsed() < Duration::from_millis(500), "slept {:?}", start.elapsed());
        modest.join().unwrap();
        assert_eq!(steps.load(SeqCst), 100);
        stop.store(true, SeqCst);
        assert!(greedy.join().unwrap() > 0);
    });
}

#[test]
fn a_ping_pong_of_wakes_starves_nobody() {
    inside_on(&ONE_HUB, || {
        let stop = Arc::new(AtomicBool::new(false));
        let players: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                greenhub::spawn(move || {
                    while !stop.load(SeqCst) {
                        greenhub::park();
                        let next = PARTNER.lock().unwrap().clone();
                        let me = greenhub::current();
                        next.into_iter().filter(|greenlet| *greenlet != me).for_each(|other| other.unpark());
                    }
                })
            })
            .collect();
        static PARTNER: Mutex<Vec<greenhub::Greenlet>> = Mutex::new(Vec::new());
        *PARTNER.lock().unwrap() = players.iter().map(|player| player.greenlet().clone()).collect();
        players[0].greenlet().unpark();
        for _ in 0..5 {
            let start = Instant::now();
            greenhub::sleep(Duration::from_millis(1));
            assert!(start.elapsed() < Duration::from_millis(300), "slept {:?}", start.elapsed());
        }
        stop.store(true, SeqCst);
        players.iter().for_each(|player| player.greenlet().unpark());
        players.into_iter().for_each(|player| player.join().unwrap());
        PARTNER.lock().unwrap().clear();
    });
}

#[test]
fn a_thousand_unstarted_greenlets_all_get_their_turn_beside_a_yield_loop() {
    inside_on(&ONE_HUB, || {
        let left = Arc::new(AtomicUsize::new(5000));
        for _ in 0..5000 {
            let left = left.clone();
            drop(greenhub::spawn(move || left.fetch_sub(1, SeqCst)));
        }
        let mut turns = 0_u64;
        while left.load(SeqCst) > 0 {
            greenhub::yield_now();
            turns += 1;
            assert!(
                turns < 1_000_000,
                "{} of 5000 have not started after a million turns",
                left.load(SeqCst)
            );
        }
    });
}

#[test]
fn outside_work_gets_its_turn_beside_greenlets_that_yield() {
    on(&[stay(1)], |world| {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let busy = world.runtime.spawn(move || {
            while !flag.load(SeqCst) {
                greenhub::yield_now();
                compute(Duration::from_micros(20));
            }
        });
        let start = Instant::now();
        for _ in 0..20 {
            world.runtime.spawn(|| ()).join().unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(2), "20 joins from outside took {:?}", start.elapsed());
        stop.store(true, SeqCst);
        busy.join().unwrap();
    });
}
