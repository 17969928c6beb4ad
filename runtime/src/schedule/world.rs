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

use super::buffer::Buffer;
use super::chance::Chance;
use super::strategy::{Occasion, Strategy};
use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread as OsThread;

/// More steps than this and the execution is said not to end.
const STEPS: u64 = 400_000;

/// How much of the way to a failure is told.
const TOLD: usize = 60;

/// Steps taken in this process, for the watchdog.
pub(super) static PROGRESS: AtomicU64 = AtomicU64::new(0);

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

impl std::fmt::Debug for Baton {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Baton").finish_non_exhaustive()
    }
}

struct State {
    threads: Vec<Thread>,
    chance: Chance,
    strategy: Strategy,
    now: u64,
    /// How much time a step takes.
    tick: u64,
    /// Once in so many steps a lot of time passes at once, or never.
    stalls: Option<u64>,
    /// Whether plain stores are kept back, as by a processor's store buffer.
    buffered: bool,
    steps: u64,
    /// No deadline is earlier.
    earliest: u64,
    /// Every step.
    told: Vec<Told>,
    /// What must hold whenever nobody can run.
    at_rest: Option<AtRest>,
    /// The execution has failed or is being looked at: nothing is a step any more.
    still: bool,
    describe: String,
}

/// One step: which thread, where, and when.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    thread: usize,
    place: &'static Location<'static>,
    now: u64,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "thread {} at {} ({} ns)", self.thread, self.place, self.now)
    }
}

struct Thread {
    name: String,
    baton: Arc<Baton>,
    status: Status,
    /// Its wait was ended by its deadline.
    timed_out: bool,
    buffer: Buffer,
}

enum Status {
    Ready,
    Waiting { key: usize, until: u64, what: &'static str },
    Ended,
}

/// What one thread waits for while others run.
pub(super) struct Baton {
    here: AtomicBool,
    holder: std::sync::OnceLock<OsThread>,
}

impl Baton {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { here: AtomicBool::new(false), holder: std::sync::OnceLock::new() })
    }
    pub(super) fn belongs_to(&self, thread: OsThread) {
        assert!(self.holder.set(thread).is_ok(), "a baton has one holder");
    }
    fn give(&self) {
        // Release: all that the giver did; pairs with the Acquire in `wait`.
        self.here.store(true, Ordering::Release);
        self.holder.get().expect("set before its first turn").unpark();
    }
    fn wait(&self) {
        while !self.here.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

/// A check of a scenario's, which says what is wrong.
type AtRest = Box<dyn Fn(&Resting<'_>) -> Result<(), String>>;

/// What may be asked while nobody can run.
pub(crate) struct Resting<'a>(&'a [Thread]);

impl Resting<'_> {
    /// What the thread with this name waits for; `None` if there is none or it has ended.
    pub(crate) fn waits_for(&self, name: &str) -> Option<&'static str> {
        self.0.iter().find_map(|thread| match thread.status {
            Status::Waiting { what, .. } if thread.name == name => Some(what),
            _ => None,
        })
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
        let mut chance = Chance::new(seed);
        let mut strategy = Strategy::new(&mut chance);
        strategy.add(&mut chance);
        let baton = Baton::new();
        baton.belongs_to(std::thread::current());
        let first = Thread {
            name: "scenario".into(),
            baton,
            status: Status::Ready,
            timed_out: false,
            buffer: Buffer::new(),
        };
        let state = State {
            threads: vec![first],
            strategy,
            now: 1_000_000_000,
            tick: chance.pick(&[3, 50, 1_000, 20_000]),
            stalls: chance.pick(&[None, None, Some(100), Some(1_000)]),
            buffered: chance.one_in(2),
            chance,
            steps: 0,
            earliest: u64::MAX,
            told: Vec::new(),
            at_rest: None,
            still: false,
            describe,
        };
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
            state.now =
                state.now.max(state.threads.iter().filter_map(Thread::until).min().unwrap_or(u64::MAX));
            if state.now == u64::MAX {
                self.fail("deadlock: nobody can run, and nothing is left to wake anybody");
            }
            state.expire();
        }
        let ready = state.ready();
        state.strategy.choose(&mut state.chance, ready, me, state.steps, Occasion::Blocked)
    }

    fn look_at_rest(&self) {
        let Some(check) = self.state().at_rest.take() else { return };
        self.state().still = true;
        let said = check(&Resting(&self.state().threads));
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
        state.threads.push(Thread {
            name,
            baton,
            status: Status::Ready,
            timed_out: false,
            buffer: Buffer::new(),
        });
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
        let mut report = format!("\nschedule: {}: {why}\n", state.describe);
        report += &format!("after {} steps, {} ns on the clock; the threads:\n", state.steps, state.now);
        for thread in &state.threads {
            let status = match thread.status {
                Status::Ready => "can run".into(),
                Status::Ended => "has ended".into(),
                Status::Waiting { what, until: u64::MAX, .. } => format!("waits for {what}"),
                Status::Waiting { what, until, .. } => format!("waits for {what} until {until}"),
            };
            report += &format!("  {}: {status}\n", thread.name);
        }
        report += "the last changes of thread:\n";
        let changes =
            state.told.windows(2).filter(|steps| steps[0].thread != steps[1].thread).map(|steps| steps[0]);
        let changes: Vec<_> = changes.chain(state.told.last().copied()).collect();
        for told in &changes[changes.len().saturating_sub(TOLD)..] {
            report += &format!("  {}: {told}\n", state.threads[told.thread].name);
        }
        #[cfg(test)]
        {
            report += &format!("panics so far:\n{}\n", super::run::panics());
        }
        super::report_and_exit(&report)
    }
}

impl Thread {
    fn until(&self) -> Option<u64> {
        match self.status {
            Status::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }
}

impl State {
    fn count(&mut self, me: usize, place: &'static Location<'static>) {
        self.steps += 1;
        PROGRESS.store(PROGRESS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.told.push(Told { thread: me, place, now: self.now });
    }

    fn ready(&self) -> u64 {
        let ready = |(at, thread): (usize, &Thread)| u64::from(matches!(thread.status, Status::Ready)) << at;
        self.threads.iter().enumerate().map(ready).sum()
    }

    fn let_time_pass(&mut self) {
        self.now += self.tick;
        if self.stalls.is_some_and(|every| self.chance.one_in(every)) {
            self.now += self.chance.pick(&[30_000, 1_200_000, 30_000_000]);
        }
        if self.now >= self.earliest {
            self.expire();
        }
    }

    /// Ends the waits whose time is up.
    fn expire(&mut self) {
        self.earliest = u64::MAX;
        for thread in &mut self.threads {
            match thread.status {
                Status::Waiting { until, .. } if until <= self.now => {
                    thread.status = Status::Ready;
                    thread.timed_out = true;
                }
                Status::Waiting { until, .. } => self.earliest = self.earliest.min(until),
                _ => {}
            }
        }
    }

    fn release(&mut self, wanted: usize, all: bool) {
        let waits = |thread: &Thread| matches!(thread.status, Status::Waiting { key, .. } if key == wanted);
        let mut count = self.threads.iter().filter(|thread| waits(thread)).count() as u64;
        if count == 0 {
            return;
        }
        let chosen = if all { 0 } else { self.chance.below(count) };
        for thread in self.threads.iter_mut().filter(|thread| waits(thread)) {
            count -= 1;
            if all || count == chosen {
                thread.status = Status::Ready;
            }
        }
    }

    /// Stores come to be seen by and by: those of the running thread soon, those of a halted one too.
    fn age_buffers(&mut self, me: usize) {
        if !self.buffered {
            return;
        }
        if self.chance.one_in(4) {
            self.threads[me].buffer.drain_one();
        }
        let other = self.chance.below(16) as usize;
        if let Some(thread) = self.threads.get_mut(other) {
            thread.buffer.drain_one();
        }
    }
}
