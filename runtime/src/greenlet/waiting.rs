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
use crate::facade::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

/// What one greenlet waits for. Written by the greenlet alone.
#[derive(Default)]
pub(crate) struct WaitReport {
    what: AtomicPtr<u8>,
    what_length: AtomicUsize,
    object: AtomicUsize,
    /// Coarse nanoseconds of the runtime's clock.
    since: AtomicU64,
    holder: AtomicPtr<()>,
    outside: AtomicBool,
}

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

impl WaitReport {
    /// The greenlet is about to wait.
    #[inline]
    pub(crate) fn begin(&self, reason: &crate::wait::Reason, since: u64) {
        // Release: whoever reads anything written below also sees that the wait before is over (we have read that in
        // the state word); pairs with the Acquire fence in `waits_for`.
        fence(Ordering::Release);
        // Relaxed throughout: published by the Release of `commit_park`.
        self.what.store(reason.what.as_ptr().cast_mut(), Ordering::Relaxed);
        self.what_length.store(reason.what.len(), Ordering::Relaxed);
        self.object.store(reason.object, Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
        let holder = reason.holder.map_or(std::ptr::null_mut(), |f| f as *mut ());
        self.holder.store(holder, Ordering::Relaxed);
        self.outside.store(reason.outside, Ordering::Relaxed);
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
        let length = report.what_length.load(Ordering::Relaxed);
        let object = report.object.load(Ordering::Relaxed);
        let since = report.since.load(Ordering::Relaxed);
        let may_be_held = !report.holder.load(Ordering::Relaxed).is_null();
        let outside = report.outside.load(Ordering::Relaxed);
        let deadline = self.alarm.deadline();
        // Pairs with the fence in `begin`: had we read a word of a later wait, this look would see a later epoch.
        fence(Ordering::Acquire);
        let after = self.state.load();
        if after.phase() != Phase::Parked || after.epoch() != before.epoch() {
            return None;
        }
        // SAFETY: both words come from one `begin` (see above), which took them from one `&'static str`.
        let what = unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(what, length)) };
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
