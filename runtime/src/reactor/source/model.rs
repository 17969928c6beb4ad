//! Readiness of a descriptor under loom: no event is lost, to a clear that comes late, to a short read, to another waiter
//! or to one that gave up; every waiter of the direction is woken, and none of the other.
//!
//! `Source::observe`, `set`, `clear`, `clear_after_short_read` and `wait` of `reactor/source/mod.rs` run as they ship, with
//! `source/waiters.rs` and a thread's wait. Played is the kernel: the "descriptor" is a counter of unread bytes, to
//! which it adds before it reports the change, as an edge-triggered queue does. A lost event is a deadlock.

use super::{Awaited, Direction, Readiness, Source};
use crate::facade::Arc;
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::wait::Interrupts;
use loom::thread;
use std::time::Instant;

struct Descriptor {
    source: Source,
    unread: AtomicUsize,
}

impl Descriptor {
    fn new() -> Arc<Self> {
        Arc::new(Self { source: Source::new(), unread: AtomicUsize::new(0) })
    }

    fn arrive(&self) {
        self.unread.fetch_add(1, Ordering::AcqRel);
        self.source.set(Readiness::READ);
    }

    fn try_take_one(&self) -> bool {
        let mut unread = self.unread.load(Ordering::Acquire);
        while unread > 0 {
            match self.unread.compare_exchange(unread, unread - 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => unread = now,
            }
        }
        false
    }

    fn take_one(&self) {
        loop {
            let seen = self.source.observe();
            if self.try_take_one() {
                return;
            }
            self.source.clear(Direction::Read, seen);
            self.wait(None);
        }
    }

    /// Takes everything, as a read into a large buffer, and clears by the short-read rule.
    fn take_all(&self) -> usize {
        loop {
            if self.source.is_ready(Direction::Read) {
                let seen = self.source.observe();
                let taken = self.unread.swap(0, Ordering::AcqRel);
                if taken > 0 {
                    self.source.clear_after_short_read(seen);
                    return taken;
                }
                self.source.clear(Direction::Read, seen);
            }
            self.wait(None);
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> Awaited {
        self.source.wait(Direction::Read, deadline, Interrupts::Allowed, &"model", || true)
    }
}

fn model(body: impl Fn() + Send + Sync + 'static) {
    crate::model::explore(body);
}

#[test]
fn model_no_event_is_lost_to_a_stale_clear() {
    model(|| {
        let descriptor = Descriptor::new();
        let kernel = descriptor.clone();
        let kernel = thread::spawn(move || {
            kernel.arrive();
            kernel.arrive();
        });
        descriptor.take_one();
        descriptor.take_one();
        kernel.join().unwrap();
        assert_eq!(descriptor.source.waiting(), 0);
    });
}

#[test]
fn model_a_short_read_erases_no_newer_event() {
    model(|| {
        let descriptor = Descriptor::new();
        let kernel = descriptor.clone();
        let kernel = thread::spawn(move || {
            kernel.arrive();
            kernel.arrive();
        });
        let mut taken = 0;
        while taken < 2 {
            taken += descriptor.take_all();
        }
        kernel.join().unwrap();
    });
}

#[test]
fn model_every_waiter_of_the_direction_is_woken() {
    model(|| {
        let descriptor = Descriptor::new();
        let reader = || {
            let descriptor = descriptor.clone();
            thread::spawn(move || descriptor.take_one())
        };
        let readers = [reader(), reader()];
        // Two arrivals, one report: whoever is woken may be too late for the first and must find the second.
        descriptor.unread.fetch_add(2, Ordering::AcqRel);
        descriptor.source.set(Readiness::READ);
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(descriptor.source.waiting(), 0);
    });
}

#[test]
fn model_two_readers_and_two_events_leave_nobody_behind() {
    // Three preemptions make half a million interleavings, and found no more.
    crate::model::explore_within(2, || {
        let descriptor = Descriptor::new();
        let reader = descriptor.clone();
        let reader = thread::spawn(move || reader.take_one());
        let kernel = descriptor.clone();
        let kernel = thread::spawn(move || {
            kernel.arrive();
            kernel.arrive();
        });
        descriptor.take_one();
        reader.join().unwrap();
        kernel.join().unwrap();
    });
}

#[test]
fn model_a_waiter_that_gives_up_is_unlisted_and_a_later_wait_still_works() {
    model(|| {
        let descriptor = Descriptor::new();
        let kernel = descriptor.clone();
        let kernel = thread::spawn(move || kernel.arrive());
        // Time does not pass in a model: a timed wait ends at once unless the event was first.
        let _either = descriptor.wait(Some(Instant::now()));
        assert_eq!(descriptor.source.waiting(), 0);
        descriptor.take_one();
        kernel.join().unwrap();
    });
}

#[test]
fn model_the_directions_do_not_disturb_each_other() {
    model(|| {
        let descriptor = Descriptor::new();
        let writer = descriptor.clone();
        let writer = thread::spawn(move || {
            loop {
                let seen = writer.source.observe();
                if writer.source.is_ready(Direction::Write) {
                    return;
                }
                writer.source.clear(Direction::Write, seen);
                writer.source.wait(Direction::Write, None, Interrupts::Allowed, &"model", || true);
            }
        });
        let kernel = descriptor.clone();
        let kernel = thread::spawn(move || {
            kernel.arrive();
            kernel.source.set(Readiness::WRITE);
        });
        descriptor.take_one();
        writer.join().unwrap();
        kernel.join().unwrap();
    });
}
