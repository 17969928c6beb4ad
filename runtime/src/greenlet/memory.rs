//! Memory for headers and channels: each hub keeps the blocks of greenlets that ended on it for those it spawns next.
//!
//! A greenlet's header, result and closure are one block. Blocks come and go at the rate of spawns and in bursts (a
//! join leaves a stale queue entry, and those are swept many at a time), which is what a general allocator's fast path
//! is not made for; and the block freed last is the one in the cache. Sizes are rounded up to cache lines, so that
//! greenlets of different closures share blocks. What a hub does not have, and what it does not keep, comes from and goes to
//! the [store] that all share, a batch at a time.

mod slab;
mod space;
mod store;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;
mod whole;

use super::current;
use crate::facade::instant_now;
use crate::facade::memory::{alloc, dealloc};
use crate::runtime::fork;
use crate::sanitize::KEEPS_FREED_BLOCKS;
use slab::size;
use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::time::Duration;
use store::{Batch, batch_of};

pub(crate) use store::STORE;

/// A cache line.
pub(crate) const LINE: usize = 64;
/// Blocks up to this size are kept; a closure that carries more pays for an allocation.
const LARGEST: usize = 1024;
/// A small task has no more (`header/task.rs` sees to that); a larger block's end is not worth a fetch.
pub(crate) const MOST_LINES: usize = 6;
const CLASSES: usize = LARGEST / LINE;
const ALIGN: usize = 16;
/// How much one hub keeps at most: a burst of some twenty thousand greenlets.
const KEEP: usize = 8 << 20;
/// How much it keeps while it is idle.
const KEEP_IDLE: usize = 256 << 10;
/// How much any other thread keeps, that spawns, joins or makes channels: nobody trims it.
const KEEP_OUTSIDE: usize = 32 << 10;
/// Whether blocks come from the store. In models each is an allocation of its own, whose end is watched.
const ARE_KEPT: bool = crate::facade::in_models(false, KEEPS_FREED_BLOCKS);

/// The blocks that one hub, or one other thread, keeps.
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
    if ARE_KEPT && layout.size() <= LARGEST && layout.size() > 0 && layout.align() <= ALIGN {
        Some((layout.size() - 1) / LINE)
    } else {
        None
    }
}

/// A block for a value of `layout`, uninitialised.
#[inline]
pub(crate) fn take(layout: Layout) -> NonNull<u8> {
    let Some(class) = class(layout) else { return fresh(layout) };
    match current::hub() {
        Some(hub) => match hub.blocks.pop(class) {
            Some(block) => block,
            None => hub.blocks.refill(class),
        },
        None => take_outside(class),
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
        Some(hub) => hub.blocks.push_beyond(class, block),
        // SAFETY: the caller's promise; a block with a class came from the store, if by way of a hub.
        None => unsafe { give_outside(class, block) },
    }
}

/// What a thread that is no hub takes: it keeps a few blocks of its own.
#[inline(never)]
fn take_outside(class: usize) -> NonNull<u8> {
    // There may never have been a hub, so that a fork would not know of the store's lock.
    fork::watch();
    let own = current::with_thread_blocks(|blocks| blocks.pop(class).unwrap_or_else(|| blocks.refill(class)));
    own.unwrap_or_else(|| STORE.take(class, 1)[0])
}

/// What a thread that is no hub gives.
///
/// # Safety
///
/// As [`store::Store::give`] of the one store.
#[inline(never)]
unsafe fn give_outside(class: usize, block: NonNull<u8>) {
    let given = current::with_thread_blocks(|blocks| match blocks.kept.get() < KEEP_OUTSIDE {
        true => blocks.push(class, block),
        false => blocks.push_beyond(class, block),
    });
    if given.is_none() {
        // SAFETY: the caller's promise.
        unsafe { give_home(&[block]) };
    }
}

/// Gives blocks to the store. Hubs look there for what nobody needs, but not if all of them sleep.
///
/// # Safety
///
/// As [`store::Store::give`] of the one store.
unsafe fn give_home(blocks: &[NonNull<u8>]) {
    // SAFETY: the caller's promise.
    let much = unsafe { STORE.give(blocks) };
    if much && current::hub().is_none() {
        // What is left waits for the next time.
        let _more = trim();
    }
}

/// Gives what nobody is going to trim back to the system, at the end of a hub.
pub(crate) fn trim_all() {
    STORE.trim_all();
}

/// Gives some of the memory back to the system that nobody needed for about a second. After which time there is more to do,
/// if the caller should not sleep longer than that.
pub(crate) fn trim() -> Option<Duration> {
    if ARE_KEPT { STORE.trim(instant_now()) } else { None }
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
        self.kept.set(self.kept.get() - size(class));
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
        self.kept.set(self.kept.get() + size(class));
    }

    /// A block, where none of its class is kept: a batch comes from the store.
    #[cold]
    #[inline(never)]
    fn refill(&self, class: usize) -> NonNull<u8> {
        let batch = STORE.take(class, batch_of(class));
        // So that they are popped in the order of their addresses, if they are new.
        batch[1..].iter().rev().for_each(|&block| self.push(class, block));
        batch[0]
    }

    /// As [`Blocks::push`], where enough is kept: a batch goes to the store. Another class's, if there is one, for that of
    /// the class that comes and goes now is wanted again.
    #[cold]
    #[inline(never)]
    fn push_beyond(&self, class: usize, block: NonNull<u8>) {
        self.push(class, block);
        let mut others_first = (1..=CLASSES).map(|step| (class + step) % CLASSES);
        others_first.any(|class| self.give_batch(class));
    }

    /// Gives a batch of this class to the store; `false` if there is none.
    fn give_batch(&self, class: usize) -> bool {
        let mut batch = Batch::new();
        while batch.len() < batch_of(class)
            && let Some(block) = self.pop(class)
        {
            batch.add(block);
        }
        if batch.is_empty() {
            return false;
        }
        // SAFETY: what is pushed here came from the store, and is out of the list now.
        unsafe { give_home(&batch) };
        true
    }

    /// Gives back what an idle hub need not keep.
    pub(crate) fn trim(&self) {
        self.shrink(KEEP_IDLE);
    }

    fn shrink(&self, keep: usize) {
        for class in 0..CLASSES {
            while self.kept.get() > keep && self.give_batch(class) {}
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.shrink(0);
    }
}
