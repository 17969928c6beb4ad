//! Memory for headers: each hub keeps the blocks of greenlets that ended on it for those it spawns next.
//!
//! A greenlet's header, result and closure are one block. Blocks come and go at the rate of spawns and in bursts (a
//! join leaves a stale queue entry, and those are swept many at a time), which is what a general allocator's fast path
//! is not made for; and the block freed last is the one in the cache. Sizes are rounded up to cache lines, so that
//! greenlets of different closures share blocks.

use super::current;
use crate::sanitize::KEEPS_FREED_BLOCKS;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

const LINE: usize = 64;
/// Blocks up to this size are kept; a closure that carries more pays for an allocation.
const LARGEST: usize = 1024;
const CLASSES: usize = LARGEST / LINE;
const ALIGN: usize = 16;
/// How much one hub keeps at most: a burst of some ten thousand greenlets.
const KEEP: usize = 8 << 20;
/// How much it keeps while it is idle.
const KEEP_IDLE: usize = 256 << 10;

/// The blocks that one hub keeps.
pub(crate) struct Blocks {
    free: [Cell<*mut Free>; CLASSES],
    kept: Cell<usize>,
}

/// A free block: the first word links to the next.
struct Free {
    next: *mut Free,
}

/// The class of a block, if blocks like it are kept.
const fn class(layout: Layout) -> Option<usize> {
    if KEEPS_FREED_BLOCKS && layout.size() <= LARGEST && layout.size() > 0 && layout.align() <= ALIGN {
        Some((layout.size() - 1) / LINE)
    } else {
        None
    }
}

/// How the block of a class is allocated.
const fn class_layout(class: usize) -> Layout {
    match Layout::from_size_align((class + 1) * LINE, ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a few cache lines are a valid layout"),
    }
}

/// A block for a value of `layout`, uninitialised.
#[inline]
pub(crate) fn take(layout: Layout) -> NonNull<u8> {
    let Some(class) = class(layout) else { return fresh(layout) };
    match current::hub().and_then(|hub| hub.blocks.pop(class)) {
        Some(block) => block,
        None => fresh(class_layout(class)),
    }
}

/// Gives back the block of a value of `layout`.
///
/// # Safety
///
/// `block` came from [`take`] with this layout, and nothing refers to it any more.
#[inline]
pub(crate) unsafe fn give(block: NonNull<u8>, layout: Layout) {
    let Some(class) = class(layout) else {
        // SAFETY: the caller's promise; a block without a class was allocated with its own layout.
        return unsafe { dealloc(block.as_ptr(), layout) };
    };
    match current::hub() {
        Some(hub) if hub.blocks.kept.get() < KEEP => hub.blocks.push(class, block),
        // SAFETY: the caller's promise; every block of a class is allocated with the class's layout.
        _ => unsafe { dealloc(block.as_ptr(), class_layout(class)) },
    }
}

#[cold]
fn fresh(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout here is empty: a header is not.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Blocks {
    pub(crate) const fn new() -> Self {
        Self { free: [const { Cell::new(ptr::null_mut()) }; CLASSES], kept: Cell::new(0) }
    }

    #[inline]
    fn pop(&self, class: usize) -> Option<NonNull<u8>> {
        let head = NonNull::new(self.free[class].get())?;
        // SAFETY: blocks in the list are free and linked by their first word.
        self.free[class].set(unsafe { head.as_ref() }.next);
        self.kept.set(self.kept.get() - (class + 1) * LINE);
        Some(head.cast())
    }

    #[inline]
    fn push(&self, class: usize, block: NonNull<u8>) {
        let block = block.cast::<Free>();
        // SAFETY: the block is free, and at least a cache line long.
        unsafe { block.write(Free { next: self.free[class].get() }) };
        self.free[class].set(block.as_ptr());
        self.kept.set(self.kept.get() + (class + 1) * LINE);
    }

    /// Gives back what an idle hub need not keep.
    pub(crate) fn trim(&self) {
        self.shrink(KEEP_IDLE);
    }

    fn shrink(&self, keep: usize) {
        for class in 0..CLASSES {
            while self.kept.get() > keep
                && let Some(block) = self.pop(class)
            {
                // SAFETY: a free block of this class, out of the list.
                unsafe { dealloc(block.as_ptr(), class_layout(class)) };
            }
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.shrink(0);
    }
}
