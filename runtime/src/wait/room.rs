//! [`Room`]: where the node of a greenlet that stands in a line lies, in its header.
//!
//! Who wakes a greenlet touches its header in any case, and ten headers lie on a page. Its stack has a page to itself: of
//! some thousand greenlets these are more than a processor keeps the addresses of at hand, so that each look at a node on
//! another's stack would begin with a walk through the page tables.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

/// Enough for the node of a line whose entries are three words: a string's, say. (In models a node
/// also holds what loom knows of it.)
const WORDS: usize = crate::facade::in_models(64, 7);

/// Room for one node, since a greenlet stands in one line at a time.
pub(crate) struct Room(UnsafeCell<MaybeUninit<[u64; WORDS]>>);

impl Room {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Where a `T` may lie; null if it is too large.
    #[inline(always)]
    pub(super) fn place<T>(&self) -> *mut T {
        if size_of::<T>() <= size_of::<Self>() && align_of::<T>() <= align_of::<Self>() {
            self.0.get().cast()
        } else {
            std::ptr::null_mut()
        }
    }
}
