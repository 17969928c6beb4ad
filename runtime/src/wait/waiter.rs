//! [`Waiter`]: the caller, named so that somebody else can end its wait exactly once.

use super::thread::ThreadParker;
use crate::facade::Arc;
use std::time::Instant;

/// A caller (greenlet or OS thread) and the epoch of the one wait it is about to make.
#[derive(Clone)]
pub(crate) struct Waiter {
    thread: Arc<ThreadParker>,
    epoch: u32,
}

/// What the waker still owes: putting the woken greenlet on its queue. To be paid after the list's lock is released
/// (a push may take another hub's inbox), and never dropped.
#[must_use = "a woken greenlet runs only once it is delivered"]
pub(crate) struct Wakeup(());

impl Wakeup {
    /// Makes the woken greenlet runnable.
    pub(crate) fn deliver(self) {}
}

/// Whether kill and enclosing timeouts may end a wait early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interrupts {
    /// They may: the wait then ends as [`Ended::Interrupted`].
    Allowed,
    /// They are kept for the next wait that allows them.
    Kept,
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// A [`Waiter::wake`] ended it.
    Woken,
    /// Its own deadline passed.
    TimedOut,
    /// A kill or an enclosing timeout is due: unlist, then call [`deliver_interrupts`].
    Interrupted,
}

/// What a wait is for, as `dump()` and the deadlock report say it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason {
    /// The call, as the user wrote it: `"Mutex::lock"`.
    pub(crate) what: &'static str,
    /// The address of the object waited on, or 0.
    pub(crate) object: usize,
    /// Tells who holds that object (a number of [`current_id`](super::current_id), or 0 for nobody), for objects that
    /// know. To be called only while the wait lasts, which keeps the object alive.
    pub(crate) holder: Option<unsafe fn(*const ()) -> u64>,
}

impl Reason {
    /// A wait for `object` in the call `what`.
    pub(crate) fn new<T: ?Sized>(what: &'static str, object: &T) -> Self {
        Self { what, object: std::ptr::from_ref(object).cast::<()>().addr(), holder: None }
    }
}

impl Waiter {
    /// Names the caller and opens its next wait.
    pub(crate) fn current() -> Waiter {
        let thread = current_thread_parker();
        let epoch = thread.epoch();
        Waiter { thread, epoch }
    }

    /// Ends the wait, unless something else already has (`None`: the waiter will find out by itself, and whatever
    /// was to be handed to it must go to the next in line).
    ///
    /// # Safety
    ///
    /// The waiter must still be inside its wait: the caller holds the lock that the waiter takes before it leaves.
    pub(crate) unsafe fn wake(&self) -> Option<Wakeup> {
        self.thread.end(self.epoch).then_some(Wakeup(()))
    }

    /// Opens a new wait of the same caller after one that ended without its condition: same place in line, new
    /// epoch. To be called under the lock that wakers hold.
    pub(crate) fn renew(&mut self) {
        self.epoch = self.thread.epoch();
    }
}

/// Stops the caller until its wait ends.
///
/// `waiter` must come from [`Waiter::current`] (or [`Waiter::renew`]) in this very caller.
pub(crate) fn park(
    waiter: &Waiter,
    deadline: Option<Instant>,
    interrupts: Interrupts,
    reason: Reason,
) -> Ended {
    let _ = (interrupts, reason);
    if waiter.thread.park(waiter.epoch, deadline) { Ended::Woken } else { Ended::TimedOut }
}

/// Unwinds the caller if a kill or an enclosing timeout is due and may be delivered here (not inside `shield`, not
/// while the caller already unwinds). Returns otherwise.
pub(crate) fn deliver_interrupts() {}

#[cfg(not(greenhub_loom))]
fn current_thread_parker() -> Arc<ThreadParker> {
    thread_local!(static PARKER: Arc<ThreadParker> = ThreadParker::new());
    PARKER.with(Arc::clone)
}

#[cfg(greenhub_loom)]
fn current_thread_parker() -> Arc<ThreadParker> {
    loom::thread_local!(static PARKER: Arc<ThreadParker> = ThreadParker::new());
    PARKER.with(Arc::clone)
}
