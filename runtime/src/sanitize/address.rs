//! AddressSanitizer.
//!
//! It must know the bounds of the stack that a thread is on, or it takes every frame on another for an overflow when it
//! unwinds. And it keeps the locals of instrumented functions in *fake stacks* of its own, one for each real stack,
//! so that a pointer to a local of a function that has returned can be told: those are put aside and taken up with
//! each switch, and the greenlet's is destroyed with the greenlet, which corosensei's annotations do not do (a million
//! greenlets would leak a million of them).

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

unsafe extern "C" {
    fn __sanitizer_start_switch_fiber(put_aside: *mut *mut c_void, lowest: *const c_void, size: usize);
    fn __sanitizer_finish_switch_fiber(
        taken_up: *mut c_void,
        left_lowest: *mut *const c_void,
        left_size: *mut usize,
    );
    fn __asan_poison_memory_region(start: *const c_void, size: usize);
    fn __asan_unpoison_memory_region(start: *const c_void, size: usize);
}

/// Blocks go back to the allocator, which knows who frees what and holds it back for a while.
pub(crate) const KEEPS_FREED_BLOCKS: bool = false;

/// How much of a stack that is not in use is forbidden, from its top down: its shadow is memory that stays, an eighth of
/// this for each stack there ever was.
const RETIRED: usize = 32 << 10;

/// See the ordinary build's.
pub(crate) struct Fiber {
    lowest: usize,
    size: usize,
    /// The greenlet's fake stack while it does not run.
    locals: Cell<*mut c_void>,
    /// The hub's while the greenlet runs, and where its real stack is.
    hub_locals: Cell<*mut c_void>,
    hub_lowest: Cell<*const c_void>,
    hub_size: Cell<usize>,
}

impl Fiber {
    /// # Safety
    ///
    /// See the ordinary build's.
    pub(crate) unsafe fn new(lowest: usize, size: usize) -> Fiber {
        Fiber {
            lowest,
            size,
            locals: Cell::new(ptr::null_mut()),
            hub_locals: Cell::new(ptr::null_mut()),
            hub_lowest: Cell::new(ptr::null()),
            hub_size: Cell::new(0),
        }
    }

    fn lowest(&self) -> *const c_void {
        ptr::with_exposed_provenance(self.lowest)
    }

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn entering(&self) {
        // SAFETY: the switch that is announced comes next.
        unsafe { __sanitizer_start_switch_fiber(self.hub_locals.as_ptr(), self.lowest(), self.size) };
    }

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn entered(&self) {
        let (lowest, size) = (self.hub_lowest.as_ptr(), self.hub_size.as_ptr());
        // SAFETY: what this stack put aside when it was left; null, for a new one, if it never was.
        unsafe { __sanitizer_finish_switch_fiber(self.locals.get(), lowest, size) };
    }

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn leaving(&self) {
        // SAFETY: the switch that is announced comes next.
        unsafe {
            __sanitizer_start_switch_fiber(self.locals.as_ptr(), self.hub_lowest.get(), self.hub_size.get());
        }
    }

    /// # Safety
    ///
    /// See the ordinary build's.
    #[inline(always)]
    pub(crate) unsafe fn left(&self) {
        // SAFETY: what the hub's stack put aside when it was left.
        unsafe {
            __sanitizer_finish_switch_fiber(self.hub_locals.get(), ptr::null_mut(), ptr::null_mut());
        }
    }
}

impl Drop for Fiber {
    /// A fake stack is destroyed by leaving it for good, so: go there in name only, and come back.
    fn drop(&mut self) {
        let locals = self.locals.get();
        if locals.is_null() {
            return;
        }
        let mut own = ptr::null_mut();
        let (mut lowest, mut size) = (ptr::null(), 0);
        // SAFETY: no frame of the greenlet is left to use its fake stack, and ours is taken up again.
        unsafe {
            __sanitizer_start_switch_fiber(&raw mut own, self.lowest(), self.size);
            __sanitizer_finish_switch_fiber(locals, &raw mut lowest, &raw mut size);
            __sanitizer_start_switch_fiber(ptr::null_mut(), lowest, size);
            __sanitizer_finish_switch_fiber(own, ptr::null_mut(), ptr::null_mut());
        }
    }
}

/// # Safety
///
/// See the ordinary build's.
pub(crate) unsafe fn retire_stack(lowest: usize, size: usize) {
    // SAFETY: the caller's promise. Frames that were left without returning may have left marks anywhere.
    unsafe { revive_stack(lowest, size) };
    let retired = RETIRED.min(size);
    // SAFETY: the caller's promise.
    unsafe { __asan_poison_memory_region(ptr::with_exposed_provenance(lowest + size - retired), retired) };
}

/// # Safety
///
/// See the ordinary build's.
pub(crate) unsafe fn revive_stack(lowest: usize, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { __asan_unpoison_memory_region(ptr::with_exposed_provenance(lowest), size) };
}

/// # Safety
///
/// See the ordinary build's.
pub(crate) unsafe fn forget_region(start: usize, length: usize) {
    // SAFETY: the caller's promise.
    unsafe { revive_stack(start, length) };
}
