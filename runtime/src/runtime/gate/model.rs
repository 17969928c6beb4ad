//! A shutdown against spawns and wakes: the runtime ends when nobody is left who was let in, and not before; whoever is
//! not let in is refused; a greenlet that waits is ended by the kill or by its wake; and the hub leaves.
//!
//! All of `gate.rs` runs as it ships, and with it `hub/metrics.rs`, `greenlet/registry.rs`, `hub/inbox.rs`, `hub/idle.rs`
//! ([`doze`] and the bed) and `greenlet/state.rs`; a header is a bare one, with nothing to run. Played are the loop of
//! `Hub::run` on a runtime's only hub, what its greenlets do, and the steps of `Runtime::shut_down_shielded` in their
//! order, which kills once: nobody here swallows a kill.

use super::Gate;
use crate::facade::{Arc, Condvar, Mutex};
use crate::greenlet::header::bare::bare;
use crate::greenlet::header::{Header, let_go};
use crate::greenlet::registry::{Shard, remove};
use crate::greenlet::state::{Commit, Kill, Owner, Phase, State, Wake};
use crate::hub::idle::{Bed, Sleeper, doze};
use crate::hub::inbox::Inbox;
use crate::hub::metrics::Counters;
use crate::model::{explore, explore_within};
use loom::thread;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::OnceLock;
// For what the model itself counts, which loom need not look at.
use std::sync::atomic::{AtomicUsize, Ordering};

struct World {
    gate: Gate,
    counters: Counters,
    shard: Shard,
    bed: Bed,
    inbox: Inbox<Header>,
    eventfd: Mutex<bool>,
    written: Condvar,
    /// Greenlets that were let in and have not ended.
    living: AtomicUsize,
    /// A greenlet that waits when the model begins. It spawns another, if it is not killed first, and ends.
    parent: OnceLock<NonNull<Header>>,
}

// SAFETY: loom watches what is shared.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(),
            counters: Counters::default(),
            shard: Shard::new(),
            bed: Bed::new(),
            inbox: Inbox::new(),
            eventfd: Mutex::new(false),
            written: Condvar::new(),
            living: AtomicUsize::new(0),
            parent: OnceLock::new(),
        })
    }

    /// With a parent, whose handle this gives.
    fn with_parent() -> (Arc<Self>, Handle) {
        let world = Self::new();
        let parent = world.spawn_here();
        // SAFETY: its handle has not let go.
        let state = &unsafe { parent.as_ref() }.state;
        assert!(state.claim());
        assert_eq!(state.commit_park(0, false, false, None), Commit::Parked);
        assert!(world.parent.set(parent).is_ok());
        (world, Handle(parent))
    }

    /// As `spawn_here`, of a greenlet that is not detached.
    fn spawn_here(&self) -> NonNull<Header> {
        let greenlet = create(State::unstarted());
        // SAFETY: only the hub's thread calls this, but for the one that makes the world.
        unsafe { self.shard.insert(greenlet) };
        self.counters.spawned.add(1);
        self.living.fetch_add(1, Ordering::Relaxed);
        greenlet
    }

    /// As `spawn_outside`. Gives the handle.
    fn spawn_outside(&self) -> Handle {
        let greenlet = create(State::placed());
        if self.gate.let_in(greenlet) {
            self.living.fetch_add(1, Ordering::Relaxed);
            self.push(greenlet);
        } else {
            // As `end_unrun`.
            // SAFETY: its life has not let go.
            let state = &unsafe { greenlet.as_ref() }.state;
            assert!(state.arrive() && state.claim(), "a refused greenlet was seen by somebody");
            assert!(state.finish(true).is_ok());
            // SAFETY: its life ends here.
            unsafe { let_go(greenlet, Owner::Life) };
        }
        Handle(greenlet)
    }

    /// As `Mailbox::push`.
    fn push(&self, greenlet: NonNull<Header>) {
        // SAFETY: the caller owns the greenlet's right to run, and it lies in no inbox.
        unsafe { self.inbox.push(greenlet.as_ptr()) };
        self.rouse();
    }

    fn wake_parent(&self) {
        let parent = *self.parent.get().expect("there is one");
        // SAFETY: its handle lets go when the model ends.
        if unsafe { parent.as_ref() }.state.wake(0) == Wake::Enqueue {
            self.push(parent);
        }
    }

    fn rouse(&self) {
        if self.bed.must_wake() {
            *self.eventfd.lock() = true;
            self.written.notify_one();
        }
    }

    /// As `Hub::run`.
    fn run_hub(&self) {
        let mut ready = VecDeque::new();
        loop {
            ready.extend(self.inbox.take().filter_map(NonNull::new));
            match ready.pop_front() {
                Some(greenlet) => self.execute(greenlet, &mut ready),
                None if self.gate.is_ended() => break,
                None => doze(&self.bed, self),
            }
        }
    }

    /// As `Hub::execute`, of what runs to its end.
    fn execute(&self, greenlet: NonNull<Header>, ready: &mut VecDeque<NonNull<Header>>) {
        // SAFETY: the right to run it keeps it alive.
        let header = unsafe { greenlet.as_ref() };
        header.alive.in_use();
        if header.state.load().phase() == Phase::Unstarted {
            let _it_lay_in_the_inbox = header.state.arrive();
            assert!(header.state.claim(), "started twice");
        }
        if self.parent.get() == Some(&greenlet)
            && !header.state.load().kill_requested()
            && !self.gate.is_closing()
        {
            ready.push_back(self.spawn_here());
        }
        assert!(header.state.finish(true).is_ok());
        // As `Hub::end`.
        // SAFETY: it ends here, once, and its life has not let go.
        unsafe { remove(header, &self.shard) };
        self.living.fetch_sub(1, Ordering::Relaxed);
        self.counters.finished.add(1);
        // SAFETY: its life ends here.
        unsafe { let_go(greenlet, Owner::Life) };
    }

    /// As `Runtime::shut_down_shielded`.
    fn shut_down(&self) {
        self.gate.close();
        let mut greenlets = Vec::new();
        self.shard.snapshot(&mut greenlets);
        self.gate.snapshot(&mut greenlets);
        for greenlet in &greenlets {
            match greenlet.state.kill() {
                Kill::Enqueue | Kill::Place => self.push(greenlet.as_ptr()),
                Kill::Noted | Kill::Finished => {}
            }
        }
        drop(greenlets);
        while self.gate.live(std::iter::once(&self.counters)) != 0 {
            thread::yield_now();
        }
        assert_eq!(self.living.load(Ordering::Relaxed), 0, "the runtime ends, and somebody lives");
        self.gate.end();
        self.rouse();
    }

    fn assert_at_rest(&self) {
        assert!(self.inbox.is_empty(), "the hub left somebody in its inbox");
        assert_eq!(self.living.load(Ordering::Relaxed), 0, "somebody was let in too late");
    }
}

/// A new greenlet: whoever gets it has its life and its handle.
fn create(state: State) -> NonNull<Header> {
    ManuallyDrop::new(bare(state)).as_ptr()
}

/// The handle of a greenlet.
struct Handle(NonNull<Header>);

// SAFETY: as `JoinHandle`.
unsafe impl Send for Handle {}

impl Handle {
    fn is_done(&self) -> bool {
        // SAFETY: the handle keeps it alive.
        unsafe { self.0.as_ref() }.state.load().is_done()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: a handle lets go once.
        unsafe { let_go(self.0, Owner::Handle) };
    }
}

impl Sleeper for World {
    fn has_news(&self) -> bool {
        !self.inbox.is_empty() || self.gate.is_ended()
    }
    fn has_work(&self) -> bool {
        unreachable!("a runtime's only hub dozes")
    }
    fn block(&self) {
        let mut written = self.eventfd.lock();
        while !*written {
            self.written.wait(&mut written);
        }
        *written = false;
    }
}

fn on_thread<T: 'static>(world: &Arc<World>, f: impl FnOnce(&World) -> T + 'static) -> thread::JoinHandle<T> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// Two spawns from outside: who is let in has ended at the end, and who is not is refused. Three preemptions find no
/// more than two, here and below, and take a minute and a half.
#[test]
fn model_a_shutdown_forgets_nobody_who_was_let_in() {
    explore_within(2, || {
        let world = World::new();
        let hub = on_thread(&world, World::run_hub);
        let spawner = on_thread(&world, |world| [world.spawn_outside(), world.spawn_outside()]);
        world.shut_down();
        hub.join().unwrap();
        assert!(spawner.join().unwrap().iter().all(Handle::is_done), "let in, and left");
        world.assert_at_rest();
    });
}

/// A greenlet that waits is woken, or killed, or both, and spawns another if it gets so far: both have ended in the end.
#[test]
fn model_a_shutdown_against_a_wake_and_what_the_woken_spawns() {
    explore_within(2, || {
        let (world, handle) = World::with_parent();
        let hub = on_thread(&world, World::run_hub);
        let waker = on_thread(&world, World::wake_parent);
        world.shut_down();
        hub.join().unwrap();
        waker.join().unwrap();
        assert!(handle.is_done());
        world.assert_at_rest();
    });
}

/// A greenlet that is ready spawns another while the shutdown counts who is left.
#[test]
fn model_a_shutdown_counts_what_the_last_greenlet_spawns() {
    explore(|| {
        let (world, handle) = World::with_parent();
        world.wake_parent();
        let hub = on_thread(&world, World::run_hub);
        world.shut_down();
        hub.join().unwrap();
        assert!(handle.is_done());
        world.assert_at_rest();
    });
}
