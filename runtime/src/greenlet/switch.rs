//! The switch: the only file that knows corosensei.
//!
//! A greenlet always switches to its hub, and the hub to a greenlet; what is to happen to the greenlet travels *by
//! value* with the switch ([`After`]), because once it is done the greenlet's stack may already run elsewhere.

use super::header::Header;
use crate::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::ptr::NonNull;

/// What the hub is to do with a greenlet that switched to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    /// Put it at the end of the ready queue.
    Yield,
    /// Park it, unless its wait has already ended.
    Park {
        /// The wait.
        epoch: u32,
        /// An unpark ends it.
        user: bool,
        /// A kill does not end it.
        masked: bool,
    },
}

/// A started greenlet's stack and saved stack pointer.
pub(crate) struct Context(Coroutine<(), After, (), Stack>);

impl Context {
    /// Lays out a stack on which the first [`Context::resume`] calls `main(header)`.
    pub(crate) fn new(
        stack: Stack,
        header: NonNull<Header>,
        main: unsafe fn(NonNull<Header>, Suspender),
    ) -> Self {
        Self(Coroutine::with_stack(stack, move |yielder: &Yielder<(), After>, ()| {
            // SAFETY: `main` is called once, on this stack, by whoever owned the greenlet's right to run.
            unsafe { main(header, Suspender(NonNull::from(yielder))) }
        }))
    }

    /// Runs the greenlet until it suspends (`Some`) or ends (`None`).
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Option<After> {
        match self.0.resume(()) {
            CoroutineResult::Yield(after) => Some(after),
            CoroutineResult::Return(()) => None,
        }
    }

    /// The stack of a greenlet that has ended.
    pub(crate) fn into_stack(self) -> Stack {
        self.0.into_stack()
    }
}

/// How a running greenlet switches to its hub. Lies at the base of its stack.
#[derive(Clone, Copy)]
pub(crate) struct Suspender(NonNull<Yielder<(), After>>);

impl Suspender {
    /// Switches to the hub; returns when the greenlet is resumed, possibly on another OS thread (invariant 4).
    ///
    /// # Safety
    ///
    /// The caller runs on the stack this suspender belongs to.
    #[inline(always)]
    pub(crate) unsafe fn suspend(self, after: After) {
        // SAFETY: the yielder lives at the base of the caller's own stack for as long as that stack runs.
        unsafe { self.0.as_ref() }.suspend(after);
    }
}
