//! [`Condvar`]: waiting for a condition that a mutex protects.

use super::mutex::MutexGuard;
use crate::facade::{ShortMutex, const_fn, observable};
use crate::wait::{Batch, CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, deadline_after};
use lock_api::{GuardSend, RawMutex as _};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// A condition variable: lets a [`Mutex`](super::Mutex) go, waits to be notified, and locks it again.
///
/// Shaped like `parking_lot::Condvar`: the guard is borrowed, and notifying says how many were woken. There are no
/// spurious wake-ups, but what was true when the notifier looked may no longer be when the waiter has the lock again,
/// so wait in a loop or use [`wait_while`](Condvar::wait_while). Waiters are notified in the order they came.
///
/// Waiting is a suspension point; a kill or an enclosing timeout unwinds out of it *after* the mutex is locked again,
/// so that the guard still guards. A notification that came before the kill counts as received. A condition
/// variable may be used with several mutexes.
///
/// # Examples
///
/// ```
/// use greenhub::sync::{Condvar, Mutex};
/// use std::sync::Arc;
///
/// let pair = Arc::new((Mutex::new(false), Condvar::new()));
/// let other = Arc::clone(&pair);
/// let setter = std::thread::spawn(move || {
///     *other.0.lock() = true;
///     other.1.notify_one();
/// });
/// let mut ready = pair.0.lock();
/// while !*ready {
///     pair.1.wait(&mut ready);
/// }
/// # drop(ready);
/// # setter.join().unwrap();
/// ```
pub struct Condvar {
    line: ShortMutex<Line>,
}

struct Line {
    list: List<()>,
}

/// Whether a timed wait ended by its time.
///
/// ```
/// use greenhub::sync::{Condvar, Mutex};
///
/// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
/// let result = condvar.wait_for(&mut mutex.lock(), std::time::Duration::from_millis(1));
/// assert!(result.timed_out());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time passed before a notification came.
    ///
    /// ```
    /// # use greenhub::sync::{Condvar, Mutex};
    /// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    /// assert!(condvar.wait_until(&mut mutex.lock(), std::time::Instant::now()).timed_out());
    /// ```
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    const_fn! {
        /// A condition variable nobody waits on.
        ///
        /// ```
        /// static CHANGED: greenhub::sync::Condvar = greenhub::sync::Condvar::new();
        /// assert!(!CHANGED.notify_one());
        /// ```
        pub fn new() -> Condvar {
            Condvar { line: ShortMutex::new(Line { list: List::new() }) }
        }
    }

    /// Wakes the longest waiter. Returns whether there was one.
    ///
    /// ```
    /// assert!(!greenhub::sync::Condvar::new().notify_one());
    /// ```
    pub fn notify_one(&self) -> bool {
        observable!("Condvar::notify_one", {
            let woken = self.line.lock().list.wake_next(&mut ());
            match woken {
                Some(wakeup) => {
                    wakeup.deliver();
                    true
                }
                None => false,
            }
        })
    }

    /// Wakes everybody who waits now, in the order they came. Returns how many they were.
    ///
    /// ```
    /// assert_eq!(greenhub::sync::Condvar::new().notify_all(), 0);
    /// ```
    pub fn notify_all(&self) -> usize {
        observable!("Condvar::notify_all", {
            let mut batch = Batch::new();
            self.line.lock().list.wake_all(&mut batch);
            batch.deliver()
        })
    }

    /// Unlocks, waits to be notified, and locks again.
    ///
    /// ```
    /// # use greenhub::sync::{Condvar, Mutex};
    /// # use std::sync::Arc;
    /// let pair = Arc::new((Mutex::new(0), Condvar::new()));
    /// let other = Arc::clone(&pair);
    /// let mut number = pair.0.lock();
    /// let notifier = std::thread::spawn(move || {
    ///     *other.0.lock() = 1;
    ///     other.1.notify_all()
    /// });
    /// while *number == 0 {
    ///     pair.1.wait(&mut number);
    /// }
    /// # drop(number);
    /// # notifier.join().unwrap();
    /// ```
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_with(guard, None, &"Condvar::wait");
    }

    /// As [`wait`](Condvar::wait), for at most `timeout`.
    ///
    /// ```
    /// # use greenhub::sync::{Condvar, Mutex};
    /// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    /// assert!(condvar.wait_for(&mut mutex.lock(), std::time::Duration::ZERO).timed_out());
    /// ```
    pub fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) -> WaitTimeoutResult {
        self.wait_with(guard, deadline_after(timeout), &"Condvar::wait_for")
    }

    /// As [`wait`](Condvar::wait), until `deadline` at the latest.
    ///
    /// ```
    /// # use greenhub::sync::{Condvar, Mutex};
    /// let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    /// assert!(condvar.wait_until(&mut mutex.lock(), std::time::Instant::now()).timed_out());
    /// ```
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        self.wait_with(guard, Some(deadline), &"Condvar::wait_until")
    }

    /// Waits while `condition` holds; it is looked at with the mutex locked, first before waiting.
    ///
    /// ```
    /// # use greenhub::sync::{Condvar, Mutex};
    /// let (mutex, condvar) = (Mutex::new(3), Condvar::new());
    /// condvar.wait_while(&mut mutex.lock(), |number| *number < 3);
    /// ```
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        while condition(guard) {
            self.wait(guard);
        }
    }

    /// As [`wait_while`](Condvar::wait_while), for at most `timeout`. Timed out means that the condition still held.
    ///
    /// ```
    /// # use greenhub::sync::{Condvar, Mutex};
    /// # use std::time::Duration;
    /// let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    /// let result = condvar.wait_while_for(&mut mutex.lock(), |n| *n == 0, Duration::from_millis(1));
    /// assert!(result.timed_out());
    /// ```
    pub fn wait_while_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        match deadline_after(timeout) {
            Some(deadline) => self.wait_while_until(guard, condition, deadline),
            None => {
                self.wait_while(guard, condition);
                WaitTimeoutResult(false)
            }
        }
    }

    /// As [`wait_while`](Condvar::wait_while), until `deadline` at the latest.
    ///
    /// ```
    /// # use greenhub::sync::{Condvar, Mutex};
    /// let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    /// let now = std::time::Instant::now();
    /// assert!(!condvar.wait_while_until(&mut mutex.lock(), |n| *n != 0, now).timed_out());
    /// ```
    pub fn wait_while_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        while condition(guard) {
            if self.wait_until(guard, deadline).timed_out() {
                return WaitTimeoutResult(condition(guard));
            }
        }
        WaitTimeoutResult(false)
    }

    fn wait_with<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
        what: CallName,
    ) -> WaitTimeoutResult {
        observable!(what, self.wait_now(guard, deadline, what))
    }

    fn wait_now<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
        what: CallName,
    ) -> WaitTimeoutResult {
        // SAFETY: the raw lock is let go and taken again below, before the guard can be used or dropped: neither the
        // wait nor the locking unwinds.
        let raw = unsafe { MutexGuard::mutex(guard).raw() };
        let wait = Wait { deadline, interrupts: Interrupts::Allowed, reason: Reason::new(what, self) };
        let why = match wait.run(
            &self.line,
            self.line.lock(),
            |line| &mut line.list,
            Side::Back,
            (),
            // In line before the mutex is free, so whoever changes the condition finds this waiter.
            // SAFETY: `guard` holds the lock.
            || unsafe { raw.unlock(GuardSend::new()) },
        ) {
            Waited::Woken(()) => None,
            Waited::Over { why, .. } => Some(why),
        };
        let _held_again = raw.lock();
        if why == Some(Over::Interrupted) {
            wait.deliver();
        }
        WaitTimeoutResult(why == Some(Over::TimedOut))
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests {
    use super::super::Mutex;
    use super::*;
    use crate::testing::{everywhere, thread};
    use std::sync::Arc;

    #[test]
    fn waiters_are_notified_in_order() {
        everywhere(|| {
            let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
            let threads: Vec<_> = (0..4)
                .map(|i| {
                    let shared = Arc::clone(&shared);
                    let thread = thread::spawn(move || {
                        let mut order = shared.0.lock();
                        shared.1.wait(&mut order);
                        order.push(i);
                    });
                    thread::sleep(Duration::from_millis(20));
                    thread
                })
                .collect();
            for i in 0..4 {
                assert!(shared.1.notify_one());
                while shared.0.lock().len() <= i {
                    thread::yield_now();
                }
            }
            assert!(!shared.1.notify_one());
            assert_eq!(*shared.0.lock(), [0, 1, 2, 3]);
            threads.into_iter().for_each(|t| t.join().unwrap());
        });
    }

    #[test]
    fn the_mutex_is_locked_again_after_a_timeout() {
        everywhere(|| {
            let (mutex, condvar) = (Mutex::new(()), Condvar::new());
            let mut guard = mutex.lock();
            assert!(condvar.wait_for(&mut guard, Duration::from_millis(10)).timed_out());
            assert!(mutex.is_locked());
            drop(guard);
            assert!(!mutex.is_locked());
        });
    }

    #[test]
    fn notify_all_counts_and_wakes_everybody() {
        everywhere(|| {
            let shared = Arc::new((Mutex::new(0), Condvar::new()));
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let mut count = shared.0.lock();
                        *count += 1;
                        shared.1.wait_while(&mut count, |count| *count < 100);
                    })
                })
                .collect();
            loop {
                let mut count = shared.0.lock();
                if *count == 8 {
                    *count = 100;
                    break;
                }
                drop(count);
                thread::yield_now();
            }
            assert_eq!(shared.1.notify_all(), 8);
            threads.into_iter().for_each(|t| t.join().unwrap());
        });
    }
}
