//! The state word: one `AtomicU64` that decides who may start, resume, wake and kill a greenlet.
//!
//! ```text
//!  Later ◄─defer─┐
//!    │ time came, │
//!    │ or killed  │
//!    └────────► Placed ─arrived─► Unstarted ──claim──► Awake ◄──wake── Parked
//!                                                       │ └───commit───► ▲
//!                                                       └──finish──► Done
//! ```
//!
//! * `Later`: it waits in a timer wheel for the time to start.
//! * `Placed`: it lies unstarted in an inbox, whose link nobody else may touch, so it cannot be claimed there.
//! * `Unstarted`: in a queue, may be claimed by whoever gets to it first (its hub, a thief, its joiner).
//! * `Awake`: running, or in exactly one ready queue (invariant 1).
//! * `Parked`: its stack pointer is saved and a wake will find it (invariant 2).
//!
//! The upper half is the *epoch*: the number of the wait that is going on or comes next. Whatever ends a wait moves
//! the epoch on in the same step, so "has my wait been ended?" is "has the epoch moved?", a waker that comes early
//! (the greenlet is still on its way to `Parked`) ends the wait just the same, and one that comes late finds an
//! epoch that is not its own and does nothing (invariant 3). `Awake` needs no step of its own when a greenlet is
//! resumed: whoever moved it out of `Parked` owns its right to run until it parks again, and `yield_now` never
//! touches the word.
//!
//! The word of a greenlet that parks often on one hub is *biased* to that hub, which then changes it without a
//! read-modify-write: [`change`].

use super::current;
use crate::facade::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::facade::{ShortLock, ThreadMark};

mod change;
mod references;
mod word;

use word::*;
pub(crate) use word::{Borrowed, Cause, Commit, Kill, Owner, Phase, Snapshot, Wake};

#[cfg(all(test, greenhub_loom))]
mod bias_model;
#[cfg(all(test, greenhub_loom))]
mod borrow_model;
#[cfg(all(test, greenhub_loom))]
mod end_model;
#[cfg(all(test, greenhub_loom))]
mod model;

/// The state word, its lock, and what the header counts. The bits are nobody else's business.
pub(crate) struct State {
    word: AtomicU64,
    /// Of the word, where that is biased.
    lock: ShortLock,
    references: AtomicU32,
}

impl State {
    /// A greenlet about to be pushed on a queue, where it may be claimed at once.
    pub(crate) fn unstarted() -> Self {
        Self::new(UNSTARTED)
    }

    /// A greenlet about to be pushed into an inbox.
    pub(crate) fn placed() -> Self {
        Self::new(PLACED)
    }

    fn new(phase: u64) -> Self {
        Self {
            word: AtomicU64::new(phase | Owner::Life as u64 | Owner::Handle as u64),
            lock: ShortLock::new(),
            references: AtomicU32::new(1),
        }
    }

    /// Reads the word. Acquire: pairs with the Release of `finish`, so that whoever sees `Done` sees the result, and
    /// with the Release of `wake`, so that a greenlet that sees its wait ended sees what the waker wrote.
    #[inline]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.word.load(Ordering::Acquire))
    }

    /// `Placed → Later`, by whoever spawned it, under the lock of the wheel it has just been put into. `false`: it was
    /// killed before; it shall not wait for its time but end unrun.
    pub(crate) fn defer(&self) -> bool {
        self.update(|s| (s.0 & (PHASE | KILL) == PLACED).then(|| s.with_phase(LATER))).is_ok()
    }

    /// `Later → Placed`: its time has come. `true` if the caller now owns the push; a killer may have been first.
    pub(crate) fn time_came(&self) -> bool {
        self.update(|s| (s.0 & PHASE == LATER).then(|| s.with_phase(PLACED))).is_ok()
    }

    /// `Placed → Unstarted`, by whoever took it from the inbox. `false`: it is no unstarted greenlet.
    pub(crate) fn arrive(&self) -> bool {
        self.update(|s| (s.0 & PHASE == PLACED).then(|| s.with_phase(UNSTARTED))).is_ok()
    }

    /// `Unstarted → Awake`. `true` if the caller may start it; everybody else finds a stale queue entry.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        self.update(|s| (s.0 & PHASE == UNSTARTED).then(|| s.with_phase(AWAKE))).is_ok()
    }

    /// As [`State::claim`], by a joiner, which leaves the queue entry where it lies: that entry becomes an owner, to let
    /// go when it comes up.
    #[inline]
    pub(crate) fn claim_out_of_queue(&self) -> bool {
        let step =
            |s: Snapshot| (s.0 & PHASE == UNSTARTED).then(|| s.with_phase(AWAKE) | Owner::StaleEntry as u64);
        self.update(step).is_ok()
    }

    /// `Awake → Parked`, by the hub, on its own stack, after the switch (invariant 2).
    ///
    /// `user` marks `park`/`park_timeout`, which an unpark token ends; `masked` a wait that kill may not end. `hub` is the
    /// mark of the calling thread, if that is the hub on which the greenlet ran.
    #[inline(always)]
    pub(crate) fn commit_park(
        &self,
        epoch: u32,
        user: bool,
        masked: bool,
        hub: Option<ThreadMark>,
    ) -> Commit {
        // Release (in `by_bias` and `update`) publishes the saved stack pointer and everything the greenlet wrote; pairs
        // with the Acquire of the wake that moves it out of `Parked`. Acquire pairs with the Release of an early waker, an
        // unpark or a kill seen: what it wrote must be visible to the greenlet that runs on.
        if let Some(me) = hub
            && self.by_bias(|| me, |now| now.goes_on(epoch, user, masked).then(|| now.parked(user, masked)))
        {
            return Commit::Parked;
        }
        self.commit_park_shared(epoch, user, masked, hub)
    }

    #[inline(never)]
    fn commit_park_shared(&self, epoch: u32, user: bool, masked: bool, hub: Option<ThreadMark>) -> Commit {
        let before = self.update(|now| {
            debug_assert_eq!(now.0 & PHASE, AWAKE);
            if now.goes_on(epoch, user, masked) {
                Some(self.count_park(now, hub).parked(user, masked))
            } else if now.epoch() != epoch {
                // An early waker has written all there is to write.
                None
            } else if user && now.0 & UNPARK != 0 {
                Some(Snapshot(now.0 & !UNPARK).ended(CAUSE_WAKE))
            } else if now.0 & TIMER != 0 {
                Some(Snapshot(now.0 & !TIMER).ended(CAUSE_TIMER))
            } else {
                Some(now.ended(CAUSE_KILL))
            }
        });
        if before.is_ok_and(|now| now.goes_on(epoch, user, masked)) {
            Commit::Parked
        } else {
            Commit::Requeue
        }
    }

    /// Ends the wait `epoch`, parked or about to be.
    #[inline(always)]
    pub(crate) fn wake(&self, epoch: u32) -> Wake {
        let ended =
            |now: Snapshot| (now.epoch() == epoch && now.0 & PHASE == PARKED).then(|| now.ended(CAUSE_WAKE));
        if self.by_bias(current::mark, ended) {
            return Wake::Enqueue;
        }
        self.wake_shared(epoch)
    }

    #[inline(never)]
    fn wake_shared(&self, epoch: u32) -> Wake {
        self.end_wait(Some(epoch), |s| Some(s.ended(CAUSE_WAKE)))
    }

    /// Ends the current wait if it is parked; otherwise leaves a note to look at the clock.
    pub(crate) fn timer(&self) -> Wake {
        let ended = |now: Snapshot| (now.0 & PHASE == PARKED).then(|| now.ended(CAUSE_TIMER));
        if self.by_bias(current::mark, ended) {
            return Wake::Enqueue;
        }
        self.end_wait(None, |s| match s.0 & PHASE {
            PARKED => Some(s.ended(CAUSE_TIMER)),
            AWAKE => Some(s.0 | TIMER),
            _ => None,
        })
    }

    /// Leaves the user's token, or ends the `park` that waits for it.
    pub(crate) fn unpark(&self) -> Wake {
        let waits = PARKED | USER_PARK;
        let ended = |now: Snapshot| (now.0 & (PHASE | USER_PARK) == waits).then(|| now.ended(CAUSE_WAKE));
        if self.by_bias(current::mark, ended) {
            return Wake::Enqueue;
        }
        self.end_wait(None, |s| match s.0 & PHASE {
            DONE => None,
            PARKED if s.0 & USER_PARK != 0 => Some(s.ended(CAUSE_WAKE)),
            // Written even if the token is already there, so that this caller's writes reach the next `park` too.
            _ => Some(s.0 | UNPARK),
        })
    }

    /// Asks for its end.
    pub(crate) fn kill(&self) -> Kill {
        let step = |s: Snapshot| match s.0 & PHASE {
            DONE => None,
            LATER => Some(Snapshot(s.0 | KILL).with_phase(PLACED)),
            PARKED if s.0 & MASKED == 0 => Some(Snapshot(s.0 | KILL).ended(CAUSE_KILL)),
            _ => Some(s.0 | KILL),
        };
        match self.update(step) {
            Err(_) => Kill::Finished,
            Ok(before) => match before.0 & PHASE {
                LATER => Kill::Place,
                PARKED if before.0 & MASKED == 0 => Kill::Enqueue,
                _ => Kill::Noted,
            },
        }
    }

    /// `Parked → Awake` *within* its epoch: the wait goes on, and the caller owns the right to run until it gives the
    /// greenlet back. Meanwhile the greenlet's stack stands still, so what its wait refers to stays alive; whoever
    /// ends the wait finds it awake and leaves a note, as for one that is on its way to `Parked`.
    pub(crate) fn borrow_parked(&self) -> Option<Borrowed> {
        // Acquire: the borrower sees what the greenlet wrote before it parked; pairs with `commit_park`.
        let take = |s: Snapshot| (s.0 & PHASE == PARKED).then(|| s.with_phase(AWAKE) & !(USER_PARK | MASKED));
        self.update(take).ok().map(|before| Borrowed {
            epoch: before.epoch(),
            user: before.0 & USER_PARK != 0,
            masked: before.0 & MASKED != 0,
        })
    }

    /// Gives a borrowed greenlet back. [`Commit::Requeue`]: its wait was ended meanwhile, and the caller owns its push.
    pub(crate) fn give_back(&self, borrowed: Borrowed) -> Commit {
        self.commit_park(borrowed.epoch, borrowed.user, borrowed.masked, None)
    }

    /// The greenlet gives up its own wait before parking. `false`: somebody ended it first, so it was woken.
    pub(crate) fn withdraw(&self, epoch: u32) -> bool {
        self.update(|s| (s.epoch() == epoch).then(|| s.ended(CAUSE_KILL))).is_ok()
    }

    /// Consumes the user's token.
    pub(crate) fn take_unpark(&self) -> bool {
        // A plain look first: without a token `park` goes on to `commit_park`, which looks again.
        self.word.load(Ordering::Relaxed) & UNPARK != 0
            // Acquire (in `update`): pairs with the Release in `unpark`.
            && self.take(UNPARK)
    }

    /// Takes the kill request, to deliver it.
    pub(crate) fn take_kill(&self) -> bool {
        // Acquire (in `update`): pairs with the Release in `kill`.
        self.take(KILL)
    }

    /// Takes the timer's note.
    pub(crate) fn take_timer(&self) {
        self.take(TIMER);
    }

    /// Takes a note, if it is there.
    fn take(&self, note: u64) -> bool {
        self.update(|s| (s.0 & note != 0).then_some(s.0 & !note)).is_ok()
    }

    /// `Awake → Done`, unless nobody wants the result any more: then `Err`, and the greenlet drops the result on its
    /// own stack first (with `force`, done is done). `Ok(true)`: somebody waits in the join list.
    pub(crate) fn finish(&self, force: bool) -> Result<bool, ()> {
        // Release publishes the result; pairs with the Acquire in `load` and `detach`.
        self.update(|s| (force || s.0 & DETACHED == 0).then(|| s.with_phase(DONE)))
            .map(|before| before.0 & JOINED != 0)
            .map_err(|_| ())
    }

    /// `Awake → Done`, by the hub of a greenlet whose joiner, which is not running, keeps it from being detached. Its
    /// life lets go in the same step, unless `keep_life` is set or somebody waits in the join list; gives whether it did.
    /// If it did, the caller must not touch the greenlet again.
    pub(crate) fn end(&self, keep_life: bool) -> bool {
        let keeps = |s: Snapshot| keep_life || s.0 & JOINED != 0;
        // Release publishes the result; pairs with the Acquire in `load`.
        let before = self.update(|s| {
            debug_assert!(s.0 & DETACHED == 0, "detached while its joiner waits");
            let done = s.with_phase(DONE);
            Some(if keeps(s) { done } else { done & !(Owner::Life as u64) })
        });
        !keeps(before.expect("the step is made whatever the word says"))
    }

    /// The handle goes. `true`: the greenlet has ended, so the handle must drop the result before it lets go. Otherwise it
    /// has let go here (not as the last owner: the greenlet's life goes on).
    pub(crate) fn detach(&self) -> bool {
        // Acquire (in `update`) takes over the result if it is there, pairing with `finish`.
        self.update(|s| (s.0 & PHASE != DONE).then_some((s.0 | DETACHED) & !(Owner::Handle as u64))).is_err()
    }

    /// Announces a waiter in the join list. `false`: it has ended, do not wait. Called under the list's lock.
    pub(crate) fn join(&self) -> bool {
        // AcqRel: Acquire so that `false` sees the result; Release so that `finish` sees the list entry.
        self.update(|s| (s.0 & PHASE != DONE).then_some(s.0 | JOINED)).is_ok()
    }

    #[inline]
    fn end_wait(&self, epoch: Option<u32>, step: impl Fn(Snapshot) -> Option<u64>) -> Wake {
        // Release: what the waker wrote is visible to the greenlet when it runs on. Acquire: the waker takes over the
        // saved context it is about to push. Both pair with `commit_park`.
        let result = self.update(|s| {
            let mine = epoch.is_none_or(|epoch| s.epoch() == epoch && matches!(s.0 & PHASE, AWAKE | PARKED));
            if mine { step(s) } else { None }
        });
        match result {
            Err(_) => Wake::Stale,
            Ok(before)
                if before.0 & PHASE == PARKED && step(before).is_some_and(|next| next & PHASE == AWAKE) =>
            {
                Wake::Enqueue
            }
            Ok(_) => Wake::Noted,
        }
    }
}
