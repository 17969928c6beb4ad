//! The switch as corosensei does it.

use super::After;
use crate::greenlet::finish::main;
use crate::greenlet::header::Header;
use crate::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

/// A started greenlet's stack and saved stack pointer.
pub(crate) struct Context {
    coroutine: UnsafeCell<Coroutine<(), After, (), Stack>>,
    /// Lies at the base of the greenlet's stack, from its first frame on.
    yielder: Cell<Option<NonNull<Yielder<(), After>>>>,
}

impl Context {
    /// Lays out a stack on which the first [`Context::resume`] calls [`main`] for the greenlet.
    pub(crate) fn new(stack: Stack, header: NonNull<Header>) -> Self {
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), After>, ()| {
            // SAFETY: the header is alive while its greenlet runs, and its context, where this coroutine came from, is
            // in its place and not moved.
            if let Some(context) = unsafe { (*header.as_ref().fiber.context.get()).as_ref() } {
                context.yielder.set(Some(NonNull::from(yielder)));
            }
            // SAFETY: `main` is called once, on this stack, by whoever owned the greenlet's right to run.
            unsafe { main(header) }
        });
        Self { coroutine: UnsafeCell::new(coroutine), yielder: Cell::new(None) }
    }

    /// Runs the greenlet until it suspends (`Some`) or ends (`None`).
    ///
    /// # Safety
    ///
    /// The caller owns the greenlet's right to run, on its hub's stack; the context lies in its header.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self) -> Option<After> {
        // SAFETY: the one reference there is: only the owner of the right to run resumes, and `suspend` does not look
        // at this field.
        match unsafe { &mut *self.coroutine.get() }.resume(()) {
            CoroutineResult::Yield(after) => Some(after),
            CoroutineResult::Return(()) => None,
        }
    }

    /// Switches to the hub; returns when the greenlet is resumed, possibly on another OS thread (invariant 4).
    ///
    /// # Safety
    ///
    /// The caller runs on the stack this context belongs to.
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self, after: After) {
        let yielder = self.yielder.get().expect("set by the first frame");
        // SAFETY: the yielder lives at the base of the caller's own stack for as long as that stack runs.
        unsafe { yielder.as_ref() }.suspend(after);
    }

    /// Would have the processor fetch the suspended greenlet's stack, but here nobody knows where it was left.
    #[inline(always)]
    pub(crate) fn fetch(&self, _lines: usize) {}

    /// The stack of a greenlet that has ended.
    pub(crate) fn into_stack(self) -> Stack {
        self.coroutine.into_inner().into_stack()
    }
}
