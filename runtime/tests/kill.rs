//! Kill, in each state a greenlet can be in.

mod common;

use common::child;
use common::{ALL, Witness, everywhere, inside, on, quietly};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Spawns `body`, lets it get to its wait, kills it, and checks how it ended: killed, its locals dropped once, nothing
/// printed.
#[track_caller]
fn killed_in(body: impl FnOnce() + Send + 'static) {
    let (local, seen) = Witness::new();
    let handle = greenhub::spawn(move || {
        let _local = local;
        body();
        panic!("it was to be killed before this");
    });
    greenhub::sleep(Duration::from_millis(2));
    assert!(!handle.is_finished(), "it ended by itself");
    handle.kill();
    assert!(handle.join().unwrap_err().is_killed());
    assert_eq!(seen.drops(), 1);
}

#[test]
fn a_greenlet_is_killed_in_every_kind_of_wait() {
    inside(|| {
        killed_in(greenhub::park);
        killed_in(|| greenhub::park_timeout(Duration::from_secs(60)));
        killed_in(|| greenhub::sleep(Duration::from_secs(60)));
        killed_in(|| greenhub::sleep(Duration::MAX));
        killed_in(|| {
            loop {
                greenhub::yield_now();
            }
        });
        killed_in(|| greenhub::block_on(std::future::pending::<()>()));
        killed_in(|| _ = greenhub::timeout(Duration::from_secs(60), greenhub::park));
        let target = Arc::new(greenhub::spawn(greenhub::park));
        let shared = target.clone();
        killed_in(move || _ = shared.join_timeout(Duration::from_secs(60)));
        target.kill();
        assert!(Arc::into_inner(target).unwrap().join().unwrap_err().is_killed());
    });
}

#[test]
fn a_greenlet_is_killed_while_it_joins_a_child_it_claimed() {
    inside(|| {
        let release = Arc::new(AtomicBool::new(false));
        let released = release.clone();
        killed_in(move || {
            let child = greenhub::spawn(move || {
                while !released.load(SeqCst) {
                    greenhub::sleep(Duration::from_micros(200));
                }
            });
            drop(child.join());
        });
        release.store(true, SeqCst);
    });
}

#[test]
fn a_greenlet_is_killed_in_network_waits() {
    use greenhub::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
    use std::io::{Read, Write};
    inside(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        killed_in(move || drop(listener.accept()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        killed_in(move || drop(stream.read(&mut [0; 10])));
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        killed_in(move || while stream.write(&[7; 1 << 16]).is_ok() {});
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        killed_in(move || drop(socket.recv(&mut [0; 10])));
        let (one, _other) = UnixDatagram::pair().unwrap();
        killed_in(move || drop(one.recv(&mut [0; 10])));
        // The harness sees to it that no descriptor is left.
    });
}

#[test]
fn a_greenlet_is_killed_in_unblock_and_its_job_is_abandoned() {
    inside(|| {
        let (captured, seen) = Witness::new();
        killed_in(move || {
            greenhub::unblock(move || {
                let _captured = captured;
                std::thread::sleep(Duration::from_millis(20));
            });
            greenhub::park();
        });
        common::eventually("the abandoned job is gone, run or not", || seen.drops() == 1);
    });
}

#[test]
fn an_unstarted_greenlet_is_dropped_unrun_before_join_returns() {
    everywhere(|world| {
        world.run(|| {
            for _ in 0..100 {
                let (captured, seen) = Witness::new();
                let ran = Arc::new(AtomicBool::new(false));
                let flag = ran.clone();
                // On several hubs it may be taken at once; then it runs to its first suspension point.
                let handle = greenhub::spawn_local(move || {
                    let _captured = captured;
                    flag.store(true, SeqCst);
                });
                handle.kill();
                assert!(handle.join().unwrap_err().is_killed());
                assert_eq!(seen.drops(), 1);
                assert!(!ran.load(SeqCst));
            }
        });
    });
}

#[test]
fn a_greenlet_whose_time_has_not_come_is_killed_at_once() {
    everywhere(|world| {
        let (captured, seen) = Witness::new();
        let handle = world.run(move || {
            greenhub::spawn_later(Duration::from_secs(3600), move || {
                drop(captured);
                unreachable!("it never starts")
            })
        });
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(seen.drops(), 1);
    });
}

#[test]
fn kills_and_start_times_race_without_harm() {
    everywhere(|world| {
        world.run(|| {
            let seen = Arc::new(common::Seen::default());
            let ran = Arc::new(AtomicUsize::new(0));
            let handles: Vec<_> = (0..300)
                .map(|n| {
                    let (witness, ran) = (Witness::of(&seen), ran.clone());
                    greenhub::spawn_later(Duration::from_micros(n * 10), move || {
                        let _witness = witness;
                        ran.fetch_add(1, SeqCst);
                    })
                })
                .collect();
            let mut killed = 0;
            for (n, handle) in handles.into_iter().enumerate() {
                if n % 2 == 0 {
                    handle.kill();
                }
                killed += usize::from(handle.join().is_err());
            }
            assert_eq!(seen.drops(), 300);
            assert_eq!(ran.load(SeqCst) + killed, 300);
        });
    });
}

#[test]
fn a_running_greenlet_is_killed_at_its_next_suspension_point() {
    // A plain thread kills, so it works on one hub too.
    everywhere(|world| {
        let (computing, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let after = Arc::new(AtomicBool::new(false));
        let handle = world.runtime.spawn({
            let (computing, go, after) = (computing.clone(), go.clone(), after.clone());
            move || {
                computing.store(true, SeqCst);
                while !go.load(SeqCst) {
                    std::hint::spin_loop();
                }
                after.store(true, SeqCst);
                greenhub::sleep(Duration::from_secs(60));
                unreachable!("killed in sleep");
            }
        });
        common::eventually("it computes", || computing.load(SeqCst));
        handle.kill();
        go.store(true, SeqCst);
        assert!(handle.join().unwrap_err().is_killed());
        assert!(after.load(SeqCst));
    });
}

#[test]
fn a_greenlet_that_ends_without_suspending_keeps_its_result_despite_a_kill() {
    everywhere(|world| {
        let go = Arc::new(AtomicBool::new(false));
        let started = Arc::new(AtomicBool::new(false));
        let handle = world.runtime.spawn({
            let (go, started) = (go.clone(), started.clone());
            move || {
                started.store(true, SeqCst);
                while !go.load(SeqCst) {
                    std::hint::spin_loop();
                }
                42
            }
        });
        common::eventually("it runs", || started.load(SeqCst));
        handle.kill();
        go.store(true, SeqCst);
        assert_eq!(handle.join().unwrap(), 42);
    });
}

#[test]
fn killing_oneself_unwinds_at_once() {
    inside(|| {
        let (local, seen) = Witness::new();
        let handle = greenhub::spawn(move || {
            let _local = local;
            greenhub::current().kill();
            unreachable!("one does not survive one's own kill");
        });
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(seen.drops(), 1);
    });
}

#[test]
fn kill_and_unpark_race_and_one_of_them_ends_the_wait() {
    everywhere(|world| {
        for round in 0..300 {
            let handle = world.runtime.spawn(greenhub::park);
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            std::thread::scope(|threads| {
                threads.spawn(|| handle.kill());
                handle.greenlet().unpark();
            });
            match handle.join() {
                Ok(()) => {}
                Err(error) => assert!(error.is_killed()),
            }
        }
    });
}

#[test]
fn a_kill_prints_nothing() {
    inside(|| {
        let ((), printed) = quietly(|| {
            let waiting = greenhub::spawn(greenhub::park);
            let unstarted = greenhub::spawn(|| ());
            greenhub::kill_all([waiting.greenlet(), unstarted.greenlet()]);
            drop(waiting.join());
            drop(unstarted.join());
            let detached = greenhub::spawn(greenhub::park);
            let greenlet = detached.greenlet().clone();
            drop(detached);
            greenlet.kill();
            common::eventually("it ended", || greenlet.is_finished());
        });
        assert_eq!(printed, 0, "the panic hook ran");
    });
}

#[test]
fn a_kill_leaves_standard_error_empty() {
    const NAME: &str = "a_kill_leaves_standard_error_empty";
    if child::is_child(NAME) {
        greenhub::run(|| {
            let handle = greenhub::spawn(greenhub::park);
            greenhub::yield_now();
            handle.kill();
            drop(handle.join());
            let detached = greenhub::spawn(|| greenhub::sleep(Duration::from_secs(9)));
            detached.kill();
            drop(detached);
            greenhub::sleep(Duration::from_millis(5));
        });
        return;
    }
    let output = child::succeed(NAME, |_| {});
    assert_eq!(child::text(&output.stderr), "");
}

#[test]
fn kill_all_kills_all_and_waits_for_none() {
    on(&ALL, |world| {
        world.run(|| {
            let handles: Vec<_> = (0..500)
                .map(|n| {
                    greenhub::spawn(move || match n % 3 {
                        0 => greenhub::park(),
                        1 => greenhub::sleep(Duration::from_secs(60)),
                        _ => loop {
                            greenhub::yield_now();
                        },
                    })
                })
                .collect();
            for _ in 0..5 {
                greenhub::yield_now();
            }
            greenhub::kill_all(handles.iter().map(greenhub::JoinHandle::greenlet));
            handles.into_iter().for_each(|handle| assert!(handle.join().unwrap_err().is_killed()));
        });
    });
}
