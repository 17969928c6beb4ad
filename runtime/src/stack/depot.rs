//! [`Depot`]: the unused stacks of one size class, and the regions they are cut from.
//!
//! *Warm* stacks have their memory, so that a burst of greenlets that comes again costs no system call. *Cold* ones have
//! given theirs back. A stack goes cold when a trim finds that it was not needed for a while, and never while greenlets
//! end: a system call for each, which also interrupts every other hub's processor, was a fifth of what a million sleepers
//! cost on one hub and half of it on two.
//!
//! Regions are each twice as large as the last, from 64 MiB to 64 Ki slots: a small program reserves little, and a million
//! stacks take some twenty mappings.

use super::StackSize;
use super::error::NoStack;
use super::fresh;
use super::guard::GuardPolicy;
use super::layout::SlotLayout;
use super::pool::StackPool;
use super::region::{Region, Slot};
use crate::facade::instant_now;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::Weak;
use std::time::{Duration, Instant};

/// The bytes of a class's first region; each further one is twice as large.
const FIRST_REGION: usize = 64 * 1024 * 1024;
/// No region is larger than this many slots, nor than so many bytes (which matters to large classes).
const MOST_SLOTS: usize = 64 * 1024;
const MOST_BYTES: usize = 64 * 1024 * 1024 * 1024;

/// How many unused stacks of a class may keep their memory while all hubs sleep: with more, one wakes to trim. A
/// guess: 4 MiB, where each has touched one page.
const WARM: usize = if cfg!(test) { 64 } else { 1024 };

/// What a stack must have gone unused for before a trim takes its memory.
pub(super) const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// How many lose their memory between two looks at the clock. Larger ones than usual come one by one, for one that is
/// deep and all touched takes long.
const TRIM_STEP: usize = 32;

/// The unused stacks of one class, and the regions they came from.
pub(super) struct Depot {
    /// The one used most recently last.
    warm: VecDeque<Slot>,
    cold: Vec<Slot>,
    /// Cut, but without a guard, as none was to be had at the time.
    bare: Vec<Slot>,
    regions: Vec<CutRegion>,
    /// The least that `warm` held since it was last looked at: so many, from the front, were not needed.
    least_warm: usize,
    /// How many, from the front, are to lose their memory.
    unneeded: usize,
    /// How many are in no list because they lose it now.
    in_transit: usize,
    looked_at: Instant,
}

struct CutRegion {
    region: NonNull<Region>,
    slots: usize,
    /// How many slots were cut from it; the next one has this index.
    cut: usize,
}

// SAFETY: regions are `Sync`, and the pointers are only followed while this list keeps them alive.
unsafe impl Send for CutRegion {}

impl Depot {
    pub(super) fn new() -> Depot {
        Depot {
            warm: VecDeque::new(),
            cold: Vec::new(),
            bare: Vec::new(),
            regions: Vec::new(),
            least_warm: 0,
            unneeded: 0,
            in_transit: 0,
            looked_at: instant_now(),
        }
    }

    /// Moves up to `most` slots into `shelf`, cold ones first, so that the next to be used is warm.
    pub(super) fn take(&mut self, shelf: &mut Vec<Slot>, most: usize) -> usize {
        let warm = most.min(self.warm.len());
        // A cold stack saves nothing by waiting in a cache: it is taken only when it is needed at once.
        let cold = if warm == 0 { self.cold.len().min(1) } else { 0 };
        shelf.extend(self.cold.drain(self.cold.len() - cold..));
        shelf.extend(self.warm.drain(self.warm.len() - warm..));
        self.least_warm = self.least_warm.min(self.warm.len());
        self.unneeded = self.unneeded.min(self.warm.len());
        warm + cold
    }

    /// Moves one slot or, where many were cut before, up to `most` into `shelf`, all of which need a guard yet. Gives how many.
    ///
    /// # Errors
    ///
    /// [`NoStack`] if there is not even one.
    pub(super) fn cut(
        &mut self,
        size: StackSize,
        pool: &Weak<StackPool>,
        shelf: &mut Vec<Slot>,
        most: usize,
        policy: GuardPolicy,
    ) -> Result<usize, NoStack> {
        let wanted = fresh::how_many(self.number_cut(), most, policy);
        for count in 0..wanted {
            match self.cut_one(size, pool) {
                Ok(slot) => shelf.push(slot),
                Err(error) if count == 0 => return Err(error),
                Err(_) => return Ok(count),
            }
        }
        Ok(wanted)
    }

    fn cut_one(&mut self, size: StackSize, pool: &Weak<StackPool>) -> Result<Slot, NoStack> {
        if let Some(slot) = self.bare.pop() {
            return Ok(slot);
        }
        if self.regions.last().is_none_or(|last| last.cut == last.slots) {
            let stride = SlotLayout::new(size).stride;
            let wanted = match self.regions.last() {
                None => FIRST_REGION / stride,
                Some(last) => last.slots * 2,
            };
            let wanted = wanted.min(MOST_SLOTS).min(MOST_BYTES / stride).max(1);
            let region = Region::reserve(size, wanted, pool.clone())?;
            // SAFETY: just reserved.
            let slots = unsafe { region.as_ref() }.slots();
            self.regions.push(CutRegion { region, slots, cut: 0 });
        }
        let Some(last) = self.regions.last_mut() else { unreachable!("one was just added") };
        let index = last.cut;
        last.cut += 1;
        // SAFETY: this is the region's pool, and the count makes each index come once.
        Ok(unsafe { Region::cut(last.region, index) })
    }

    /// Takes unused slots back; those given first are taken again last. Whether there are more than it should keep for long.
    pub(super) fn give(&mut self, slots: impl Iterator<Item = Slot>) -> bool {
        self.warm.extend(slots);
        self.warm.len() > WARM
    }

    /// Takes those back for which there is no guard just now.
    pub(super) fn give_bare(&mut self, slots: impl Iterator<Item = Slot>) {
        self.bare.extend(slots);
    }

    /// Takes those back that were in transit.
    pub(super) fn give_cold(&mut self, slots: Vec<Slot>) {
        self.in_transit -= slots.len();
        self.cold.extend(slots);
    }

    /// Whether some are in transit.
    pub(super) fn is_trimming(&self) -> bool {
        self.in_transit > 0
    }

    /// Whether any is neither here nor bare: in use, in a cache, or in transit.
    pub(super) fn has_out(&self) -> bool {
        self.number_cut() > self.warm.len() + self.cold.len() + self.bare.len()
    }

    fn number_cut(&self) -> usize {
        self.regions.iter().map(|region| region.cut).sum()
    }

    /// Finds out, from time to time, what was not needed since the last time.
    pub(super) fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked_at) >= TRIM_INTERVAL {
            self.looked_at = now;
            self.unneeded = self.least_warm;
            self.least_warm = self.warm.len();
        }
    }

    /// Some of the warm slots that nobody took for a while. They are in transit.
    pub(super) fn take_unneeded(&mut self) -> Vec<Slot> {
        let Some(first) = self.warm.front().filter(|_| self.unneeded > 0) else { return Vec::new() };
        let one_by_one = first.size > StackSize::DEFAULT;
        let count = if one_by_one { 1 } else { self.unneeded.min(TRIM_STEP) };
        self.unneeded -= count;
        self.least_warm = self.least_warm.saturating_sub(count);
        self.in_transit += count;
        self.warm.drain(..count).collect()
    }

    /// After which time there is more to trim, if so.
    pub(super) fn time_to_next_trim(&self, now: Instant) -> Option<Duration> {
        if self.unneeded > 0 {
            Some(Duration::ZERO)
        } else if self.warm.len() > WARM {
            Some(TRIM_INTERVAL.saturating_sub(now.saturating_duration_since(self.looked_at)))
        } else {
            None
        }
    }

    /// The pool goes: regions are freed, or left to those of their slots that are not here.
    pub(super) fn abandon(&mut self) {
        let unused = self.warm.drain(..).chain(self.cold.drain(..)).chain(self.bare.drain(..));
        let mut home: Vec<NonNull<Region>> = unused.map(|slot| slot.region).collect();
        home.sort_unstable();
        for CutRegion { region, cut, .. } in self.regions.drain(..) {
            let first = home.partition_point(|&other| other < region);
            let past = home.partition_point(|&other| other <= region);
            // SAFETY: this is the pool's, which is going: it calls this once for each region, and the returned slots are
            // forgotten.
            unsafe { Region::abandon(region, cut - (past - first)) };
        }
    }
}
