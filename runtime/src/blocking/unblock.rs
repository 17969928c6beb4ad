//! Waiting for a job on the blocking pool.
//!
//! The caller and the job share a [`Slot`]. The closure lies in the slot, not in the job, so that whoever gives up
//! first can take it away:
//!
//! ```text
//!           job begins           job ends
//! Queued(f) ─────────► Running ───────────► Returned(result) ──► Taken, by the caller
//!     │                   │
//!     │ job dropped unrun │
//!     ├───────────────────┼───────────────► NotRun(f) ─────────► Taken, by the caller
//!     │                   │
//!     └───────────────────┴─► Abandoned, by a caller that unwinds (kill, timeout)
//! ```
//!
//! A closure that has not begun when its caller unwinds is dropped by the caller, there and then; the empty job stays
//! queued until a thread comes to it. The result of one that runs is dropped by the job when it ends.

use super::pool::BlockingPool;
use super::queue::{Refusal, contain};
use crate::facade::{Arc, Mutex, about_to_wait_outside};
#[cfg(not(greenhub_loom))]
use crate::greenlet::unwind::resume_unwind as go_on_unwinding;
use crate::wait::{Ended, Interrupts, Reason, Waiter, Wakeup, deliver_interrupts, park};
#[cfg(greenhub_loom)]
use std::panic::resume_unwind as go_on_unwinding;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{mem, thread};

/// Runs `f` on `pool` and waits for its result. A panic in `f` goes on in the caller. A kill or a timeout of the
/// caller abandons the job: it is dropped unrun if it has not begun, else its result is dropped when it ends.
///
/// # Panics
///
/// If the pool is shut down before `f` begins, or no thread is alive and none can be started. (Running `f` here
/// instead could overflow a greenlet's stack, which ends the process; a panic ends one greenlet.)
pub(crate) fn unblock_on<F, T>(pool: &BlockingPool, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match try_unblock_on(pool, f) {
        Ok(value) => value,
        Err(refusal) => panic!("unblock: {refusal}"),
    }
}

/// As [`unblock_on`], for callers who can do without.
///
/// # Errors
///
/// Where `unblock_on` panics: `f` has then been dropped unrun, by the caller.
pub(crate) fn try_unblock_on<F, T>(pool: &BlockingPool, f: F) -> Result<T, Refusal>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    about_to_wait_outside("unblock");
    let (slot, job) = Slot::new(f);
    // A refused job has been dropped, which makes its slot `NotRun`; so does a shutdown before the job begins.
    let refusal = pool.execute(Box::new(move || job.run())).err().unwrap_or(Refusal::ShutDown);
    let caller = CallerSide(&slot);
    let outcome = loop {
        let waiter = Waiter::current();
        if let Some(outcome) = caller.take_or_list(&waiter) {
            break outcome;
        }
        let ended = park(&waiter, None, Interrupts::Allowed, &Reason::outside(&"unblock", 0));
        // No longer listed: the job has ended, and its result comes before the interrupt, which is kept.
        if ended == Ended::Interrupted && caller.unlist() {
            deliver_interrupts();
        }
    };
    match outcome {
        Outcome::Returned(Ok(value)) => Ok(value),
        Outcome::Returned(Err(payload)) => go_on_unwinding(payload),
        Outcome::NotRun(f) => {
            drop(f);
            Err(refusal)
        }
    }
}

/// Where the caller and the job meet.
pub(super) struct Slot<F, T>(Mutex<Shared<F, T>>);

impl<F, T> Slot<F, T> {
    /// A slot with `f` queued, and the end of it that runs `f`.
    pub(super) fn new(f: F) -> (Arc<Self>, JobSide<F, T>) {
        let slot = Arc::new(Self(Mutex::new(Shared { state: State::Queued(f), waiter: None })));
        (Arc::clone(&slot), JobSide(slot))
    }
}

struct Shared<F, T> {
    state: State<F, T>,
    /// The caller, while it waits. Whoever makes the outcome takes it off and wakes it under the lock.
    waiter: Option<Waiter>,
}

/// See the module's page.
enum State<F, T> {
    Queued(F),
    Running,
    Returned(thread::Result<T>),
    NotRun(F),
    Taken,
    Abandoned,
}

/// What the caller gets.
enum Outcome<F, T> {
    Returned(thread::Result<T>),
    NotRun(F),
}

impl<F, T> Shared<F, T> {
    fn wake(&mut self) -> Option<Wakeup> {
        // SAFETY: the caller takes this lock before it leaves its wait for good.
        self.waiter.take().and_then(|waiter| unsafe { waiter.wake() })
    }
}

/// The job's end of the slot: dropped without `run`, it tells the caller.
pub(super) struct JobSide<F, T>(Arc<Slot<F, T>>);

impl<F: FnOnce() -> T, T> JobSide<F, T> {
    pub(super) fn run(self) {
        let mut shared = self.0.0.lock();
        let f = match mem::replace(&mut shared.state, State::Running) {
            State::Queued(f) => f,
            abandoned => {
                shared.state = abandoned;
                return;
            }
        };
        drop(shared);
        let result = catch_unwind(AssertUnwindSafe(f));
        let mut shared = self.0.0.lock();
        if let State::Abandoned = shared.state {
            drop(shared);
            contain(|| drop(result));
            return;
        }
        shared.state = State::Returned(result);
        let wakeup = shared.wake();
        drop(shared);
        if let Some(wakeup) = wakeup {
            wakeup.deliver();
        }
    }
}

impl<F, T> Drop for JobSide<F, T> {
    fn drop(&mut self) {
        let mut shared = self.0.0.lock();
        shared.state = match mem::replace(&mut shared.state, State::Taken) {
            State::Queued(f) => State::NotRun(f),
            // It has run, or nobody waits.
            other => {
                shared.state = other;
                return;
            }
        };
        let wakeup = shared.wake();
        drop(shared);
        if let Some(wakeup) = wakeup {
            wakeup.deliver();
        }
    }
}

/// The caller's end of the slot: dropped before it has taken the outcome, it abandons the job.
pub(super) struct CallerSide<'slot, F, T>(pub(super) &'slot Slot<F, T>);

impl<F, T> CallerSide<'_, F, T> {
    /// Takes the outcome, or if there is none yet lists `waiter` to be woken for it.
    fn take_or_list(&self, waiter: &Waiter) -> Option<Outcome<F, T>> {
        let mut shared = self.0.0.lock();
        match mem::replace(&mut shared.state, State::Taken) {
            State::Returned(result) => Some(Outcome::Returned(result)),
            State::NotRun(f) => Some(Outcome::NotRun(f)),
            pending => {
                shared.state = pending;
                shared.waiter = Some(*waiter);
                None
            }
        }
    }

    /// Takes the waiter off. Returns whether it was still listed, so that nobody has woken it.
    fn unlist(&self) -> bool {
        self.0.0.lock().waiter.take().is_some()
    }
}

impl<F, T> Drop for CallerSide<'_, F, T> {
    fn drop(&mut self) {
        let mut shared = self.0.0.lock();
        if let State::Taken = shared.state {
            return;
        }
        let left = mem::replace(&mut shared.state, State::Abandoned);
        shared.waiter = None;
        drop(shared);
        // This is an unwinding already, which a panic in a destructor must not meet.
        contain(|| drop(left));
    }
}
