//! The store: where the blocks of all hubs come from, and where they go when a hub keeps enough.
//!
//! One lock of the process guards all slabs. Blocks are taken and given by the batch. Whoever holds the lock calls
//! nobody: the allocator, which may be the program's own, is called before or after.
//!
//! A slab whose blocks have all come home is spare, and used again before there is a new one. Those that stay spare go back to
//! the system a few at a time, by hubs that are idle ([`Store::release`]), except for one of each class.
//!
//! Allocated one by one, blocks cost more than this: an arena of glibc's other than the first grows by a system call for
//! each page, and a block of 384 bytes took 528, so as to be aligned.

use super::slab::{SLAB_LAYOUT, Slab, size};
use super::{CLASSES, mapping};
use crate::runtime::fork::ProcessLock;
use std::alloc::handle_alloc_error;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::MutexGuard;
#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many blocks move between a hub and the store at once, at most. A guess, as the next.
const BATCH: usize = 32;
/// How many bytes do: of large blocks there are fewer.
const BATCH_BYTES: usize = 16 << 10;

/// How many slabs go back to the system at once: a MiB of memory, some 60 µs.
const RELEASED: usize = 16;

/// How many blocks of a class are a batch.
pub(super) const fn batch_of(class: usize) -> usize {
    let few = BATCH_BYTES / size(class);
    if few < BATCH { few } else { BATCH }
}

/// The blocks of the process.
pub(crate) static STORE: Store = Store::new();

/// Blocks that any thread may take and give.
pub(crate) struct Store {
    slabs: ProcessLock<Slabs>,
    /// How many slabs there are.
    #[cfg(test)]
    live: AtomicUsize,
}

/// What the lock guards: these, and of each slab the first cache line and the blocks at home.
pub(crate) struct Slabs([Class; CLASSES]);

// SAFETY: slabs are the store's alone, and what of them is not out is used only by whoever holds its lock.
unsafe impl Send for Slabs {}

/// Those slabs of a class that have something to give.
struct Class {
    /// Some of their blocks are out. Linked both ways; the one that was without any most recently first.
    partial: Option<NonNull<Slab>>,
    /// None of their blocks is out. Linked by `next`.
    spare: Option<NonNull<Slab>>,
}

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
        Self {
            slabs: ProcessLock::new(Slabs([const { Class { partial: None, spare: None } }; CLASSES])),
            #[cfg(test)]
            live: AtomicUsize::new(0),
        }
    }

    /// Takes the lock; besides the store, a fork does.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Slabs> {
        self.slabs.lock()
    }

    /// Between one and `most` blocks of a class, uninitialised: those there are, and if there is none, some of a new slab.
    /// Larger batches than [`BATCH`] there are not.
    pub(super) fn take(&self, class: usize, most: usize) -> Batch {
        let mut batch = Batch::new();
        self.lock().0[class].take(&mut batch, most);
        if batch.is_empty() {
            let slab = self.new_slab(class);
            // SAFETY: it is new, so nobody else knows of it.
            unsafe { self.lock().0[class].open(slab, &mut batch, most) };
        }
        batch
    }

    /// Takes blocks home.
    ///
    /// # Safety
    ///
    /// Each came from [`Store::take`] of this store, has not been given since, and nothing refers to it any more.
    pub(super) unsafe fn give(&self, blocks: &[NonNull<u8>]) {
        let slabs = &mut *self.lock();
        for &block in blocks {
            let slab = Slab::of(block);
            // SAFETY: the caller's promise: the block is out, which keeps its slab, whose line the lock guards.
            unsafe { slabs.0[slab.as_ref().class()].give(slab, block) };
        }
    }

    /// Gives some spare slabs back to the system. Whether there are more to give.
    pub(super) fn release(&self) -> bool {
        let mut spare = [None; RELEASED];
        let mut places = spare.iter_mut();
        let more = {
            let slabs = &mut *self.lock();
            slabs.0.iter_mut().any(|class| {
                while class.has_many_spare() {
                    let Some(place) = places.next() else { return true };
                    *place = class.take_spare();
                }
                false
            })
        };
        for slab in spare.into_iter().flatten() {
            // SAFETY: spare, and in no list any more.
            unsafe { self.free_slab(slab) };
        }
        more
    }

    fn new_slab(&self, class: usize) -> NonNull<Slab> {
        let slab = mapping::map().unwrap_or_else(|| handle_alloc_error(SLAB_LAYOUT)).cast::<Slab>();
        // SAFETY: large and aligned enough, and nobody else's.
        unsafe { slab.write(Slab::new(class)) };
        #[cfg(test)]
        self.live.fetch_add(1, Relaxed);
        slab
    }

    /// # Safety
    ///
    /// It came from `new_slab`, and nothing refers to it or to a block of it any more.
    unsafe fn free_slab(&self, slab: NonNull<Slab>) {
        #[cfg(test)]
        self.live.fetch_sub(1, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { mapping::unmap(slab.cast()) };
    }
}

impl Class {
    /// Adds to a batch what there is, until it has `most`.
    fn take(&mut self, batch: &mut Batch, most: usize) {
        while batch.len() < most {
            if let Some(slab) = self.partial {
                // SAFETY: listed.
                unsafe { self.take_from(slab, batch, most) };
            } else if let Some(slab) = self.take_spare() {
                // SAFETY: spare, so of this class and whole.
                unsafe { self.open(slab, batch, most) };
            } else {
                return;
            }
        }
    }

    /// Lists a slab and takes from it.
    ///
    /// # Safety
    ///
    /// It is of this class, unlisted, and whole, and the batch has less than `most`.
    unsafe fn open(&mut self, slab: NonNull<Slab>, batch: &mut Batch, most: usize) {
        // SAFETY: the caller's promise; and then it is listed.
        unsafe {
            self.list(slab);
            self.take_from(slab, batch, most);
        }
    }

    /// # Safety
    ///
    /// The slab is listed.
    unsafe fn take_from(&mut self, slab: NonNull<Slab>, batch: &mut Batch, most: usize) {
        // SAFETY: the caller's promise; what is listed is there, and whoever has the class holds the lock.
        unsafe {
            while batch.len() < most
                && let Some(block) = Slab::take(slab)
            {
                batch.add(block);
            }
            if !slab.as_ref().has_any() {
                self.unlist(slab);
            }
        }
    }

    /// Takes a block home.
    ///
    /// # Safety
    ///
    /// The block is out, its slab is this one, of this class, and nothing refers to the block any more.
    unsafe fn give(&mut self, mut slab: NonNull<Slab>, block: NonNull<u8>) {
        // SAFETY: the caller's promise. A slab with a block out is listed if it has something to give, and only then.
        unsafe {
            if !slab.as_ref().has_any() {
                self.list(slab);
            }
            slab.as_mut().give(block);
            if slab.as_ref().is_whole() {
                self.unlist(slab);
                slab.as_mut().forget();
                slab.as_mut().next = self.spare.replace(slab);
            }
        }
    }

    /// Takes a spare slab out of the list.
    fn take_spare(&mut self) -> Option<NonNull<Slab>> {
        let slab = self.spare?;
        // SAFETY: what is spare is there.
        self.spare = unsafe { slab.as_ref() }.next;
        Some(slab)
    }

    /// Whether there is more than one spare slab.
    fn has_many_spare(&self) -> bool {
        // SAFETY: what is spare is there.
        self.spare.is_some_and(|slab| unsafe { slab.as_ref() }.next.is_some())
    }

    /// # Safety
    ///
    /// The slab is of this class and unlisted.
    unsafe fn list(&mut self, mut slab: NonNull<Slab>) {
        // SAFETY: the caller's promise; what is listed is there.
        unsafe {
            (slab.as_mut().previous, slab.as_mut().next) = (None, self.partial);
            if let Some(mut next) = self.partial {
                next.as_mut().previous = Some(slab);
            }
        }
        self.partial = Some(slab);
    }

    /// # Safety
    ///
    /// The slab is listed.
    unsafe fn unlist(&mut self, slab: NonNull<Slab>) {
        // SAFETY: the caller's promise; its neighbours are listed, too.
        unsafe {
            let Slab { previous, next, .. } = *slab.as_ref();
            match previous {
                Some(mut previous) => previous.as_mut().next = next,
                None => self.partial = next,
            }
            if let Some(mut next) = next {
                next.as_mut().previous = previous;
            }
        }
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
