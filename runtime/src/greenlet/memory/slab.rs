//! One slab: memory for blocks of one class, and in its first cache line what of it is at home.
//!
//! A slab is aligned to its own size, so that the address of a block tells its slab. The blocks follow that first line, and
//! each begins with a cache line: blocks go to and fro between hubs, and two that shared one would be slow for both. They
//! are carved one after the other as they are needed, so no page is touched before.
//!
//! What is here is done by whoever holds the lock of the [store](super::store), which lists the slabs.

use super::LINE;
use std::ptr::NonNull;

/// The size of a slab, and what it is aligned to: a power of two.
pub(super) const SLAB: usize = 64 << 10;

/// How many bytes a block of a class has.
pub(super) const fn size(class: usize) -> usize {
    (class + 1) * LINE
}

/// How many blocks a slab of a class has.
pub(super) const fn capacity(class: usize) -> usize {
    (SLAB - LINE) / size(class)
}

/// The first cache line of a slab.
#[repr(C, align(64))]
pub(super) struct Slab {
    class: usize,
    /// How many blocks there are so far, at home or out; the next is carved behind them.
    carved: usize,
    /// How many of them are at home.
    home: usize,
    /// These, the one that came last first.
    free: Option<NonNull<Free>>,
    /// Its neighbours in a list of the store's.
    pub(super) next: Option<NonNull<Slab>>,
    pub(super) previous: Option<NonNull<Slab>>,
}

const _: () = assert!(size_of::<Slab>() == LINE);

/// A block at home: the first word links to the next.
struct Free {
    next: Option<NonNull<Free>>,
}

impl Slab {
    /// A slab of which nothing is carved.
    pub(super) fn new(class: usize) -> Self {
        Self { class, carved: 0, home: 0, free: None, next: None, previous: None }
    }

    /// The slab of a block. The pointer may go wherever the block's may.
    pub(super) fn of(block: NonNull<u8>) -> NonNull<Slab> {
        let slab = block.as_ptr().map_addr(|address| address & !(SLAB - 1));
        // SAFETY: a block lies behind the start of its slab, which is memory, so not at the address 0.
        unsafe { NonNull::new_unchecked(slab.cast()) }
    }

    pub(super) fn class(&self) -> usize {
        self.class
    }

    /// Whether there is a block to be taken.
    pub(super) fn has_any(&self) -> bool {
        self.home > 0 || self.carved < capacity(self.class)
    }

    /// Whether no block is out.
    pub(super) fn is_whole(&self) -> bool {
        self.home == self.carved
    }

    /// The block that came home last, or else a new one, uninitialised.
    ///
    /// # Safety
    ///
    /// It is the first line of a slab, and only the caller uses that and the blocks at home.
    pub(super) unsafe fn take(mut slab: NonNull<Slab>) -> Option<NonNull<u8>> {
        // SAFETY: the caller's promise.
        let line = unsafe { slab.as_mut() };
        if let Some(block) = line.free {
            // SAFETY: a block at home begins with its link.
            line.free = unsafe { block.as_ref() }.next;
            line.home -= 1;
            return Some(block.cast());
        }
        if line.carved == capacity(line.class) {
            return None;
        }
        let start = LINE + line.carved * size(line.class);
        line.carved += 1;
        // SAFETY: behind its first line the slab has room for as many blocks as its capacity says.
        Some(unsafe { slab.cast::<u8>().add(start) })
    }

    /// Takes a block home.
    ///
    /// # Safety
    ///
    /// It is one of this slab's that is out, and nothing refers to it any more.
    pub(super) unsafe fn give(&mut self, block: NonNull<u8>) {
        debug_assert!((block.addr().get() % SLAB - LINE).is_multiple_of(size(self.class)), "not a block");
        debug_assert!(self.home < self.carved, "more came home than went out");
        let block = block.cast::<Free>();
        // SAFETY: the caller's promise; and a block is a cache line long at least.
        unsafe { block.write(Free { next: self.free }) };
        self.free = Some(block);
        self.home += 1;
    }
}
