//! The memory of a [deque](super), and what one of its words may be.

use crate::facade::atomic::AtomicPtr;
use crate::facade::{Lifeline, in_models};
use std::mem::transmute_copy;
use std::ptr;

/// The smallest buffer, a power of two.
pub(super) const SMALLEST: usize = in_models(2, 128);

/// An entry.
///
/// # Safety
///
/// As large as a pointer, without padding, and no harm comes of a copy that is forgotten.
pub(crate) unsafe trait Word: Copy {}

#[inline]
pub(super) fn word<T: Word>(entry: T) -> *mut () {
    const { assert!(size_of::<T>() == size_of::<*mut ()>()) };
    // SAFETY: of equal size and without padding, as `Word` demands.
    unsafe { transmute_copy(&entry) }
}

/// # Safety
///
/// `word` was made of a `T`.
#[inline]
pub(super) unsafe fn entry<T: Word>(word: *mut ()) -> T {
    // SAFETY: the caller's promise.
    unsafe { transmute_copy(&word) }
}

/// The entry at index `i` lies in slot `i` modulo their number, which is a power of two.
pub(super) struct Buffer {
    slots: Box<[AtomicPtr<()>]>,
    alive: Lifeline,
}

impl Buffer {
    pub(super) fn new(size: usize) -> *mut Self {
        let slots = (0..size).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        Box::into_raw(Box::new(Self { slots, alive: Lifeline::new() }))
    }

    pub(super) fn size(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(super) fn slot(&self, index: usize) -> &AtomicPtr<()> {
        self.alive.in_use();
        &self.slots[index & (self.slots.len() - 1)]
    }
}

/// # Safety
///
/// Nobody reads these buffers any more.
pub(super) unsafe fn free(replaced: &mut Vec<*mut Buffer>) {
    for buffer in replaced.drain(..) {
        // SAFETY: from `Buffer::new`, and the caller's promise.
        let buffer = unsafe { Box::from_raw(buffer) };
        buffer.alive.end();
        if in_models(true, false) {
            // The memory stays, so that who still reads it is found by its lifeline, and does no harm.
            std::mem::forget(buffer);
        }
    }
}
