//! The state word under loom: P1 to P5.
//!
//! * P1: an unpark is never lost, and is kept while the greenlet waits for something else.
//! * P2: at most one queue entry and one runner, whoever starts, wakes and kills.
//! * P3: what was written before a wake is visible after the wait.
//! * P4: a stale epoch never ends a later wait.
//! * P5: of a wake, a timer and a kill exactly one pushes; of a killer, a timer and an inbox exactly one places. What P5
//!   says of the end is `end_model.rs`.
//!
//! `State::claim`, `defer`, `time_came`, `arrive`, `commit_park`, `withdraw`, `wake`, `unpark`, `take_unpark`, `timer` and
//! `kill` of `greenlet/state.rs` run as they ship. The hub and its ready queue are played by [`World`]: one entry, and
//! a runner that must find the stack its own.

use super::{Cause, Commit, Kill, State, Wake};
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::{Arc, Condvar, Mutex, UnsafeCell};
use crate::model::{explore, explore_within};
use loom::thread;

/// One greenlet and the place where it is pushed.
pub(super) struct World {
    pub(super) state: State,
    /// What wakers write before they wake, without an order of its own.
    pub(super) data: [UnsafeCell<usize>; 2],
    /// Stands for the saved stack: whoever owns the right to run writes it.
    stack: UnsafeCell<usize>,
    pub(super) entries: AtomicUsize,
    pub(super) pushed: Mutex<usize>,
    pub(super) changed: Condvar,
}

// SAFETY: loom watches the cells, which is what the models are for.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    pub(super) fn of(state: State) -> Arc<Self> {
        Arc::new(Self {
            state,
            data: [UnsafeCell::new(0), UnsafeCell::new(0)],
            stack: UnsafeCell::new(0),
            entries: AtomicUsize::new(0),
            pushed: Mutex::new(0),
            changed: Condvar::new(),
        })
    }

    /// A greenlet that runs, on the caller.
    pub(super) fn running() -> Arc<Self> {
        let world = Self::of(State::unstarted());
        assert!(world.state.claim());
        world
    }

    pub(super) fn write(&self, which: usize) {
        // SAFETY: one writer each; the reader comes after the wake.
        self.data[which].with_mut(|data| unsafe { *data = 1 });
    }

    pub(super) fn read(&self, which: usize) -> usize {
        // SAFETY: as above.
        self.data[which].with(|data| unsafe { *data })
    }

    /// What the greenlet does before it suspends.
    pub(super) fn save(&self) {
        // SAFETY: it runs, so its stack is its own.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
    }

    /// Takes the one entry that was pushed.
    pub(super) fn take(&self) {
        assert_eq!(self.entries.fetch_sub(1, Ordering::Relaxed), 1);
        self.save();
    }

    /// What a waker does with the right to run.
    fn push(&self) {
        // Relaxed: counts only; two entries at once are the bug.
        assert_eq!(self.entries.fetch_add(1, Ordering::Relaxed), 0, "in two queues at once");
        // In migrate mode it runs on the waker's hub.
        // SAFETY: whoever pushes holds the right to run, so the stack is its own.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
        *self.pushed.lock() += 1;
        self.changed.notify_one();
    }

    pub(super) fn deliver(&self, wake: Wake) -> bool {
        if wake == Wake::Enqueue {
            self.push();
        }
        wake == Wake::Enqueue
    }

    pub(super) fn kill(&self) -> bool {
        match self.state.kill() {
            Kill::Enqueue | Kill::Place => {
                self.push();
                true
            }
            Kill::Noted | Kill::Finished => false,
        }
    }

    /// A wait as the greenlet and its hub make it: save the stack, commit, and run on when an entry comes up.
    fn wait(&self, epoch: u32, user: bool, masked: bool) -> Cause {
        // SAFETY: the greenlet runs, so its stack is its own.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
        match self.state.commit_park(epoch, user, masked, None) {
            Commit::Requeue => {}
            Commit::Parked => {
                let mut pushed = self.pushed.lock();
                while *pushed == 0 {
                    self.changed.wait(&mut pushed);
                }
                *pushed -= 1;
                drop(pushed);
                assert_eq!(self.entries.fetch_sub(1, Ordering::Relaxed), 1);
            }
        }
        // SAFETY: as above, again.
        self.stack.with_mut(|stack| unsafe { *stack += 1 });
        self.state.load().cause()
    }

    /// `park` as users call it.
    fn park(&self) {
        if !self.state.take_unpark() {
            let epoch = self.state.load().epoch();
            assert_eq!(self.wait(epoch, true, false), Cause::Wake);
        }
    }
}

pub(super) fn on_thread<T: 'static>(
    world: &Arc<World>,
    f: impl FnOnce(&World) -> T + 'static,
) -> thread::JoinHandle<T> {
    let world = Arc::clone(world);
    thread::spawn(move || f(&world))
}

/// P1, P3: a lost unpark is a deadlock.
#[test]
fn model_two_unparks_end_a_park_and_show_their_writes() {
    explore(|| {
        let world = World::running();
        let others: Vec<_> = (0..2)
            .map(|n| {
                on_thread(&world, move |world| {
                    world.write(n);
                    world.deliver(world.state.unpark())
                })
            })
            .collect();
        world.park();
        // One of them ended the park, and the other, if it pushed nothing, left a token at most.
        let pushes = others.into_iter().map(|other| other.join().unwrap()).filter(|pushed| *pushed).count();
        assert!(pushes <= 1);
        assert_eq!(world.entries.load(Ordering::Relaxed), 0);
        assert!(world.read(0) + world.read(1) >= 1);
    });
}

/// P3 for a token that is already there: every unparker's writes reach the park that consumes the token.
#[test]
fn model_an_unpark_on_top_of_a_token_shows_its_writes_too() {
    explore(|| {
        let world = World::running();
        let other = on_thread(&world, |world| {
            world.write(0);
            let _ = world.state.unpark();
            // Relaxed: tells that the unpark is done, and shows nothing else.
            world.entries.store(1, Ordering::Relaxed);
        });
        let _ = world.state.unpark();
        assert!(world.state.take_unpark(), "the own unpark was lost");
        // Two read-modify-writes, which read the newest value: the other unpark is done, and no token is left of it.
        let done = world.entries.fetch_add(0, Ordering::Relaxed) == 1;
        if done && world.state.word.fetch_or(0, Ordering::Relaxed) & super::UNPARK == 0 {
            assert_eq!(world.read(0), 1);
        }
        other.join().unwrap();
    });
}

/// P1: an unpark does not end another wait, and the next `park` gets it.
#[test]
fn model_an_unpark_is_kept_while_something_else_is_waited_for() {
    explore(|| {
        let world = World::running();
        let unparker = on_thread(&world, |world| assert!(!world.deliver(world.state.unpark())));
        let epoch = world.state.load().epoch();
        let waker = on_thread(&world, move |world| {
            world.write(0);
            let woken = world.state.wake(epoch);
            assert_ne!(woken, Wake::Stale);
            world.deliver(woken);
        });
        assert_eq!(world.wait(epoch, false, false), Cause::Wake);
        assert_eq!(world.read(0), 1, "ended by the unpark");
        unparker.join().unwrap();
        world.park();
        waker.join().unwrap();
    });
}

/// P3, P4: a waker of the first wait that comes late does not end the second.
#[test]
fn model_a_stale_epoch_never_ends_a_later_wait() {
    // With three preemptions it is not done after 200,000 interleavings.
    explore_within(2, || {
        let world = World::running();
        let first = world.state.load().epoch();
        let late = on_thread(&world, move |world| {
            let woken = world.state.wake(first);
            world.deliver(woken);
            woken
        });
        let timer = on_thread(&world, |world| {
            world.deliver(world.state.timer());
        });
        let cause = world.wait(first, false, false);
        let second = world.state.load().epoch();
        assert_ne!(first, second);
        timer.join().unwrap();
        // The timer may have left a note, which ends the second wait; a third is then the one to watch.
        let waker = {
            world.state.take_timer();
            on_thread(&world, move |world| {
                world.write(0);
                let woken = world.state.wake(second);
                assert_ne!(woken, Wake::Stale);
                world.deliver(woken);
            })
        };
        assert_eq!(world.wait(second, false, false), Cause::Wake);
        assert_eq!(world.read(0), 1, "the late waker ended the second wait");
        assert_eq!(late.join().unwrap() == Wake::Stale, cause == Cause::Timer);
        waker.join().unwrap();
    });
}

/// P5, P2: a wake, a timer and a kill at once.
#[test]
fn model_of_a_wake_a_timer_and_a_kill_one_ends_the_wait() {
    // Three preemptions find no more than two, in half a million interleavings.
    explore_within(2, || {
        let world = World::running();
        let epoch = world.state.load().epoch();
        let others = [
            on_thread(&world, move |world| {
                world.write(0);
                world.deliver(world.state.wake(epoch))
            }),
            on_thread(&world, |world| world.deliver(world.state.timer())),
            on_thread(&world, |world| world.kill()),
        ];
        if world.wait(epoch, false, false) == Cause::Wake {
            assert_eq!(world.read(0), 1);
        }
        let pushes = others.map(|other| usize::from(other.join().unwrap()));
        assert!(pushes.iter().sum::<usize>() <= 1, "pushed twice");
        the_wait_is_over_and_the_kill_is_kept(&world, epoch);
    });
}

/// P5, P2: a wake and a timer at once end a masked wait, of which one kill is known already.
#[test]
fn model_a_masked_wait_of_a_killed_greenlet_is_ended_once() {
    explore(|| {
        let world = World::running();
        let epoch = world.state.load().epoch();
        assert!(!world.kill(), "it runs");
        let others = [
            on_thread(&world, move |world| {
                world.write(0);
                world.deliver(world.state.wake(epoch))
            }),
            on_thread(&world, |world| world.deliver(world.state.timer())),
        ];
        match world.wait(epoch, false, true) {
            Cause::Wake => assert_eq!(world.read(0), 1),
            Cause::Timer => {}
            Cause::Kill => panic!("a masked wait was ended by a kill"),
        }
        let pushes = others.map(|other| usize::from(other.join().unwrap()));
        assert!(pushes.iter().sum::<usize>() <= 1, "pushed twice");
        the_wait_is_over_and_the_kill_is_kept(&world, epoch);
    });
}

/// P5, P2: a kill beside a wake, or beside a timer, that ends a masked wait.
#[test]
fn model_a_masked_wait_is_not_ended_by_a_kill() {
    for by_timer in [false, true] {
        explore(move || {
            let world = World::running();
            let epoch = world.state.load().epoch();
            let other = on_thread(&world, move |world| {
                world.write(0);
                let ended = if by_timer { world.state.timer() } else { world.state.wake(epoch) };
                world.deliver(ended);
            });
            let killer = on_thread(&world, |world| world.kill());
            assert_eq!(world.wait(epoch, false, true), if by_timer { Cause::Timer } else { Cause::Wake });
            assert_eq!(world.read(0), 1);
            other.join().unwrap();
            assert!(!killer.join().unwrap(), "the kill pushed it");
            the_wait_is_over_and_the_kill_is_kept(&world, epoch);
        });
    }
}

fn the_wait_is_over_and_the_kill_is_kept(world: &World, epoch: u32) {
    assert_eq!(world.entries.load(Ordering::Relaxed), 0, "an entry is left in the queue");
    assert!(world.state.load().kill_requested(), "the kill was lost");
    assert_ne!(world.state.load().epoch(), epoch);
}

/// P5: a kill alone, or a timer alone, ends the wait, however early it comes.
#[test]
fn model_a_kill_or_a_timer_alone_ends_the_wait() {
    for by_timer in [false, true] {
        explore(move || {
            let world = World::running();
            let epoch = world.state.load().epoch();
            let other =
                on_thread(
                    &world,
                    move |world| {
                        if by_timer { world.deliver(world.state.timer()) } else { world.kill() }
                    },
                );
            let cause = world.wait(epoch, false, false);
            assert_eq!(cause, if by_timer { Cause::Timer } else { Cause::Kill });
            other.join().unwrap();
        });
    }
}

/// P5: the greenlet that sees a kill coming gives up its wait, unless it has been woken.
#[test]
fn model_a_withdrawn_wait_was_not_woken() {
    explore(|| {
        let world = World::running();
        let epoch = world.state.load().epoch();
        let waker = on_thread(&world, move |world| {
            world.write(0);
            let woken = world.state.wake(epoch);
            assert!(!world.deliver(woken), "it never parked");
            woken != Wake::Stale
        });
        let withdrew = world.state.withdraw(epoch);
        if !withdrew {
            assert_eq!(world.read(0), 1);
        }
        assert_ne!(waker.join().unwrap(), withdrew, "a wake was lost, or was for nobody");
    });
}

/// P2: of two claimers one starts it; a kill before that is seen by the one who does.
#[test]
fn model_one_starts_it_and_sees_a_kill_that_came_before() {
    explore(|| {
        let world = World::of(State::unstarted());
        world.write(0);
        let thief = on_thread(&world, |world| {
            let claimed = world.state.claim();
            if claimed {
                // SAFETY: claimed, so its stack is the claimer's.
                world.stack.with_mut(|stack| unsafe { *stack += 1 });
            }
            claimed
        });
        let killer = on_thread(&world, |world| assert!(!world.kill(), "an unstarted greenlet is in a queue"));
        let mine = world.state.claim();
        if mine {
            // SAFETY: as above.
            world.stack.with_mut(|stack| unsafe { *stack += 1 });
        }
        assert_ne!(thief.join().unwrap(), mine);
        killer.join().unwrap();
        assert!(world.state.load().kill_requested());
    });
}

/// P5, P2: it waits for its start time; the timer and a killer race for its push, and it cannot be claimed by a
/// joiner before it has arrived at a hub.
#[test]
fn model_of_a_start_time_and_a_kill_one_places_it() {
    explore(|| {
        let world = World::of(State::placed());
        assert!(world.state.defer());
        let timer = on_thread(&world, |world| {
            let came = world.state.time_came();
            if came {
                world.push();
            }
            came
        });
        let killer = on_thread(&world, |world| world.kill());
        let joiner = on_thread(&world, |world| {
            let claimed = world.state.claim();
            if claimed {
                // SAFETY: claimed, so its stack is the claimer's.
                world.stack.with_mut(|stack| unsafe { *stack += 1 });
            }
            claimed
        });
        // The hub's inbox.
        {
            let mut pushed = world.pushed.lock();
            while *pushed == 0 {
                world.changed.wait(&mut pushed);
            }
            assert_eq!(world.entries.fetch_sub(1, Ordering::Relaxed), 1);
        }
        // SAFETY: it lies in the inbox, which is ours.
        world.stack.with_mut(|stack| unsafe { *stack += 1 });
        assert!(world.state.arrive());
        let mine = world.state.claim();
        if mine {
            // SAFETY: as above.
            world.stack.with_mut(|stack| unsafe { *stack += 1 });
        }
        assert_ne!(timer.join().unwrap(), killer.join().unwrap(), "placed twice, or never");
        assert_ne!(joiner.join().unwrap(), mine, "started twice, or never");
        assert!(world.state.load().kill_requested());
    });
}
