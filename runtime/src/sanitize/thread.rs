//! ThreadSanitizer.
//!
//! It keeps a clock and a call stack for each thread, so a greenlet must be a thread to it, or the frames of one would be
//! popped off another's call stack at the first switch. A switch orders what comes before it on one side before what comes
//! after it on the other, as it does on the processor: hub and greenlet are one OS thread. (Two greenlets that take
//! turns on one hub are so ordered, too: there is no race between them, unless a hub takes one away from the other.)

pub(crate) use super::disabled::{forget_region, retire_stack, revive_stack};
use std::cell::Cell;
use std::ffi::{c_uint, c_void};
use std::ptr;

unsafe extern "C" {
    fn __tsan_get_current_fiber() -> *mut c_void;
    fn __tsan_create_fiber(flags: c_uint) -> *mut c_void;
    fn __tsan_destroy_fiber(fiber: *mut c_void);
    fn __tsan_switch_to_fiber(fiber: *mut c_void, flags: c_uint);
}

/// A block that comes back through the allocator has no past; one kept by a hub would be a false witness.
pub(crate) const KEEPS_FREED_BLOCKS: bool = false;

/// Orders both sides.
const ORDERED: c_uint = 0;

/// See the ordinary build's.
pub(crate) struct Fiber {
    itself: *mut c_void,
    /// The hub's, from the first time the greenlet runs.
    hub: Cell<*mut c_void>,
}

impl Fiber {
    /// # Safety
    ///
    /// See the ordinary build's.
    pub(crate) unsafe fn new(_lowest: usize, _size: usize) -> Fiber {
        // SAFETY: makes what is destroyed with this value.
        Fiber { itself: unsafe { __tsan_create_fiber(0) }, hub: Cell::new(ptr::null_mut()) }
    }

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn entering(&self) {
        // SAFETY: the switch that is announced comes next.
        unsafe {
            self.hub.set(__tsan_get_current_fiber());
            __tsan_switch_to_fiber(self.itself, ORDERED);
        }
    }

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn entered(&self) {}

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn leaving(&self) {
        // SAFETY: the hub that the switch leads to, which entered this greenlet.
        unsafe { __tsan_switch_to_fiber(self.hub.get(), ORDERED) };
    }

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn left(&self) {}
}

impl Drop for Fiber {
    fn drop(&mut self) {
        // SAFETY: ours, and not the current one: a greenlet's context does not go while it runs.
        unsafe {
            if self.hub.get().is_null() {
                // One that was never current cannot be destroyed in good order.
                let here = __tsan_get_current_fiber();
                __tsan_switch_to_fiber(self.itself, ORDERED);
                __tsan_switch_to_fiber(here, ORDERED);
            }
            __tsan_destroy_fiber(self.itself);
        }
    }
}
