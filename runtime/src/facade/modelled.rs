//! The façade of a model: loom.
//!
//! What is made in the course of a model is loom's own. What has a `const` constructor (locks, condition variables,
//! [`const_atomic`]) keeps no loom object, since it may be a `static` that outlives many executions: it looks its object
//! up at first use in each [execution].

pub(crate) mod atomic;
mod cells;
pub(crate) mod const_atomic;
pub(crate) mod deque;
pub(crate) mod execution;
mod locks;

pub use cells::Cell;
pub(crate) use cells::Watched as UnsafeCell;
pub(crate) use cells::{Lifeline, SeatPointer, Watch};
pub(crate) use const_atomic as user_atomic;
pub(crate) use locks::{
    Condvar, ConstGate, Mutex, Mutex as ShortMutex, MutexGuard, MutexGuard as ShortMutexGuard, TryMutex,
};
pub(crate) use loom::sync::Arc;
pub(crate) use loom::thread;
pub(crate) use loom::thread_local;

use std::time::{Duration, Instant};

/// Memory for headers and channels. What is given back stays until the execution has ended, so that a use of it is found by its
/// [`Lifeline`] and does no harm.
pub(crate) mod memory {
    pub(crate) use super::execution::quarantine as dealloc;
    pub(crate) use std::alloc::alloc;
}

/// Lets others go on.
pub(crate) fn spin_loop() {
    crate::model::check::step(loom::thread::yield_now);
}

/// The time. In a greenlet of a model it passes only where the greenlet's own timer fires; elsewhere, in the models of
/// single protocols, every deadline has passed.
pub(crate) fn instant_now() -> Instant {
    crate::model::seat::now().unwrap_or_else(Instant::now)
}

std::thread_local! {
    /// Whether a [`StandStill`] is alive. All threads of a model share one OS thread.
    static STANDS_STILL: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// As long as this lives, [`has_passed`] says no.
pub(crate) struct StandStill;

impl StandStill {
    pub(crate) fn begin() -> Self {
        STANDS_STILL.set(true);
        Self
    }
}

impl Drop for StandStill {
    fn drop(&mut self) {
        STANDS_STILL.set(false);
    }
}

/// Whether `span` has passed since then: it has, so that models come to what is done in that case; unless the model says
/// that time stands still.
pub(crate) fn has_passed(_span: Duration, _since: Instant) -> bool {
    !STANDS_STILL.get()
}

/// Where the runtime's clock starts.
pub(crate) fn clock_zero() -> std::time::Instant {
    std::time::Instant::now()
}

/// Nothing outside of a model is waited for.
pub(crate) fn about_to_wait_outside(_what: &'static str) {}

/// Where both sides pay for the full fence.
pub(crate) mod lopsided_fence {
    pub(crate) fn light() {
        super::atomic::fence(super::atomic::Ordering::SeqCst);
    }
    pub(crate) use {light as heavy, light as light_for_sure};
    pub(crate) fn is_lopsided() -> bool {
        true
    }
}

/// A constant that models need smaller, so that they reach what lies beyond it.
pub(crate) const fn in_models<T: Copy>(modelled: T, _ordinary: T) -> T {
    modelled
}

/// Notes a step of the running greenlet, for the report.
pub(crate) fn note(what: &'static str, object: *const ()) {
    crate::model::trace::note(what, object, None);
}

/// Notes what the running greenlet is about to wait for.
pub(crate) fn note_wait(what: &'static str, object: usize) {
    if let Some((_, seat)) = crate::model::seat::current() {
        seat.next_wait.set((what, object));
    }
}

/// Declares a thread-local pointer, `None` at first, with `get` and `set`.
macro_rules! thread_pointer {
    ($(#[$meta:meta])* static $name:ident: $target:ty) => {
        $(#[$meta])*
        static $name: $crate::facade::SeatPointer<$target> = $crate::facade::SeatPointer::new();
    };
}
pub(crate) use thread_pointer;

/// Declares a thread-local `Cell`.
macro_rules! thread_cell {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $first:expr) => {
        loom::thread_local! {
            $(#[$meta])*
            static $name: std::cell::Cell<$type> = std::cell::Cell::new($first);
        }
    };
}
pub(crate) use thread_cell;

/// As in an ordinary build, but that loom sees to what others may do in between.
macro_rules! observable {
    ($what:expr, $operation:expr) => {{
        let _for_explorations_only = $what;
        $operation
    }};
}
pub(crate) use observable;
