//! A first-in-first-out ring of messages that grows up to a limit.
//!
//! The messages lie in `len` slots from slot `head` on; after the last slot comes the first. Everything is 32 bits wide,
//! so that a channel's lock, its ring and its wait lists fill one cache line (`shared`).
//!
//! The slots are the ring's own, from [`memory`], or *lent*: part of a larger block, which goes with them. The ring does
//! not note which, for want of room: who lent them knows. Dropping a ring drops nothing; [`Ring::take_left`] does.

use crate::greenlet::memory;
use std::alloc::Layout;
use std::ptr::{self, NonNull};

/// The first slots of a ring that grows fill a cache line, but there are so many at least.
const SMALLEST: usize = 4;
const LINE: usize = 64;

/// Messages in the order they came.
pub(super) struct Ring<T> {
    slots: NonNull<T>,
    /// How many slots there are.
    size: u32,
    /// Where the oldest message is. Below `size`, if there are slots.
    head: u32,
    /// How many messages there are. At most `size`.
    len: u32,
    /// Nothing to the ring: a note of its owner's, which lies here because there is room for it nowhere else.
    pub(super) closed: bool,
}

// SAFETY: a ring owns its messages, and its slots or a loan that its owner vouches for.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    /// A ring with so many slots of its own; `None` if no memory can hold them.
    pub(super) fn new(size: u32) -> Option<Self> {
        let layout = Self::layout(size)?;
        let slots = if layout.size() == 0 { NonNull::dangling() } else { memory::take(layout).cast() };
        Some(Self { slots, size, head: 0, len: 0, closed: false })
    }

    /// A ring of slots that are not its own.
    ///
    /// # Safety
    ///
    /// `slots` are that many, aligned and nobody else's, until the ring and what [`Ring::take_left`] returns are gone.
    pub(super) const unsafe fn lent(slots: NonNull<T>, size: u32) -> Self {
        Self { slots, size, head: 0, len: 0, closed: false }
    }

    /// How many slots of this size take; `None` if no memory can.
    fn layout(size: u32) -> Option<Layout> {
        Layout::array::<T>(usize::try_from(size).ok()?).ok()
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Adds a message behind all others; gives it back if every slot is taken.
    #[inline(always)]
    pub(super) fn push(&mut self, message: T) -> Result<(), T> {
        if self.len >= self.size {
            return Err(message);
        }
        // `head + len` may be more than 32 bits hold.
        let free = self.size - self.len;
        let slot = if self.head < free { self.head + self.len } else { self.head - free };
        // SAFETY: `slot` is `head + len` modulo `size`, so below `size`, and free, since `len` is less than `size`.
        unsafe { self.slots.add(slot as usize).write(message) };
        self.len += 1;
        Ok(())
    }

    /// Takes the oldest message out.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        // SAFETY: `head` is below `size` and its slot holds a message, since there is one; the slot is free from here on.
        let message = unsafe { self.slots.add(self.head as usize).read() };
        let next = self.head + 1;
        self.head = if next == self.size { 0 } else { next };
        self.len -= 1;
        Some(message)
    }

    /// Twice as many slots, but no more than `limit`. `false` if there are so many already, or no memory can hold them.
    ///
    /// # Safety
    ///
    /// The slots are not lent, or they are `limit` in number.
    #[cold]
    pub(super) unsafe fn grow(&mut self, limit: u32) -> bool {
        if self.size >= limit {
            return false;
        }
        let smallest = (LINE / size_of::<T>().max(1)).max(SMALLEST) as u32;
        let size = self.size.saturating_mul(2).max(smallest).min(limit);
        let Some(larger) = Self::new(size) else { return false };
        let [older, newer] = self.runs();
        // SAFETY: both hold messages, which move to the beginning of slots that are new, free, and more than there are
        // messages. The old slots are the ring's own (the caller's promise) and used no more.
        unsafe {
            ptr::copy_nonoverlapping(older.cast::<T>(), larger.slots.as_ptr(), older.len());
            ptr::copy_nonoverlapping(newer.cast::<T>(), larger.slots.as_ptr().add(older.len()), newer.len());
            self.give_slots();
        }
        *self = Self { len: self.len, closed: self.closed, ..larger };
        true
    }

    /// The messages: from the oldest to the last slot at most, and those that go on from the first slot.
    fn runs(&self) -> [*mut [T]; 2] {
        let older = self.len.min(self.size - self.head);
        // SAFETY: `head` is at most `size`.
        let start = unsafe { self.slots.add(self.head as usize) };
        let run = |start: NonNull<T>, len: u32| ptr::slice_from_raw_parts_mut(start.as_ptr(), len as usize);
        [run(start, older), run(self.slots, self.len - older)]
    }

    /// Gives the memory of the slots back.
    ///
    /// # Safety
    ///
    /// They are the ring's own, no message in them is used any more, and neither are they.
    unsafe fn give_slots(&mut self) {
        match Self::layout(self.size) {
            // SAFETY: taken by `new` with this layout, and the caller's promise.
            Some(layout) if layout.size() != 0 => unsafe { memory::give(self.slots.cast(), layout) },
            _ => {}
        }
    }

    /// Leaves the ring without messages and slots, and returns them.
    ///
    /// # Safety
    ///
    /// `lent` says whether the slots are lent. If so, they stay until what is returned is gone.
    pub(super) unsafe fn take_left(&mut self, lent: bool) -> Left<T> {
        let none = Self { slots: NonNull::dangling(), size: 0, head: 0, len: 0, closed: self.closed };
        Left { ring: std::mem::replace(self, none), lent }
    }
}

/// What was left in a ring: its messages, and its slots, if they were its own. Both go when this is dropped.
pub(super) struct Left<T> {
    ring: Ring<T>,
    lent: bool,
}

impl<T> Drop for Left<T> {
    fn drop(&mut self) {
        /// Drops a run of messages, and all the others if one panics, as a slice does.
        struct Run<T>(*mut [T]);
        impl<T> Drop for Run<T> {
            fn drop(&mut self) {
                // SAFETY: the messages of the `Left` around it, and nobody uses them afterwards.
                unsafe { self.0.drop_in_place() };
            }
        }
        /// Gives the slots back.
        struct Slots<'a, T>(&'a mut Ring<T>);
        impl<T> Drop for Slots<'_, T> {
            fn drop(&mut self) {
                // SAFETY: the ring's own, and this is dropped after all messages.
                unsafe { self.0.give_slots() };
            }
        }
        let [older, newer] = self.ring.runs();
        // Dropped in the opposite order, also if a message panics.
        let _slots = (!self.lent).then(|| Slots(&mut self.ring));
        let _newer = Run(newer);
        let _older = Run(older);
    }
}

#[cfg(all(test, not(greenhub_loom)))]
impl<T> Ring<T> {
    /// As if it held as many messages as a ring can. For messages without a size, which lie nowhere.
    pub(super) fn fill(&mut self) {
        assert_eq!(size_of::<T>(), 0);
        (self.size, self.head, self.len) = (u32::MAX, 0, u32::MAX);
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
