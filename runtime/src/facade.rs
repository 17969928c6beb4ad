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

#[cfg(greenhub_schedule)]
pub(crate) use crate::schedule::mio;
/// The event queue.
#[cfg(not(any(greenhub_loom, greenhub_schedule)))]
pub(crate) mod mio {
    pub(crate) use ::mio::*;
}

/// What time it is for the caller: on the wall, or in the exploration or the schedule it is part of.
#[inline]
pub(crate) fn instant_now() -> std::time::Instant {
    #[cfg(not(greenhub_loom))]
    if crate::explore::is_conceivable()
        && let Some(now) = crate::explore::virtual_now()
    {
        return now;
    }
    #[cfg(greenhub_schedule)]
    return crate::schedule::time::now();
    #[cfg(not(greenhub_schedule))]
    std::time::Instant::now()
}

/// Where the runtime's clock starts.
pub(crate) fn clock_zero() -> std::time::Instant {
    #[cfg(greenhub_schedule)]
    return crate::schedule::time::origin();
    #[cfg(not(greenhub_schedule))]
    std::time::Instant::now()
}

/// Called before `what` waits for something outside of the program.
///
/// # Panics
///
/// In an exploration, which knows nothing of the world outside.
#[inline]
pub(crate) fn about_to_wait_outside(what: &'static str) {
    #[cfg(not(greenhub_loom))]
    if crate::explore::is_conceivable() {
        crate::explore::refuse_outside(what);
    }
    #[cfg(greenhub_loom)]
    let _for_explorations_only = what;
}

/// The queue that thieves take from.
pub(crate) mod deque {
    #[cfg(greenhub_schedule)]
    pub(crate) use crate::schedule::deque::{Steal, Stealer, Worker};
    #[cfg(not(any(greenhub_loom, greenhub_schedule)))]
    pub(crate) use crossbeam_deque::{Steal, Stealer, Worker};
    #[cfg(greenhub_loom)]
    pub(crate) use locked::{Steal, Stealer, Worker};

    /// crossbeam-deque's interface over a locked queue, since loom cannot look inside the real one: it is taken to be
    /// linearizable. What a batch carries beyond its first entry is in neither queue for a moment, as there.
    #[cfg(greenhub_loom)]
    mod locked {
        use super::super::{Arc, Mutex};
        use std::collections::VecDeque;

        pub(crate) enum Steal<T> {
            Empty,
            Success(T),
            #[allow(dead_code)] // with a lock nobody loses a race
            Retry,
        }

        type Shared<T> = Arc<Mutex<VecDeque<T>>>;

        pub(crate) struct Worker<T> {
            queue: Shared<T>,
            lifo: bool,
        }

        pub(crate) struct Stealer<T>(Shared<T>);

        impl<T> Worker<T> {
            pub(crate) fn new_fifo() -> Self {
                Self { queue: Arc::new(Mutex::new(VecDeque::new())), lifo: false }
            }
            pub(crate) fn new_lifo() -> Self {
                Self { lifo: true, ..Self::new_fifo() }
            }
            pub(crate) fn stealer(&self) -> Stealer<T> {
                Stealer(Arc::clone(&self.queue))
            }
            pub(crate) fn push(&self, entry: T) {
                self.queue.lock().push_back(entry);
            }
            pub(crate) fn pop(&self) -> Option<T> {
                let mut queue = self.queue.lock();
                if self.lifo { queue.pop_back() } else { queue.pop_front() }
            }
            pub(crate) fn len(&self) -> usize {
                self.queue.lock().len()
            }
            pub(crate) fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        impl<T> Stealer<T> {
            pub(crate) fn len(&self) -> usize {
                self.0.lock().len()
            }
            pub(crate) fn is_empty(&self) -> bool {
                self.len() == 0
            }
            /// The oldest half, `limit` at most; the first of it is returned.
            pub(crate) fn steal_batch_with_limit_and_pop(&self, into: &Worker<T>, limit: usize) -> Steal<T> {
                let mut batch: VecDeque<T> = {
                    let mut queue = self.0.lock();
                    let count = queue.len().div_ceil(2).min(limit);
                    queue.drain(..count).collect()
                };
                match batch.pop_front() {
                    None => Steal::Empty,
                    Some(first) => {
                        batch.into_iter().for_each(|entry| into.push(entry));
                        Steal::Success(first)
                    }
                }
            }
        }
    }
}

/// A full fence between two threads whose cost falls on one of them: the `light` side is a few instructions, the `heavy`
/// side a system call that makes every running thread of the process pass a barrier (`membarrier(2)`, Linux 4.14; in
/// Rust's terms both are then `fence(SeqCst)`). Where there is no such call, under loom and in
/// a schedule, both *are* that fence.
pub(crate) mod lopsided_fence {
    #[cfg(all(target_os = "linux", not(any(greenhub_loom, greenhub_schedule))))]
    pub(crate) use super::membarrier::{heavy, light};

    #[cfg(not(all(target_os = "linux", not(any(greenhub_loom, greenhub_schedule)))))]
    pub(crate) fn light() {
        super::atomic::fence(super::atomic::Ordering::SeqCst);
    }
    #[cfg(not(all(target_os = "linux", not(any(greenhub_loom, greenhub_schedule)))))]
    pub(crate) use light as heavy;
}

#[cfg(all(target_os = "linux", not(any(greenhub_loom, greenhub_schedule))))]
mod membarrier;

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

#[cfg(not(greenhub_schedule))]
mod short_lock;

/// The lock of wait lists and channels; see [`short_lock`]. Under loom an ordinary one, and `short_lock` has its model;
/// in a schedule an ordinary one, too.
#[cfg(not(any(greenhub_loom, greenhub_schedule)))]
pub(crate) type ShortMutex<T> = lock_api::Mutex<short_lock::ShortLock, T>;
#[cfg(not(any(greenhub_loom, greenhub_schedule)))]
pub(crate) type ShortMutexGuard<'a, T> = lock_api::MutexGuard<'a, short_lock::ShortLock, T>;
#[cfg(any(greenhub_loom, greenhub_schedule))]
pub(crate) use imp::{Mutex as ShortMutex, MutexGuard as ShortMutexGuard};

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

/// Does `$operation`, by which a greenlet changes or looks at what others can see. [Explorations](mod@crate::explore) let
/// others run before and after it; everybody else pays a load and a branch. `$what` is the call, as the user wrote it.
///
/// No lock of the runtime may be held (invariant 5), and nothing read from a thread-local before is valid after
/// (invariant 4).
///
/// A macro, so that what the rare branch captures is put together there and nowhere else: as a function with a closure
/// it made an uncontended lock half as long again.
#[cfg(not(greenhub_loom))]
macro_rules! observable {
    ($what:expr, $operation:expr) => {
        if crate::explore::is_conceivable() {
            crate::explore::observed($what, move || $operation)
        } else {
            $operation
        }
    };
}
/// As in an ordinary build, but that loom sees to what others may do in between.
#[cfg(greenhub_loom)]
macro_rules! observable {
    ($what:expr, $operation:expr) => {{
        let _for_explorations_only = $what;
        $operation
    }};
}
pub(crate) use observable;
