//! Permits, and how they come back.

use super::Semaphore;
use std::sync::Arc;

/// Permits of a [`Semaphore`]; dropping gives them back.
///
/// ```
/// let semaphore = greenhub::sync::Semaphore::new(1);
/// drop(semaphore.acquire());
/// assert_eq!(semaphore.available_permits(), 1);
/// ```
#[must_use = "a dropped permit is given back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    pub(super) semaphore: &'a Semaphore,
    pub(super) count: usize,
}

impl SemaphorePermit<'_> {
    /// Keeps the permits from coming back.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(1);
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}

/// Permits of a [`Semaphore`] that keep it alive; dropping gives them back.
///
/// ```
/// use greenhub::sync::{OwnedSemaphorePermit, Semaphore};
/// let semaphore = std::sync::Arc::new(Semaphore::new(1));
/// let permit: OwnedSemaphorePermit = semaphore.acquire_owned();
/// drop(permit);
/// assert_eq!(semaphore.available_permits(), 1);
/// ```
#[must_use = "a dropped permit is given back at once"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    pub(super) semaphore: Arc<Semaphore>,
    pub(super) count: usize,
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.add_permits(self.count);
    }
}
