//! Handing over: a joiner that claims its unstarted child lets it run in the middle of its own turn.
//!
//! The joiner has switched to the hub, so its stack pointer is saved, but it is not parked: it stays `Awake`, and its
//! child, which remembers it (`hand_back`, `awaited`), holds its right to run (invariant 1). Two things can happen:
//!
//! * The child ends. The joiner runs on, and nobody has touched its state word. This is most of what fork-join does.
//! * The child suspends, or goes through a queue on its way to run on. Now the joiner waits like everybody else: it is
//!   parked *before* the child may go on, and so is its own joiner, if it has one, and so on. In the default mode both
//!   stay on this hub, so the child keeps its joiner in a plain cell; in migrate mode either may be elsewhere by the time
//!   the child ends, and it goes to the join list.
//!
//! A kill or a timer that reaches the joiner meanwhile finds it awake and leaves a note, which ends its wait in the
//! moment it is parked, or is seen at its next suspension point.

use super::Hub;
use super::queue::Entry;
use crate::greenlet::header::{Header, let_go};
use crate::greenlet::join::wake_joiners;
use crate::greenlet::state::{Commit, Owner};
use crate::runtime::fork;
use crate::wait::Waiter;
use std::ptr::NonNull;

impl Hub {
    /// Lets `child`, which the running greenlet `joiner` has claimed, run next. The joiner must switch to this hub with
    /// [`After::Await`](crate::greenlet::switch::After::Await) at once.
    #[inline]
    pub(crate) fn hand_over(&self, child: &Header, joiner: Waiter) {
        child.hand_back.set(Some(joiner));
        child.fiber.awaited.set(true);
        self.note_claimed(child);
        // It is in no queue any more, so it goes nowhere else; what was to run next waits.
        if let Some(waiting) = self.next.replace(Some(Entry::resume(NonNull::from(child)))) {
            // SAFETY: the entry is the right to run, so the greenlet is alive and its cells are ours.
            self.park_joiners(unsafe { waiting.header().as_ref() });
            self.push_ready(waiting);
        }
    }

    /// A greenlet suspends: who awaited it is parked, and who awaited that one.
    #[inline(always)]
    pub(super) fn park_joiners(&self, child: &Header) {
        if child.fiber.awaited.get() {
            self.park_chain(child);
        }
    }

    #[inline(never)]
    fn park_chain(&self, child: &Header) {
        if self.migrates() {
            // All are listed before the first is parked: once parked it may run, and end, elsewhere.
            let mut at = Some(NonNull::from(child));
            while let Some(child) = at {
                // SAFETY: a greenlet that is awaited, or awaits, has not ended, and is this hub's.
                let child = unsafe { child.as_ref() };
                at = awaiting(child).map(|(joiner, header)| {
                    child.fiber.claimed.set(true);
                    child.list_joiner(joiner);
                    header
                });
            }
        }
        let mut next = awaiting(child);
        end_awaiting(child, self.migrates());
        let mut masked = child.fiber.joiner_masked.get();
        while let Some((joiner, greenlet)) = next {
            // SAFETY: as above.
            let header = unsafe { greenlet.as_ref() };
            next = awaiting(header);
            end_awaiting(header, self.migrates());
            let masked_now = std::mem::replace(&mut masked, header.fiber.joiner_masked.get());
            self.shared().counters.parks.add(1);
            // From `Parked` on any thread may own it (invariant 2).
            match header.state.commit_park(joiner.epoch(), false, masked_now, Some(self.mark)) {
                Commit::Parked => {}
                Commit::Requeue => self.push_ready(Entry::resume(greenlet)),
            }
        }
    }

    /// A greenlet has ended whose joiner awaits it.
    #[inline(never)]
    pub(super) fn finish_awaited(&self, greenlet: NonNull<Header>) {
        fork::end_child(self.runtime.generation);
        // SAFETY: its life is ours to end.
        let header = unsafe { greenlet.as_ref() };
        let (_, joiner) = awaiting(header).expect("it is awaited");
        end_awaiting(header, true);
        self.take_stack(header);
        self.strike_off(header);
        let scope = header.scope();
        if !header.state.end(scope.is_some()) {
            wake_joiners(header);
            if let Some(scope) = scope {
                scope.leave();
            }
            // SAFETY: it has ended, and this was the last of it.
            unsafe { let_go(greenlet, Owner::Life) };
        }
        self.shared().counters.finished.add(1);
        // The joiner's right to run, which the child held.
        self.run_next(Entry::resume(joiner));
        if !self.stackless.is_empty() {
            self.retry_stackless();
        }
    }
}

/// Who awaits `child`.
#[inline]
fn awaiting(child: &Header) -> Option<(Waiter, NonNull<Header>)> {
    if !child.fiber.awaited.get() {
        return None;
    }
    let joiner = child.hand_back.get()?;
    Some((joiner, joiner.as_greenlet()?))
}

/// From now on `child` has a joiner like any other; in its cell, unless that one is `elsewhere` known.
fn end_awaiting(child: &Header, elsewhere: bool) {
    child.fiber.awaited.set(false);
    if elsewhere {
        child.hand_back.set(None);
    }
}
