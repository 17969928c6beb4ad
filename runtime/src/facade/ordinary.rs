//! The façade of an ordinary build: std, parking_lot, and things that cost nothing.
//!
//! With `--cfg greenhub_schedule` the forms of a schedule (`runtime/src/schedule`) stand in for what threads meet over and wait
//! for: atomics, locks, threads, the clock and the event queue.

/// Atomics and the explicit fence.
pub(crate) mod atomic {
    #[cfg(greenhub_schedule)]
    pub(crate) use crate::schedule::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(not(greenhub_schedule))]
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Atomics that a `const` may hold.
pub(crate) mod const_atomic {
    #[cfg(greenhub_schedule)]
    pub(crate) use crate::schedule::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(greenhub_schedule))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
}

/// What `sync::atomic` shows.
pub(crate) use std::sync::atomic as user_atomic;

/// What `cell` shows.
pub use std::cell::Cell;

#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::memory::{self, Lifeline};
/// Memory for headers and channels.
#[cfg(not(greenhub_schedule))]
pub(crate) mod memory {
    pub(crate) use std::alloc::{alloc, dealloc};
}

#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::lock::{Condvar, Mutex, Mutex as TryMutex, MutexGuard};
#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::thread::{self, yield_now as spin_loop};
#[cfg(not(greenhub_schedule))]
pub(crate) use parking_lot::{Condvar, Mutex, Mutex as TryMutex, MutexGuard};
#[cfg(not(greenhub_schedule))]
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::Arc;
#[cfg(not(greenhub_schedule))]
pub(crate) use std::thread;

/// The event queue.
#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::mio;
/// The event queue.
#[cfg(not(greenhub_schedule))]
pub(crate) mod mio {
    pub(crate) use ::mio::*;
}

pub(crate) use std::thread_local;

use std::time::{Duration, Instant};

/// The lock of wait lists and channels; see [`short_lock`](super::short_lock).
#[cfg(not(greenhub_schedule))]
pub(crate) type ShortMutex<T> = lock_api::Mutex<super::short_lock::CountedLock, T>;
#[cfg(not(greenhub_schedule))]
pub(crate) type ShortMutexGuard<'a, T> = lock_api::MutexGuard<'a, super::short_lock::CountedLock, T>;

#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::lock::{Mutex as ShortMutex, MutexGuard as ShortMutexGuard};

/// The queue that thieves take from; models have a locked one in its place.
pub(crate) use crate::hub::deque;

/// A full fence between two threads whose cost falls on one of them: the `light` side is a few instructions, the `heavy`
/// side a system call that makes every running thread of the process pass a barrier (`membarrier(2)`, Linux 4.14; in
/// Rust's terms both are then `fence(SeqCst)`). Where there is no such call, and under loom, both *are* that fence. In a
/// schedule the light side lets stores be held back, as a processor does, and the heavy side lets all of them be seen. Two
/// light sides do not order each other.
pub(crate) mod lopsided_fence {
    #[cfg(all(target_os = "linux", not(greenhub_schedule)))]
    pub(crate) use super::membarrier::{heavy, is_lopsided, light, light_for_sure, prepare};

    #[cfg(greenhub_schedule)]
    pub(crate) use crate::schedule::atomic::{
        heavy_fence as heavy, light_fence as light, light_fence as light_for_sure,
    };

    #[cfg(not(any(target_os = "linux", greenhub_schedule)))]
    pub(crate) fn light() {
        super::atomic::fence(super::atomic::Ordering::SeqCst);
    }
    #[cfg(not(any(target_os = "linux", greenhub_schedule)))]
    pub(crate) use {light as heavy, light as light_for_sure};

    #[cfg(not(all(target_os = "linux", not(greenhub_schedule))))]
    pub(crate) fn prepare() {}
    #[cfg(not(all(target_os = "linux", not(greenhub_schedule))))]
    pub(crate) fn is_lopsided() -> bool {
        cfg!(greenhub_schedule)
    }
}

#[cfg(all(target_os = "linux", not(greenhub_schedule)))]
#[path = "membarrier.rs"]
mod membarrier;

/// What time it is for the caller: on the wall, or in the exploration it is part of.
#[inline]
pub(crate) fn instant_now() -> Instant {
    if crate::explore::is_conceivable()
        && let Some(now) = crate::explore::virtual_now()
    {
        return now;
    }
    #[cfg(greenhub_schedule)]
    return crate::schedule::time::now();
    #[cfg(not(greenhub_schedule))]
    Instant::now()
}

/// Whether `span` has passed since then.
pub(crate) fn has_passed(span: Duration, since: Instant) -> bool {
    instant_now() - since >= span
}

/// Where the runtime's clock starts.
pub(crate) fn clock_zero() -> Instant {
    #[cfg(greenhub_schedule)]
    return crate::schedule::time::origin();
    #[cfg(not(greenhub_schedule))]
    Instant::now()
}

/// Called before `what` waits for something outside of the program.
///
/// # Panics
///
/// In an exploration, which knows nothing of the world outside.
#[inline]
pub(crate) fn about_to_wait_outside(what: &'static str) {
    if crate::explore::is_conceivable() {
        crate::explore::refuse_outside(what);
    }
}

/// A constant that models need smaller, so that they reach what lies beyond it.
pub(crate) const fn in_models<T: Copy>(_modelled: T, ordinary: T) -> T {
    ordinary
}

/// Notes a step of the running greenlet; only models keep notes.
#[inline(always)]
pub(crate) fn note(_what: &'static str, _object: *const ()) {}

/// Notes what the running greenlet is about to wait for.
#[inline(always)]
pub(crate) fn note_wait(_what: &'static str, _object: usize) {}

/// An `UnsafeCell` with loom's closure interface, so that loom can watch every access.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// Watches the accesses to a value that lies beside it; see [`crate::cell`].
#[derive(Debug, Default)]
pub(crate) struct Watch(());

impl Watch {
    pub(crate) const fn new() -> Self {
        Self(())
    }
    #[inline(always)]
    pub(crate) fn read<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    pub(crate) fn write<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// Tells models and schedules whether what it is part of is used only while it is alive.
#[cfg(not(greenhub_schedule))]
#[derive(Debug)]
pub(crate) struct Lifeline(());

#[cfg(not(greenhub_schedule))]
impl Lifeline {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self(())
    }
    /// A use by somebody who believes that it is alive.
    #[inline(always)]
    pub(crate) fn in_use(&self) {}
    /// The end.
    #[inline(always)]
    pub(crate) fn end(&self) {}
}

/// Declares a thread-local pointer, `None` at first, with `get` and `set`.
macro_rules! thread_pointer {
    ($(#[$meta:meta])* static $name:ident: $target:ty) => {
        std::thread_local! {
            $(#[$meta])*
            static $name: std::cell::Cell<Option<std::ptr::NonNull<$target>>> = const { std::cell::Cell::new(None) };
        }
    };
}
pub(crate) use thread_pointer;

/// Declares a thread-local `Cell`.
macro_rules! thread_cell {
    ($(#[$meta:meta])* static $name:ident: $type:ty = $first:expr) => {
        std::thread_local! {
            $(#[$meta])*
            static $name: std::cell::Cell<$type> = const { std::cell::Cell::new($first) };
        }
    };
}
pub(crate) use thread_cell;

/// Does `$operation`, by which a greenlet changes or looks at what others can see. [Explorations](mod@crate::explore) let
/// others run before and after it; everybody else pays a load and a branch. `$what` is the call, as the user wrote it.
///
/// No lock of the runtime may be held (invariant 5), and nothing read from a thread-local before is valid after
/// (invariant 4).
///
/// A macro, so that what the rare branch captures is put together there and nowhere else: as a function with a closure
/// it made an uncontended lock half as long again.
macro_rules! observable {
    ($what:expr, $operation:expr) => {
        if crate::explore::is_conceivable() {
            crate::explore::observed($what, move || $operation)
        } else {
            $operation
        }
    };
}
pub(crate) use observable;
