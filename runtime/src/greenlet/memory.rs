//! Memory for headers and channels: each hub keeps the blocks of greenlets that ended on it for those it spawns next.
//!
//! A greenlet's header, result and closure are one block. Blocks come and go at the rate of spawns and in bursts (a
//! join leaves a stale queue entry, and those are swept many at a time), which is what a general allocator's fast path
//! is not made for; and the block freed last is the one in the cache. Sizes are rounded up to cache lines, so that
//! greenlets of different closures share blocks.

use super::current;
use crate::facade::memory::{alloc, dealloc};
use crate::sanitize::KEEPS_FREED_BLOCKS;
use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// A cache line.
pub(crate) const LINE: usize = 64;
/// Blocks up to this size are kept; a closure that carries more pays for an allocation.
const LARGEST: usize = 1024;
/// A header with a small closure and result has no more; a larger block's end is not worth a fetch.
const MOST_LINES: usize = 6;
const CLASSES: usize = LARGEST / LINE;
const ALIGN: usize = 16;
/// How much one hub keeps at most, not counting what it takes to align blocks: a burst of some ten thousand greenlets.
const KEEP: usize = crate::facade::in_models(0, 8 << 20);
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

/// How the block of a class is allocated: with room for the way to the first cache line's start, and to note how long that is.
const fn class_layout(class: usize) -> Layout {
    match Layout::from_size_align((class + 2) * LINE, ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a few cache lines are a valid layout"),
    }
}

/// A new block of a class. It begins with a cache line: blocks go to and fro between hubs, and two that shared one would
/// be slow for both. (Allocators are slower by half where they are asked for that.)
#[cold]
fn fresh_block(class: usize) -> NonNull<u8> {
    let start = fresh(class_layout(class));
    let way = LINE - start.addr().get() % LINE;
    // SAFETY: `way` is a multiple of `ALIGN`, not zero and at most a line, which the layout has room for, before the block
    // and, for the note, at the end of the way.
    unsafe {
        let block = start.add(way);
        block.cast::<usize>().sub(1).write(way);
        block
    }
}

/// Gives the memory of a block back.
///
/// # Safety
///
/// `block` came from [`fresh_block`] with this class, and nothing refers to it any more.
unsafe fn free_block(class: usize, block: NonNull<u8>) {
    // SAFETY: noted by `fresh_block`, and what lies before a block is not part of it.
    unsafe {
        let way = block.cast::<usize>().sub(1).read();
        dealloc(block.as_ptr().sub(way), class_layout(class));
    }
}

/// A block for a value of `layout`, uninitialised.
#[inline]
pub(crate) fn take(layout: Layout) -> NonNull<u8> {
    let Some(class) = class(layout) else { return fresh(layout) };
    match current::hub().and_then(|hub| hub.blocks.pop(class)) {
        Some(block) => block,
        None => fresh_block(class),
    }
}

/// Gives back the block of a value of `layout`.
///
/// # Safety
///
/// `block` came from [`take`] with this layout, and nothing refers to it any more.
#[inline]
#[allow(clippy::absurd_extreme_comparisons, reason = "in models nothing is kept")]
pub(crate) unsafe fn give(block: NonNull<u8>, layout: Layout) {
    let Some(class) = class(layout) else {
        // SAFETY: the caller's promise; a block without a class was allocated with its own layout.
        return unsafe { dealloc(block.as_ptr(), layout) };
    };
    match current::hub() {
        Some(hub) if hub.blocks.kept.get() < KEEP => hub.blocks.push(class, block),
        // SAFETY: the caller's promise.
        _ => unsafe { free_block(class, block) },
    }
}

#[cold]
fn fresh(layout: Layout) -> NonNull<u8> {
    // SAFETY: no layout here is empty: no header, no channel and no buffer that is asked for is.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Has the processor fetch `lines` cache lines from `start` on, which may be any address: nothing is read that the program
/// could tell. Stable Rust has this for x86-64 only; elsewhere it does nothing.
#[inline(always)]
pub(crate) fn prefetch(start: *const u8, lines: usize) {
    for line in 0..lines.min(MOST_LINES) {
        let _at = start.wrapping_add(line * LINE);
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch has no effect but on the cache, and faults nowhere.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(_at.cast()) };
        }
    }
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
        // Spawns come in bursts, and what was freed long ago is no longer in the cache: the next one's block comes while
        // this one is filled in.
        prefetch(self.free[class].get().cast(), class + 1);
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
                unsafe { free_block(class, block) };
            }
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.shrink(0);
    }
}
