//! Fetching ahead: what a greenlet touches when its turn comes is on its way to the cache before.
//!
//! A greenlet that was parked, or is one of many that take turns, has been out of the nearer caches for long. The hub knows
//! whose turns come, so it has the processor fetch their headers, and then, by what these say, the stacks and what they
//! waited for. It does so for a [`BATCH`] of them at once: each stack is a page of its own, and so one more walk
//! through the page tables where there are more than the processor keeps addresses of. One walk a turn it would wait for;
//! of a batch it makes several at the same time.

use super::Entry;
use crate::greenlet::header;
use std::cell::Cell;
use std::collections::VecDeque;

/// How many greenlets are fetched at once: some lines each of the first cache's several hundred.
const BATCH: usize = 8;

/// From so many on greenlets that only take turns are fetched too. (Where they are in the second-level cache it is of no use:
/// 100 cost a tenth more for it, 400 as much as before, and 1000 a third less, with 512 KiB of that.)
const MANY: usize = 256;

/// Where fewer are ready a woken one is fetched at once: its turn is next.
const FEW: usize = 2;

/// How far the ready ring is fetched ahead.
pub(super) struct Ahead {
    /// How many of the first entries are.
    fetched: Cell<usize>,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Self { fetched: Cell::new(0) }
    }

    /// `entry` is about to go to the end of the `ring`.
    #[inline(always)]
    pub(super) fn pushing(&self, ring: &VecDeque<(Entry, u64)>, entry: Entry) {
        if entry.is_woken() && ring.len() < FEW {
            // SAFETY: the entry is the right to run, so the greenlet is alive, and its cells ours to look at.
            unsafe { entry.header().as_ref().fetch_rest() };
        }
    }

    /// `entry`, whose turn it is, has just left the `ring`.
    #[inline(always)]
    pub(super) fn popped(&self, ring: &VecDeque<(Entry, u64)>, entry: Entry) {
        let fetched = self.fetched.get();
        if fetched != 0 {
            self.fetched.set(fetched - 1);
        } else if ring.len() >= FEW && (entry.is_woken() || ring.len() >= MANY) {
            self.fetch(ring);
        }
    }

    #[inline(never)]
    fn fetch(&self, ring: &VecDeque<(Entry, u64)>) {
        let many = ring.len() >= MANY;
        let batch = ring.len().min(BATCH);
        self.fetched.set(batch);
        // Of the next batch, so that what is read below was fetched a batch ago.
        for &(later, _) in ring.range(batch..ring.len().min(2 * batch)) {
            if later.is_woken() {
                header::fetch_for_wait(later.header());
            } else if many {
                header::fetch_for_switch(later.header());
            }
        }
        for &(next, _) in ring.range(..batch) {
            if next.is_woken() {
                // SAFETY: as in `pushing`.
                unsafe { next.header().as_ref().fetch_rest() };
            } else if many && !next.is_start() {
                // SAFETY: as in `pushing`.
                unsafe { next.header().as_ref().fetch_stack() };
            }
        }
    }
}
