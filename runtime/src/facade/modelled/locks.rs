//! Locks and condition variables under loom, with parking_lot's interface.
//!
//! Not loom's own mutex: that one holds a std mutex, which takes an unlock for a poisoning if *any* thread of the model
//! unwinds at that moment, as killed greenlets do. A lock here is a loom channel that holds one token.

use super::const_atomic::{AtomicU8, Ordering};
use super::execution::Slot;
use crate::model::check::step;
use loom::sync::mpsc::{Receiver, Sender, channel};
use std::cell::{RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Instant;

/// A [`Gate`] that may lie in a `static`.
pub(crate) struct ConstGate(Slot<Gate>);

impl ConstGate {
    pub(crate) const fn new() -> Self {
        Self(Slot::new())
    }

    pub(crate) fn gate(&self) -> &Gate {
        self.0.get(|execution| execution.gate())
    }
}

/// Lets one waiter through for each opening.
pub(crate) struct Gate {
    open: Sender<()>,
    pass: Receiver<()>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        let (open, pass) = step(channel);
        Self { open, pass }
    }

    /// Lets one through.
    pub(crate) fn open(&self) {
        step(|| self.open.send(())).expect("the other end is in the same gate");
    }

    /// Waits to be let through.
    pub(crate) fn pass(&self) {
        step(|| self.pass.recv()).expect("the other end is in the same gate");
    }
}

/// A short lock.
pub(crate) struct Mutex<T> {
    lock: Slot<Gate>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by whoever holds the lock.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// The lock, held.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: Slot::new(), value: UnsafeCell::new(value) }
    }

    fn gate(&self) -> &Gate {
        let fresh = !self.lock.in_use();
        let gate = self.lock.get(|execution| execution.gate());
        if fresh {
            gate.open();
        }
        gate
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.gate().pass();
        MutexGuard { mutex: self }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is ours alone.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.gate().open();
    }
}

/// A lock that somebody may try: loom's own, which follows what a failed try depends on. Not for what greenlets hold
/// while they unwind (see above).
#[derive(Debug, Default)]
pub(crate) struct TryMutex<T>(loom::sync::Mutex<T>);

impl<T> TryMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn try_lock(&self) -> Option<loom::sync::MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}

/// What a timed wait returns: here always that its time was up.
pub(crate) struct WaitTimeoutResult;

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        true
    }
}

/// A condition variable. A timed wait lets go of the lock, lets others run, and returns as if its time were up, which
/// explores the "fires" branch and whatever may come between the end of the time and the lock.
pub(crate) struct Condvar {
    /// Written by every wait and notification, so that loom tries them in either order.
    order: AtomicU8,
    waiters: RefCell<VecDeque<Rc<Gate>>>,
}

// SAFETY: all threads of a model share one OS thread, and no borrow is held across a step.
unsafe impl Sync for Condvar {}
// SAFETY: as above.
unsafe impl Send for Condvar {}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self { order: AtomicU8::new(0), waiters: RefCell::new(VecDeque::new()) }
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.order.fetch_add(1, Ordering::Relaxed);
        let gate = Rc::new(Gate::new());
        self.waiters.borrow_mut().push_back(gate.clone());
        let lock = guard.mutex.gate();
        lock.open();
        gate.pass();
        lock.pass();
    }

    pub(crate) fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _deadline: Instant,
    ) -> WaitTimeoutResult {
        let lock = guard.mutex.gate();
        lock.open();
        step(loom::thread::yield_now);
        lock.pass();
        WaitTimeoutResult
    }

    pub(crate) fn notify_one(&self) {
        self.order.fetch_add(1, Ordering::Relaxed);
        let first = self.waiters.borrow_mut().pop_front();
        if let Some(gate) = first {
            gate.open();
        }
    }

    pub(crate) fn notify_all(&self) {
        self.order.fetch_add(1, Ordering::Relaxed);
        let all = self.waiters.take();
        all.into_iter().for_each(|gate| gate.open());
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
