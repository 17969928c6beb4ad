//! The façade of an ordinary build: std, parking_lot, and things that cost nothing.

/// Atomics and the explicit fence.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

/// Atomics that a `const` may hold.
pub(crate) mod const_atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
}

/// What `sync::atomic` shows.
pub(crate) use std::sync::atomic as user_atomic;

/// What `cell` shows.
pub use std::cell::Cell;

/// Memory for headers.
pub(crate) mod memory {
    pub(crate) use std::alloc::{alloc, dealloc};
}

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::Arc;
pub(crate) use std::thread;
pub(crate) use std::thread_local;

use std::time::Instant;

/// The time.
#[inline(always)]
pub(crate) fn now() -> Instant {
    Instant::now()
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

/// Tells models whether what it is part of is used only while it is alive.
#[derive(Debug)]
pub(crate) struct Lifeline(());

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
