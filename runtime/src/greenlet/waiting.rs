//! What a greenlet waits for, for reports.
//!
//! The greenlet writes its [`WaitReport`] before it parks. Two ways to read it:
//!
//! * [`Header::waits_for`] is a glance that disturbs nobody, a sequence lock whose sequence is the state word: parked in
//!   the same epoch before and after the look, so nothing was written between.
//! * [`held_by`] also follows the address of what the greenlet waits for, which may be gone as soon as the wait has
//!   ended. So it first takes the right to run it (invariant 1), which keeps the greenlet, and what its frames hold,
//!   where they are; whoever ends the wait meanwhile leaves a note, and it is run when it is given back.

use super::header::{Header, Ref};
use super::state::{Commit, Phase};
use super::wake::Runnable;
use crate::facade::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

/// What one greenlet waits for. Written by the greenlet alone.
pub(crate) struct WaitReport {
    what: AtomicPtr<&'static str>,
    object: AtomicUsize,
    /// Coarse nanoseconds of the runtime's clock, and in the lowest bit whether it waits for the outside world.
    since: AtomicU64,
    holder: AtomicPtr<()>,
}

const OUTSIDE: u64 = 1;

/// One reading of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// The call, as the user wrote it.
    pub(crate) what: &'static str,
    /// The address of what is waited for, or 0; to be compared, never followed.
    pub(crate) object: usize,
    pub(crate) since: u64,
    /// For I/O or time.
    pub(crate) outside: bool,
    /// [`held_by`] may have an answer.
    pub(crate) may_be_held: bool,
    /// When its timer ends the wait, or `NEVER`.
    pub(crate) deadline: u64,
}

/// What the report of a greenlet says that waits for its first stack. A static: told by its address.
static FOR_STACK: &str = "a stack";

impl Default for WaitReport {
    fn default() -> Self {
        Self {
            what: AtomicPtr::new(std::ptr::null_mut()),
            object: AtomicUsize::new(0),
            since: AtomicU64::new(0),
            holder: AtomicPtr::new(std::ptr::null_mut()),
        }
    }
}

impl WaitReport {
    /// The greenlet, claimed but not begun, waits for a stack, or no longer. Called by its hub.
    pub(crate) fn set_for_stack(&self, waits: bool) {
        let what = if waits { (&raw const FOR_STACK).cast_mut() } else { std::ptr::null_mut() };
        // Release: pairs with `is_for_stack`; the greenlet had been claimed before.
        self.what.store(what, Ordering::Release);
    }

    /// Whether an awake greenlet waits for its first stack.
    pub(crate) fn is_for_stack(&self) -> bool {
        // Acquire: pairs with `set_for_stack`.
        self.what.load(Ordering::Acquire) == (&raw const FOR_STACK).cast_mut()
    }

    /// The address of what it waits for, or waited for last; to be compared, never followed.
    #[inline]
    pub(crate) fn object(&self) -> usize {
        self.object.load(Ordering::Relaxed)
    }

    /// The greenlet is about to wait.
    #[inline]
    pub(crate) fn begin(&self, reason: &crate::wait::Reason, since: u64) {
        // Release: whoever reads anything written below also sees that the wait before is over (we have read that in
        // the state word); pairs with the Acquire fence in `waits_for`.
        fence(Ordering::Release);
        // Relaxed throughout: published by the Release of `commit_park`.
        self.what.store(std::ptr::from_ref(reason.what).cast_mut(), Ordering::Relaxed);
        self.object.store(reason.object, Ordering::Relaxed);
        self.since.store(since & !OUTSIDE | u64::from(reason.outside), Ordering::Relaxed);
        let holder = reason.holder.map_or(std::ptr::null_mut(), |f| f as *mut ());
        self.holder.store(holder, Ordering::Relaxed);
        crate::facade::note_wait(reason.what, reason.object);
    }
}

impl Waiting {
    /// Whether it waits for the end of one greenlet, or of all of a scope: `object` says of which.
    pub(crate) fn is_for_an_end(&self) -> bool {
        self.what == *super::join::WAIT || self.what == *super::scope::WAIT
    }
}

impl Header {
    /// What it waits for, if it is parked.
    pub(crate) fn waits_for(&self) -> Option<Waiting> {
        // Acquire (in `load`): sees all that was written before it parked; pairs with `commit_park`.
        let before = self.state.load();
        if before.phase() != Phase::Parked {
            return None;
        }
        // Relaxed throughout: kept apart from the second look by the fence.
        let report = &self.waiting;
        let what = report.what.load(Ordering::Relaxed);
        let object = report.object.load(Ordering::Relaxed);
        let since = report.since.load(Ordering::Relaxed);
        let may_be_held = !report.holder.load(Ordering::Relaxed).is_null();
        let (since, outside) = (since & !OUTSIDE, since & OUTSIDE != 0);
        let deadline = self.alarm.deadline();
        // Pairs with the fence in `begin`: had we read a word of a later wait, this look would see a later epoch.
        fence(Ordering::Acquire);
        let after = self.state.load();
        if after.phase() != Phase::Parked || after.epoch() != before.epoch() {
            return None;
        }
        // SAFETY: it comes from `begin`, which took it from a `CallName`.
        let what = unsafe { *what };
        Some(Waiting { what, object, since, outside, may_be_held, deadline })
    }
}

/// Who holds what the greenlet waits for, as a number of greenlets and threads. `None`: nobody, nobody knows, or it no
/// longer waits.
pub(crate) fn held_by(greenlet: &Ref) -> Option<u64> {
    let borrowed = greenlet.state.borrow_parked()?;
    // Relaxed: it is ours, and the Acquire of `borrow_parked` has shown us all it wrote.
    let holder = greenlet.waiting.holder.load(Ordering::Relaxed);
    let object = greenlet.waiting.object.load(Ordering::Relaxed);
    let id = if holder.is_null() {
        0
    } else {
        // SAFETY: `begin` stored a function of this type, and nothing else but null.
        let holder: unsafe fn(*const ()) -> u64 = unsafe { std::mem::transmute(holder) };
        // SAFETY: the greenlet stands still inside the wait that named this object, which therefore lives.
        unsafe { holder(std::ptr::with_exposed_provenance(object)) }
    };
    match greenlet.state.give_back(borrowed) {
        Commit::Parked => {}
        // SAFETY: we own its right to run, and its wait is over.
        Commit::Requeue => unsafe { Runnable::from_wake(greenlet.as_ptr()) }.deliver(),
    }
    (id != 0).then_some(id)
}
