//! The bits of the state word, and what its changes come to.

use crate::facade::in_models;

pub(super) const PHASE: u64 = 0b111;
pub(super) const LATER: u64 = 0;
pub(super) const PLACED: u64 = 5;
pub(super) const UNSTARTED: u64 = 1;
pub(super) const AWAKE: u64 = 2;
pub(super) const PARKED: u64 = 3;
pub(super) const DONE: u64 = 4;

/// Parked in `park`/`park_timeout`: an unpark ends this wait.
pub(super) const USER_PARK: u64 = 1 << 3;
/// Parked where kill must not end the wait.
pub(super) const MASKED: u64 = 1 << 4;
/// The user's token, consumed by the next `park` only.
pub(super) const UNPARK: u64 = 1 << 5;
/// Somebody asked for its end, and it has not been told yet.
pub(super) const KILL: u64 = 1 << 6;
/// A timer fired while it was awake: it should look at the clock.
pub(super) const TIMER: u64 = 1 << 7;
/// Nobody will take its result.
pub(super) const DETACHED: u64 = 1 << 8;
/// Somebody waits in its join list.
pub(super) const JOINED: u64 = 1 << 9;

/// The owners (see [`Owner`]) that have not let go.
pub(super) const OWNERS: u64 = Owner::Life as u64 | Owner::Handle as u64 | Owner::StaleEntry as u64;

pub(super) const CAUSE: u64 = 0b11 << 10;
pub(super) const CAUSE_WAKE: u64 = 0 << 10;
pub(super) const CAUSE_TIMER: u64 = 1 << 10;
pub(super) const CAUSE_KILL: u64 = 2 << 10;

pub(super) const EPOCH_SHIFT: u32 = 32;
pub(super) const EPOCH_ONE: u64 = 1 << EPOCH_SHIFT;

/// How often it has parked on one hub, without being woken from elsewhere, until all of these bits are set; from then on that hub
/// may make it [`BIASED`].
pub(super) const PARKS: u64 = in_models(0b1, if cfg!(greenhub_schedule) { 0b11 } else { 0xff }) << 16;
pub(super) const PARKS_ONE: u64 = 1 << 16;

/// The word changes under the state's lock only, which the hub that it is biased to takes without a read-modify-write.
pub(super) const BIASED: u64 = 1 << 24;

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
pub(crate) struct Snapshot(pub(super) u64);

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
    /// Parked. From now on any thread may own it: the hub touches nothing of it any more (but the lock of a
    /// [`BIASED`] word, which it has given back by then).
    Parked,
    /// The wait had ended before it began: put it on the ready ring.
    Requeue,
}

/// A parked greenlet that a reporter holds still (see [`State::borrow_parked`](super::State::borrow_parked)): the wait to be given back.
#[must_use = "a borrowed greenlet runs again only once it is given back"]
pub(crate) struct Borrowed {
    pub(super) epoch: u32,
    pub(super) user: bool,
    pub(super) masked: bool,
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
    /// Somebody is or was in the join list.
    pub(crate) fn is_joined(self) -> bool {
        self.0 & JOINED != 0
    }
    pub(super) fn with_phase(self, phase: u64) -> u64 {
        self.0 & !PHASE | phase
    }
    /// Whether nothing has ended the wait `epoch` before it began.
    pub(super) fn goes_on(self, epoch: u32, user: bool, masked: bool) -> bool {
        let ended_by = TIMER | if user { UNPARK } else { 0 } | if masked { 0 } else { KILL };
        self.epoch() == epoch && self.0 & ended_by == 0
    }
    pub(super) fn parked(self, user: bool, masked: bool) -> u64 {
        self.with_phase(PARKED) | if user { USER_PARK } else { 0 } | if masked { MASKED } else { 0 }
    }
    /// The wait is over: awake, next epoch, no longer this wait's flags.
    pub(super) fn ended(self, cause: u64) -> u64 {
        (self.0 & !(PHASE | USER_PARK | MASKED | CAUSE) | AWAKE | cause).wrapping_add(EPOCH_ONE)
    }
}
