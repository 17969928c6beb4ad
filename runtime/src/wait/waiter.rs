//! [`Waiter`]: the caller, named so that somebody else can end its wait exactly once.

use crate::facade::Arc;
use crate::greenlet::{current, header::Header, park, state::Wake, wake::Runnable};
use crate::wait::thread::{self, End, ThreadSelf};
use std::ptr::NonNull;
use std::time::Instant;

/// A caller (greenlet or OS thread) and the epoch of the one wait it is about to make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    target: Target,
    epoch: u32,
}

/// Who waits, in one word: the lowest bit of the address tells a thread from a greenlet.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Target(NonNull<()>);

enum Who {
    Greenlet(NonNull<Header>),
    Thread(NonNull<ThreadSelf>),
}

const THREAD: usize = 1;

impl Target {
    #[inline(always)]
    fn greenlet(header: NonNull<Header>) -> Self {
        Self(header.cast())
    }

    /// `thread` is a [`ThreadSelf::address`].
    fn thread(thread: NonNull<ThreadSelf>) -> Self {
        Self(thread.cast().map_addr(|address| address | THREAD))
    }

    #[inline(always)]
    fn who(self) -> Who {
        if self.0.addr().get() & THREAD == 0 {
            return Who::Greenlet(self.0.cast());
        }
        // SAFETY: a `ThreadSelf` is aligned to more than one byte, so what is left of the address is not null.
        let thread = unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|address| address & !THREAD)) };
        Who::Thread(thread.cast())
    }
}

// SAFETY: what a waker may do to the target from another thread, `wake`, is atomic there, and `wake` asks its caller to
// see to it that the target is alive.
unsafe impl Send for Waiter {}
// SAFETY: as above.
unsafe impl Sync for Waiter {}

/// What the waker still owes: putting the woken greenlet on its queue, or waking the thread, of which it keeps a reference. To be
/// paid after the list's lock is released (a push may take another hub's inbox, and a thread takes the list's lock as soon as it
/// is up), and never dropped.
#[must_use = "what was woken runs only once it is delivered"]
pub(crate) struct Wakeup(Option<Target>);

// SAFETY: it is the right to push a greenlet, as a `Runnable` is, or a reference of an `Arc` whose value is `Send` and `Sync`.
unsafe impl Send for Wakeup {}

impl Wakeup {
    /// Nothing is owed: nobody was woken, or a waiter that was still awake.
    #[inline(always)]
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Makes the woken greenlet runnable, or wakes the thread.
    #[inline]
    pub(crate) fn deliver(self) {
        if let Some(runnable) = self.runnable() {
            runnable.deliver();
        }
    }

    /// As `deliver`, but if it is a greenlet that lives on this hub it runs next, once.
    pub(crate) fn deliver_next(self) {
        if let Some(runnable) = self.runnable() {
            runnable.deliver_next();
        }
    }

    /// The greenlet; a thread is woken here.
    #[inline]
    fn runnable(self) -> Option<Runnable> {
        match self.0?.who() {
            // SAFETY: `wake` had the verdict that whoever holds this owns the push, which there is one of.
            Who::Greenlet(greenlet) => Some(unsafe { Runnable::from_wake(greenlet) }),
            Who::Thread(thread) => {
                // SAFETY: `wake` gave this its own reference, which ends here.
                unsafe { ring(thread) };
                None
            }
        }
    }
}

/// # Safety
///
/// `thread` is that of an `Arc`, a count of which the caller gives away.
#[cold]
unsafe fn ring(thread: NonNull<ThreadSelf>) {
    // SAFETY: the caller's promise.
    unsafe { Arc::from_raw(thread.as_ptr().cast_const()) }.parker.ring();
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
    /// A timer fired that has no say in this wait (one that may not be interrupted, or whose deadline is yet to come):
    /// wait again.
    FalseAlarm,
}

/// The call that waits, as the user wrote it. Of one word, because it is noted at every wait.
pub(crate) type CallName = &'static &'static str;

/// What a wait is for, as `dump()` and the deadlock report say it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason {
    /// The call: `"Mutex::lock"`.
    pub(crate) what: CallName,
    /// The address of the object waited on, or 0.
    pub(crate) object: usize,
    /// Tells who holds that object (a number of [`current_id`](super::current_id), or 0 for nobody), for objects that
    /// know. Called only while the greenlet is held still in this wait, which keeps the object alive.
    pub(crate) holder: Option<unsafe fn(*const ()) -> u64>,
    /// It waits for the outside world, I/O or time: counts as load for placement.
    pub(crate) outside: bool,
}

impl Reason {
    /// A wait for another greenlet or thread, at `object`, in the call `what`.
    pub(crate) fn new<T: ?Sized>(what: CallName, object: &T) -> Self {
        Self { what, object: address_of(object), holder: None, outside: false }
    }

    /// A wait for I/O or time.
    pub(crate) const fn outside(what: CallName, object: usize) -> Self {
        Self { what, object, holder: None, outside: true }
    }
}

/// An address from which `holder` may get its pointer back.
fn address_of<T: ?Sized>(object: &T) -> usize {
    std::ptr::from_ref(object).cast::<()>().expose_provenance()
}

impl Waiter {
    /// Names the caller and opens its next wait.
    ///
    /// # Panics
    ///
    /// In a greenlet inside `no_switch`, which must not wait: here, where nobody knows of the wait yet.
    #[inline]
    pub(crate) fn current() -> Waiter {
        if let Some(greenlet) = current::greenlet() {
            return Waiter::of(greenlet);
        }
        Self::current_thread()
    }

    /// As [`Waiter::current`], and where a node of the caller's may lie from now on until its next wait: null if it has no
    /// room for that.
    #[inline(always)]
    pub(super) fn current_and_room<T>() -> (Waiter, *mut T) {
        match current::greenlet() {
            Some(greenlet) => (Waiter::of(greenlet), greenlet.room.place()),
            None => (Self::current_thread(), std::ptr::null_mut()),
        }
    }

    /// As [`Waiter::current`] where no greenlet runs.
    #[cold]
    fn current_thread() -> Waiter {
        current::check_may_block();
        let thread = thread::current();
        Waiter { target: Target::thread(ThreadSelf::address(&thread)), epoch: thread.parker.epoch() }
    }

    /// As [`Waiter::current`], in a greenlet that knows itself.
    #[inline]
    pub(crate) fn of(greenlet: current::Running) -> Waiter {
        park::check_may_switch(greenlet);
        Waiter { target: Target::greenlet(greenlet.as_ptr()), epoch: greenlet.state.load().epoch() }
    }

    /// The greenlet that waits, if it is one.
    #[inline]
    pub(crate) fn as_greenlet(&self) -> Option<NonNull<Header>> {
        match self.target.who() {
            Who::Greenlet(header) => Some(header),
            Who::Thread(_) => None,
        }
    }

    /// The number of the wait.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Ends the wait, unless something else already has (`None`: the waiter will find out by itself, and whatever
    /// was to be handed to it must go to the next in line).
    ///
    /// # Safety
    ///
    /// The waiter must still be inside its wait: the caller holds the lock that the waiter takes before it leaves, or
    /// knows that this very call is what the waiter needs to leave. What the waiter's frame and its node hold may be
    /// gone when this returns `Some`.
    #[inline]
    pub(crate) unsafe fn wake(&self) -> Option<Wakeup> {
        match self.target.who() {
            Who::Greenlet(greenlet) => {
                // SAFETY: a greenlet inside its wait has not ended, so its header is alive; once the state word says that
                // the wait is over it is not touched any more.
                let header = unsafe { greenlet.as_ref() };
                header.alive.in_use();
                match header.state.wake(self.epoch) {
                    Wake::Enqueue => Some(Wakeup(Some(self.target))),
                    Wake::Noted => Some(Wakeup::none()),
                    Wake::Stale => None,
                }
            }
            // SAFETY: the caller's promise.
            Who::Thread(thread) => unsafe { self.wake_thread(thread) },
        }
    }

    /// # Safety
    ///
    /// As [`Waiter::wake`]; the target is this thread.
    #[cold]
    #[inline(never)]
    unsafe fn wake_thread(&self, thread: NonNull<ThreadSelf>) -> Option<Wakeup> {
        // SAFETY: a thread inside its wait has not ended, so what it keeps of itself is alive.
        let thread = unsafe { ThreadSelf::share(thread) };
        match thread.parker.end(self.epoch) {
            End::Stale => None,
            End::Noted => Some(Wakeup::none()),
            End::MustRing => {
                // The reference goes with it.
                let _kept = Arc::into_raw(thread);
                Some(Wakeup(Some(self.target)))
            }
        }
    }

    /// Opens a new wait of the same caller after one that ended without its condition: same place in line, new
    /// epoch. To be called by the waiter itself, under the lock that wakers hold.
    pub(crate) fn renew(&mut self) {
        self.epoch = match self.target.who() {
            // SAFETY: the waiter calls this about itself.
            Who::Greenlet(header) => unsafe { header.as_ref() }.state.load().epoch(),
            // SAFETY: as above.
            Who::Thread(thread) => unsafe { thread.as_ref() }.parker.epoch(),
        };
    }
}

/// Stops the caller until its wait ends.
///
/// `waiter` must come from [`Waiter::current`] (or [`Waiter::renew`]) in this very caller.
#[inline(always)]
pub(crate) fn park(
    waiter: &Waiter,
    deadline: Option<Instant>,
    interrupts: Interrupts,
    reason: &Reason,
) -> Ended {
    match waiter.target.who() {
        Who::Greenlet(header) => {
            // SAFETY: a greenlet parks itself only, so the caller runs on it.
            let greenlet = unsafe { current::Running::itself(header) };
            park::park_for(greenlet, waiter.epoch, deadline, interrupts, reason)
        }
        Who::Thread(_) => thread::park(waiter.epoch, deadline, interrupts),
    }
}

/// Unwinds the caller if a kill or an enclosing timeout is due and may be delivered here (not inside `shield`, not
/// while the caller already unwinds). Returns otherwise.
pub(crate) fn deliver_interrupts() {
    crate::greenlet::kill::deliver_interrupts();
}
