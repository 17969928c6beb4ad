//! The std/loom switch: everything a protocol is built from, under one name in both worlds.
//!
//! The protocol modules (state word, inbox, idle, readiness, wait list, and what stands on them) take their
//! atomics, cells and short locks from here and from nowhere else. In an ordinary build these are std's atomics
//! and parking_lot's locks at no cost; with `--cfg greenhub_loom` they are loom's, so that a model runs the very
//! code that ships. The cfg is the crate's own, so that no dependency is flipped with it.
//!
//! A third arm, `--cfg greenhub_schedule`, puts the [schedule](crate::schedule)'s forms in their place, and adds what
//! a whole hub needs beyond its protocols: threads, the clock, the event queue and the deque.

/// Atomics and the explicit fence. loom ignores the strength of a `SeqCst` access but models the fence, so
/// protocols that need a total order use `fence(SeqCst)` (invariant 7).
pub(crate) mod atomic {
    #[cfg(greenhub_schedule)]
    pub(crate) use crate::schedule::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(greenhub_loom)]
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(not(any(greenhub_loom, greenhub_schedule)))]
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

#[cfg(greenhub_loom)]
pub(crate) use loom::sync::Arc;
#[cfg(not(greenhub_loom))]
pub(crate) use std::sync::Arc;

/// Tells the processor (or loom's scheduler) that the caller is waiting for another thread's next step.
#[inline]
pub(crate) fn spin_loop() {
    #[cfg(greenhub_loom)]
    loom::thread::yield_now();
    #[cfg(greenhub_schedule)]
    crate::schedule::thread::yield_now();
    #[cfg(not(any(greenhub_loom, greenhub_schedule)))]
    std::hint::spin_loop();
}

#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::thread;
/// OS threads.
#[cfg(greenhub_loom)]
pub(crate) use loom::thread;
#[cfg(not(any(greenhub_loom, greenhub_schedule)))]
pub(crate) use std::thread;

/// The clock.
pub(crate) mod time {
    #[cfg(greenhub_schedule)]
    pub(crate) use crate::schedule::time::{now, origin};
    #[cfg(not(greenhub_schedule))]
    use std::time::Instant;

    /// Now.
    #[cfg(not(greenhub_schedule))]
    #[inline(always)]
    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    /// Where the runtime's clock starts.
    #[cfg(not(greenhub_schedule))]
    pub(crate) fn origin() -> Instant {
        Instant::now()
    }
}

#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::mio;
/// The event queue.
#[cfg(not(any(greenhub_loom, greenhub_schedule)))]
pub(crate) mod mio {
    pub(crate) use ::mio::*;
}

#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::deque;
/// What may be stolen.
#[cfg(not(any(greenhub_loom, greenhub_schedule)))]
pub(crate) use crossbeam_deque as deque;

#[cfg(not(greenhub_loom))]
mod imp {
    #[cfg(greenhub_schedule)]
    pub(crate) use crate::schedule::lock::{Condvar, Mutex, MutexGuard};
    #[cfg(not(greenhub_schedule))]
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

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
}

#[cfg(greenhub_loom)]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    use std::ops::{Deref, DerefMut};
    use std::time::Instant;

    /// loom's mutex with parking_lot's interface (no poisoning).
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    /// Knows its mutex, so that a timed wait can let go of it and take it again.
    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        /// `None` only inside a wait.
        held: Option<loom::sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard { mutex: self, held: Some(self.lock_inner()) }
        }
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let held = self.0.try_lock().ok()?;
            Some(MutexGuard { mutex: self, held: Some(held) })
        }
        fn lock_inner(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.held.as_ref().expect("held outside a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_mut().expect("held outside a wait")
        }
    }

    /// What a timed wait returns: here always that its time was up.
    pub(crate) struct WaitTimeoutResult;

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(&self) -> bool {
            true
        }
    }

    /// loom's condition variable with parking_lot's interface. Time does not pass under loom: a timed wait lets go
    /// of the lock, lets others run, and returns as if its time were up, which explores the "fires" branch and
    /// whatever may come between the end of the time and the lock.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }
        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.held.take().expect("held outside a wait");
            let held = self.0.wait(held).unwrap_or_else(|poisoned| poisoned.into_inner());
            guard.held = Some(held);
        }
        pub(crate) fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _deadline: Instant,
        ) -> WaitTimeoutResult {
            guard.held = None;
            loom::thread::yield_now();
            guard.held = Some(guard.mutex.lock_inner());
            WaitTimeoutResult
        }
        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

pub(crate) use imp::{Condvar, Mutex, MutexGuard, UnsafeCell};

/// Declares a constructor that is `const` with std's atomics and an ordinary function with loom's.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident : $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        #[cfg(not(greenhub_loom))]
        $(#[$meta])*
        $vis const fn $name($($arg: $ty),*) -> $ret $body
        #[cfg(greenhub_loom)]
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_fn;
