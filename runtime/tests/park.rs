//! Parking: an unpark is never lost, and never ends any other wait.

mod common;

use common::{everywhere, inside};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[test]
fn an_unpark_before_the_park_is_not_lost() {
    inside(|| {
        greenhub::current().unpark();
        greenhub::park();
        let handle = greenhub::spawn(greenhub::park);
        handle.greenlet().unpark(); // before it has even started
        handle.join().unwrap();
    });
}

#[test]
fn unparks_do_not_add_up() {
    inside(|| {
        for _ in 0..5 {
            greenhub::current().unpark();
        }
        greenhub::park();
        let start = Instant::now();
        greenhub::park_timeout(Duration::from_millis(3));
        assert!(start.elapsed() >= Duration::from_millis(3), "one token was left over");
    });
}

#[test]
fn an_unpark_during_another_wait_is_kept_for_the_next_park() {
    inside(|| {
        // During a sleep.
        let sleeper = greenhub::spawn(|| {
            let start = Instant::now();
            greenhub::sleep(Duration::from_millis(8));
            assert!(start.elapsed() >= Duration::from_millis(8), "the unpark ended a sleep");
            greenhub::park();
        });
        greenhub::sleep(Duration::from_millis(1));
        sleeper.greenlet().unpark();
        sleeper.join().unwrap();
        // During a join.
        let target = Arc::new(greenhub::spawn(greenhub::park));
        let joiner = greenhub::spawn({
            let target = target.clone();
            move || {
                assert!(target.join_timeout(Duration::from_secs(20)), "the unpark ended a join");
                greenhub::park();
            }
        });
        greenhub::sleep(Duration::from_millis(1));
        joiner.greenlet().unpark();
        greenhub::sleep(Duration::from_millis(1));
        assert!(!joiner.is_finished());
        target.greenlet().unpark();
        joiner.join().unwrap();
        // During a scope's closing join.
        let scoped = greenhub::spawn(|| {
            greenhub::scope(|s| drop(s.spawn(|| greenhub::sleep(Duration::from_millis(5)))));
            greenhub::park();
        });
        greenhub::sleep(Duration::from_millis(1));
        scoped.greenlet().unpark();
        scoped.join().unwrap();
    });
}

#[test]
fn an_unpark_during_network_and_block_on_waits_is_kept_too() {
    use greenhub::net::{TcpListener, TcpStream};
    inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = greenhub::spawn(move || {
            let accepted = listener.accept().unwrap();
            greenhub::park();
            drop(accepted);
        });
        greenhub::sleep(Duration::from_millis(1));
        acceptor.greenlet().unpark();
        greenhub::sleep(Duration::from_millis(1));
        assert!(!acceptor.is_finished());
        let stream = TcpStream::connect(address).unwrap();
        acceptor.join().unwrap();
        drop(stream);
        let inner = greenhub::spawn(|| greenhub::sleep(Duration::from_millis(5)));
        let blocked = greenhub::spawn(move || {
            greenhub::block_on(inner).unwrap();
            greenhub::park();
        });
        greenhub::sleep(Duration::from_millis(1));
        blocked.greenlet().unpark();
        blocked.join().unwrap();
    });
}

#[test]
fn park_timeout_returns_at_the_first_of_token_and_deadline() {
    inside(|| {
        let start = Instant::now();
        greenhub::park_timeout(Duration::from_millis(4));
        assert!(start.elapsed() >= Duration::from_millis(4));
        let parked = greenhub::spawn(|| {
            let start = Instant::now();
            greenhub::park_timeout(Duration::from_secs(60));
            start.elapsed()
        });
        greenhub::sleep(Duration::from_millis(1));
        parked.greenlet().unpark();
        assert!(parked.join().unwrap() < Duration::from_secs(30));
        let start = Instant::now();
        greenhub::park_timeout(Duration::ZERO);
        assert!(start.elapsed() < Duration::from_secs(1));
        greenhub::current().unpark();
        greenhub::park_timeout(Duration::MAX);
    });
}

#[test]
fn a_parked_greenlet_does_not_return_without_reason() {
    inside(|| {
        let returned = Arc::new(AtomicUsize::new(0));
        let parked: Vec<_> = (0..20)
            .map(|_| {
                let returned = returned.clone();
                greenhub::spawn(move || {
                    greenhub::park();
                    returned.fetch_add(1, SeqCst);
                })
            })
            .collect();
        for _ in 0..50 {
            greenhub::yield_now();
        }
        greenhub::sleep(Duration::from_millis(5));
        assert_eq!(returned.load(SeqCst), 0);
        parked.iter().for_each(|handle| handle.greenlet().unpark());
        parked.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn no_unpark_is_lost_between_threads_and_greenlets() {
    everywhere(|world| {
        const ROUNDS: usize = 3000;
        let count = Arc::new(AtomicUsize::new(0));
        let answered = Arc::new(AtomicUsize::new(0));
        let green = world.runtime.spawn({
            let (count, answered) = (count.clone(), answered.clone());
            move || {
                for round in 1..=ROUNDS {
                    while count.load(SeqCst) < round {
                        greenhub::park();
                    }
                    answered.store(round, SeqCst);
                }
            }
        });
        let greenlet = green.greenlet().clone();
        for round in 1..=ROUNDS {
            count.store(round, SeqCst);
            greenlet.unpark();
            if round % 64 == 0 {
                while answered.load(SeqCst) < round {
                    std::thread::yield_now();
                }
            }
        }
        green.join().unwrap();
    });
}

#[test]
fn two_greenlets_hand_a_token_to_and_fro_over_the_hubs() {
    inside(|| {
        const ROUNDS: usize = 2000;
        let turn = Arc::new(AtomicUsize::new(0));
        let play = |me: usize, turn: Arc<AtomicUsize>| {
            move || {
                greenhub::park();
                let partner: greenhub::Greenlet = PARTNERS.lock().unwrap()[1 - me].clone();
                for round in 0..ROUNDS {
                    while turn.load(SeqCst) != 2 * round + me {
                        greenhub::park();
                    }
                    turn.fetch_add(1, SeqCst);
                    partner.unpark();
                }
            }
        };
        static PARTNERS: std::sync::Mutex<Vec<greenhub::Greenlet>> = std::sync::Mutex::new(Vec::new());
        let players = [greenhub::spawn(play(0, turn.clone())), greenhub::spawn(play(1, turn.clone()))];
        *PARTNERS.lock().unwrap() = players.iter().map(|player| player.greenlet().clone()).collect();
        players.iter().for_each(|player| player.greenlet().unpark());
        players.into_iter().for_each(|player| player.join().unwrap());
        assert_eq!(turn.load(SeqCst), 2 * ROUNDS);
        PARTNERS.lock().unwrap().clear();
    });
}

#[test]
fn many_threads_unpark_one_greenlet_at_once() {
    everywhere(|world| {
        let stop = Arc::new(AtomicBool::new(false));
        let wakes = Arc::new(AtomicUsize::new(0));
        let green = world.runtime.spawn({
            let (stop, wakes) = (stop.clone(), wakes.clone());
            move || {
                while !stop.load(SeqCst) {
                    greenhub::park();
                    wakes.fetch_add(1, SeqCst);
                }
            }
        });
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let greenlet = green.greenlet().clone();
                threads.spawn(move || (0..1000).for_each(|_| greenlet.unpark()));
            }
        });
        stop.store(true, SeqCst);
        green.greenlet().unpark();
        green.join().unwrap();
        assert!(wakes.load(SeqCst) <= 4001);
    });
}

#[test]
fn a_plain_thread_parks_as_with_std() {
    let _alone = common::alone();
    let me = greenhub::current();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(2));
        me.unpark();
        me
    });
    greenhub::park();
    let me = thread.join().unwrap();
    assert_eq!(me, greenhub::current());
    assert!(!me.is_finished() && me.hub().is_none());
    me.kill(); // does nothing
    let start = Instant::now();
    greenhub::park_timeout(Duration::from_millis(2));
    assert!(start.elapsed() < Duration::from_secs(5));
    greenhub::yield_now();
}

#[test]
fn greenlets_unpark_threads_and_threads_greenlets() {
    everywhere(|world| {
        let thread = greenhub::current();
        let green = world.runtime.spawn(move || {
            thread.unpark();
            greenhub::park();
            thread.unpark();
        });
        greenhub::park();
        green.greenlet().unpark();
        greenhub::park();
        green.join().unwrap();
    });
}

#[test]
fn an_unpark_of_an_ended_greenlet_does_nothing() {
    everywhere(|world| {
        let handle = world.runtime.spawn(|| ());
        let greenlet = handle.greenlet().clone();
        handle.join().unwrap();
        greenlet.unpark();
        greenlet.kill();
        assert!(greenlet.is_finished());
    });
}
