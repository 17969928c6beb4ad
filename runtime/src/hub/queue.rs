//! A hub's ready queues: what it will run next, in which order.
//!
//! * the *ring*: started greenlets that are ready again, and unstarted ones that may not leave. Owner only, no atomics.
//! * the *deque*: unstarted greenlets (in migrate mode started ones too), oldest first, which thieves may take.
//! * the *overflow*: once the deque holds about a thousand, and until it is empty again, newer unstarted greenlets go
//!   here and are taken newest first, so that a tree of a million greenlets keeps few live stacks. Thieves take its
//!   oldest.
//!
//! Ring and deque act as one first-in-first-out queue: a ring entry carries the number of greenlets that had been
//! pushed on the deque before it, and may run once all those have left the deque. (While a burst is on [`hold`] it need not
//! wait for that.)

use super::policy;
use crate::facade::deque::{Steal, Stealer, Worker};
use crate::facade::spin_loop;
use crate::greenlet::header;
use crate::greenlet::memory::prefetch;
use crate::greenlet::state::Owner;
use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;

use ahead::Ahead;
pub(crate) use entry::Entry;
use hold::Hold;

mod ahead;
mod entry;
mod hold;
#[cfg(all(test, greenhub_loom))]
mod model;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;

/// What others see of a hub's queues.
pub(crate) struct Stealers {
    deque: Stealer<Entry>,
    overflow: Stealer<Entry>,
}

/// One hub's queues.
pub(crate) struct Queue {
    ring: UnsafeCell<VecDeque<(Entry, u64)>>,
    deque: Worker<Entry>,
    /// How many entries were ever pushed on the deque.
    pushed: Cell<u64>,
    /// No fewer than the deque holds: thieves only take.
    deque_at_most: Cell<usize>,
    overflow: Worker<Entry>,
    /// No fewer than the overflow holds; not zero before the deque is empty too, unless a sweep has emptied it.
    overflow_at_most: Cell<usize>,
    turn: Cell<u32>,
    ahead: Ahead,
    /// Start entries in deque and overflow whose greenlet was claimed by its joiner.
    stale: Cell<usize>,
    /// Migrate mode: started greenlets lie in the deque too.
    mixed: bool,
    /// Then: how many of them are unstarted, but for those that came by stealing; `sort_out` counts anew before it acts.
    unstarted_at_most: Cell<usize>,
    /// Whether what lies in the deque is left to others for a moment.
    hold: Hold,
    /// For `sweep`; empty but in it.
    swept: Cell<Vec<Entry>>,
}

impl Queue {
    /// Empty queues. `mixed`: started greenlets may be taken too, so they come to the deque. Otherwise `shared` says
    /// whether there are other hubs to take what has not started.
    pub(crate) fn new(mixed: bool, shared: bool) -> Self {
        Self {
            hold: Hold::new(shared && !mixed),
            mixed,
            unstarted_at_most: Cell::new(0),
            ring: UnsafeCell::new(VecDeque::with_capacity(256)),
            deque: Worker::new_fifo(),
            pushed: Cell::new(0),
            deque_at_most: Cell::new(0),
            overflow: Worker::new_lifo(),
            overflow_at_most: Cell::new(0),
            turn: Cell::new(0),
            ahead: Ahead::new(),
            stale: Cell::new(0),
            swept: Cell::default(),
        }
    }

    pub(crate) fn stealers(&self) -> Stealers {
        Stealers { deque: self.deque.stealer(), overflow: self.overflow.stealer() }
    }

    #[inline]
    #[allow(clippy::mut_from_ref)] // the one place that makes the reference; see the SAFETY line
    fn ring(&self) -> &mut VecDeque<(Entry, u64)> {
        // SAFETY: `Queue` is not `Sync`, and no method keeps this reference beyond its own body or calls out while it
        // holds it.
        unsafe { &mut *self.ring.get() }
    }

    /// A greenlet that stays here.
    #[inline]
    pub(crate) fn push_ring(&self, entry: Entry) {
        let ring = self.ring();
        self.ahead.pushing(ring, entry);
        ring.push_back((entry, self.pushed.get()));
    }

    /// A greenlet that any hub may take. Gives the length of the queue it went to.
    #[inline]
    pub(crate) fn push_shared(&self, entry: Entry) -> usize {
        if self.mixed {
            return self.push_mixed(entry);
        }
        if self.deque_at_most.get() < policy::DEQUE_LIMIT && self.overflow_at_most.get() == 0 {
            self.push_deque(entry)
        } else {
            self.push_overflow(entry)
        }
    }

    #[inline]
    fn push_deque(&self, entry: Entry) -> usize {
        self.deque.push(entry);
        self.pushed.set(self.pushed.get() + 1);
        let length = self.deque_at_most.get() + 1;
        self.deque_at_most.set(length);
        if length == 1 {
            self.hold.reset();
        }
        length
    }

    fn push_overflow(&self, entry: Entry) -> usize {
        self.deque_at_most.set(self.deque.len());
        self.overflow.push(entry);
        self.overflow_at_most.set(self.overflow_at_most.get() + 1);
        self.overflow_at_most.get()
    }

    /// As [`Queue::push_shared`], where the deque holds started greenlets too. While the overflow is in use it holds
    /// *only* those, so that they can be told apart: started ones first is what bounds the stacks.
    fn push_mixed(&self, entry: Entry) -> usize {
        if !entry.is_start() {
            return self.push_deque(entry);
        }
        if self.overflow_at_most.get() == 0 {
            let unstarted = self.unstarted_at_most.get();
            if unstarted < policy::DEQUE_LIMIT || !self.sort_out() {
                self.unstarted_at_most.set(self.unstarted_at_most.get() + 1);
                return self.push_deque(entry);
            }
        }
        self.push_overflow(entry)
    }

    /// Moves the unstarted greenlets from the deque to the overflow, the newest on top. `false`: there are not so many
    /// any more, thieves have taken them, so they stay.
    #[cold]
    fn sort_out(&self) -> bool {
        let turn_round = |keep: &mut dyn FnMut(Entry) -> bool| {
            let mut kept = 0;
            for _ in 0..self.deque.len() {
                let Some(entry) = self.deque.pop() else { break };
                if keep(entry) {
                    self.deque.push(entry);
                    kept += 1;
                }
            }
            // As in `sweep`: what is in the ring passes them this once.
            self.pushed.set(self.pushed.get() + kept);
        };
        let mut unstarted = 0;
        turn_round(&mut |entry| {
            unstarted += usize::from(entry.is_start());
            true
        });
        self.unstarted_at_most.set(unstarted);
        if unstarted < policy::DEQUE_LIMIT / 2 {
            return false;
        }
        turn_round(&mut |entry| {
            if entry.is_start() {
                self.push_overflow(entry);
            }
            !entry.is_start()
        });
        self.unstarted_at_most.set(0);
        true
    }

    /// The next entry, if there is one.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Entry> {
        let ring = self.ring();
        if self.deque_at_most.get() == 0 && self.overflow_at_most.get() == 0 {
            let (entry, _) = ring.pop_front()?;
            self.ahead.popped(ring, entry);
            return Some(entry);
        }
        self.pop_mixed()
    }

    fn pop_mixed(&self) -> Option<Entry> {
        if self.overflow_at_most.get() != 0 {
            // Started greenlets first, which bounds the stacks in use, but not to the point of starving the others.
            let turn = self.turn.get().wrapping_add(1);
            self.turn.set(turn);
            if !turn.is_multiple_of(policy::UNSTARTED_EVERY) {
                if let Some((entry, _)) = self.ring().pop_front() {
                    return Some(entry);
                }
                if self.mixed
                    && let Some(entry) = self.pop_deque()
                {
                    return Some(entry);
                }
            }
            if let Some(entry) = self.overflow.pop() {
                self.overflow_at_most.set((self.overflow_at_most.get() - 1).max(1));
                return Some(entry);
            }
            // Newest first until the deque is used up as well. Were it filled up again as soon as there is room, half the
            // children of each of its greenlets would go to its end, and a binary tree's live stacks would grow by a
            // thousand a level: 10,241 for a million. (In migrate mode no unstarted ones are left there.)
            let goes_on = !self.mixed && !self.deque.is_empty();
            self.overflow_at_most.set(usize::from(goes_on));
        }
        let queued = self.deque.len();
        if queued == 0 {
            self.deque_at_most.set(0);
        }
        if let Some(&(entry, before)) = self.ring().front()
            && (before + queued as u64 <= self.pushed.get() || self.hold.lasts(queued))
        {
            self.ring().pop_front();
            return Some(entry);
        }
        match self.pop_deque() {
            Some(entry) => Some(entry),
            None => {
                self.deque_at_most.set(0);
                self.ring().pop_front().map(|(entry, _)| entry)
            }
        }
    }

    #[inline]
    fn pop_deque(&self) -> Option<Entry> {
        let entry = self.deque.pop()?;
        self.deque_at_most.set(self.deque_at_most.get().saturating_sub(1));
        if self.mixed && entry.is_start() {
            self.unstarted_at_most.set(self.unstarted_at_most.get().saturating_sub(1));
        }
        Some(entry)
    }

    /// Whether nothing is ready here.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ring().is_empty() && self.shared_is_empty()
    }

    fn shared_is_empty(&self) -> bool {
        (self.deque_at_most.get() == 0 || self.deque.is_empty())
            && (self.overflow_at_most.get() == 0 || self.overflow.is_empty())
    }

    /// How much is ready here: in the ring, and in what others may take.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.ring().len(), self.deque.len() + self.overflow.len())
    }

    /// Takes up to `limit` entries, no more than half, from another hub's queues. Gives the first, the others are
    /// now here; and how many were taken.
    pub(crate) fn steal_from(&self, victim: &Stealers, limit: usize) -> Option<(Entry, usize)> {
        for stealer in [&victim.deque, &victim.overflow] {
            // A bounded number of tries: who keeps losing the race goes to the next victim.
            for _ in 0..policy::STEAL_RETRIES {
                let before = self.deque.len();
                match stealer.steal_batch_with_limit_and_pop(&self.deque, limit) {
                    Steal::Success(entry) => {
                        let moved = self.deque.len().saturating_sub(before);
                        self.pushed.set(self.pushed.get() + moved as u64);
                        self.deque_at_most.set(self.deque_at_most.get() + moved);
                        return Some((entry, moved + 1));
                    }
                    Steal::Empty => break,
                    Steal::Retry => spin_loop(),
                }
            }
        }
        None
    }

    /// A greenlet whose start entry lies here was claimed. Once stale entries are half of what lies here they are
    /// swept out: `true`.
    #[inline]
    pub(crate) fn note_stale(&self) -> bool {
        let stale = self.stale.get() + 1;
        self.stale.set(stale);
        if stale >= policy::SWEEP_FROM && stale.is_multiple_of(policy::SWEEP_FROM / 4) {
            let length = self.deque.len() + self.overflow.len();
            if stale * 2 >= length {
                self.sweep();
                return true;
            }
        }
        false
    }

    /// A stale entry came up.
    pub(crate) fn forget_stale(&self) {
        self.stale.set(self.stale.get().saturating_sub(1));
    }

    #[cold]
    fn sweep(&self) {
        self.stale.set(0);
        let live = |entry: Entry| {
            use crate::greenlet::state::Phase;
            if !entry.is_start() {
                return true;
            }
            // SAFETY: a start entry keeps the header alive, stale or not.
            let header = unsafe { entry.header().as_ref() };
            if header.state.load().phase() == Phase::Unstarted {
                return true;
            }
            // SAFETY: `entry` is not put back, and goes unused.
            unsafe { header::let_go(entry.header(), Owner::StaleEntry) };
            false
        };
        // Survivors keep their order. They count as pushed anew, so that what is in the ring passes them this once; so
        // do started ones that lie among them, and go first.
        let mut all = self.swept.take();
        let mut kept = 0;
        self.deque.take_all(&mut all);
        if self.mixed {
            for &entry in all.iter().filter(|entry| !entry.is_start()) {
                self.deque.push(entry);
                kept += 1;
            }
            all.retain(|entry| entry.is_start());
        }
        let started = kept;
        for entry in prefetched(&all).filter(|&entry| live(entry)) {
            self.deque.push(entry);
            kept += 1;
        }
        self.unstarted_at_most.set(kept - started);
        self.pushed.set(self.pushed.get() + kept as u64);
        self.deque_at_most.set(kept);
        all.clear();
        self.overflow.take_all(&mut all);
        let mut kept = 0;
        for entry in prefetched(&all).filter(|&entry| live(entry)) {
            self.overflow.push(entry);
            kept += 1;
        }
        self.overflow_at_most.set(kept);
        all.clear();
        self.swept.set(all);
    }

    /// The time, of now and then, by which a hold ends; `awaited` as there.
    #[inline]
    pub(crate) fn look_at_clock(&self, now: u64, awaited: impl Fn() -> bool) {
        self.hold.look_at_clock(now, awaited);
    }

    /// Gives back the memory of longer queues.
    pub(crate) fn trim(&self) {
        self.swept.take();
        self.deque.trim();
        self.overflow.trim();
    }

    /// Everything, for shutdown.
    pub(crate) fn drain(&self) -> Vec<Entry> {
        std::iter::from_fn(|| self.pop()).collect()
    }
}

/// The entries in order, each with its header on the way to the cache: they lie far apart, and were last used long ago.
fn prefetched(entries: &[Entry]) -> impl Iterator<Item = Entry> {
    const AHEAD: usize = 8;
    entries.iter().enumerate().map(|(at, &entry)| {
        if let Some(&later) = entries.get(at + AHEAD) {
            prefetch(later.header().as_ptr().cast(), 1);
        }
        entry
    })
}

impl Stealers {
    /// How much any hub may take from here.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.deque.len() + self.overflow.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.deque.is_empty() && self.overflow.is_empty()
    }
}
