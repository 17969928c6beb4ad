//! A header under loom: the state word, the reference count, and the fields that the inbox, the timers and the
//! registry use, so that their models run the real modules without stacks and closures.

use super::registry::Slot;
use super::state::{Owner, State};
use crate::facade::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};
use crate::hub::inbox::Linked;
use crate::timer::Alarm;
use std::cell::Cell;
use std::ptr::NonNull;

/// What is left of a header.
pub(crate) struct Header {
    pub(crate) state: State,
    refs: AtomicUsize,
    pub(crate) link: AtomicPtr<Header>,
    pub(crate) alarm: Alarm,
    pub(crate) registry_slot: Cell<Option<Slot>>,
    /// Using a header reads this cell and freeing it writes it, so that loom sees a use that is not ordered before
    /// the end. (The memory itself stays until the model ends.)
    alive: crate::facade::UnsafeCell<bool>,
}

// SAFETY: as the real one's.
unsafe impl Linked for Header {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

impl Header {
    /// A use of the header by somebody who believes that it is alive.
    pub(crate) fn in_use(&self) {
        // SAFETY: loom checks what this asserts.
        self.alive.with(|alive| assert!(unsafe { *alive }, "a header was used after its end"));
    }

    /// Whether it has not come to its end.
    pub(crate) fn is_alive(&self) -> bool {
        // SAFETY: as above.
        self.alive.with(|alive| unsafe { *alive })
    }

    /// The end of the header: whoever uses it from now on has broken the protocol.
    pub(crate) fn free(&self) {
        // SAFETY: as above.
        self.alive.with_mut(|alive| unsafe { *alive = false });
    }
}

/// The life of one that has not started, as the real one.
pub(crate) struct Life(NonNull<Header>);

impl Life {
    /// # Safety
    ///
    /// As the real one's.
    pub(crate) unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Self(header)
    }

    pub(crate) fn into_raw(self) -> NonNull<Header> {
        self.0
    }
}

/// # Safety
///
/// As the real one's.
pub(crate) unsafe fn let_go(header: NonNull<Header>, owner: Owner) {
    // SAFETY: the memory stays; whether the header is alive is what `in_use` asks.
    let this = unsafe { header.as_ref() };
    this.in_use();
    if this.state.let_go(owner) {
        drop(Ref(header));
    }
}

/// A counted reference, as the real one.
pub(crate) struct Ref(NonNull<Header>);

// SAFETY: as the real one's.
unsafe impl Send for Ref {}
// SAFETY: as the real one's.
unsafe impl Sync for Ref {}

impl Ref {
    /// A header with one reference, in `state`. Its memory is given back by [`Graveyard`].
    pub(crate) fn create(state: State) -> Ref {
        Ref(NonNull::from(Box::leak(Box::new(Header {
            state,
            refs: AtomicUsize::new(1),
            link: AtomicPtr::new(std::ptr::null_mut()),
            alarm: Alarm::new(),
            registry_slot: Cell::new(None),
            alive: crate::facade::UnsafeCell::new(true),
        }))))
    }

    /// # Safety
    ///
    /// As the real one's.
    pub(crate) unsafe fn share(header: NonNull<Header>) -> Ref {
        // SAFETY: the memory stays; whether the header is alive is what `in_use` asks.
        let this = unsafe { header.as_ref() };
        this.in_use();
        this.refs.fetch_add(1, Ordering::Relaxed);
        Ref(header)
    }

    /// # Safety
    ///
    /// As the real one's.
    pub(crate) unsafe fn from_raw(header: NonNull<Header>) -> Ref {
        Ref(header)
    }

    pub(crate) fn into_raw(self) -> NonNull<Header> {
        let header = self.0;
        std::mem::forget(self);
        header
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }
}

impl std::ops::Deref for Ref {
    type Target = Header;
    fn deref(&self) -> &Header {
        // SAFETY: the memory stays.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Ref {
    fn clone(&self) -> Ref {
        // SAFETY: `self` keeps it alive.
        unsafe { Ref::share(self.0) }
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        self.in_use();
        if self.refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            self.free();
        }
    }
}

/// Gives a header's memory back when the model's run ends, whoever may have used it until then.
pub(crate) struct Graveyard(pub(crate) Vec<NonNull<Header>>);

impl Drop for Graveyard {
    fn drop(&mut self) {
        for header in self.0.drain(..) {
            // SAFETY: leaked by `create`, and the model's threads have ended.
            drop(unsafe { Box::from_raw(header.as_ptr()) });
        }
    }
}
