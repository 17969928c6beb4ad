//! [`RwLock`]: many readers or one writer.

use super::raw_rwlock::{Access, RawRwLock};
use crate::facade::const_fn;
use crate::wait::{CallName, Interrupts, deadline_after};
use lock_api::GuardSend;
use std::fmt;
use std::time::{Duration, Instant};

/// Lets many read or one write.
///
/// Shaped like `parking_lot::RwLock`; no poisoning. The lock goes to waiters in the order they came, to all readers up
/// to the next writer at once. A reader that comes while somebody waits stands in line behind, so writers do not starve,
/// and so reading while already reading may wait for ever: [`read_recursive`](RwLock::read_recursive) does not.
///
/// Waiting is a suspension point: a kill or an enclosing timeout unwinds out of it, without the lock.
///
/// # Examples
///
/// ```
/// use greenhub::sync::RwLock;
///
/// let table = RwLock::new(vec![1]);
/// {
///     let (a, b) = (table.read(), table.read());
///     assert_eq!(a.len(), b.len());
/// }
/// table.write().push(2);
/// assert_eq!(*table.read(), [1, 2]);
/// ```
pub struct RwLock<T: ?Sized>(lock_api::RwLock<RawRwLock, T>);

/// Holds an [`RwLock`] for reading; dropping it unlocks.
///
/// ```
/// use greenhub::sync::{RwLock, RwLockReadGuard};
/// let lock = RwLock::new((1, 2));
/// let second = RwLockReadGuard::map(lock.read(), |pair| &pair.1);
/// assert_eq!(*second, 2);
/// ```
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;

/// Holds an [`RwLock`] for writing; dropping it unlocks.
///
/// ```
/// use greenhub::sync::{RwLock, RwLockWriteGuard};
/// let lock = RwLock::new(1);
/// let mut guard = lock.write();
/// *guard = 2;
/// let guard = RwLockWriteGuard::downgrade(guard);
/// assert_eq!(*lock.read(), *guard);
/// ```
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

/// Holds an [`RwLock`] for reading and points at a part of its data.
///
/// ```
/// use greenhub::sync::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
/// let lock = RwLock::new([1, 2]);
/// let first: MappedRwLockReadGuard<'_, i32> = RwLockReadGuard::map(lock.read(), |pair| &pair[0]);
/// assert_eq!(*first, 1);
/// ```
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;

/// Holds an [`RwLock`] for writing and points at a part of its data.
///
/// ```
/// use greenhub::sync::{MappedRwLockWriteGuard, RwLock, RwLockWriteGuard};
/// let lock = RwLock::new([1, 2]);
/// let mut first: MappedRwLockWriteGuard<'_, i32> = RwLockWriteGuard::map(lock.write(), |pair| &mut pair[0]);
/// *first = 3;
/// ```
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

impl<T> RwLock<T> {
    const_fn! {
        /// A free lock around `value`.
        ///
        /// ```
        /// static SETTINGS: greenhub::sync::RwLock<u32> = greenhub::sync::RwLock::new(1);
        /// assert_eq!(*SETTINGS.read(), 1);
        /// ```
        pub fn new(value: T) -> RwLock<T> {
            RwLock(lock_api::RwLock::from_raw(RawRwLock::new(), value))
        }
    }

    /// Takes the value out.
    ///
    /// ```
    /// assert_eq!(greenhub::sync::RwLock::new(7).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    #[inline]
    fn lock_with(&self, access: Access, deadline: Option<Instant>, what: CallName) -> bool {
        // SAFETY: the lock is only taken through it, which keeps live guards valid.
        unsafe { self.0.raw() }.lock_with(access, deadline, Interrupts::Allowed, what)
    }

    #[inline]
    fn read_with(
        &self,
        access: Access,
        deadline: Option<Instant>,
        what: CallName,
    ) -> Option<RwLockReadGuard<'_, T>> {
        // SAFETY: the lock is held for reading, and this is the only guard for that.
        self.lock_with(access, deadline, what)
            .then(|| unsafe { self.0.make_read_guard_unchecked(GuardSend::new()) })
    }

    #[inline]
    fn write_with(&self, deadline: Option<Instant>, what: CallName) -> Option<RwLockWriteGuard<'_, T>> {
        // SAFETY: the lock is held for writing, and this is the only guard for that.
        self.lock_with(Access::Write, deadline, what)
            .then(|| unsafe { self.0.make_write_guard_unchecked(GuardSend::new()) })
    }

    /// Locks for reading, waiting as long as it takes.
    ///
    /// ```
    /// assert_eq!(*greenhub::sync::RwLock::new(1).read(), 1);
    /// ```
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.read_with(Access::Read, None, &"RwLock::read")
            .expect("without a deadline the wait ends with the lock")
    }

    /// As [`read`](RwLock::read), past those who wait: safe for a caller that reads already.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(1);
    /// let outer = lock.read();
    /// assert_eq!(*lock.read_recursive(), *outer);
    /// ```
    pub fn read_recursive(&self) -> RwLockReadGuard<'_, T> {
        self.read_with(Access::ReadRecursive, None, &"RwLock::read_recursive")
            .expect("without a deadline the wait ends with the lock")
    }

    /// Locks for writing, waiting as long as it takes.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(1);
    /// *lock.write() = 2;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.write_with(None, &"RwLock::write").expect("without a deadline the wait ends with the lock")
    }

    /// Locks for reading if nobody writes or waits.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(());
    /// let _writer = lock.write();
    /// assert!(lock.try_read().is_none());
    /// ```
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.0.try_read()
    }

    /// Locks for writing if nobody holds the lock.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(());
    /// let _reader = lock.read();
    /// assert!(lock.try_write().is_none());
    /// ```
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.0.try_write()
    }

    /// Locks for reading, or gives up after `timeout`.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(());
    /// let _writer = lock.write();
    /// assert!(lock.try_read_for(std::time::Duration::from_millis(1)).is_none());
    /// ```
    pub fn try_read_for(&self, timeout: Duration) -> Option<RwLockReadGuard<'_, T>> {
        self.read_with(Access::Read, deadline_after(timeout), &"RwLock::try_read_for")
    }

    /// Locks for reading, or gives up at `deadline`.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(());
    /// assert!(lock.try_read_until(std::time::Instant::now()).is_some());
    /// ```
    pub fn try_read_until(&self, deadline: Instant) -> Option<RwLockReadGuard<'_, T>> {
        self.read_with(Access::Read, Some(deadline), &"RwLock::try_read_until")
    }

    /// Locks for writing, or gives up after `timeout`.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(());
    /// let _reader = lock.read();
    /// assert!(lock.try_write_for(std::time::Duration::from_millis(1)).is_none());
    /// ```
    pub fn try_write_for(&self, timeout: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_with(deadline_after(timeout), &"RwLock::try_write_for")
    }

    /// Locks for writing, or gives up at `deadline`.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(());
    /// assert!(lock.try_write_until(std::time::Instant::now()).is_some());
    /// ```
    pub fn try_write_until(&self, deadline: Instant) -> Option<RwLockWriteGuard<'_, T>> {
        self.write_with(Some(deadline), &"RwLock::try_write_until")
    }

    /// The value, without locking: `&mut self` proves that nobody else can reach it.
    ///
    /// ```
    /// let mut lock = greenhub::sync::RwLock::new(1);
    /// *lock.get_mut() = 2;
    /// assert_eq!(*lock.read(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Whether somebody holds the lock at this moment, reading or writing.
    ///
    /// ```
    /// assert!(!greenhub::sync::RwLock::new(()).is_locked());
    /// ```
    pub fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    /// Whether somebody holds the lock for writing at this moment.
    ///
    /// ```
    /// let lock = greenhub::sync::RwLock::new(());
    /// let _reader = lock.read();
    /// assert!(!lock.is_locked_exclusive());
    /// ```
    pub fn is_locked_exclusive(&self) -> bool {
        self.0.is_locked_exclusive()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
