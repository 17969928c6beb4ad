//! The reactor on real descriptors, with threads in place of greenlets.

use super::home::Registrar;
use super::source::{Readiness, Source};
use super::testing::{Hub, everywhere, spawn};
use super::{Direction, Patience, Reactor, Registration};
use crate::facade::Arc;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(20);

/// A stream in non-blocking mode with its registration, dropped in the right order.
struct Tied {
    registration: Registration,
    stream: UnixStream,
}

fn pair() -> (Tied, UnixStream) {
    let (stream, peer) = UnixStream::pair().unwrap();
    stream.set_nonblocking(true).unwrap();
    (Tied { registration: Registration::new(), stream }, peer)
}

impl Tied {
    fn read_one(&self, patience: Patience) -> io::Result<u8> {
        self.registration.io(self.stream.as_fd(), Direction::Read, patience, &"test", || {
            let mut byte = [0];
            match (&self.stream).read(&mut byte)? {
                0 => Err(ErrorKind::UnexpectedEof.into()),
                _ => Ok(byte[0]),
            }
        })
    }
}

#[test]
fn a_read_waits_for_its_byte() {
    everywhere(|| {
        let (tied, mut peer) = pair();
        let reader = spawn(move || tied.read_one(Patience::Unlimited).unwrap());
        thread::sleep(SHORT);
        peer.write_all(&[7]).unwrap();
        assert_eq!(reader.join().unwrap(), 7);
    });
}

#[test]
fn a_call_that_need_not_wait_registers_nothing() {
    let hub = Hub::start();
    hub.enter(|| {
        let (tied, mut peer) = pair();
        peer.write_all(&[7]).unwrap();
        assert_eq!(tied.read_one(Patience::Unlimited).unwrap(), 7);
        assert_eq!(hub.reactor.registrations(), 0);
    });
}

#[test]
fn a_timeout_gives_would_block_no_sooner_than_asked_and_leaves_nobody_listed() {
    everywhere(|| {
        let (tied, _peer) = pair();
        let start = Instant::now();
        let error = tied.read_one(Patience::For(SHORT)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= SHORT);
        let error = tied.read_one(Patience::For(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(tied.read_one(Patience::None).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn every_reader_of_one_descriptor_is_woken_by_its_end() {
    everywhere(|| {
        let (tied, peer) = pair();
        let tied = std::sync::Arc::new(tied);
        let readers: Vec<_> = (0..5)
            .map(|_| {
                let tied = tied.clone();
                spawn(move || tied.read_one(Patience::Unlimited).unwrap_err().kind())
            })
            .collect();
        thread::sleep(SHORT);
        drop(peer);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), ErrorKind::UnexpectedEof);
        }
    });
}

#[test]
fn readers_on_two_hubs_wait_for_the_same_descriptor() {
    let hubs = [Hub::start(), Hub::start()];
    let (tied, mut peer) = pair();
    let tied = std::sync::Arc::new(tied);
    let readers: Vec<_> = hubs
        .iter()
        .map(|hub| {
            let tied = tied.clone();
            hub.enter(|| spawn(move || tied.read_one(Patience::Unlimited).unwrap()))
        })
        .collect();
    thread::sleep(SHORT);
    peer.write_all(&[1, 2]).unwrap();
    let mut read: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    read.sort_unstable();
    assert_eq!(read, [1, 2]);
}

#[test]
fn a_descriptor_moves_to_the_hub_whose_greenlets_wait_for_it() {
    let (first, second) = (Hub::start(), Hub::start());
    let (tied, mut peer) = pair();
    first.enter(|| tied.read_one(Patience::For(Duration::from_millis(1))).unwrap_err());
    assert!(Arc::ptr_eq(&tied.registration.home().unwrap(), &first.reactor));
    let ping = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            for byte in 0..40 {
                ping.wait();
                thread::sleep(Duration::from_millis(2));
                peer.write_all(&[byte]).unwrap();
            }
        });
        second.enter(|| {
            for byte in 0..40 {
                ping.wait();
                assert_eq!(tied.read_one(Patience::Unlimited).unwrap(), byte);
            }
        });
    });
    assert!(Arc::ptr_eq(&tied.registration.home().unwrap(), &second.reactor));
    assert_eq!((first.reactor.registrations(), second.reactor.registrations()), (0, 1));
}

#[test]
fn a_descriptor_outlives_its_hub() {
    let first = Hub::start();
    let (tied, mut peer) = pair();
    let tied = std::sync::Arc::new(tied);
    let reader = first.enter(|| {
        let tied = tied.clone();
        spawn(move || tied.read_one(Patience::Unlimited).unwrap())
    });
    while first.reactor.waiters() == 0 {
        thread::yield_now();
    }
    // Woken by the closing, the reader finds its hub gone and waits like a plain thread.
    first.reactor.close();
    assert_eq!(first.reactor.registrations(), 0);
    peer.write_all(&[1]).unwrap();
    assert_eq!(reader.join().unwrap(), 1);

    let second = Hub::start();
    let reader = second.enter(|| {
        let tied = tied.clone();
        spawn(move || tied.read_one(Patience::Unlimited).unwrap())
    });
    while second.reactor.waiters() == 0 {
        thread::yield_now();
    }
    peer.write_all(&[2]).unwrap();
    assert_eq!(reader.join().unwrap(), 2);
    assert!(Arc::ptr_eq(&tied.registration.home().unwrap(), &second.reactor));
    drop(tied);
}

#[test]
fn an_event_for_a_former_holder_of_a_slot_is_ignored() {
    let reactor = Reactor::new().unwrap();
    let (one, mut one_peer) = UnixStream::pair().unwrap();
    let (other, _other_peer) = UnixStream::pair().unwrap();
    let old = Arc::new(Source::new());
    let token = reactor.register(one.as_raw_fd(), &old).unwrap().unwrap();
    // A duplicate keeps the queue's entry alive although its owner has been closed without deregistration, the
    // worst case of a late event.
    let duplicate = one.try_clone().unwrap();
    drop(one);
    reactor.deregister(other.as_raw_fd(), token);
    let new = Arc::new(Source::new());
    let reused = reactor.register(other.as_raw_fd(), &new).unwrap().unwrap();
    assert_ne!(token, reused);
    one_peer.write_all(&[1]).unwrap();
    reactor.poll(Some(Duration::ZERO)).unwrap();
    assert!(!old.is_ready(Direction::Read) && !new.is_ready(Direction::Read));
    assert!(new.is_ready(Direction::Write));
    reactor.deregister(other.as_raw_fd(), reused);
    drop(duplicate);
}

#[test]
fn poll_keeps_sub_millisecond_time() {
    let reactor = Reactor::new().unwrap();
    let wanted = Duration::from_micros(200);
    let fastest = (0..50)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(reactor.poll(Some(wanted)).unwrap(), 0);
            start.elapsed()
        })
        .inspect(|slept| assert!(*slept >= wanted, "woke early: {slept:?}"))
        .min()
        .unwrap();
    assert!(fastest < Duration::from_micros(900), "slept {fastest:?} for {wanted:?}");
}

#[test]
fn an_event_ends_an_exact_sleep_and_is_not_eaten_by_it() {
    let reactor = Reactor::new().unwrap();
    let (stream, mut peer) = UnixStream::pair().unwrap();
    let source = Arc::new(Source::new());
    let token = reactor.register(stream.as_raw_fd(), &source).unwrap().unwrap();
    assert_eq!(reactor.poll(Some(Duration::from_nanos(1))).unwrap(), 1);
    source.clear(Direction::Read, source.observe());
    let writer = thread::spawn(move || {
        thread::sleep(SHORT);
        peer.write_all(&[1]).unwrap();
        peer
    });
    let long = Duration::from_secs(10) + Duration::from_nanos(1);
    let start = Instant::now();
    assert_eq!(reactor.poll(Some(long)).unwrap(), 1);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(source.is_ready(Direction::Read));
    reactor.deregister(stream.as_raw_fd(), token);
    drop(writer.join().unwrap());
}

#[test]
fn wake_ends_a_poll_and_is_kept_for_the_next() {
    let reactor = Reactor::new().unwrap();
    reactor.wake().unwrap();
    assert_eq!(reactor.poll(None).unwrap(), 0);
    let waker = reactor.clone();
    let waker = thread::spawn(move || {
        thread::sleep(SHORT);
        waker.wake().unwrap();
    });
    assert_eq!(reactor.poll(None).unwrap(), 0);
    waker.join().unwrap();
}

#[test]
fn another_thread_polls_for_a_stuck_hub_but_not_for_a_polling_one() {
    let stuck = Reactor::new().unwrap();
    let (stream, mut peer) = UnixStream::pair().unwrap();
    let source = Arc::new(Source::new());
    let token = stuck.register(stream.as_raw_fd(), &source).unwrap().unwrap();
    peer.write_all(&[1]).unwrap();
    assert_eq!(stuck.try_poll().unwrap().unwrap(), 1);
    assert!(source.is_ready(Direction::Read));
    stuck.deregister(stream.as_raw_fd(), token);

    let polling = stuck.clone();
    let polling = thread::spawn(move || polling.poll(None).unwrap());
    while stuck.try_poll().is_some() {
        thread::yield_now();
    }
    stuck.wake().unwrap();
    polling.join().unwrap();
}

#[test]
fn a_wake_meant_for_the_owner_is_not_eaten_by_who_looks_after_it() {
    let reactor = Reactor::new().unwrap();
    reactor.wake().unwrap();
    assert_eq!(reactor.try_poll().unwrap().unwrap(), 0);
    let before = Instant::now();
    assert_eq!(reactor.poll(Some(Duration::from_secs(5))).unwrap(), 0);
    assert!(before.elapsed() < Duration::from_secs(4), "the owner slept over its wake");
    // And what the owner has seen is seen.
    let before = Instant::now();
    assert_eq!(reactor.poll(Some(Duration::from_millis(20))).unwrap(), 0);
    assert!(before.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_short_read_waits_for_the_next_event_and_the_end_does_not() {
    let source = Source::new();
    source.set(Readiness::READ);
    source.clear_after_short_read(source.observe());
    assert!(!source.is_ready(Direction::Read));
    source.set(Readiness::READ.and(Readiness::READ_CLOSED));
    source.clear_after_short_read(source.observe());
    assert!(source.is_ready(Direction::Read));
    source.clear(Direction::Read, source.observe());
    assert!(!source.is_ready(Direction::Read));
}

#[test]
fn after_a_short_read_the_next_waits_before_it_calls() {
    let hub = Hub::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let registration = Registration::new();
    let mut calls = 0;
    let mut read = |patience| {
        let mut buffer = [0; 8];
        registration.read_stream(stream.as_fd(), buffer.len(), patience, &"test", || {
            calls += 1;
            (&stream).read(&mut buffer)
        })
    };
    hub.enter(|| {
        read(Patience::For(SHORT)).unwrap_err();
        peer.write_all(b"x").unwrap();
        read(Patience::Unlimited).unwrap();
        let writer = thread::spawn(move || {
            thread::sleep(SHORT);
            peer.write_all(b"y").unwrap();
            peer
        });
        read(Patience::Unlimited).unwrap();
        drop(writer.join().unwrap());
    });
    // Two to run out of time, one for each byte.
    assert_eq!(calls, 4);
    drop(registration);
}
