//! Kill against everything a greenlet may be doing.

use super::world::{Tally, with_runtime};
use crate::schedule::{explore, thread, world};
use std::time::Duration;

fn body(kind: u64) {
    match kind {
        0 => {}
        1 => (0..4).for_each(|_| crate::yield_now()),
        2 => crate::sleep(Duration::from_micros(200)),
        3 => crate::park_timeout(Duration::from_micros(300)),
        4 => crate::shield(|| crate::sleep(Duration::from_micros(100))),
        5 => drop(crate::timeout(Duration::from_micros(50), || crate::sleep(Duration::from_secs(1)))),
        6 => drop(crate::channel::never::<()>().recv_timeout(Duration::from_micros(100))),
        _ => crate::park(),
    }
}

/// Started at once, later, or never before the kill comes; killed from greenlets and OS threads, which also unpark.
#[test]
fn schedule_kill_in_any_state() {
    explore("kill_in_any_state", || {
        with_runtime(|runtime| {
            let tally = Tally::default();
            let spawn_one = |_| {
                let (mut mark, kind) = (tally.mark(), world::below(8));
                let f = move || {
                    mark.run();
                    body(kind);
                };
                if world::below(3) == 0 {
                    let after = Duration::from_micros(world::below(200));
                    runtime.run(move || crate::spawn_later(after, f))
                } else {
                    runtime.spawn(f)
                }
            };
            let victims: Vec<_> = (0..4).map(spawn_one).collect();
            let greenlets: Vec<_> = victims.iter().map(|victim| victim.greenlet().clone()).collect();
            let outside = thread::spawn({
                let greenlets = greenlets.clone();
                move || {
                    greenlets[1].unpark();
                    greenlets.iter().rev().for_each(|each| each.kill());
                }
            });
            let inside = runtime.spawn(move || {
                greenlets[0].unpark();
                crate::kill_all(&greenlets[..2]);
            });
            for victim in victims {
                if let Err(error) = victim.join() {
                    assert!(error.is_killed());
                }
            }
            inside.join().unwrap();
            outside.join().unwrap();
            tally.check_dropped();
        });
    });
}

/// A kill while its victims wait for locks and places in a channel: what they would have got goes to others.
#[test]
fn schedule_kill_waiters() {
    explore("kill_waiters", || {
        with_runtime(|runtime| {
            let mutex = std::sync::Arc::new(crate::sync::Mutex::new(0));
            let semaphore = std::sync::Arc::new(crate::sync::Semaphore::new(1));
            let (send, receive) = crate::channel::bounded(1);
            let spawn_one = |n: u64| {
                let (mutex, semaphore, send) = (mutex.clone(), semaphore.clone(), send.clone());
                runtime.spawn(move || {
                    {
                        let mut count = mutex.lock();
                        crate::yield_now();
                        *count += 1;
                    }
                    {
                        let _permit = semaphore.acquire();
                        crate::yield_now();
                    }
                    send.send(n).unwrap();
                })
            };
            let workers: Vec<_> = (0..4).map(spawn_one).collect();
            let killer = runtime.spawn({
                let victim = workers[world::below(4) as usize].greenlet().clone();
                move || victim.kill()
            });
            drop(send);
            let received = receive.iter().count();
            let ended = workers.into_iter().filter(|_| true).map(|worker| worker.join().is_ok());
            let ended = ended.filter(|ok| *ok).count();
            killer.join().unwrap();
            assert!(ended >= 3 && (received == ended || received == ended + 1), "{received} of {ended}");
            assert!(*mutex.lock() >= 3);
            drop(semaphore.acquire());
        });
    });
}

/// A receiver is killed while a message comes: it has it, or another one gets it.
#[test]
fn schedule_kill_receiver() {
    explore("kill_receiver", || {
        with_runtime(|runtime| {
            let (send, receive) = crate::channel::bounded(world::below(2) as usize);
            let receiver = || {
                let receive = receive.clone();
                runtime.spawn(move || receive.recv())
            };
            let (victim, other) = (receiver(), receiver());
            let killer = runtime.spawn({
                let greenlet = victim.greenlet().clone();
                move || greenlet.kill()
            });
            send.send(7).unwrap();
            let to_victim = victim.join();
            if to_victim.as_ref().is_ok_and(Result::is_ok) {
                drop(send);
                assert!(other.join().unwrap().is_err());
            } else {
                assert_eq!(other.join().unwrap(), Ok(7));
            }
            killer.join().unwrap();
        });
    });
}
