//! A hub that is looked after by another loses no wake: its own poll blocks only where a wake will still end it.
//!
//! `shared_poll.rs`, `hub/idle.rs` ([`doze`] and the bed), `hub/inbox.rs` and `greenlet/state.rs` run as they ship. Played
//! are the kernel, whose event queue tells each edge once, and the rest of the hubs: one that lies down to sleep,
//! another that takes it for stuck and looks after it (as `Hub::look_after`: inbox, then I/O), and whoever has
//! something for it. A wake that is lost is a deadlock, which loom reports.

use super::{EventQueue, SharedPoll};
use crate::facade::{Arc, Condvar, Mutex};
use crate::greenlet::header::bare::bare;
use crate::greenlet::header::{Header, Ref};
use crate::greenlet::state::{Commit, State, Wake};
use crate::hub::idle::{Bed, Sleeper, doze};
use crate::hub::inbox::Inbox;
use crate::model::explore;
use loom::thread;
use std::io;
use std::ptr::NonNull;
use std::time::Duration;

/// What the kernel has to tell. Each is an edge: the poll that is told takes it away.
#[derive(Default)]
struct Edges {
    /// The waker was written.
    wake: bool,
    /// The descriptor that the greenlet waits for is ready.
    descriptor: bool,
}

/// What others know of the hub, and its one greenlet, which is parked and waits for a descriptor.
struct Hub {
    edges: Mutex<Edges>,
    changed: Condvar,
    bed: Bed,
    inbox: Inbox<Header>,
    greenlet: Ref,
    epoch: u32,
}

// SAFETY: loom watches what is shared.
unsafe impl Sync for Hub {}
// SAFETY: as above.
unsafe impl Send for Hub {}

impl Hub {
    fn raise(&self, edge: impl FnOnce(&mut Edges)) {
        edge(&mut self.edges.lock());
        self.changed.notify_one();
    }

    fn rouse(&self) {
        if self.bed.must_wake() {
            self.write_eventfd();
        }
    }

    fn write_eventfd(&self) {
        self.raise(|edges| edges.wake = true);
    }

    /// Ends the greenlet's wait; who does owns the push, as a waker elsewhere and as whoever polls.
    fn wake(&self) {
        if self.greenlet.state.wake(self.epoch) == Wake::Enqueue {
            self.push(self.greenlet.as_ptr());
        }
    }

    fn push(&self, greenlet: NonNull<Header>) {
        // SAFETY: the caller owns the greenlet's right to run, and it lies in no inbox.
        unsafe { self.inbox.push(greenlet.as_ptr()) };
        self.rouse();
    }
}

/// As `Polling`: what is ready is handed on by whoever polls.
struct Queue {
    hub: Arc<Hub>,
    woken: bool,
}

impl EventQueue for Queue {
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let mut edges = self.hub.edges.lock();
        while timeout.is_none() && !edges.wake && !edges.descriptor {
            self.hub.changed.wait(&mut edges);
        }
        let Edges { wake, descriptor } = std::mem::take(&mut *edges);
        drop(edges);
        self.woken = wake;
        if descriptor {
            self.hub.wake();
        }
        Ok(usize::from(descriptor))
    }
    fn was_woken(&self) -> bool {
        self.woken
    }
}

struct World {
    hub: Arc<Hub>,
    poll: SharedPoll<Queue>,
}

impl World {
    fn new() -> Arc<Self> {
        let greenlet = bare(State::unstarted());
        assert!(greenlet.state.claim());
        let epoch = greenlet.state.load().epoch();
        assert_eq!(greenlet.state.commit_park(epoch, false, false, None), Commit::Parked);
        let hub = Arc::new(Hub {
            edges: Mutex::default(),
            changed: Condvar::new(),
            bed: Bed::new(),
            inbox: Inbox::new(),
            greenlet,
            epoch,
        });
        Arc::new(Self { poll: SharedPoll::new(Queue { hub: Arc::clone(&hub), woken: false }), hub })
    }

    /// The hub, until its greenlet is there to be run.
    fn run_hub(&self) {
        while self.hub.inbox.take().next().is_none() {
            doze(&self.hub.bed, self);
        }
    }

    /// As `Hub::look_after`, and `receive` of a greenlet that stays.
    fn look_after(&self) {
        if !self.hub.inbox.is_empty() {
            for greenlet in self.hub.inbox.take() {
                self.hub.push(NonNull::new(greenlet).expect("a batch holds no null"));
            }
        }
        let polled = self.poll.try_poll(|| {
            self.hub.write_eventfd();
            Ok(())
        });
        assert!(polled.is_none_or(|polled| polled.is_ok()));
    }
}

impl Sleeper for World {
    fn has_news(&self) -> bool {
        !self.hub.inbox.is_empty()
    }
    fn has_work(&self) -> bool {
        unreachable!("a hub that dozes does not ask")
    }
    fn block(&self) {
        assert!(self.poll.poll(None).is_ok());
    }
}

fn on_thread(world: &Arc<World>, f: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// Another hub wakes the greenlet while a third looks after its hub.
#[test]
fn model_a_wake_survives_being_looked_after() {
    explore(|| {
        let world = World::new();
        let waker = on_thread(&world, |world| world.hub.wake());
        let neighbour = on_thread(&world, World::look_after);
        world.run_hub();
        waker.join().unwrap();
        neighbour.join().unwrap();
    });
}

/// The same for what the kernel reports: whoever is told of the descriptor wakes the greenlet, and its hub runs it.
#[test]
fn model_readiness_seen_by_another_reaches_the_hub() {
    explore(|| {
        let world = World::new();
        let kernel = on_thread(&world, |world| world.hub.raise(|edges| edges.descriptor = true));
        let neighbour = on_thread(&world, |world| {
            world.look_after();
            world.look_after();
        });
        world.run_hub();
        kernel.join().unwrap();
        neighbour.join().unwrap();
    });
}

/// Both at once, with a wake that came too late: one of the two ends the wait, and the greenlet comes once.
#[test]
fn model_a_wake_and_readiness_at_once_while_looked_after() {
    crate::model::explore_within(2, || {
        let world = World::new();
        let waker = on_thread(&world, |world| world.hub.wake());
        let kernel = on_thread(&world, |world| world.hub.raise(|edges| edges.descriptor = true));
        let neighbour = on_thread(&world, World::look_after);
        world.run_hub();
        waker.join().unwrap();
        kernel.join().unwrap();
        neighbour.join().unwrap();
        assert!(world.hub.inbox.is_empty(), "pushed twice");
    });
}
