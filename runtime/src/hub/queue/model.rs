//! Stealing against everything else that decides who runs a greenlet: it runs once, on one hub, and nobody uses it after
//! its end.
//!
//! `queue.rs`, `greenlet/state.rs` and `timer/mod.rs` with its wheel run as they ship; the deque is the locked one of
//! `facade/modelled/deque.rs`, and a header a bare one, with nothing to run. Played is what hubs do with an entry
//! (`Hub::execute`), with a timer (`Shared::deliver_fired`), and in migrate mode with a greenlet woken on another hub,
//! which runs there (`Runnable::deliver`). A wake stands for an unlock, a message, or the readiness that whoever polls
//! the reactor of the greenlet's old hub reports.

use super::{Entry, Queue};
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::{Arc, UnsafeCell};
use crate::greenlet::header::bare::{bare, bury};
use crate::greenlet::header::{Header, Life, Ref, let_go};
use crate::greenlet::state::{Commit, Kill, Owner, State, Wake};
use crate::hub::queue::Stealers;
use crate::model::explore;
use crate::timer::{Fired, Timers};
use loom::thread;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

const SOON: u64 = 1 << 15;
const LATER: u64 = 1 << 17;

/// One greenlet, which any of three hubs may run.
struct World {
    header: ManuallyDrop<Ref>,
    /// How often it was resumed. Whoever has the right to run it writes this.
    stack: UnsafeCell<usize>,
    ended: AtomicUsize,
    timers: [Timers; 3],
}

// SAFETY: loom watches what is shared.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            header: ManuallyDrop::new(bare(state)),
            stack: UnsafeCell::new(0),
            ended: AtomicUsize::new(0),
            timers: std::array::from_fn(|_| Timers::starting_at(0)),
        })
    }

    fn greenlet(&self) -> NonNull<Header> {
        self.header.as_ptr()
    }

    fn fire(&self, hub: usize, now: u64, mut deliver: impl FnMut(Fired)) {
        while self.timers[hub].fire(now, true, &mut deliver) {}
    }

    /// As `Hub::execute`: what an entry to start, or to resume, leads to on `hub`.
    fn execute(&self, entry: Entry, hub: usize) {
        assert_eq!(entry.header(), self.greenlet());
        if entry.is_start() {
            self.header.alive.in_use();
            if !self.header.state.claim() {
                return;
            }
            // As `Hub::begin`.
            self.header.alarm.remove();
            self.end();
        } else {
            self.resume(hub);
        }
    }

    /// The greenlet runs on: once to wait for some time on this hub, and then to its end.
    fn resume(&self, hub: usize) {
        // SAFETY: the caller has the right to run it, so its stack is the caller's.
        let turn = self.stack.with_mut(|stack| unsafe {
            *stack += 1;
            *stack
        });
        if turn > 1 {
            return self.end();
        }
        let header = &self.header;
        header.alarm.set(self.greenlet(), &self.timers[hub], LATER);
        let epoch = header.state.load().epoch();
        match header.state.commit_park(epoch, false, false, None) {
            Commit::Requeue => self.resume(hub),
            // From here on anybody may own it; this hub looks at its wheel.
            Commit::Parked => self.fire(hub, LATER * 2, |fired| match fired {
                Fired::Wake(_) => self.resume(hub),
                Fired::Start(_) => unreachable!("it has started"),
            }),
        }
    }

    fn end(&self) {
        // SAFETY: as in `resume`.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
        self.header.alarm.remove();
        assert!(self.header.state.finish(true).is_ok());
        // Relaxed: a count.
        assert_eq!(self.ended.fetch_add(1, Ordering::Relaxed), 0, "ended twice");
        self.header.alive.end();
    }

    fn assert_ended(&self) {
        assert_eq!(self.ended.load(Ordering::Relaxed), 1, "it is lost");
        assert!(self.timers.iter().all(|timers| timers.len() == 0), "an ended greenlet stands in a wheel");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: ended by hand, and the last thread of the model is here.
        unsafe { bury(self.header.as_ptr()) };
    }
}

fn on_thread<T: 'static>(world: &Arc<World>, f: impl FnOnce(&World) -> T + 'static) -> thread::JoinHandle<T> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// Hub 1 takes from hub 0 what it can get, and runs it.
fn thief(world: &Arc<World>, victim: Stealers, mixed: bool) -> thread::JoinHandle<()> {
    on_thread(world, move |world| {
        if let Some((entry, _)) = Queue::new(mixed, true).steal_from(&victim, 4) {
            world.execute(entry, 1);
        }
    })
}

/// Unstarted: it waits for its start time, and its hub's timer, a killer and then a thief get at it.
#[test]
fn model_a_steal_against_a_start_time_and_a_kill() {
    explore(|| {
        let world = World::new(State::placed());
        let queue = Queue::new(false, true);
        let thief = thief(&world, queue.stealers(), false);
        assert!(world.timers[0].start_at(world.greenlet(), SOON));
        let killer = on_thread(&world, |world| match world.header.state.kill() {
            // As `Hub::accept`, on the killer's hub.
            Kill::Place => {
                assert!(world.header.state.arrive());
                world.execute(Entry::start(hand_out(world)), 2);
            }
            Kill::Noted | Kill::Finished => {}
            Kill::Enqueue => unreachable!("it never parks"),
        });
        world.fire(0, SOON * 2, |fired| match fired {
            Fired::Start(_) => {
                assert!(world.header.state.arrive());
                queue.push_shared(Entry::start(hand_out(&world)));
            }
            Fired::Wake(_) => unreachable!("it never parks"),
        });
        while let Some(entry) = queue.pop() {
            world.execute(entry, 0);
        }
        thief.join().unwrap();
        killer.join().unwrap();
        world.assert_ended();
    });
}

/// The life reference, for an entry. The world's memory does not go by the count.
fn hand_out(world: &World) -> Life {
    // SAFETY: the memory stays, and whether the header is alive is what the models ask.
    unsafe { Life::from_raw(world.greenlet()) }
}

/// Started, in migrate mode: hub 0 parks it with an alarm in its wheel, and from then on the alarm, a thief, and on a third
/// hub a wake or a kill get at it. Wherever it runs it waits once more, with an alarm in that hub's wheel, where what
/// comes late for the first wait must not end the second twice.
fn a_started_one_is_stolen(by: impl Fn(&World, u32) -> bool + Copy + Send + Sync + 'static) {
    explore(move || {
        let world = World::new(State::unstarted());
        assert!(world.header.state.claim());
        world.header.alarm.set(world.greenlet(), &world.timers[0], SOON);
        let queue = Queue::new(true, true);
        let thief = thief(&world, queue.stealers(), true);
        let epoch = world.header.state.load().epoch();
        let elsewhere = on_thread(&world, move |world| {
            if by(world, epoch) {
                world.resume(2);
            }
        });
        let ready = || {
            queue.push_shared(Entry::resume(world.greenlet()));
        };
        match world.header.state.commit_park(epoch, false, false, None) {
            Commit::Requeue => ready(),
            Commit::Parked => {}
        }
        world.fire(0, SOON * 2, |fired| match fired {
            Fired::Wake(_) => ready(),
            Fired::Start(_) => unreachable!("it has started"),
        });
        while let Some(entry) = queue.pop() {
            world.execute(entry, 0);
        }
        thief.join().unwrap();
        elsewhere.join().unwrap();
        world.assert_ended();
    });
}

#[test]
fn model_a_steal_against_a_timer_and_a_wake() {
    a_started_one_is_stolen(|world, epoch| world.header.state.wake(epoch) == Wake::Enqueue);
}

#[test]
fn model_a_steal_against_a_timer_and_a_kill() {
    a_started_one_is_stolen(|world, _| world.header.state.kill() == Kill::Enqueue);
}

/// Their joiner claims greenlets out of the queue, which sweeps it, while a thief takes from it: each runs once, and each
/// header ends once, when its life, its handle and its stale entry have let go.
#[test]
fn model_claims_and_a_sweep_against_a_steal() {
    struct Greenlets {
        headers: Vec<NonNull<Header>>,
        runs: Vec<UnsafeCell<usize>>,
    }
    // SAFETY: loom watches what is shared.
    unsafe impl Sync for Greenlets {}
    // SAFETY: as above.
    unsafe impl Send for Greenlets {}
    impl Greenlets {
        /// The caller has claimed it: it runs, and ends.
        fn run(&self, greenlet: NonNull<Header>) {
            let which = self.headers.iter().position(|header| *header == greenlet).expect("one of them");
            // SAFETY: claimed.
            self.runs[which].with_mut(|runs| unsafe { *runs += 1 });
            // SAFETY: its handle has not let go, nor its life.
            assert!(unsafe { greenlet.as_ref() }.state.finish(false).is_ok());
            // SAFETY: it has ended, and this was the last of its life.
            unsafe { let_go(greenlet, Owner::Life) };
        }
        /// As `Hub::execute`, of an entry to start.
        fn execute(&self, entry: Entry) {
            let greenlet = entry.header();
            // SAFETY: a start entry keeps the header alive, stale or not.
            let header = unsafe { greenlet.as_ref() };
            header.alive.in_use();
            if header.state.claim() {
                self.run(greenlet);
            } else {
                // SAFETY: the entry goes unused.
                unsafe { let_go(greenlet, Owner::StaleEntry) };
            }
        }
    }
    explore(|| {
        let queue = Queue::new(false, true);
        // Their life and their handle share the reference.
        let headers: Vec<_> = (0..5).map(|_| ManuallyDrop::new(bare(State::unstarted())).as_ptr()).collect();
        let greenlets =
            Arc::new(Greenlets { runs: headers.iter().map(|_| UnsafeCell::new(0)).collect(), headers });
        for header in &greenlets.headers {
            // SAFETY: new, and in no queue.
            queue.push_shared(Entry::start(unsafe { Life::from_raw(*header) }));
        }
        let thief = {
            let (greenlets, victim) = (Arc::clone(&greenlets), queue.stealers());
            thread::spawn(move || {
                let own = Queue::new(false, true);
                if let Some((first, _)) = own.steal_from(&victim, 4) {
                    greenlets.execute(first);
                    while let Some(entry) = own.pop() {
                        greenlets.execute(entry);
                    }
                }
            })
        };
        // As `claim_and_wait`, often enough for a sweep.
        for greenlet in greenlets.headers.iter().rev().take(4) {
            // SAFETY: its handle has not let go.
            if unsafe { greenlet.as_ref() }.state.claim_out_of_queue() {
                queue.note_stale();
                greenlets.run(*greenlet);
            }
        }
        while let Some(entry) = queue.pop() {
            greenlets.execute(entry);
        }
        thief.join().unwrap();
        for (greenlet, runs) in greenlets.headers.iter().zip(&greenlets.runs) {
            // SAFETY: the threads have ended.
            assert_eq!(runs.with(|runs| unsafe { *runs }), 1);
            // SAFETY: its handle has not let go.
            unsafe { let_go(*greenlet, Owner::Handle) };
            // SAFETY: the memory stays.
            assert!(!unsafe { greenlet.as_ref() }.alive.is_alive(), "an owner never let go");
        }
    });
}
