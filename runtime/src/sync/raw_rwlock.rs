//! The lock under [`RwLock`](super::RwLock).
//!
//! One word (`WRITER`, `WAITERS`, and the number of readers above them) and a wait list. Without waiters every
//! operation is one compare-exchange or one subtraction. As soon as somebody stands in line nobody overtakes, readers
//! included, so that writers do not starve: whoever makes the lock available grants it from the head of the line, to
//! one writer or to all readers up to the next writer, and those wake up holding it. Only a recursive read goes past
//! the line, as its caller may be what the line waits for.
//!
//! Who grants: whoever may have made something possible while `WAITERS` was set. That is a writer that leaves or
//! downgrades, the last reader that leaves, and a waiter that gives up (those behind it may want less). Granting
//! happens under the list's lock; a waiter is given the lock in the word first and then woken, and if it had stopped
//! waiting the word is put back.

use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::{ShortMutex, const_fn, observable};
use crate::wait::{Batch, CallName, Interrupts, List, Over, Reason, Side, Wait, Waited};
use lock_api::GuardSend;
use std::time::Instant;

const WRITER: usize = 1;
const WAITERS: usize = 2;
const READER: usize = 4;

/// The lock of [`RwLock`](super::RwLock) as [`lock_api`] sees it: what its guards' type parameters name.
///
/// Locking through this interface never delivers a kill or a timeout; the methods of `RwLock` do.
pub struct RawRwLock {
    state: AtomicUsize,
    line: ShortMutex<Line>,
}

struct Line {
    list: List<Access>,
}

/// What a caller wants to do, or was granted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// Read, past those who wait.
    ReadRecursive,
    Write,
}

impl Access {
    /// The word after granting this in `state`, or `None` if it must wait. `in_line`: at the head of the line.
    #[inline]
    fn grant(self, state: usize, in_line: bool) -> Option<usize> {
        let line_is_clear = in_line || state & WAITERS == 0;
        match self {
            Access::Read if state & WRITER == 0 && line_is_clear => Some(add_reader(state)),
            Access::ReadRecursive if state & WRITER == 0 => Some(add_reader(state)),
            Access::Write if state & !WAITERS == 0 && line_is_clear => Some(state | WRITER),
            _ => None,
        }
    }
}

#[inline]
fn add_reader(state: usize) -> usize {
    state.checked_add(READER).expect("too many readers")
}

impl RawRwLock {
    const_fn! {
        /// A free lock.
        pub(super) fn new() -> RawRwLock {
            RawRwLock { state: AtomicUsize::new(0), line: ShortMutex::new(Line { list: List::new() }) }
        }
    }

    /// Grants `access` in the word if it may be.
    #[inline]
    fn take(&self, access: Access, in_line: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while let Some(next) = access.grant(state, in_line) {
            // Acquire: what earlier holders wrote is visible; pairs with the Release of every unlock.
            match self.state.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Locks on the terms given. `false` only at the deadline.
    #[inline]
    pub(super) fn lock_with(
        &self,
        access: Access,
        deadline: Option<Instant>,
        interrupts: Interrupts,
        what: CallName,
    ) -> bool {
        observable!(what, self.take(access, false) || self.lock_slowly(access, deadline, interrupts, what))
    }

    #[inline(never)]
    fn lock_slowly(
        &self,
        access: Access,
        deadline: Option<Instant>,
        interrupts: Interrupts,
        what: CallName,
    ) -> bool {
        let wait = Wait { deadline, interrupts, reason: Reason::new(what, self) };
        loop {
            let line = self.line.lock();
            if self.take_or_announce(access) {
                return true;
            }
            let (mut line, why) =
                match wait.in_line(&self.line, line, |line| &mut line.list, Side::Back, access) {
                    Waited::Woken(_) => return true,
                    Waited::Over { state, why, .. } => (state, why),
                };
            let mut batch = Batch::new();
            self.grant_line(&mut line, &mut batch);
            drop(line);
            batch.deliver();
            if why == Over::TimedOut {
                return false;
            }
            wait.deliver();
        }
    }

    /// Takes the lock, or sets `WAITERS` for the caller, who is about to enlist. The line's lock is held.
    fn take_or_announce(&self, access: Access) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let granted = access.grant(state, false);
            // Acquire: as in `take`.
            match self.state.compare_exchange_weak(
                state,
                granted.unwrap_or(state | WAITERS),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return granted.is_some(),
                Err(now) => state = now,
            }
        }
    }

    #[inline(never)]
    fn grant_waiters(&self) {
        let mut batch = Batch::new();
        self.grant_line(&mut self.line.lock(), &mut batch);
        batch.deliver();
    }

    /// Grants the lock from the head of the line, as far as it goes, and clears `WAITERS` behind the last.
    fn grant_line(&self, line: &mut Line, batch: &mut Batch) {
        while let Some(&access) = line.list.front() {
            // Acquire (in `take`): on behalf of the waiter, to whom the wake passes it on.
            if !self.take(access, true) {
                return;
            }
            match line.list.wake_first() {
                Ok(Some(wakeup)) => batch.push(wakeup),
                _ => {
                    // It had stopped waiting: put back what was taken for it. Release: passes on what the Acquire
                    // saw.
                    let taken = if access == Access::Write { WRITER } else { READER };
                    self.state.fetch_sub(taken, Ordering::Release);
                }
            }
        }
        // Relaxed: ordered by the line's lock.
        self.state.fetch_and(!WAITERS, Ordering::Relaxed);
    }

    #[inline]
    fn leave_read(&self) {
        // Release: pairs with the Acquire of the next writer.
        let before = self.state.fetch_sub(READER, Ordering::Release);
        if before == READER | WAITERS {
            self.grant_waiters();
        }
    }

    #[inline]
    fn leave_write(&self) {
        // Release: pairs with the Acquire of the next reader or writer.
        let before = self.state.fetch_sub(WRITER, Ordering::Release);
        if before & WAITERS != 0 {
            self.grant_waiters();
        }
    }
}

// SAFETY: `WRITER` is set only where no reader and no writer is counted, and readers are counted only where `WRITER`
// is clear, by compare-exchange with acquire; leaving is a release. These forms keep interrupts, so they do not unwind
// (too many readers unwinds before anything is taken); the guard states are empty, and waiters borrow the lock, so a
// lock that is moved or dropped has an empty line.
unsafe impl lock_api::RawRwLock for RawRwLock {
    #[cfg(not(greenhub_loom))]
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self::new();
    #[cfg(greenhub_loom)]
    const INIT: Self = panic!("loom's atomics have no const constructor: use from_raw");

    type SharedGuard = GuardSend;
    type ExclusiveGuard = GuardSend;

    #[inline]
    fn lock_shared(&self) -> GuardSend {
        self.lock_with(Access::Read, None, Interrupts::Kept, &"RwLock::read (again)");
        GuardSend::new()
    }

    #[inline]
    fn try_lock_shared(&self) -> Option<GuardSend> {
        observable!("RwLock::try_read", self.take(Access::Read, false)).then(GuardSend::new)
    }

    #[inline]
    unsafe fn unlock_shared(&self, _: GuardSend) {
        self.leave_read();
    }

    #[inline]
    fn lock_exclusive(&self) -> GuardSend {
        self.lock_with(Access::Write, None, Interrupts::Kept, &"RwLock::write (again)");
        GuardSend::new()
    }

    #[inline]
    fn try_lock_exclusive(&self) -> Option<GuardSend> {
        observable!("RwLock::try_write", self.take(Access::Write, false)).then(GuardSend::new)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self, _: GuardSend) {
        self.leave_write();
    }

    fn is_locked(&self) -> bool {
        // Relaxed: a snapshot.
        self.state.load(Ordering::Relaxed) & !WAITERS != 0
    }

    fn is_locked_exclusive(&self) -> bool {
        // Relaxed: a snapshot.
        self.state.load(Ordering::Relaxed) & WRITER != 0
    }
}

// SAFETY: every unlock hands over to the head of the line already.
unsafe impl lock_api::RawRwLockFair for RawRwLock {
    unsafe fn unlock_shared_fair(&self, _: GuardSend) {
        self.leave_read();
    }

    unsafe fn unlock_exclusive_fair(&self, _: GuardSend) {
        self.leave_write();
    }

    unsafe fn bump_shared(&self, _: &mut GuardSend) {
        // Relaxed: a hint; a waiter that comes later has not been waiting.
        if self.state.load(Ordering::Relaxed) & WAITERS != 0 {
            self.leave_read();
            self.lock_with(Access::Read, None, Interrupts::Kept, &"RwLockReadGuard::bump");
        }
    }

    unsafe fn bump_exclusive(&self, _: &mut GuardSend) {
        // Relaxed: as above.
        if self.state.load(Ordering::Relaxed) & WAITERS != 0 {
            self.leave_write();
            self.lock_with(Access::Write, None, Interrupts::Kept, &"RwLockWriteGuard::bump");
        }
    }
}

// SAFETY: one addition turns the writer into a reader, with release.
unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
    unsafe fn downgrade(&self, _: GuardSend) -> GuardSend {
        // Release: pairs with the Acquire of the readers that come.
        let before = self.state.fetch_add(READER - WRITER, Ordering::Release);
        if before & WAITERS != 0 {
            self.grant_waiters();
        }
        GuardSend::new()
    }
}
