//! The store: where the blocks of all hubs come from, and where they go when a hub keeps enough.
//!
//! One lock of the process guards all slabs. Blocks are taken and given by the batch. Whoever holds the lock asks nobody for
//! anything but the system for address space, and that seldom.
//!
//! A slab whose blocks have all come home is kept as a [whole](super::whole), for any class.
//!
//! Allocated one by one, blocks cost more than this: an arena of glibc's other than the first grows by a system call for
//! each page, and a block of 384 bytes took 528, so as to be aligned.

use super::CLASSES;
use super::slab::{SLAB, Slab, size};
use super::space::{self, Space};
use super::whole::Whole;
use crate::facade::instant_now;
use crate::runtime::fork::ProcessLock;
use std::alloc::{Layout, handle_alloc_error};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

/// How many blocks move between a hub and the store at once, at most. A guess, as the next.
const BATCH: usize = 32;
/// How many bytes do: of large blocks there are fewer.
const BATCH_BYTES: usize = 16 << 10;

/// How many blocks of a class are a batch.
pub(super) const fn batch_of(class: usize) -> usize {
    let few = BATCH_BYTES / size(class);
    if few < BATCH { few } else { BATCH }
}

/// What there is no memory for if there is none.
const SLAB_LAYOUT: Layout = match Layout::from_size_align(SLAB, SLAB) {
    Ok(layout) => layout,
    Err(_) => panic!("the size of a slab is a power of two"),
};

/// How long a trim may take, in which a hub does nothing else.
const TRIM_TIME: Duration = Duration::from_micros(50);
/// How many slabs lose their memory between two looks at the clock.
const TRIM_STEP: usize = 4;

/// The blocks of the process.
pub(crate) static STORE: Store = Store::new();

/// Blocks that any thread may take and give.
pub(crate) struct Store(ProcessLock<Slabs>);

/// What the lock guards: these, and of each slab the first cache line and the blocks at home.
pub(crate) struct Slabs {
    /// Of each class those slabs that have something to give and blocks out. Linked both ways; the one that was without
    /// anything to give most recently first.
    partial: [Option<NonNull<Slab>>; CLASSES],
    whole: Whole,
    space: Space,
}

// SAFETY: slabs are the store's alone, and what of them is not out is used only by whoever holds its lock.
unsafe impl Send for Slabs {}

/// Blocks of one class on their way between the store and a hub.
pub(super) struct Batch {
    blocks: [NonNull<u8>; BATCH],
    count: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { blocks: [NonNull::dangling(); BATCH], count: 0 }
    }

    pub(super) fn add(&mut self, block: NonNull<u8>) {
        self.blocks[self.count] = block;
        self.count += 1;
    }
}

impl Deref for Batch {
    type Target = [NonNull<u8>];
    fn deref(&self) -> &[NonNull<u8>] {
        &self.blocks[..self.count]
    }
}

impl Store {
    pub(super) const fn new() -> Self {
        Self(ProcessLock::new(Slabs { partial: [None; CLASSES], whole: Whole::new(), space: Space::new() }))
    }

    /// Takes the lock; besides the store, a fork does.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Slabs> {
        self.0.lock()
    }

    /// Between one and `most` blocks of a class, uninitialised: those there are, and if there is none, some of another slab.
    /// Larger batches than [`BATCH`] there are not.
    pub(super) fn take(&self, class: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        self.lock().take(class, &mut batch, most);
        if batch.is_empty() {
            handle_alloc_error(SLAB_LAYOUT);
        }
        batch
    }

    /// Takes blocks home. Whether slabs became whole, and there are more of those now than may stay warm for long.
    ///
    /// # Safety
    ///
    /// Each came from [`Store::take`] of this store, has not been given since, and nothing refers to it any more.
    pub(super) unsafe fn give(&self, blocks: &[NonNull<u8>]) -> bool {
        let slabs = &mut *self.lock();
        let mut any_whole = false;
        for &block in blocks {
            // SAFETY: the caller's promise.
            any_whole |= unsafe { slabs.give(block) };
        }
        any_whole && slabs.whole.are_many()
    }

    /// Gives some of the memory back to the system that was not needed for about a second. After which time there is more to
    /// do, if so.
    pub(super) fn trim(&self, now: Instant) -> Option<Duration> {
        let begun = instant_now();
        self.lock().whole.look(now);
        while instant_now() - begun < TRIM_TIME && self.release() {}
        self.lock().whole.time_to_next_trim(now)
    }

    /// Gives back what nobody is going to trim, at the end of a hub.
    pub(super) fn trim_all(&self) {
        self.lock().whole.need_few();
        while self.release() {}
    }

    /// Gives the memory of some unneeded slabs back; `false` if there is none.
    fn release(&self) -> bool {
        let unneeded: [_; TRIM_STEP] = {
            let whole = &mut self.lock().whole;
            std::array::from_fn(|_| whole.take_unneeded())
        };
        if unneeded[0].is_none() {
            return false;
        }
        // System calls, so without the lock.
        for slab in unneeded.into_iter().flatten() {
            // SAFETY: it was whole, and is in no place now; its line, which only says so, is in the first page.
            unsafe { space::release(slab.cast()) };
        }
        let whole = &mut self.lock().whole;
        for slab in unneeded.into_iter().flatten() {
            // SAFETY: as above, and slabs stay for good.
            unsafe { whole.give_cold(slab) };
        }
        true
    }
}

impl Slabs {
    /// Adds to a batch what there is of a class, until it has `most`; and if that is nothing, some of another slab.
    fn take(&mut self, class: usize, batch: &mut Batch, most: usize) {
        while batch.len() < most {
            let slab = match self.partial[class] {
                None if batch.is_empty() => self.new_slab(class),
                listed => listed,
            };
            let Some(slab) = slab else { return };
            // SAFETY: what is listed is there, and whoever has the list holds the lock.
            unsafe {
                while batch.len() < most
                    && let Some(block) = Slab::take(slab)
                {
                    batch.add(block);
                }
                if !slab.as_ref().has_any() {
                    self.unlist(class, slab);
                }
            }
        }
    }

    /// Lists a slab of which nothing is carved, that was one before or is new.
    fn new_slab(&mut self, class: usize) -> Option<NonNull<Slab>> {
        let slab = self.whole.take().or_else(|| Some(self.space.cut()?.cast()))?;
        // SAFETY: the place of a slab, and nobody else's.
        unsafe {
            slab.write(Slab::new(class));
            self.list(class, slab);
        }
        Some(slab)
    }

    /// Takes a block home. Whether its slab became whole.
    ///
    /// # Safety
    ///
    /// As of [`Store::give`].
    unsafe fn give(&mut self, block: NonNull<u8>) -> bool {
        let mut slab = Slab::of(block);
        // SAFETY: the caller's promise: the slab of a block is there, and its line is guarded by the lock. It is listed if it
        // has something to give, and only then, since a block is out.
        unsafe {
            let class = slab.as_ref().class();
            if !slab.as_ref().has_any() {
                self.list(class, slab);
            }
            slab.as_mut().give(block);
            let whole = slab.as_ref().is_whole();
            if whole {
                self.unlist(class, slab);
                self.whole.give(slab);
            }
            whole
        }
    }

    /// # Safety
    ///
    /// The slab is of this class and in no place.
    unsafe fn list(&mut self, class: usize, mut slab: NonNull<Slab>) {
        let first = &mut self.partial[class];
        // SAFETY: the caller's promise; what is listed is there.
        unsafe {
            (slab.as_mut().previous, slab.as_mut().next) = (None, *first);
            if let Some(mut next) = *first {
                next.as_mut().previous = Some(slab);
            }
        }
        *first = Some(slab);
    }

    /// # Safety
    ///
    /// The slab is listed, as one of this class.
    unsafe fn unlist(&mut self, class: usize, slab: NonNull<Slab>) {
        // SAFETY: the caller's promise; its neighbours are listed, too.
        unsafe {
            let Slab { previous, next, .. } = *slab.as_ref();
            match previous {
                Some(mut previous) => previous.as_mut().next = next,
                None => self.partial[class] = next,
            }
            if let Some(mut next) = next {
                next.as_mut().previous = previous;
            }
        }
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
