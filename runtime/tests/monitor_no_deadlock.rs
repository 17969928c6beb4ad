//! What is no deadlock, however long everybody waits. In a process of its own: a `block_on` anywhere in the process
//! keeps the others' deadlocks from being seen.

use greenhub::runtime::{Builder, Deadlock};
use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Longer than the monitor waits before it calls it a deadlock.
const LONG: Duration = Duration::from_millis(2500);

/// Waits in `run` on 1 and on 2 hubs, with a panic as soon as it is taken for a deadlock.
fn no_deadlock(wait: impl Fn() + Send + Sync) {
    std::thread::scope(|threads| {
        for hubs in [1, 2] {
            let wait = &wait;
            threads.spawn(move || {
                let runtime = Builder::new().hubs(hubs).deadlock(Deadlock::Panic).build().unwrap();
                let start = Instant::now();
                runtime.run(wait);
                assert!(start.elapsed() >= LONG, "it did not wait, so nothing was tested");
            });
        }
    });
}

#[test]
fn a_sleeping_greenlet_is_no_deadlock() {
    no_deadlock(|| greenhub::sleep(LONG));
}

#[test]
fn a_greenlet_that_starts_later_is_no_deadlock() {
    no_deadlock(|| greenhub::spawn_later(LONG, || ()).join().unwrap());
}

#[test]
fn a_timeout_is_no_deadlock() {
    no_deadlock(|| assert!(greenhub::timeout(LONG, greenhub::park).is_err()));
}

#[test]
fn a_wait_for_io_is_no_deadlock() {
    no_deadlock(|| {
        let socket = greenhub::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(LONG);
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
        });
        socket.recv(&mut [0; 8]).unwrap();
    });
}

#[test]
fn a_block_on_that_somebody_may_wake_is_no_deadlock() {
    no_deadlock(|| {
        let mut asked = false;
        greenhub::block_on(poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(LONG);
                waker.wake();
            });
            Poll::Pending
        }));
    });
}

#[test]
fn a_job_of_unblock_is_no_deadlock() {
    no_deadlock(|| greenhub::unblock(|| std::thread::sleep(LONG)));
}
