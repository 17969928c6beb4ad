//! One execution: its threads, of which exactly one runs at a time, and its clock.
//!
//! The threads are real OS threads, so nested stacks and thread-locals are what they always are. Exactly one holds the
//! *baton*; the others wait for theirs in `thread::park`. Before every operation on an atomic, a lock, the deque or the
//! event queue the holder takes a *step*: the [strategy](super::strategy) says who goes on, and if that is another
//! thread the baton is handed over. So the whole execution follows from the seed.
//!
//! A thread that waits (lock, condition variable, event queue, end of another) gives up the baton and is out of the
//! choice until somebody ends its wait or its deadline passes. The clock is a number: it moves a little with every
//! step, by chance a lot at once (a thread that the system does not run for a while), and when nobody can run it jumps
//! to the nearest deadline. If nobody can run and nobody has a deadline, that is a deadlock.

mod baton;
mod state;

pub(super) use baton::Baton;
#[cfg(test)]
pub(super) use state::PROGRESS;
pub(crate) use state::Resting;
pub(super) use state::Told;

use super::buffer::Buffer;
use super::memory;
use super::strategy::Occasion;
use state::{State, Status, Thread};
use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

/// More steps than this and the execution is said not to end.
const STEPS: u64 = 400_000;

thread_local! {
    /// The execution this thread belongs to, and its number there.
    static CURRENT: Cell<Option<(NonNull<World>, usize)>> = const { Cell::new(None) };
}

/// One execution. All of `state` belongs to whoever holds the baton.
pub(crate) struct World {
    state: UnsafeCell<State>,
}

// SAFETY: `state` is touched by the holder of the baton only, and the baton is handed over with Release and Acquire.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// The calling thread's execution and its number in it.
#[inline(never)]
fn current() -> Option<(NonNull<World>, usize)> {
    CURRENT.get()
}

/// Runs `f` with the calling thread's execution, if it is in one that is under way.
fn with<R>(f: impl FnOnce(&World, usize) -> R) -> Option<R> {
    let (world, me) = current()?;
    // SAFETY: a thread's world outlives its membership (`enter`, `leave`).
    let world = unsafe { world.as_ref() };
    if world.state().still { None } else { Some(f(world, me)) }
}

/// The calling thread's execution.
pub(super) fn shared() -> Option<Arc<World>> {
    let (world, _) = current()?;
    // SAFETY: the pointer is that of an `Arc`, which outlives the membership; the count goes up by the one given out.
    unsafe {
        Arc::increment_strong_count(world.as_ptr().cast_const());
        Some(Arc::from_raw(world.as_ptr().cast_const()))
    }
}

/// Whether the calling thread is part of an execution that is under way.
pub(super) fn is_controlled() -> bool {
    with(|_, _| ()).is_some()
}

/// Before an operation that others can see.
#[track_caller]
pub(crate) fn step() {
    let place = Location::caller();
    with(|world, me| world.step(me, place, Occasion::Step));
}

/// In a loop that waits for another thread.
#[track_caller]
pub(super) fn spin() {
    let place = Location::caller();
    with(|world, me| world.step(me, place, Occasion::Spin));
}

/// Waits until [`release`] is called with `key`, or `until`. Gives whether the time was up. `first` is done when the
/// caller is already out of the choice, so that nothing comes between. Does nothing outside of an execution.
#[track_caller]
pub(super) fn wait(key: usize, until: u64, what: &'static str, first: impl FnOnce()) -> bool {
    let place = Location::caller();
    with(|world, me| world.wait(me, key, until, what, place, first)).unwrap_or(false)
}

/// The execution has failed.
#[track_caller]
pub(super) fn fail(why: &str) -> ! {
    step();
    with(|world, _| -> () { world.fail(why) });
    panic!("{why}");
}

/// Ends the waits for `key`: all, or one by chance.
pub(super) fn release(key: usize, all: bool) {
    with(|world, _| world.state().release(key, all));
}

/// Nanoseconds on the execution's clock.
pub(super) fn now() -> Option<u64> {
    with(|world, _| world.state().now)
}

/// What the calling thread has stored and others do not see yet. `None`: nothing is kept back.
pub(super) fn buffer() -> Option<&'static mut Buffer> {
    with(|world, me| {
        let state = world.state();
        // SAFETY: the holder of the baton is the only one who touches it, and every caller is done with it before its
        // next step.
        state.buffered.then(|| unsafe { &mut *std::ptr::from_mut(&mut state.threads[me].buffer) })
    })
    .flatten()
}

/// Lets everybody see everything.
pub(super) fn drain_all() {
    with(|world, _| world.state().threads.iter_mut().for_each(|thread| thread.buffer.drain()));
}

/// Keeps the calling OS thread, and the hub on it, from everything for so many nanoseconds.
#[cfg(test)]
#[track_caller]
pub(crate) fn pause(nanos: u64) {
    let until = now().expect("a scenario runs in an execution") + nanos;
    let nobody = std::ptr::from_ref(&until).addr();
    let _time_is_up = wait(nobody, until, "time to pass", || ());
}

/// Says what must hold whenever nobody can run.
#[cfg(test)]
pub(crate) fn at_rest(check: impl Fn(&Resting<'_>) -> Result<(), String> + 'static) {
    with(|world, _| world.state().at_rest = Some(Box::new(check)));
}

/// A number from the execution's own chance, for scenarios.
#[cfg(test)]
pub(crate) fn below(limit: u64) -> u64 {
    with(|world, _| world.state().chance.below(limit)).expect("a scenario runs in an execution")
}

impl World {
    /// A new execution, of which the calling thread is the first and only one.
    pub(super) fn enter(describe: String, seed: u64) -> Arc<World> {
        let baton = Baton::new();
        baton.belongs_to(std::thread::current());
        let state = State::new(describe, seed, Thread::new("scenario".into(), baton));
        let world = Arc::new(World { state: UnsafeCell::new(state) });
        CURRENT.set(Some((world.address(), 0)));
        world
    }

    /// The scenario is done: waits until all other threads have ended. Gives every step.
    pub(super) fn leave(self: Arc<World>) -> Vec<Told> {
        let others_live =
            || self.state().threads[1..].iter().any(|thread| !matches!(thread.status, Status::Ended));
        while others_live() {
            wait(self.key_of_end(), u64::MAX, "the end of all threads", || ());
        }
        let state = self.state();
        state.threads[0].buffer.drain();
        if let Err(why) = memory::give_back() {
            self.fail(&why);
        }
        CURRENT.set(None);
        std::mem::take(&mut state.told)
    }

    #[allow(clippy::mut_from_ref)] // the one place that makes the reference; see the SAFETY line
    fn state(&self) -> &mut State {
        // SAFETY: only the holder of the baton calls this, and no reference is used across a hand-over.
        unsafe { &mut *self.state.get() }
    }

    fn address(self: &Arc<World>) -> NonNull<World> {
        NonNull::new(Arc::as_ptr(self).cast_mut()).expect("an `Arc` is not null")
    }

    fn key_of_end(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    #[inline(never)]
    fn step(&self, me: usize, place: &'static Location<'static>, why: Occasion) {
        let state = self.state();
        state.count(me, place);
        if state.steps > STEPS {
            self.fail("it does not end: too many steps");
        }
        state.age_buffers(me);
        state.let_time_pass();
        let ready = state.ready();
        let next = state.strategy.choose(&mut state.chance, ready, me, state.steps, why);
        if next != me {
            self.hand_over(me, next);
        }
    }

    fn wait(
        &self,
        me: usize,
        key: usize,
        until: u64,
        what: &'static str,
        place: &'static Location<'static>,
        first: impl FnOnce(),
    ) -> bool {
        let state = self.state();
        state.count(me, place);
        state.threads[me].buffer.drain();
        state.threads[me].status = Status::Waiting { key, until, what };
        state.threads[me].timed_out = false;
        state.earliest = state.earliest.min(until);
        first();
        let next = self.next_after(me);
        if next != me {
            self.hand_over(me, next);
        }
        self.state().threads[me].timed_out
    }

    /// Who goes on when `me` cannot.
    fn next_after(&self, me: usize) -> usize {
        let state = self.state();
        state.let_time_pass();
        if state.ready() == 0 {
            self.look_at_rest();
            if !state.skip_to_deadline() {
                self.fail("deadlock: nobody can run, and nothing is left to wake anybody");
            }
        }
        let ready = state.ready();
        state.strategy.choose(&mut state.chance, ready, me, state.steps, Occasion::Blocked)
    }

    fn look_at_rest(&self) {
        let Some(check) = self.state().at_rest.take() else { return };
        self.state().still = true;
        let said = {
            let state = self.state();
            check(&Resting { threads: &state.threads, now: state.now })
        };
        self.state().still = false;
        match said {
            Ok(()) => self.state().at_rest = Some(check),
            Err(why) => self.fail(&why),
        }
    }

    fn hand_over(&self, me: usize, next: usize) {
        let state = self.state();
        let (mine, theirs) = (state.threads[me].baton.clone(), state.threads[next].baton.clone());
        theirs.give();
        mine.wait();
    }

    /// A further thread, which runs when it is chosen.
    pub(super) fn add(&self, name: String, baton: Arc<Baton>) -> usize {
        let state = self.state();
        state.strategy.add(&mut state.chance);
        state.threads.push(Thread::new(name, baton));
        assert!(state.threads.len() <= 64, "an execution has at most 64 threads");
        state.threads.len() - 1
    }

    /// The first a new thread does.
    pub(super) fn begin(self: &Arc<World>, me: usize, baton: &Baton) {
        baton.wait();
        CURRENT.set(Some((self.address(), me)));
    }

    /// The last a thread does.
    pub(super) fn end(&self, me: usize) {
        CURRENT.set(None);
        let state = self.state();
        state.threads[me].buffer.drain();
        state.threads[me].status = Status::Ended;
        state.release(std::ptr::from_ref(&*state.threads[me].baton).addr(), true);
        state.release(self.key_of_end(), true);
        let next = self.next_after(me);
        let theirs = self.state().threads[next].baton.clone();
        theirs.give();
    }

    /// Whether a thread has ended.
    pub(super) fn has_ended(&self, thread: usize) -> bool {
        matches!(self.state().threads[thread].status, Status::Ended)
    }

    #[cold]
    pub(super) fn fail(&self, why: &str) -> ! {
        let state = self.state();
        state.still = true;
        super::report_and_exit(&state.report(why))
    }
}
