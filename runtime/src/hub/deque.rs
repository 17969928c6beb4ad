//! The deque: where a hub's unstarted greenlets lie for others to take.
//!
//! Its owner pushes at the back, without an atomic read-modify-write. Entries leave
//!
//! * at the front, by whoever moves the index `front` past them with a compare-and-exchange: thieves, several entries at
//!   once where the owner takes the oldest first too, and the owner, which may take all there are in one go;
//! * in a deque whose owner takes the newest first, also at the back, by the owner alone, as Chase and Lev have it ("Dynamic
//!   circular work-stealing deque", SPAA 2005; with the orderings of Lê et al., "Correct and efficient work-stealing for
//!   weak memory models", PPoPP 2013). There thieves take one at a time.
//!
//! Entries are one word and are copied, so that a thief may read one that it then fails to get.
//!
//! Rules
//!
//! 1. The entries are those from `front` to `back`. `front` only grows, and only by an exchange: whoever has moved it past
//!    an entry has that entry, and a slot is filled anew only once `front` has passed it.
//! 2. A buffer that has become too small, or too large, is replaced and never written again. Thieves count themselves in
//!    before they look for the buffer, so the owner frees what it has replaced when it finds nobody counted in.

use crate::facade::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};
use crate::facade::{Arc, UnsafeCell};
use buffer::{Buffer, SMALLEST, entry, free, word};
use std::cell::Cell;
use std::marker::PhantomData;

pub(crate) use buffer::Word;
pub(crate) use thief::{Steal, Stealer};

mod buffer;
#[cfg(all(test, greenhub_loom))]
mod model;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;
mod thief;

/// What its owner takes from the deque.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Oldest,
    Newest,
}

/// The owner's side.
pub(crate) struct Worker<T> {
    shared: Arc<Shared>,
    end: End,
    /// As `shared.back`, but where `pop_newest` has lowered that for a moment.
    back: Cell<usize>,
    /// As `shared.buffer`.
    buffer: Cell<*const Buffer>,
    entries: PhantomData<T>,
}

// SAFETY: what is behind the pointers is the worker's own, or shared by rules 1 and 2.
unsafe impl<T: Send> Send for Worker<T> {}

/// Both sides' indices, each on cache lines of its own.
struct Shared {
    theirs: Theirs,
    ours: Ours,
}

/// What thieves write, and the owner when it takes at the front.
#[repr(align(128))]
struct Theirs {
    front: AtomicUsize,
    /// How many thieves may be reading a buffer.
    thieves: AtomicUsize,
}

/// What the owner writes.
#[repr(align(128))]
struct Ours {
    back: AtomicUsize,
    buffer: AtomicPtr<Buffer>,
    /// Buffers that were replaced. The owner's alone.
    replaced: UnsafeCell<Vec<*mut Buffer>>,
}

// SAFETY: `replaced` is touched by the owner alone, and by whoever drops the last reference.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl<T: Word> Worker<T> {
    fn new(end: End) -> Self {
        let buffer = Buffer::new(SMALLEST);
        let shared = Arc::new(Shared {
            theirs: Theirs { front: AtomicUsize::new(0), thieves: AtomicUsize::new(0) },
            ours: Ours {
                back: AtomicUsize::new(0),
                buffer: AtomicPtr::new(buffer),
                replaced: UnsafeCell::new(Vec::new()),
            },
        });
        Self { shared, end, back: Cell::new(0), buffer: Cell::new(buffer), entries: PhantomData }
    }

    /// One whose owner takes the oldest first.
    pub(crate) fn new_fifo() -> Self {
        Self::new(End::Oldest)
    }

    /// One whose owner takes the newest first.
    pub(crate) fn new_lifo() -> Self {
        Self::new(End::Newest)
    }

    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer { shared: Arc::clone(&self.shared), end: self.end, entries: PhantomData }
    }

    #[inline]
    fn buffer(&self) -> &Buffer {
        // SAFETY: the present buffer, which only the owner replaces.
        unsafe { &*self.buffer.get() }
    }

    #[inline]
    fn front(&self) -> usize {
        // Acquire: pairs with the Release in the exchange of a thief, which had read what it took: its slot may be filled
        // anew.
        self.shared.theirs.front.load(Ordering::Acquire)
    }

    #[inline]
    fn publish(&self, back: usize) {
        self.back.set(back);
        // Release: whoever sees the index sees the slots, and what the entries point to; pairs with `Stealer::range`.
        self.shared.ours.back.store(back, Ordering::Release);
    }

    #[inline]
    pub(crate) fn push(&self, entry: T) {
        let back = self.back.get();
        self.reserve(1);
        // Relaxed: published by `publish`.
        self.buffer().slot(back).store(word(entry), Ordering::Relaxed);
        self.publish(back + 1);
    }

    /// Makes room for `count` more.
    #[inline]
    fn reserve(&self, count: usize) {
        let needed = self.back.get() - self.front() + count;
        if needed > self.buffer().size() {
            self.replace_buffer(needed.next_power_of_two());
        }
    }

    /// Takes the oldest or the newest.
    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        match self.end {
            End::Oldest => self.pop_oldest(),
            End::Newest => self.pop_newest(),
        }
    }

    #[inline]
    fn pop_oldest(&self) -> Option<T> {
        let back = self.back.get();
        let mut front = self.front();
        while front != back {
            let word = self.buffer().slot(front).load(Ordering::Relaxed);
            // Relaxed: what is read and overwritten here, this thread wrote. (Being an exchange, it does not hide a thief's
            // Release from a later `front`.)
            match self.shared.theirs.front.compare_exchange(
                front,
                front + 1,
                Ordering::Relaxed,
                Ordering::Acquire,
            ) {
                // SAFETY: made by `push`.
                Ok(_) => return Some(unsafe { entry(word) }),
                Err(now) => front = now,
            }
        }
        None
    }

    fn pop_newest(&self) -> Option<T> {
        let back = self.back.get();
        if self.front() == back {
            return None;
        }
        let last = back - 1;
        let shared = &self.shared;
        // Release: as in `publish`. A thief that sees this index gets what lies below it, and a plain store is no part of what
        // an earlier Release by the same thread began.
        shared.ours.back.store(last, Ordering::Release);
        // Either a thief sees the lower `back`, or we see that it has moved `front`; pairs with the fence in `range`.
        fence(Ordering::SeqCst);
        let front = self.front();
        // SAFETY: made by `push`.
        let newest = unsafe { entry(self.buffer().slot(last).load(Ordering::Relaxed)) };
        if front < last {
            self.back.set(last);
            return Some(newest);
        }
        // At most this one is left, and thieves may be after it.
        let ours = front == last
            && shared.theirs.front.compare_exchange(last, back, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        self.publish(back);
        ours.then_some(newest)
    }

    /// Takes all, oldest first.
    pub(crate) fn take_all(&self, into: &mut Vec<T>) {
        let back = self.back.get();
        let mut front = self.front();
        while front != back {
            // SeqCst: as in `pop_newest`, for thieves may be after the last of them.
            match self.shared.theirs.front.compare_exchange(front, back, Ordering::SeqCst, Ordering::Acquire)
            {
                Ok(_) => break,
                Err(now) => front = now,
            }
        }
        // Read when they are ours, for only the owner fills their slots anew: were many read before the exchange, it would
        // lose to one thief after another.
        let words = (front..back).map(|at| self.buffer().slot(at).load(Ordering::Relaxed));
        // SAFETY: made by `push`.
        into.extend(words.map(|word| unsafe { entry::<T>(word) }));
    }

    /// No fewer than there are: thieves only take.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.back.get() - self.front()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives back the memory of a longer queue, and what a thief has kept from being freed.
    pub(crate) fn trim(&self) {
        let size = self.len().next_power_of_two().max(SMALLEST);
        if size < self.buffer().size() {
            self.replace_buffer(size);
        } else {
            self.free_replaced();
        }
    }

    #[cold]
    fn replace_buffer(&self, size: usize) {
        let new = Buffer::new(size);
        for at in self.front()..self.back.get() {
            let word = self.buffer().slot(at).load(Ordering::Relaxed);
            // SAFETY: just made, and not yet shared.
            unsafe { &*new }.slot(at).store(word, Ordering::Relaxed);
        }
        self.buffer.set(new);
        let ours = &self.shared.ours;
        // Release: whoever sees the buffer sees its slots; pairs with `Stealer::buffer`.
        let old = ours.buffer.swap(new, Ordering::Release);
        // SAFETY: the owner's alone.
        ours.replaced.with_mut(|replaced| unsafe { (*replaced).push(old) });
        self.free_replaced();
    }

    /// Frees the buffers that were replaced, unless a thief may be reading one.
    fn free_replaced(&self) {
        let replaced = &self.shared.ours.replaced;
        // SAFETY: the owner's alone.
        if replaced.with(|replaced| unsafe { (*replaced).is_empty() }) {
            return;
        }
        // Either a thief sees the new buffer, or it is counted in here; pairs with the fence in
        // `steal_batch_with_limit_and_pop`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release of thieves that have counted themselves out, and read no more.
        let nobody = self.shared.theirs.thieves.load(Ordering::Acquire) == 0;
        if nobody {
            // SAFETY: the owner's alone, and nobody reads them.
            replaced.with_mut(|replaced| unsafe { free(&mut *replaced) });
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Relaxed: `&mut self`.
        let buffer = self.ours.buffer.load(Ordering::Relaxed);
        // SAFETY: the last reference goes, so there are neither owner nor thieves.
        self.ours.replaced.with_mut(|replaced| unsafe {
            (*replaced).push(buffer);
            free(&mut *replaced);
        });
    }
}
