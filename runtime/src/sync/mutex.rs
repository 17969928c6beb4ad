//! [`Mutex`]: mutual exclusion between greenlets and OS threads.

use super::raw_mutex::RawMutex;
use crate::wait::{Interrupts, deadline_after};
use lock_api::{GuardSend, RawMutexTimed};
use std::fmt;
use std::time::{Duration, Instant};

/// Mutual exclusion that parks the greenlet (or OS thread) instead of its hub.
///
/// Shaped like `parking_lot::Mutex`: [`lock`](Mutex::lock) gives the guard at once, there is no poisoning, and a guard
/// may be held across suspension points and sent elsewhere. An uncontended lock and unlock are one atomic step each.
/// A running locker may take a free lock before those who wait; whoever has been overtaken for half a millisecond since it was
/// woken is handed the lock at the next unlock before which nobody on another thread slips in. Waiters are woken in the order they
/// came.
///
/// An unlock may still touch the mutex when somebody else has it already. References see to it that it is there; unsafe code must not
/// let what the mutex protects decide who frees the mutex.
///
/// Waiting is a suspension point: a kill or an enclosing timeout unwinds out of `lock`, without the lock. Locking
/// *again* inside [`MutexGuard::unlocked`](lock_api::MutexGuard::unlocked),
/// [`MutexGuard::bump`](lock_api::MutexGuard::bump) or [`Condvar::wait`](super::Condvar::wait) is not.
///
/// # Examples
///
/// ```
/// use greenhub::sync::Mutex;
/// use std::sync::Arc;
///
/// let total = Arc::new(Mutex::new(0));
/// let workers: Vec<_> = (0..4)
///     .map(|_| {
///         let total = Arc::clone(&total);
///         std::thread::spawn(move || *total.lock() += 1)
///     })
///     .collect();
/// for worker in workers {
///     worker.join().unwrap();
/// }
/// assert_eq!(*total.lock(), 4);
/// ```
pub struct Mutex<T: ?Sized>(lock_api::Mutex<RawMutex, T>);

/// Holds a [`Mutex`] locked; dropping it unlocks.
///
/// `MutexGuard::map` narrows it to a part of the data, `MutexGuard::unlocked` lets the lock go for the length of a
/// closure, `MutexGuard::unlock_fair` hands it to the longest waiter, and `MutexGuard::bump` does so and takes it again.
///
/// ```
/// use greenhub::sync::{Mutex, MutexGuard};
///
/// let pair = Mutex::new((1, "one"));
/// {
///     let mut number = MutexGuard::map(pair.lock(), |pair| &mut pair.0);
///     *number += 1;
/// }
/// let mut guard = pair.lock();
/// MutexGuard::unlocked(&mut guard, || assert!(!pair.is_locked()));
/// assert_eq!(guard.0, 2);
/// ```
///
/// A guard may be sent; it unlocks where it is dropped.
///
/// ```
/// let mutex = greenhub::sync::Mutex::new(1);
/// let guard = mutex.lock();
/// std::thread::scope(|s| s.spawn(move || drop(guard)).join().unwrap());
/// assert!(!mutex.is_locked());
/// ```
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// Holds a [`Mutex`] locked and points at a part of its data.
///
/// ```
/// use greenhub::sync::{MappedMutexGuard, Mutex, MutexGuard};
///
/// let words = Mutex::new(vec!["a".to_string()]);
/// let first: MappedMutexGuard<'_, String> = MutexGuard::map(words.lock(), |words| &mut words[0]);
/// assert_eq!(*first, "a");
/// ```
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;

impl<T> Mutex<T> {
    /// A free mutex around `value`.
    ///
    /// ```
    /// static COUNT: greenhub::sync::Mutex<u32> = greenhub::sync::Mutex::new(0);
    /// *COUNT.lock() += 1;
    /// assert_eq!(*COUNT.lock(), 1);
    /// ```
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(lock_api::Mutex::from_raw(RawMutex::new(), value))
    }

    /// Takes the value out.
    ///
    /// ```
    /// assert_eq!(greenhub::sync::Mutex::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, waiting as long as it takes. Locking a mutex that the caller holds waits for ever.
    ///
    /// ```
    /// let mutex = greenhub::sync::Mutex::new(1);
    /// let mut guard = mutex.lock();
    /// *guard += 1;
    /// assert_eq!(*guard, 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // SAFETY: only the lock operation below is used, which keeps live guards valid.
        let raw = unsafe { self.0.raw() };
        let locked = raw.lock_with(None, Interrupts::Allowed, &"Mutex::lock");
        debug_assert!(locked, "without a deadline the wait ends with the lock");
        // SAFETY: the lock is held and this is the only guard for it; the guard state is empty.
        unsafe { self.0.make_guard_unchecked(GuardSend::new()) }
    }

    /// Locks if nobody holds the lock.
    ///
    /// ```
    /// let mutex = greenhub::sync::Mutex::new(());
    /// let guard = mutex.lock();
    /// assert!(mutex.try_lock().is_none());
    /// drop(guard);
    /// assert!(mutex.try_lock().is_some());
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    /// Locks, or gives up after `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let mutex = greenhub::sync::Mutex::new(());
    /// let _guard = mutex.lock();
    /// assert!(mutex.try_lock_for(Duration::from_millis(1)).is_none());
    /// ```
    pub fn try_lock_for(&self, timeout: Duration) -> Option<MutexGuard<'_, T>> {
        match deadline_after(timeout) {
            Some(deadline) => self.try_lock_until(deadline),
            None => Some(self.lock()),
        }
    }

    /// Locks, or gives up at `deadline`.
    ///
    /// ```
    /// let mutex = greenhub::sync::Mutex::new(());
    /// assert!(mutex.try_lock_until(std::time::Instant::now()).is_some());
    /// ```
    pub fn try_lock_until(&self, deadline: Instant) -> Option<MutexGuard<'_, T>> {
        // SAFETY: only the lock operation below is used, which keeps live guards valid.
        let guard = unsafe { self.0.raw() }.try_lock_until(deadline)?;
        // SAFETY: the lock is held and this is the only guard for it.
        Some(unsafe { self.0.make_guard_unchecked(guard) })
    }

    /// The value, without locking: `&mut self` proves that nobody else can reach it.
    ///
    /// ```
    /// let mut mutex = greenhub::sync::Mutex::new(1);
    /// *mutex.get_mut() = 2;
    /// assert_eq!(*mutex.lock(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Whether somebody holds the lock at this moment.
    ///
    /// ```
    /// let mutex = greenhub::sync::Mutex::new(());
    /// assert!(!mutex.is_locked());
    /// let _guard = mutex.lock();
    /// assert!(mutex.is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
