//! Timers under loom: no timer is lost, a wake that is none is noticed as such, and nobody uses an alarm whose
//! greenlet has ended, whoever fires the wheel: its hub, or another one that looks after it.
//!
//! [`Alarm`] and [`Timers`], all of `timer/mod.rs`, run as they ship, over the real wheel, state word and header; every
//! use of a header through its alarm reads a cell that its end writes. Played are the greenlet's queue and its hubs.

use super::{Alarm, Fired, NEVER, Timers};
use crate::facade::{Arc, Condvar, Mutex};
use crate::greenlet::header::Ref;
use crate::greenlet::header::bare::{bare, bury};
use crate::greenlet::state::{Cause, Commit, Kill, State, Wake};
use crate::model::{explore, explore_within};
use loom::thread;
use std::mem::ManuallyDrop;

/// One tick and more.
const SOON: u64 = 1 << 15;
const LATER: u64 = 1 << 17;

struct World {
    here: Timers,
    there: Timers,
    header: ManuallyDrop<Ref>,
    /// The greenlet's queue: how often it was pushed.
    pushed: Mutex<usize>,
    changed: Condvar,
}

// SAFETY: loom watches what is shared.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new(state: State) -> Arc<Self> {
        let header = ManuallyDrop::new(bare(state));
        Arc::new(Self {
            here: Timers::starting_at(0),
            there: Timers::starting_at(0),
            header,
            pushed: Mutex::new(0),
            changed: Condvar::new(),
        })
    }

    fn running() -> Arc<Self> {
        let world = Self::new(State::unstarted());
        assert!(world.header.state.claim());
        world
    }

    fn alarm(&self) -> &Alarm {
        &self.header.alarm
    }

    fn set(&self, timers: &Timers, at: u64) {
        self.alarm().set(self.header.as_ptr(), timers, at);
    }

    fn push(&self) {
        *self.pushed.lock() += 1;
        self.changed.notify_one();
    }

    fn fire(&self, timers: &Timers, now: u64, owner: bool) {
        timers.fire(now, owner, |fired| match fired {
            Fired::Wake(header) | Fired::Start(header) => {
                assert_eq!(header, self.header.as_ptr());
                self.push();
            }
        });
    }

    fn wake(&self, epoch: u32) -> Wake {
        let woken = self.header.state.wake(epoch);
        if woken == Wake::Enqueue {
            self.push();
        }
        woken
    }

    /// The greenlet parks and its hub runs `meanwhile` while it is parked, until it comes back.
    fn park(&self, meanwhile: impl Fn()) -> Cause {
        let epoch = self.header.state.load().epoch();
        if self.header.state.commit_park(epoch, false, false, None) == Commit::Parked {
            self.wait_for_push(meanwhile);
        }
        self.header.state.load().cause()
    }

    fn wait_for_push(&self, meanwhile: impl Fn()) {
        let taken = |pushed: &mut usize| {
            assert!(*pushed <= 1, "pushed twice");
            std::mem::take(pushed) == 1
        };
        if taken(&mut self.pushed.lock()) {
            return;
        }
        meanwhile();
        let mut pushed = self.pushed.lock();
        while !taken(&mut pushed) {
            self.changed.wait(&mut pushed);
        }
    }

    /// The greenlet ends: its alarm goes, and then its header.
    fn end(&self) {
        self.alarm().remove();
        self.header.alive.end();
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

/// A hub is stuck, and another fires its wheel while the greenlet sets its alarm, parks, runs on and ends.
#[test]
fn model_a_neighbour_fires_the_wheel() {
    explore(|| {
        let world = World::running();
        world.set(&world.here, SOON);
        let neighbour = on_thread(&world, |world| world.fire(&world.here, LATER, false));
        // A stuck hub's own look comes later, and finds what the neighbour left.
        let cause = world.park(|| world.fire(&world.here, LATER, true));
        assert_eq!(cause, Cause::Timer);
        // Now the greenlet puts its alarm off and waits for somebody; the neighbour may still be at it.
        let epoch = world.header.state.load().epoch();
        let waker = on_thread(&world, move |world| world.wake(epoch));
        world.alarm().relax(NEVER);
        if world.park(|| ()) == Cause::Timer {
            // Woken for a deadline that is no more: the greenlet looks at its own deadline and knows.
            assert_eq!(world.alarm().deadline(), NEVER);
        }
        let _ = waker.join().unwrap();
        let _ = std::mem::take(&mut *world.pushed.lock());
        world.end();
        neighbour.join().unwrap();
    });
}

/// The alarm is set anew, later, without the wheel, while a neighbour fires it: it is not lost.
#[test]
fn model_an_alarm_put_off_still_fires() {
    explore(|| {
        let world = World::running();
        world.set(&world.here, SOON);
        let neighbour = on_thread(&world, |world| world.fire(&world.here, SOON * 2, false));
        world.set(&world.here, LATER);
        let cause = world.park(|| {
            // Its hub: once for the node as it stood, once for the deadline.
            world.fire(&world.here, SOON * 2, true);
            world.fire(&world.here, LATER * 2, true);
        });
        assert_eq!(cause, Cause::Timer);
        neighbour.join().unwrap();
        world.end();
    });
}

/// A greenlet that never parks learns of its deadline by a note. It sets its alarm without the wheel, earlier or later
/// than it was, and looks at a note that was meant for the old deadline, while a neighbour fires: the new one is noted
/// all the same.
fn a_note_in_time(before: u64, after: u64) {
    explore(move || {
        let world = World::running();
        world.set(&world.here, SOON);
        world.alarm().relax(before);
        let neighbour = on_thread(&world, |world| world.fire(&world.here, SOON * 2, false));
        world.set(&world.here, after);
        world.header.state.take_timer();
        neighbour.join().unwrap();
        world.fire(&world.here, SOON * 2, true);
        world.header.state.take_timer();
        world.fire(&world.here, after * 2, true);
        assert!(world.header.state.load().wants_attention(), "the alarm was lost");
        world.end();
    });
}

#[test]
fn model_an_alarm_put_off_is_noted_in_time() {
    a_note_in_time(SOON, LATER);
}

#[test]
fn model_an_alarm_set_earlier_is_noted_in_time() {
    a_note_in_time(LATER * 8, LATER);
}

/// In migrate mode the greenlet runs elsewhere while its old hub fires the wheel its node was left in; it sets its
/// alarm in the new hub's wheel, is woken there, and ends.
#[test]
fn model_a_greenlet_that_moved_takes_its_alarm_along() {
    explore(|| {
        let world = World::running();
        world.set(&world.here, SOON);
        world.alarm().relax(NEVER);
        let old_hub = on_thread(&world, |world| world.fire(&world.here, SOON * 2, true));
        world.set(&world.there, LATER);
        let mut cause = world.park(|| world.fire(&world.there, LATER * 2, true));
        if cause == Cause::Timer && world.there.len() == 1 {
            // Too early, by the old hub: wait on.
            cause = world.park(|| world.fire(&world.there, LATER * 2, true));
        }
        assert_eq!(cause, Cause::Timer);
        old_hub.join().unwrap();
        world.end();
        assert_eq!((world.here.len(), world.there.len()), (0, 0));
    });
}

/// As above, and the greenlet ends elsewhere while the old hub is about to put the node off.
#[test]
fn model_a_greenlet_ends_elsewhere_while_its_old_hub_fires() {
    explore(|| {
        let world = World::running();
        world.set(&world.here, SOON);
        world.alarm().relax(LATER);
        let old_hub = on_thread(&world, |world| world.fire(&world.here, SOON * 2, true));
        world.end();
        old_hub.join().unwrap();
        assert_eq!(world.here.len(), 0, "an ended greenlet stands in the wheel");
    });
}

/// It waits for its start time: its spawner puts it into the wheel, and the timer and a killer who found it in the
/// registry race for its push; whoever gets it runs it to its end.
#[test]
fn model_a_start_time_against_a_kill() {
    explore_within(2, || {
        let world = World::new(State::placed());
        let hub = on_thread(&world, |world| world.fire(&world.here, SOON * 2, true));
        let killer = on_thread(&world, |world| {
            if world.header.state.kill() == Kill::Place {
                world.push();
            }
        });
        let spawner = on_thread(&world, |world| {
            if !world.here.start_at(world.header.as_ptr(), SOON) {
                world.push();
            }
        });
        world.wait_for_push(|| world.fire(&world.here, SOON * 2, true));
        assert!(world.header.state.arrive() && world.header.state.claim());
        world.alarm().remove();
        // A killer and a spawner hold references of their own; the wheel does not.
        killer.join().unwrap();
        spawner.join().unwrap();
        world.header.alive.end();
        hub.join().unwrap();
        assert_eq!(world.here.len(), 0, "an ended greenlet stands in the wheel");
    });
}
