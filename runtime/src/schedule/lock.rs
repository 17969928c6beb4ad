//! Locks and condition variables that wait in the schedule, with parking_lot's interface.

use super::atomic::drain;
use super::{time, world};
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// As parking_lot's.
#[derive(Default)]
pub(crate) struct Mutex<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: as with any mutex: one holder at a time.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// As parking_lot's.
#[must_use]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*const ()>,
}

// SAFETY: shares what the mutex holds, no more.
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        world::step();
        drain();
        while self.locked.swap(true, Ordering::Acquire) {
            if world::is_controlled() {
                world::wait(self.key(), u64::MAX, "a lock", || ());
            } else {
                // A thread outside of any execution, or one that looks at an execution that has failed.
                std::thread::yield_now();
            }
        }
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    #[track_caller]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        world::step();
        drain();
        let taken = !self.locked.swap(true, Ordering::Acquire);
        taken.then(|| MutexGuard { mutex: self, not_send: PhantomData })
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(&self.locked).addr()
    }

    fn unlock(&self) {
        drain();
        self.locked.store(false, Ordering::Release);
        world::release(self.key(), true);
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

/// As parking_lot's. Not of zero size, for its address is its name.
#[derive(Debug, Default)]
pub(crate) struct Condvar(#[expect(dead_code, reason = "takes up room")] u8);

/// As parking_lot's.
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    #[allow(dead_code)] // as parking_lot's
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    #[track_caller]
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let _woken = self.wait_for(guard, u64::MAX);
    }

    #[track_caller]
    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        WaitTimeoutResult(self.wait_for(guard, time::nanos(deadline)))
    }

    #[track_caller]
    fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, until: u64) -> bool {
        assert!(world::is_controlled(), "only threads of an execution wait on its condition variables");
        world::step();
        let timed_out = world::wait(self.key(), until, "a condition variable", || guard.mutex.unlock());
        std::mem::forget(guard.mutex.lock());
        timed_out
    }

    #[track_caller]
    pub(crate) fn notify_one(&self) {
        world::step();
        drain();
        world::release(self.key(), false);
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        world::step();
        drain();
        world::release(self.key(), true);
    }

    fn key(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}
