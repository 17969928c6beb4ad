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

use crate::facade::atomic::{AtomicU64, Ordering};

#[cfg(all(test, greenhub_loom))]
mod borrow_model;
#[cfg(all(test, greenhub_loom))]
mod end_model;
#[cfg(all(test, greenhub_loom))]
mod model;

const PHASE: u64 = 0b111;
const LATER: u64 = 0;
const PLACED: u64 = 5;
const UNSTARTED: u64 = 1;
const AWAKE: u64 = 2;
const PARKED: u64 = 3;
const DONE: u64 = 4;

/// Parked in `park`/`park_timeout`: an unpark ends this wait.
const USER_PARK: u64 = 1 << 3;
/// Parked where kill must not end the wait.
const MASKED: u64 = 1 << 4;
/// The user's token, consumed by the next `park` only.
const UNPARK: u64 = 1 << 5;
/// Somebody asked for its end, and it has not been told yet.
const KILL: u64 = 1 << 6;
/// A timer fired while it was awake: it should look at the clock.
const TIMER: u64 = 1 << 7;
/// Nobody will take its result.
const DETACHED: u64 = 1 << 8;
/// Somebody waits in its join list.
const JOINED: u64 = 1 << 9;

/// The owners (see [`Owner`]) that have not let go.
const OWNERS: u64 = Owner::Life as u64 | Owner::Handle as u64 | Owner::StaleEntry as u64;

const CAUSE: u64 = 0b11 << 10;
const CAUSE_WAKE: u64 = 0 << 10;
const CAUSE_TIMER: u64 = 1 << 10;
const CAUSE_KILL: u64 = 2 << 10;

const EPOCH_SHIFT: u32 = 32;
const EPOCH_ONE: u64 = 1 << EPOCH_SHIFT;

/// The state word. Its bits are nobody else's business.
pub(crate) struct State(AtomicU64);

/// Who keeps a header alive without counting: each of them exists at most once, so a bit of the state word does, and
/// most come and go in the same step as what they are about. All of them together own one counted reference, which the
/// last to let go gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub(crate) enum Owner {
    /// Whatever queue, hub or wait list holds the greenlet (invariant 1). Lets go at the greenlet's end.
    Life = 1 << 12,
    /// The join handle.
    Handle = 1 << 13,
    /// The queue entry of a greenlet that its joiner has claimed.
    StaleEntry = 1 << 14,
}

/// One reading of the word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot(u64);

/// What whoever ended a wait must do next.
#[must_use]
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Wake {
    /// The greenlet was parked: the caller owns the push (exactly one caller gets this per park).
    Enqueue,
    /// It was awake: it, or the hub that parks it, will see the note.
    Noted,
    /// This wait is over, or the greenlet is.
    Stale,
}

/// What a kill must do next.
#[must_use]
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Kill {
    /// It was parked: the caller owns the push.
    Enqueue,
    /// It waited for its start time: the caller owns the push of the greenlet, now `Placed`, which will end unrun.
    Place,
    /// It will see the request at its next suspension point, or at its start.
    Noted,
    /// It had ended.
    Finished,
}

/// What the hub must do after a greenlet asked to park.
#[must_use]
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Commit {
    /// Parked. From now on any thread may own it: the hub touches nothing of it any more.
    Parked,
    /// The wait had ended before it began: put it on the ready ring.
    Requeue,
}

/// A parked greenlet that a reporter holds still (see [`State::borrow_parked`]): the wait to be given back.
#[must_use = "a borrowed greenlet runs again only once it is given back"]
pub(crate) struct Borrowed {
    epoch: u32,
    user: bool,
    masked: bool,
}

/// What ended the last wait.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Cause {
    /// A wake or an unpark.
    Wake,
    /// A timer.
    Timer,
    /// A kill.
    Kill,
}

/// How far a greenlet has come, for reports.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Phase {
    /// In a wheel until its time comes.
    Later,
    /// In a queue or an inbox, never run.
    Unstarted,
    /// Running or ready.
    Awake,
    /// Waiting.
    Parked,
    /// Ended.
    Done,
}

impl Snapshot {
    pub(crate) fn epoch(self) -> u32 {
        (self.0 >> EPOCH_SHIFT) as u32
    }
    pub(crate) fn phase(self) -> Phase {
        match self.0 & PHASE {
            LATER => Phase::Later,
            PLACED | UNSTARTED => Phase::Unstarted,
            AWAKE => Phase::Awake,
            PARKED => Phase::Parked,
            _ => Phase::Done,
        }
    }
    pub(crate) fn cause(self) -> Cause {
        match self.0 & CAUSE {
            CAUSE_TIMER => Cause::Timer,
            CAUSE_KILL => Cause::Kill,
            _ => Cause::Wake,
        }
    }
    pub(crate) fn kill_requested(self) -> bool {
        self.0 & KILL != 0
    }
    /// Whether a kill or a timer fired that the greenlet has not looked at: the one test of `yield_now`.
    pub(crate) fn wants_attention(self) -> bool {
        self.0 & (KILL | TIMER) != 0
    }
    pub(crate) fn is_done(self) -> bool {
        self.0 & PHASE == DONE
    }
    fn with_phase(self, phase: u64) -> u64 {
        self.0 & !PHASE | phase
    }
    /// The wait is over: awake, next epoch, no longer this wait's flags.
    fn ended(self, cause: u64) -> u64 {
        (self.0 & !(PHASE | USER_PARK | MASKED | CAUSE) | AWAKE | cause).wrapping_add(EPOCH_ONE)
    }
}

impl State {
    /// A greenlet about to be pushed on a queue, where it may be claimed at once.
    pub(crate) fn unstarted() -> Self {
        Self(AtomicU64::new(UNSTARTED | Owner::Life as u64 | Owner::Handle as u64))
    }

    /// A greenlet about to be pushed into an inbox.
    pub(crate) fn placed() -> Self {
        Self(AtomicU64::new(PLACED | Owner::Life as u64 | Owner::Handle as u64))
    }

    /// Reads the word. Acquire: pairs with the Release of `finish`, so that whoever sees `Done` sees the result, and
    /// with the Release of `wake`, so that a greenlet that sees its wait ended sees what the waker wrote.
    #[inline]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
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
    /// `user` marks `park`/`park_timeout`, which an unpark token ends; `masked` a wait that kill may not end.
    #[inline]
    pub(crate) fn commit_park(&self, epoch: u32, user: bool, masked: bool) -> Commit {
        let flags = if user { USER_PARK } else { 0 } | if masked { MASKED } else { 0 };
        let mut now = Snapshot(self.0.load(Ordering::Relaxed));
        loop {
            debug_assert_eq!(now.0 & PHASE, AWAKE);
            let (next, verdict) = if now.epoch() != epoch {
                // Acquire on a path that writes nothing: what the early waker wrote must be visible to the greenlet
                // that runs on; pairs with the Release in `wake`.
                let _ = self.0.load(Ordering::Acquire);
                return Commit::Requeue;
            } else if user && now.0 & UNPARK != 0 {
                (Snapshot(now.0 & !UNPARK).ended(CAUSE_WAKE), Commit::Requeue)
            } else if now.0 & TIMER != 0 {
                (Snapshot(now.0 & !TIMER).ended(CAUSE_TIMER), Commit::Requeue)
            } else if now.0 & KILL != 0 && !masked {
                (now.ended(CAUSE_KILL), Commit::Requeue)
            } else {
                (now.with_phase(PARKED) | flags, Commit::Parked)
            };
            // Release publishes the saved stack pointer and everything the greenlet wrote; pairs with the Acquire
            // of the wake that moves it out of `Parked`. Acquire pairs with the Release of an unpark or kill seen.
            match self.0.compare_exchange_weak(now.0, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return verdict,
                Err(seen) => now = Snapshot(seen),
            }
        }
    }

    /// Ends the wait `epoch`, parked or about to be.
    #[inline]
    pub(crate) fn wake(&self, epoch: u32) -> Wake {
        self.end_wait(Some(epoch), |s| Some(s.ended(CAUSE_WAKE)))
    }

    /// Ends the current wait if it is parked; otherwise leaves a note to look at the clock.
    pub(crate) fn timer(&self) -> Wake {
        self.end_wait(None, |s| match s.0 & PHASE {
            PARKED => Some(s.ended(CAUSE_TIMER)),
            AWAKE => Some(s.0 | TIMER),
            _ => None,
        })
    }

    /// Leaves the user's token, or ends the `park` that waits for it.
    pub(crate) fn unpark(&self) -> Wake {
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
        self.commit_park(borrowed.epoch, borrowed.user, borrowed.masked)
    }

    /// The greenlet gives up its own wait before parking. `false`: somebody ended it first, so it was woken.
    pub(crate) fn withdraw(&self, epoch: u32) -> bool {
        self.update(|s| (s.epoch() == epoch).then(|| s.ended(CAUSE_KILL))).is_ok()
    }

    /// Consumes the user's token.
    pub(crate) fn take_unpark(&self) -> bool {
        // A plain look first: without a token `park` goes on to `commit_park`, which looks again.
        self.0.load(Ordering::Relaxed) & UNPARK != 0
            // Acquire: pairs with the Release in `unpark`.
            && self.0.fetch_and(!UNPARK, Ordering::Acquire) & UNPARK != 0
    }

    /// Takes the kill request, to deliver it.
    pub(crate) fn take_kill(&self) -> bool {
        // Acquire: pairs with the Release in `kill`.
        self.0.fetch_and(!KILL, Ordering::Acquire) & KILL != 0
    }

    /// Takes the timer's note.
    pub(crate) fn take_timer(&self) {
        // Relaxed: the note says nothing but "look at the clock".
        self.0.fetch_and(!TIMER, Ordering::Relaxed);
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

    /// An owner lets go of a greenlet. `true`: it was the last, and gives up the reference that they share.
    #[inline]
    pub(crate) fn let_go(&self, owner: Owner) -> bool {
        // Who finds itself alone need not say so: no owner is left to read it. Acquire: pairs with the Release of those
        // who let go before, as it does in the other case.
        if self.0.load(Ordering::Acquire) & OWNERS == owner as u64 {
            return true;
        }
        // Release: what this owner did to the header comes before it is freed.
        self.0.fetch_and(!(owner as u64), Ordering::AcqRel) & OWNERS == owner as u64
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

    /// Replaces the word by `step` of it; gives the word before, or, where `step` declines, the word it declined.
    #[inline]
    fn update(&self, step: impl Fn(Snapshot) -> Option<u64>) -> Result<Snapshot, Snapshot> {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let Some(next) = step(Snapshot(now)) else { return Err(Snapshot(now)) };
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(before) => return Ok(Snapshot(before)),
                Err(seen) => now = seen,
            }
        }
    }
}
