//! How the state word is changed: by a compare-exchange, or, while it is [`BIASED`], under the state's lock.
//!
//! Most greenlets are parked on one hub all the time, and woken by it. Once that has gone on for a while a greenlet's word
//! comes to be biased: the lock is biased to the hub's thread, which takes it and loads and stores the word, all without a
//! read-modify-write ([`State::by_bias`]). Whoever wants to change the word otherwise takes that bit back first, under the
//! lock, and then makes its compare-exchange. The hub may set it again, until somebody else has taken the lock: that revokes
//! the lock's bias for good, and costs as much as some hundred parks and wakes save by it.
//!
//! `BIASED` is set by a compare-exchange, which others who are about to make theirs see fail, and it is taken back under the
//! lock; so no compare-exchange comes between a load and a store. After a change by compare-exchange the greenlet may be gone,
//! unless its maker has something else that keeps it.

use super::State;
use super::word::{BIASED, PARKS, PARKS_ONE, Snapshot};
use crate::facade::ThreadMark;
use crate::facade::atomic::Ordering;
use crate::greenlet::current;

impl State {
    /// Replaces the word by `step` of it; gives the word before, or, where `step` declines, the word it declined.
    #[inline(always)]
    pub(super) fn update(&self, step: impl Fn(Snapshot) -> Option<u64>) -> Result<Snapshot, Snapshot> {
        let now = self.word.load(Ordering::Acquire);
        let Some(next) = step(Snapshot(now)) else { return Err(Snapshot(now)) };
        if now & BIASED != 0 {
            return self.update_again(step);
        }
        match self.word.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(before) => Ok(Snapshot(before)),
            Err(_) => self.update_again(step),
        }
    }

    /// [`State::update`] of a word that is biased, or that somebody else has just changed.
    #[cold]
    #[inline(never)]
    fn update_again(&self, step: impl Fn(Snapshot) -> Option<u64>) -> Result<Snapshot, Snapshot> {
        loop {
            let now = self.word.load(Ordering::Acquire);
            let Some(next) = step(Snapshot(now)) else { return Err(Snapshot(now)) };
            if now & BIASED != 0 {
                self.unbias();
            } else if let Ok(before) =
                self.word.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                return Ok(Snapshot(before));
            }
        }
    }

    /// Replaces the word by `step` of it, if it is biased to the calling thread, whose mark `me` gives, and `step` does not
    /// decline. Otherwise the change is to be made by [`State::update`].
    ///
    /// What the caller may call this by (the right to run the greenlet, the lock of a list or wheel that it must take before it
    /// goes on, a reference) keeps the header alive until the step, and if there is none. No step lets an owner go, and what ends
    /// a wait leaves the greenlet to the caller, who pushes it afterwards. So nobody else can run it to its end before the lock is
    /// given back: who wants to end a wait that was begun here takes the bias back first, and waits for that.
    #[inline(always)]
    pub(super) fn by_bias(
        &self,
        me: impl FnOnce() -> ThreadMark,
        step: impl FnOnce(Snapshot) -> Option<u64>,
    ) -> bool {
        // Relaxed: it is read again.
        if self.word.load(Ordering::Relaxed) & BIASED == 0 || !self.lock.enter(me()) {
            return false;
        }
        // Acquire and Release, as in `update`: the lock shows others nothing, since they go by the word alone.
        let now = self.word.load(Ordering::Acquire);
        debug_assert_ne!(
            now & BIASED,
            0,
            "taken back without the lock, or before the lock's bias was revoked"
        );
        let next = step(Snapshot(now));
        if let Some(next) = next {
            self.word.store(next, Ordering::Release);
        }
        self.lock.leave();
        next.is_some()
    }

    /// Takes the bias back. The caller keeps the header alive.
    fn unbias(&self) {
        if self.lock.is_biased_to_a_lost_thread() {
            // In the child of a fork. The hub may have been amid a change, which it will never end; the word is whole, before
            // that change or after, and all who are here change it by read-modify-writes.
            self.word.fetch_and(!BIASED, Ordering::AcqRel);
            return;
        }
        self.lock.acquire(current::mark());
        // Acquire and Release, as in `update`.
        let now = self.word.load(Ordering::Acquire);
        if now & BIASED != 0 {
            // Nobody else changes it: whoever finds the bit set needs the lock.
            self.word.store(now & !BIASED, Ordering::Release);
        }
        self.lock.release();
    }

    /// Another thread than the hub's has woken the greenlet, or it has come to another hub: so it may again, and one hub shall
    /// have to park and wake it often in a row. Called with the right to run it.
    pub(crate) fn count_parks_anew(&self) {
        // Not each time, which would cost as much as is to be gained: who has come half way begins again.
        // Relaxed: only a count is read.
        if self.word.load(Ordering::Relaxed) & PARKS > PARKS / 2 {
            let _before = self.update(|now| Some(now.0 & !PARKS));
        }
    }

    /// Counts that the greenlet parks on the hub that has the mark; gives the word that follows. Called by that hub.
    #[inline]
    pub(super) fn count_park(&self, now: Snapshot, hub: Option<ThreadMark>) -> Snapshot {
        match hub {
            Some(_) if now.0 & PARKS < PARKS => Snapshot(now.0 + PARKS_ONE),
            // Others come to the lock only by the bit that is set here, after this.
            Some(hub) if self.lock.bias_to(hub) => Snapshot(now.0 | BIASED),
            _ => now,
        }
    }
}
