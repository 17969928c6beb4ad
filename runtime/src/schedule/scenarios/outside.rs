//! Readiness and the blocking pool: what comes from outside of all greenlets.

use super::world::{with_hubs, with_runtime};
use crate::reactor::{Direction, Patience, Registration};
use crate::schedule::mio::{Ready, set_ready};
use crate::schedule::{explore, thread, world};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A pipe of which only the number is the system's.
struct Pipe {
    registration: Registration,
    /// Bytes in it.
    filled: AtomicUsize,
    file: File,
}

impl Pipe {
    fn new() -> Arc<Self> {
        let file = File::open("/dev/null").expect("there is a /dev/null");
        Arc::new(Self { registration: Registration::new(), filled: AtomicUsize::new(0), file })
    }

    /// The system call.
    fn try_read(&self) -> io::Result<usize> {
        world::step();
        let filled = self.filled.load(Ordering::Relaxed);
        if filled == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.filled.store(filled - 1, Ordering::Relaxed);
        Ok(1)
    }

    fn read(&self, patience: Patience) -> io::Result<usize> {
        self.registration.io(self.file.as_fd(), Direction::Read, patience, &"read", || self.try_read())
    }

    fn write(&self) {
        world::step();
        self.filled.fetch_add(1, Ordering::Relaxed);
        set_ready(self.file.as_raw_fd(), Ready { read: true, write: false });
    }
}

/// Every byte written is read, by greenlets of several hubs that share one descriptor.
#[test]
fn schedule_readiness() {
    explore("readiness", || {
        with_hubs(|runtime| {
            let pipe = Pipe::new();
            let count = 1 + world::below(10) as usize;
            let reader = |_| {
                let pipe = pipe.clone();
                runtime
                    .spawn(move || (0..count).map(|_| pipe.read(Patience::Unlimited).unwrap()).sum::<usize>())
            };
            let readers: Vec<_> = (0..2).map(reader).collect();
            let writer = {
                let pipe = pipe.clone();
                move || (0..count).for_each(|_| pipe.write())
            };
            let inside = runtime.spawn(writer.clone());
            let outside = thread::spawn(writer);
            let read: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
            assert_eq!(read, 2 * count);
            inside.join().unwrap();
            outside.join().unwrap();
            drop(Arc::into_inner(pipe).expect("the last reference"));
        });
    });
}

/// A read with a time limit, against the byte, against a kill.
#[test]
fn schedule_readiness_against_timer_and_kill() {
    explore("readiness_against_timer_and_kill", || {
        with_runtime(|runtime| {
            let pipe = Pipe::new();
            let limit = Duration::from_micros(1 + world::below(200));
            let reader = runtime.spawn({
                let pipe = pipe.clone();
                move || pipe.read(Patience::For(limit))
            });
            let killer = (world::below(2) == 0).then(|| {
                let greenlet = reader.greenlet().clone();
                runtime.spawn(move || greenlet.kill())
            });
            let (wait, other) = (Duration::from_micros(world::below(200)), pipe.clone());
            let writer = runtime.spawn(move || {
                crate::sleep(wait);
                other.write();
            });
            match reader.join() {
                Ok(Ok(read)) => assert_eq!((read, pipe.filled.load(Ordering::Relaxed)), (1, 0)),
                Ok(Err(error)) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                Err(error) => assert!(error.is_killed() && killer.is_some()),
            }
            writer.join().unwrap();
            killer.into_iter().for_each(|killer| killer.join().unwrap());
        });
    });
}

/// Jobs on the blocking pool, abandoned or not.
#[test]
fn schedule_unblock() {
    explore("unblock", || {
        with_runtime(|runtime| {
            let spawn_one = |n: u64| {
                let limit = Duration::from_micros(world::below(60));
                runtime.spawn(move || match n {
                    0 => crate::timeout(limit, || crate::unblock(world::step)).is_ok(),
                    _ => crate::unblock(move || n * 2) == n * 2,
                })
            };
            let callers: Vec<_> = (0..3).map(spawn_one).collect();
            for (n, caller) in callers.into_iter().enumerate() {
                assert!(caller.join().unwrap() || n == 0);
            }
        });
    });
}
