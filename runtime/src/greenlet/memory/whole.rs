//! The slabs of which no block is out, for blocks of any class.
//!
//! *Warm* ones have their memory, so that a burst that comes again need not fault it in. *Cold* ones have given it back,
//! but for a page. A slab goes cold when a trim finds that it was not needed for a while, as a stack does (`stack/depot.rs`).

use super::slab::Slab;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// What a slab must have gone unused for before a trim takes its memory.
pub(super) const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// How many may keep their memory while all hubs sleep: with more, one wakes to trim. A guess: 4 MiB.
pub(super) const WARM: usize = 64;

pub(super) struct Whole {
    /// The one that came last first.
    warm: Option<NonNull<Slab>>,
    /// How many are warm.
    count: usize,
    /// The least that were since that was last looked at: so many were not needed.
    least: usize,
    /// How many are to give their memory back.
    unneeded: usize,
    looked_at: Option<Instant>,
    cold: Option<NonNull<Slab>>,
}

impl Whole {
    pub(super) const fn new() -> Self {
        Self { warm: None, count: 0, least: 0, unneeded: 0, looked_at: None, cold: None }
    }

    /// A warm one if there is one, or else a cold one.
    pub(super) fn take(&mut self) -> Option<NonNull<Slab>> {
        self.take_warm().or_else(|| pop(&mut self.cold))
    }

    fn take_warm(&mut self) -> Option<NonNull<Slab>> {
        let slab = pop(&mut self.warm)?;
        self.count -= 1;
        self.least = self.least.min(self.count);
        self.unneeded = self.unneeded.min(self.count);
        Some(slab)
    }

    /// # Safety
    ///
    /// The slab is whole, in no place, and stays there for as long as it is here.
    pub(super) unsafe fn give(&mut self, slab: NonNull<Slab>) {
        // SAFETY: the caller's promise.
        unsafe { push(&mut self.warm, slab) };
        self.count += 1;
    }

    /// As [`Whole::give`], of one that has given its memory back.
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn give_cold(&mut self, slab: NonNull<Slab>) {
        // SAFETY: the caller's promise.
        unsafe { push(&mut self.cold, slab) };
    }

    /// Whether there are more than may stay warm for long.
    pub(super) fn are_many(&self) -> bool {
        self.count > WARM
    }

    /// Finds out, from time to time, how many were not needed since the last time.
    pub(super) fn look(&mut self, now: Instant) {
        if self.looked_at.is_none_or(|then| now.saturating_duration_since(then) >= TRIM_INTERVAL) {
            // What it was before the first look says nothing.
            self.unneeded = if self.looked_at.is_some() { self.least } else { 0 };
            self.least = self.count;
            self.looked_at = Some(now);
        }
    }

    /// Whatever is more than may be kept for long is not needed.
    pub(super) fn need_few(&mut self) {
        self.unneeded = self.unneeded.max(self.count.saturating_sub(WARM));
    }

    /// A warm one that is to give its memory back.
    pub(super) fn take_unneeded(&mut self) -> Option<NonNull<Slab>> {
        let left = self.unneeded.checked_sub(1)?;
        let slab = self.take_warm();
        self.unneeded = left;
        slab
    }

    /// After which time there is more to trim, if so.
    pub(super) fn time_to_next_trim(&self, now: Instant) -> Option<Duration> {
        if self.unneeded > 0 {
            Some(Duration::ZERO)
        } else if self.are_many() {
            let since = self.looked_at.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
            Some(TRIM_INTERVAL.saturating_sub(since))
        } else {
            None
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let next = |slab: &NonNull<Slab>| {
            // SAFETY: what is listed is there.
            unsafe { slab.as_ref() }.next
        };
        [self.warm, self.cold].into_iter().map(|first| std::iter::successors(first, next).count()).sum()
    }
}

fn pop(list: &mut Option<NonNull<Slab>>) -> Option<NonNull<Slab>> {
    let slab = (*list)?;
    // SAFETY: what is listed is there.
    *list = unsafe { slab.as_ref() }.next;
    Some(slab)
}

/// # Safety
///
/// As [`Whole::give`].
unsafe fn push(list: &mut Option<NonNull<Slab>>, mut slab: NonNull<Slab>) {
    // SAFETY: the caller's promise.
    unsafe { slab.as_mut().next = *list };
    *list = Some(slab);
}
