//! [`Waiter`]: the caller, named so that somebody else can end its wait exactly once.

use crate::greenlet::current;
use crate::greenlet::header::Header;
use crate::greenlet::kill;
use crate::greenlet::park;
use crate::greenlet::state::Wake;
use crate::greenlet::wake::Runnable;
use crate::wait::thread::ThreadSelf;
use std::ptr::NonNull;
use std::time::Instant;

/// A caller (greenlet or OS thread) and the epoch of the one wait it is about to make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    target: Target,
    epoch: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Greenlet(NonNull<Header>),
    Thread(NonNull<ThreadSelf>),
}

// SAFETY: what a waker may do to the target from another thread, `wake`, is atomic there, and `wake` asks its caller to
// see to it that the target is alive.
unsafe impl Send for Waiter {}
// SAFETY: as above.
unsafe impl Sync for Waiter {}

/// What the waker still owes: putting the woken greenlet on its queue. To be paid after the list's lock is released
/// (a push may take another hub's inbox), and never dropped.
#[must_use = "a woken greenlet runs only once it is delivered"]
pub(crate) struct Wakeup(Option<Runnable>);

impl Wakeup {
    /// Makes the woken greenlet runnable.
    #[inline]
    pub(crate) fn deliver(self) {
        if let Some(runnable) = self.0 {
            runnable.deliver();
        }
    }

    /// As `deliver`, but if the greenlet lives on this hub it runs next, once.
    pub(crate) fn deliver_next(self) {
        if let Some(runnable) = self.0 {
            runnable.deliver_next();
        }
    }
}

/// Whether kill and enclosing timeouts may end a wait early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interrupts {
    /// They may: the wait then ends as [`Ended::Interrupted`].
    Allowed,
    /// They are kept for the next wait that allows them.
    Kept,
    /// They may, and the caller gives its own caller an error where nothing can be unwound (`panic = "abort"`).
    Reported,
}

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// A [`Waiter::wake`] ended it.
    Woken,
    /// Its own deadline passed.
    TimedOut,
    /// A kill or an enclosing timeout is due: unlist, then call [`deliver_interrupts`]. If that returns, it was a
    /// false alarm: wait again.
    Interrupted,
}

/// What a wait is for, as `dump()` and the deadlock report say it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason {
    /// The call, as the user wrote it: `&"Mutex::lock"`.
    pub(crate) what: &'static &'static str,
    /// The address of the object waited on, or 0.
    pub(crate) object: usize,
    /// Who holds the object: gives the holder's id, or 0. Called by the reporter while the wait is on.
    pub(crate) holder: Option<unsafe fn(*const ()) -> u64>,
    /// It waits for the outside world, I/O or time: counts as load for placement.
    pub(crate) outside: bool,
}

impl Reason {
    /// A wait for another greenlet or thread.
    pub(crate) const fn new(what: &'static &'static str, object: usize) -> Self {
        Self { what, object, holder: None, outside: false }
    }

    /// A wait for I/O or time.
    pub(crate) const fn outside(what: &'static &'static str, object: usize) -> Self {
        Self { what, object, holder: None, outside: true }
    }
}

impl Waiter {
    /// Names the caller and opens its next wait.
    #[inline]
    pub(crate) fn current() -> Waiter {
        match current::greenlet() {
            Some(greenlet) => Waiter {
                target: Target::Greenlet(greenlet.as_ptr()),
                epoch: greenlet.state.load().epoch(),
            },
            None => {
                let thread = current::thread();
                Waiter { target: Target::Thread(NonNull::from(&*thread)), epoch: thread.parker.epoch() }
            }
        }
    }

    /// Ends the wait, unless something else already has (`None`: the waiter will find out by itself, and whatever
    /// was to be handed to it must go to the next in line).
    ///
    /// # Safety
    ///
    /// The waiter must still be inside its wait: the caller holds the lock that the waiter takes before it leaves.
    #[inline]
    pub(crate) unsafe fn wake(&self) -> Option<Wakeup> {
        match self.target {
            // SAFETY: a greenlet inside its wait has not ended, so its header is alive.
            Target::Greenlet(header) => match unsafe { header.as_ref() }.state.wake(self.epoch) {
                // SAFETY: the verdict says that we own the push.
                Wake::Enqueue => Some(Wakeup(Some(unsafe { Runnable::from_wake(header) }))),
                Wake::Noted => Some(Wakeup(None)),
                Wake::Stale => None,
            },
            // SAFETY: a thread inside its wait has not ended, so what it keeps of itself is alive.
            Target::Thread(thread) => unsafe { thread.as_ref() }.parker.end(self.epoch).then_some(Wakeup(None)),
        }
    }

    /// Opens a new wait of the same caller after one that ended without its condition: same place in line, new
    /// epoch. To be called by the waiter itself, under the lock that wakers hold.
    pub(crate) fn renew(&mut self) {
        self.epoch = match self.target {
            // SAFETY: the waiter calls this about itself.
            Target::Greenlet(header) => unsafe { header.as_ref() }.state.load().epoch(),
            // SAFETY: as above.
            Target::Thread(thread) => unsafe { thread.as_ref() }.parker.epoch(),
        };
    }
}

/// Stops the caller until its wait ends.
///
/// `waiter` must come from [`Waiter::current`] (or [`Waiter::renew`]) in this very caller.
pub(crate) fn park(waiter: &Waiter, deadline: Option<Instant>, interrupts: Interrupts, reason: Reason) -> Ended {
    match waiter.target {
        Target::Greenlet(_) => match current::greenlet() {
            Some(greenlet) => park::park(greenlet, waiter.epoch, deadline, interrupts, &reason),
            None => unreachable!("a greenlet's wait is parked by the greenlet"),
        },
        Target::Thread(_) => park_thread(waiter.epoch, deadline, interrupts),
    }
}

fn park_thread(epoch: u32, deadline: Option<Instant>, interrupts: Interrupts) -> Ended {
    let thread = current::thread();
    let interrupted_at = match interrupts {
        Interrupts::Kept => None,
        _ if cfg!(panic = "abort") || std::thread::panicking() => None,
        _ => thread.masks.earliest_instant(),
    };
    let until = match (deadline, interrupted_at) {
        (Some(own), Some(other)) => Some(own.min(other)),
        (own, other) => own.or(other),
    };
    if thread.parker.park(epoch, until) {
        Ended::Woken
    } else if deadline.is_some_and(|own| until == Some(own)) {
        Ended::TimedOut
    } else {
        Ended::Interrupted
    }
}

pub(crate) use kill::deliver_interrupts;
