//! The lock as [`lock_api`] sees it, which counts who takes it until it knows whether to be biased.

use super::{INSIDE, NO_MORE, OUTSIDE, ShortLock, ThreadMark};
use crate::facade::atomic::{AtomicU32, Ordering};
use crate::greenlet::current;

/// A [`ShortLock`] and who has taken it last.
pub(crate) struct CountedLock {
    lock: ShortLock,
    /// Written by the lock's owner: from the lowest bit on, 16 bits of the mark of the last who took it by its flag, 8 of how
    /// often in a row that one did, and 8 of how often it has changed hands.
    history: AtomicU32,
}

const STREAK_ONE: u32 = 1 << 16;
const CHANGES_ONE: u32 = 1 << 24;

/// After so many times in a row a lock is biased. To take that back costs as much as some 300 locks save by it.
const ENOUGH: u32 = 0xff * STREAK_ONE;

/// After so many changes of hands it never is. A few are usual before an object has come to where it is used.
const TOO_MANY: u32 = 8 * CHANGES_ONE;

/// What follows on `history` when `me` takes the lock; nothing changes once its streak is long enough.
#[inline]
fn follow(history: u32, me: ThreadMark) -> u32 {
    if history as u16 == me.0 {
        let streak = history & (CHANGES_ONE - STREAK_ONE);
        if streak < ENOUGH { history + STREAK_ONE } else { history }
    } else {
        (history & !(CHANGES_ONE - 1)).saturating_add(CHANGES_ONE) | u32::from(me.0)
    }
}

impl CountedLock {
    #[cfg(test)]
    pub(super) fn within(&self) -> &ShortLock {
        &self.lock
    }

    /// Takes the lock by its flag, and notes who has taken it.
    #[inline]
    fn lock_and_count(&self, me: ThreadMark) {
        self.lock.acquire_shared();
        // Relaxed: the owner's alone.
        let history = self.history.load(Ordering::Relaxed);
        let next = follow(history, me);
        if next != history {
            self.history.store(next, Ordering::Relaxed);
        } else {
            self.lock.bias_to(me);
        }
        if next >= TOO_MANY {
            self.lock.share();
        }
    }
}

/// What only a lock that counts needs.
impl ShortLock {
    /// Takes the lock if it is free; waits for whoever has it by its bias to come out.
    pub(super) fn try_acquire(&self, me: ThreadMark) -> bool {
        // Relaxed: if it is this very thread that has the lock, it sees so.
        let is_mine = self.is_biased_to(me) && self.inside.load(Ordering::Relaxed) != OUTSIDE;
        if is_mine || self.locked.load(Ordering::Relaxed) {
            return false;
        }
        let by_bias = self.acquire_by_bias(me);
        let by_flag = !by_bias && self.try_set();
        if by_flag {
            self.revoke_others();
        }
        by_bias || by_flag
    }

    /// Whether everybody has to set the flag, for good.
    #[inline]
    pub(super) fn is_shared(&self) -> bool {
        // Relaxed: there is no way back, and an early `false` costs a look.
        self.bias.load(Ordering::Relaxed) & NO_MORE != 0
    }

    /// Whether somebody had it a moment ago.
    fn is_locked(&self) -> bool {
        // Relaxed: an answer that is old when it arrives.
        self.locked.load(Ordering::Relaxed) || self.inside.load(Ordering::Relaxed) == INSIDE
    }

    /// The lock will be biased to nobody. Called by its owner, to whom it is not.
    fn share(&self) {
        self.bias.store(NO_MORE, Ordering::Relaxed);
    }
}

// SAFETY: a `ShortLock` is one owner's from `acquire` to `release`.
unsafe impl lock_api::RawMutex for CountedLock {
    const INIT: Self = Self { lock: ShortLock::new(), history: AtomicU32::new(0) };
    type Guard = lock_api::GuardNoSend;

    #[inline(always)]
    fn lock(&self) -> Self::Guard {
        if self.lock.is_shared() {
            self.lock.acquire_shared();
        } else {
            let me = current::mark();
            if !self.lock.acquire_by_bias(me) {
                self.lock_and_count(me);
            }
        }
        lock_api::GuardNoSend::new()
    }

    fn try_lock(&self) -> Option<Self::Guard> {
        self.lock.try_acquire(current::mark()).then(lock_api::GuardNoSend::new)
    }

    fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    #[inline]
    unsafe fn unlock(&self, _taken: Self::Guard) {
        self.lock.release();
    }
}
