//! The hub's timer wheel: which nodes are due, in constant time per node, however many there are.
//!
//! Time is a `u64` of nanoseconds since the runtime's start, cut into *ticks* of 2^14 ns (16.384 µs). A node is due
//! at the first tick that does not begin before its deadline, so nothing ever fires early and nothing more than one
//! tick late by the wheel's doing.
//!
//! # Geometry
//!
//! A tick is read as a number in base 64. *Level* `l` has one slot for each value of digit `l`. A node hangs in the
//! level of the highest digit in which its tick differs from `current`, in the slot of that digit:
//!
//! ```text
//! current   0 0 0 | 3 | 17 | 60          digits, highest first
//! due       0 0 0 | 3 | 20 |  5          differs first in digit 1: level 1, slot 20
//! ```
//!
//! So level 0 holds what is due in the present run of 64 ticks, one slot per tick, level 1 the rest of the present
//! run of 64^2, and so on. Nine levels hold every `u64`, so no deadline is too far and none needs a special case
//! (level 5 already begins 4.9 hours ahead; the slots above it cost 4.5 KiB a hub and are hardly ever touched).
//!
//! Two things follow, and everything below rests on them:
//!
//! - **A level's slots all lie before the next level's.** Hence the first occupied slot of the lowest occupied
//!   level holds the node that is due first; a bitmap per level finds it.
//! - **The slot `current` is in is empty on every level but 0.** When `current` enters a slot, its nodes *cascade*:
//!   they are hung anew, each on a lower level, in their old order, before anything else can be inserted. Hence
//!   nodes of equal tick always lie in the order of insertion, whatever levels they came by.
//!
//! A node cascades at most once per level, and one whose deadline is `64^l` ticks away at most `l` times; a 1 s
//! sleep is moved twice. Cascading a slot is not divided: a million nodes in one slot are a million pointer steps
//! in one call of [`Wheel::pop_expired`]. Firing is divided, for it hands out one node a call.
//!
//! # Nodes
//!
//! Lists are circular and doubly linked through the nodes themselves, with the slot as the head, so unlinking looks
//! at no list head and allocates nothing. The slot is itself a [`TimerNode`]; the tick it stores is a lower bound of
//! the ticks in its list, which spares an idle hub from waking only to cascade.
//!
//! The wheel takes no lock and reads no clock. Whoever owns it (the hub; in migrate mode, the holder of the lock
//! around it) is the only one to touch it and the nodes in it.

use std::cell::Cell;
use std::ptr::{self, NonNull};

#[cfg(all(test, not(greenhub_loom)))]
mod tests;

const TICK_BITS: u32 = 14;
const TICK: u64 = 1 << TICK_BITS;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// The last deadline is rounded up to tick 2^50, which has nine digits.
const LEVELS: usize = 9;

/// A timer's place in a [`Wheel`], embedded in what it is for (a greenlet's header).
///
/// It is linked from [`Wheel::insert`] until it is removed or popped, and must not move meanwhile. Its methods, like
/// the wheel's, are for the wheel's owner only.
#[repr(C)]
pub(crate) struct TimerNode {
    /// Null while unlinked.
    next: Cell<*const TimerNode>,
    prev: Cell<*const TimerNode>,
    /// When it is due. In a slot's own node: no later than any tick in its list.
    tick: Cell<u64>,
}

impl TimerNode {
    /// A node in no wheel.
    pub(crate) const fn new() -> Self {
        Self { next: Cell::new(ptr::null()), prev: Cell::new(ptr::null()), tick: Cell::new(u64::MAX) }
    }

    /// Whether the node is in a wheel.
    #[inline]
    pub(crate) fn is_linked(&self) -> bool {
        !self.next.get().is_null()
    }

    /// When the node fires, if it is linked: its deadline, or the wheel's time at insertion if that was later,
    /// rounded up to the tick. A new deadline that is not before this needs no move: let it fire and insert it again.
    #[cfg(test)]
    pub(crate) fn expiry(&self) -> Option<u64> {
        self.is_linked().then(|| nanoseconds(self.tick.get()))
    }
}

/// The timers of one hub. See the module's page.
pub(crate) struct Wheel {
    /// `LEVELS * SLOTS` list heads, owned. A raw pointer, because the nodes point back into it.
    slots: NonNull<TimerNode>,
    /// No node is due before this tick.
    current: u64,
    /// Bit `s` of word `l`: slot `s` of level `l` holds a node.
    occupied: [u64; LEVELS],
    /// Bit `l`: `occupied[l]` is not zero.
    levels: u32,
}

// SAFETY: the wheel owns its slots, and the contract of `insert` lets nobody but the wheel's owner touch a linked
// node, so both may be handed to another thread together.
unsafe impl Send for Wheel {}

impl Wheel {
    /// An empty wheel whose time is `now`.
    pub(crate) fn new(now: u64) -> Self {
        let slots: Box<[TimerNode]> = (0..LEVELS * SLOTS).map(|_| TimerNode::new()).collect();
        let slots = NonNull::from(Box::leak(slots)).cast::<TimerNode>();
        let wheel = Self { slots, current: now >> TICK_BITS, occupied: [0; LEVELS], levels: 0 };
        for index in 0..LEVELS * SLOTS {
            wheel.make_empty(wheel.slot(index));
        }
        wheel
    }

    /// Whether no node is linked.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.levels == 0
    }

    /// Links `node`, to be popped once `now >= at`. A deadline that has passed counts as due at the wheel's time.
    ///
    /// # Safety
    ///
    /// `node` is not linked (in this wheel or another). Until it is popped or removed, or the wheel is dropped, it
    /// stays where it is, stays alive, and is touched by nobody but the wheel's owner.
    #[inline]
    pub(crate) unsafe fn insert(&mut self, node: NonNull<TimerNode>, at: u64) {
        // SAFETY: alive by the contract.
        debug_assert!(unsafe { !node.as_ref().is_linked() }, "timer node inserted twice");
        let tick = at.div_ceil(TICK).max(self.current);
        // SAFETY: handed on.
        unsafe { self.link(node.as_ptr(), tick) };
    }

    /// Unlinks `node`; does nothing if it is not linked.
    ///
    /// # Safety
    ///
    /// `node` is alive, and if it is linked it is linked in this wheel.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, node: NonNull<TimerNode>) {
        // SAFETY: alive by the contract.
        if unsafe { node.as_ref().is_linked() } {
            // SAFETY: linked, and in this wheel by the contract.
            unsafe { self.unlink(node.as_ptr()) };
        }
    }

    /// The latest time until which nothing need be done: no later than the expiry of any linked node, and exactly
    /// the first one's unless a node has been removed from its slot. `None` if no node is linked.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let (level, slot) = self.first_occupied()?;
        let head = self.slot(level * SLOTS + slot);
        // SAFETY: the slots live as long as the wheel.
        Some(nanoseconds(unsafe { (*head).tick.get() }))
    }

    /// Unlinks and returns a node that is due at `now`: the first by tick, and among nodes of one tick the first
    /// inserted. `None` once no more are due.
    ///
    /// Between two calls nodes may be inserted and removed at will, the popped one included, and the calls may stop
    /// at any number of nodes: what is left is popped later. A `now` before that of an earlier call is harmless.
    #[inline]
    pub(crate) fn pop_expired(&mut self, now: u64) -> Option<NonNull<TimerNode>> {
        let now = now >> TICK_BITS;
        loop {
            let first =
                self.first_occupied().map(|(level, slot)| (level, slot, self.slot_start(level, slot)));
            let Some((level, slot, start)) = first.filter(|&(_, _, start)| start <= now) else {
                // No occupied slot begins by `now`, so moving there enters none.
                self.current = self.current.max(now);
                return None;
            };
            self.current = start;
            if level == 0 {
                // SAFETY: an occupied slot's list is not empty, and its nodes are alive and ours by the contract of
                // `insert`.
                unsafe {
                    let node = (*self.slot(slot)).next.get().cast_mut();
                    self.unlink(node);
                    return Some(NonNull::new_unchecked(node));
                }
            }
            self.cascade(level, slot);
        }
    }

    /// Hangs the nodes of a slot that `current` has just entered anew, in their order.
    fn cascade(&mut self, level: usize, slot: usize) {
        let head = self.slot(level * SLOTS + slot);
        // SAFETY: the slots live as long as the wheel.
        let mut node = unsafe { (*head).next.get() };
        self.mark_empty(head);
        while !ptr::eq(node, head) {
            // SAFETY: linked nodes are alive and ours by the contract of `insert`; each is relinked after its
            // successor has been read, and never into this list, for its tick now differs from `current` in a
            // lower digit.
            unsafe {
                let next = (*node).next.get();
                self.link(node, (*node).tick.get());
                node = next;
            }
        }
    }

    /// Appends `node` to the list of the slot for `tick`, which is not before `current`.
    ///
    /// # Safety
    ///
    /// As for [`insert`](Self::insert), but for a node that `cascade` is taking from its list.
    #[inline]
    unsafe fn link(&mut self, node: *const TimerNode, tick: u64) {
        let level = level_of(self.current, tick);
        let slot = digit(tick, level);
        self.occupied[level] |= 1 << slot;
        self.levels |= 1 << level;
        let head = self.slot(level * SLOTS + slot);
        // SAFETY: the slots live as long as the wheel; `node` and the last node of the list are alive and ours by
        // the contract of `insert`.
        unsafe {
            (*head).tick.set((*head).tick.get().min(tick));
            let last = (*head).prev.get();
            (*node).tick.set(tick);
            (*node).prev.set(last);
            (*node).next.set(head);
            (*last).next.set(node);
            (*head).prev.set(node);
        }
    }

    /// Takes `node` out of its list.
    ///
    /// # Safety
    ///
    /// `node` is linked in this wheel.
    #[inline]
    unsafe fn unlink(&mut self, node: *const TimerNode) {
        // SAFETY: the neighbours of a linked node are linked nodes or slots, so alive and ours.
        unsafe {
            let (prev, next) = ((*node).prev.get(), (*node).next.get());
            (*prev).next.set(next);
            (*next).prev.set(prev);
            (*node).next.set(ptr::null());
            // Only the last node of a list has the same neighbour on both sides: the slot.
            if ptr::eq(prev, next) {
                self.mark_empty(prev);
            }
        }
    }

    /// Makes the list of slot `head` empty and clears its bit.
    #[inline]
    fn mark_empty(&mut self, head: *const TimerNode) {
        self.make_empty(head);
        // SAFETY: `head` is one of our slots.
        let index = unsafe { head.offset_from_unsigned(self.slots.as_ptr()) };
        let level = index / SLOTS;
        self.occupied[level] &= !(1 << (index % SLOTS));
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Points slot `head` at itself, with no bound on the ticks in its list.
    #[inline]
    fn make_empty(&self, head: *const TimerNode) {
        // SAFETY: `head` is one of our slots, which live as long as the wheel.
        unsafe {
            (*head).next.set(head);
            (*head).prev.set(head);
            (*head).tick.set(u64::MAX);
        }
    }

    /// The slot of the node that is due first, as level and digit.
    #[inline]
    fn first_occupied(&self) -> Option<(usize, usize)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The first tick of a slot: the digits of `current` above it, then its own, then zeros.
    #[inline]
    fn slot_start(&self, level: usize, slot: usize) -> u64 {
        let shift = DIGIT_BITS * level as u32;
        (self.current & (u64::MAX << (shift + DIGIT_BITS))) | ((slot as u64) << shift)
    }

    #[inline]
    fn slot(&self, index: usize) -> *const TimerNode {
        debug_assert!(index < LEVELS * SLOTS);
        // SAFETY: every caller's index is below the number of slots.
        unsafe { self.slots.as_ptr().add(index) }
    }
}

impl Drop for Wheel {
    /// Unlinks whatever is still in it.
    fn drop(&mut self) {
        while let Some((level, slot)) = self.first_occupied() {
            // SAFETY: an occupied slot's list is not empty, and its nodes are alive and ours by the contract of
            // `insert`.
            unsafe { self.unlink((*self.slot(level * SLOTS + slot)).next.get()) };
        }
        let slots = ptr::slice_from_raw_parts_mut(self.slots.as_ptr(), LEVELS * SLOTS);
        // SAFETY: made by `Box::leak` in `new` with this length, and no node points to it any more.
        drop(unsafe { Box::from_raw(slots) });
    }
}

/// The level for `tick`: the highest digit in which it differs from `current`, or 0.
#[inline]
fn level_of(current: u64, tick: u64) -> usize {
    let highest_bit = u64::BITS - 1 - ((current ^ tick) | 1).leading_zeros();
    (highest_bit / DIGIT_BITS) as usize
}

#[inline]
fn digit(tick: u64, level: usize) -> usize {
    (tick >> (DIGIT_BITS * level as u32)) as usize % SLOTS
}

/// A tick's first nanosecond. The tick of a deadline in the last 16 µs of the `u64` begins beyond it.
#[inline]
fn nanoseconds(tick: u64) -> u64 {
    tick.saturating_mul(TICK)
}
