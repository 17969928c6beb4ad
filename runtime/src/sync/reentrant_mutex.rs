//! [`ReentrantMutex`]: a mutex whose holder may lock it again.

use super::raw_mutex::RawMutex;
use crate::facade::const_fn;
use crate::wait::{CallName, Interrupts, current_id, deadline_after};
use lock_api::{GetThreadId, GuardSend, RawMutexFair, RawMutexTimed};
use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// A mutex that its holder may lock again; it is free when all guards are gone.
///
/// gevent's `RLock`. The holder is the greenlet (or the OS thread outside any), by a number that is never used twice.
/// As several guards may exist, they give only `&T`; put a `Cell` or `RefCell` inside to change it. Guards stay with
/// their greenlet: they are not `Send`.
///
/// Waiting is a suspension point, as for [`Mutex`](super::Mutex).
///
/// # Examples
///
/// ```
/// use greenhub::sync::ReentrantMutex;
/// use std::cell::Cell;
///
/// let count = ReentrantMutex::new(Cell::new(0));
/// let outer = count.lock();
/// let inner = count.lock();
/// inner.set(outer.get() + 1);
/// assert_eq!(outer.get(), 1);
/// ```
///
/// ```compile_fail,E0277
/// let mutex = greenhub::sync::ReentrantMutex::new(1);
/// let guard = mutex.lock();
/// std::thread::scope(|s| s.spawn(move || drop(guard)).join().unwrap());
/// ```
pub struct ReentrantMutex<T: ?Sized>(lock_api::ReentrantMutex<RawReentrantMutex, CurrentId, T>);

/// Holds a [`ReentrantMutex`] locked; dropping the last one unlocks.
///
/// ```
/// let mutex = greenhub::sync::ReentrantMutex::new(1);
/// let guard: greenhub::sync::ReentrantMutexGuard<'_, i32> = mutex.lock();
/// assert_eq!(*guard, 1);
/// ```
pub type ReentrantMutexGuard<'a, T> = lock_api::ReentrantMutexGuard<'a, RawReentrantMutex, CurrentId, T>;

/// Holds a [`ReentrantMutex`] locked and points at a part of its data.
///
/// ```
/// use greenhub::sync::{MappedReentrantMutexGuard, ReentrantMutex, ReentrantMutexGuard};
/// let mutex = ReentrantMutex::new((1, 2));
/// let first: MappedReentrantMutexGuard<'_, i32> = ReentrantMutexGuard::map(mutex.lock(), |pair| &pair.0);
/// assert_eq!(*first, 1);
/// ```
pub type MappedReentrantMutexGuard<'a, T> =
    lock_api::MappedReentrantMutexGuard<'a, RawReentrantMutex, CurrentId, T>;

/// Tells [`lock_api`] who is calling: the greenlet, or the OS thread outside any.
pub struct CurrentId;

// SAFETY: `current_id` gives each greenlet and each OS thread a number of its own, for ever.
unsafe impl GetThreadId for CurrentId {
    const INIT: Self = CurrentId;

    #[inline]
    fn nonzero_thread_id(&self) -> NonZeroUsize {
        NonZeroUsize::try_from(current_id()).expect("more greenlets were started than a word can count")
    }
}

/// The lock of [`ReentrantMutex`] as [`lock_api`] sees it: what its guards' type parameters name.
///
/// lock_api keeps owner and depth around a raw mutex of its own, to which the terms of a lock have to get through:
/// `lock` is the form that it uses to lock again and keeps interrupts; the timed forms carry `Terms` where others
/// have an instant, and allow them.
pub struct RawReentrantMutex(RawMutex);

/// On which terms [`ReentrantMutex`] locks: until when, and in which call.
pub struct Terms {
    deadline: Option<Instant>,
    what: CallName,
}

// SAFETY: the mutex inside keeps the contract; every method passes on to the one of the same name.
unsafe impl lock_api::RawMutex for RawReentrantMutex {
    #[cfg(not(greenhub_loom))]
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = RawReentrantMutex(RawMutex::new());
    #[cfg(greenhub_loom)]
    const INIT: Self = panic!("loom's atomics have no const constructor: use from_raw");

    type Guard = GuardSend;

    #[inline]
    fn lock(&self) -> GuardSend {
        lock_api::RawMutex::lock(&self.0)
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardSend> {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self, guard: GuardSend) {
        // SAFETY: the caller holds the lock.
        unsafe { self.0.unlock(guard) };
    }

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: as above.
unsafe impl RawMutexFair for RawReentrantMutex {
    unsafe fn unlock_fair(&self, guard: GuardSend) {
        // SAFETY: the caller holds the lock.
        unsafe { self.0.unlock_fair(guard) };
    }

    unsafe fn bump(&self, guard: &mut GuardSend) {
        // SAFETY: the caller holds the lock.
        unsafe { self.0.bump(guard) };
    }
}

// SAFETY: as above; an interrupt unwinds without the lock.
unsafe impl RawMutexTimed for RawReentrantMutex {
    type Duration = Duration;
    type Instant = Terms;

    fn try_lock_for(&self, timeout: Duration) -> Option<GuardSend> {
        self.try_lock_until(Terms {
            deadline: deadline_after(timeout),
            what: &"ReentrantMutex::try_lock_for",
        })
    }

    #[inline]
    fn try_lock_until(&self, terms: Terms) -> Option<GuardSend> {
        self.0.lock_with(terms.deadline, Interrupts::Allowed, terms.what).then(GuardSend::new)
    }
}

impl<T> ReentrantMutex<T> {
    const_fn! {
        /// A free mutex around `value`.
        ///
        /// ```
        /// use std::cell::Cell;
        /// static COUNT: greenhub::sync::ReentrantMutex<Cell<u32>> = greenhub::sync::ReentrantMutex::new(Cell::new(0));
        /// COUNT.lock().set(1);
        /// ```
        pub fn new(value: T) -> ReentrantMutex<T> {
            let raw = RawReentrantMutex(RawMutex::new());
            ReentrantMutex(lock_api::ReentrantMutex::from_raw(raw, CurrentId, value))
        }
    }

    /// Takes the value out.
    ///
    /// ```
    /// assert_eq!(greenhub::sync::ReentrantMutex::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> ReentrantMutex<T> {
    /// Locks, waiting as long as another holds the lock.
    ///
    /// ```
    /// let mutex = greenhub::sync::ReentrantMutex::new(1);
    /// assert_eq!(*mutex.lock(), *mutex.lock());
    /// ```
    ///
    /// # Panics
    ///
    /// If one holder locks more often than `usize` can count.
    #[inline]
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        self.0
            .try_lock_until(Terms { deadline: None, what: &"ReentrantMutex::lock" })
            .expect("without a deadline the wait ends with the lock")
    }

    /// Locks if nobody else holds the lock.
    ///
    /// ```
    /// let mutex = greenhub::sync::ReentrantMutex::new(1);
    /// let _outer = mutex.lock();
    /// assert!(mutex.try_lock().is_some());
    /// std::thread::scope(|s| {
    ///     s.spawn(|| assert!(mutex.try_lock().is_none()));
    /// });
    /// ```
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        self.0.try_lock()
    }

    /// Locks, or gives up after `timeout`.
    ///
    /// ```
    /// let mutex = greenhub::sync::ReentrantMutex::new(1);
    /// assert!(mutex.try_lock_for(std::time::Duration::ZERO).is_some());
    /// ```
    pub fn try_lock_for(&self, timeout: Duration) -> Option<ReentrantMutexGuard<'_, T>> {
        self.0.try_lock_for(timeout)
    }

    /// Locks, or gives up at `deadline`.
    ///
    /// ```
    /// let mutex = greenhub::sync::ReentrantMutex::new(1);
    /// assert!(mutex.try_lock_until(std::time::Instant::now()).is_some());
    /// ```
    pub fn try_lock_until(&self, deadline: Instant) -> Option<ReentrantMutexGuard<'_, T>> {
        self.0.try_lock_until(Terms { deadline: Some(deadline), what: &"ReentrantMutex::try_lock_until" })
    }

    /// The value, without locking: `&mut self` proves that nobody else can reach it.
    ///
    /// ```
    /// let mut mutex = greenhub::sync::ReentrantMutex::new(1);
    /// *mutex.get_mut() = 2;
    /// assert_eq!(*mutex.lock(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Whether somebody holds the lock at this moment.
    ///
    /// ```
    /// assert!(!greenhub::sync::ReentrantMutex::new(()).is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    /// Whether the caller holds the lock.
    ///
    /// ```
    /// let mutex = greenhub::sync::ReentrantMutex::new(());
    /// let _guard = mutex.lock();
    /// assert!(mutex.is_owned());
    /// ```
    pub fn is_owned(&self) -> bool {
        self.0.is_owned_by_current_thread()
    }
}

impl<T: Default> Default for ReentrantMutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for ReentrantMutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests {
    use super::*;
    use crate::testing::{everywhere, thread};
    use std::cell::Cell;
    use std::sync::Arc;

    #[test]
    fn the_lock_is_free_only_after_the_last_guard() {
        everywhere(|| {
            let mutex = Arc::new(ReentrantMutex::new(Cell::new(0)));
            let (outer, inner) = (mutex.lock(), mutex.lock());
            let other = {
                let mutex = Arc::clone(&mutex);
                thread::spawn(move || {
                    assert!(mutex.try_lock_for(Duration::from_millis(5)).is_none());
                    mutex.lock().set(1);
                })
            };
            drop(outer);
            thread::sleep(Duration::from_millis(30));
            assert_eq!(inner.get(), 0);
            assert!(mutex.is_owned());
            drop(inner);
            other.join().unwrap();
            assert_eq!(mutex.lock().get(), 1);
        });
    }
}
