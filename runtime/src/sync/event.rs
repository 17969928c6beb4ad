//! [`Event`]: a flag to wait for.

use crate::facade::atomic::{AtomicBool, Ordering};
use crate::facade::{ShortMutex, const_fn, observable};
use crate::wait::{Batch, CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, deadline_after};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// A flag that many may wait for.
///
/// [`set`](Event::set) wakes everybody who waits at that moment, in the order they came, even if the event is
/// [`clear`](Event::clear)ed before they run.
///
/// # Examples
///
/// ```
/// use greenhub::sync::Event;
/// use std::sync::Arc;
///
/// let started = Arc::new(Event::new());
/// let waiter = {
///     let started = Arc::clone(&started);
///     std::thread::spawn(move || started.wait())
/// };
/// started.set();
/// waiter.join().unwrap();
/// assert!(started.is_set());
/// ```
pub struct Event {
    /// Written under the line's lock, read without it.
    set: AtomicBool,
    line: ShortMutex<Line>,
}

struct Line {
    list: List<()>,
}

impl Event {
    const_fn! {
        /// An event that is not set.
        ///
        /// ```
        /// static STOP: greenhub::sync::Event = greenhub::sync::Event::new();
        /// assert!(!STOP.is_set());
        /// ```
        pub fn new() -> Event {
            Event { set: AtomicBool::new(false), line: ShortMutex::new(Line { list: List::new() }) }
        }
    }

    /// Sets the flag and wakes all who wait.
    ///
    /// ```
    /// let event = greenhub::sync::Event::new();
    /// event.set();
    /// event.wait();
    /// ```
    pub fn set(&self) {
        observable!("Event::set", {
            let mut batch = Batch::new();
            let mut line = self.line.lock();
            // Release: what was done before is visible to whoever sees the flag; pairs with the Acquire in `is_set`.
            self.set.store(true, Ordering::Release);
            line.list.wake_all(&mut batch);
            drop(line);
            batch.deliver();
        });
    }

    /// Clears the flag; those who come later wait for the next [`set`](Event::set).
    ///
    /// ```
    /// let event = greenhub::sync::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        observable!("Event::clear", {
            let _line = self.line.lock();
            // Relaxed: a cleared flag publishes nothing.
            self.set.store(false, Ordering::Relaxed);
        });
    }

    /// Whether the flag is set.
    ///
    /// ```
    /// assert!(!greenhub::sync::Event::new().is_set());
    /// ```
    #[inline]
    pub fn is_set(&self) -> bool {
        observable!("Event::is_set", self.flag())
    }

    #[inline]
    fn flag(&self) -> bool {
        // Acquire: pairs with the Release in `set`.
        self.set.load(Ordering::Acquire)
    }

    /// Waits until the event is set, or has been set meanwhile.
    ///
    /// ```
    /// let event = greenhub::sync::Event::new();
    /// event.set();
    /// event.wait();
    /// ```
    pub fn wait(&self) {
        let set = self.wait_with(None, &"Event::wait");
        debug_assert!(set, "without a deadline the wait ends with the event");
    }

    /// As [`wait`](Event::wait), for at most `timeout`. Returns whether the event was set on entry or at least once
    /// while waiting.
    ///
    /// ```
    /// let event = greenhub::sync::Event::new();
    /// assert!(!event.wait_timeout(std::time::Duration::from_millis(1)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_with(deadline_after(timeout), &"Event::wait_timeout")
    }

    fn wait_with(&self, deadline: Option<Instant>, what: CallName) -> bool {
        observable!(what, self.wait_now(deadline, what))
    }

    fn wait_now(&self, deadline: Option<Instant>, what: CallName) -> bool {
        let wait = Wait { deadline, interrupts: Interrupts::Allowed, reason: Reason::new(what, self) };
        loop {
            if self.flag() {
                return true;
            }
            let line = self.line.lock();
            if self.flag() {
                return true;
            }
            let (why, passed_over) =
                match wait.in_line(&self.line, line, |line| &mut line.list, Side::Back, ()) {
                    Waited::Woken(()) => return true,
                    Waited::Over { why, passed_over, .. } => (why, passed_over),
                };
            if why == Over::TimedOut {
                return false;
            }
            wait.deliver();
            if passed_over {
                return true;
            }
        }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl UnwindSafe for Event {}
impl RefUnwindSafe for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests {
    use super::*;
    use crate::testing::{everywhere, thread};
    use std::sync::Arc;

    #[test]
    fn set_and_clear_at_once_still_wakes_everybody() {
        everywhere(|| {
            let event = Arc::new(Event::new());
            let threads: Vec<_> = (0..50)
                .map(|_| {
                    let event = Arc::clone(&event);
                    thread::spawn(move || event.wait_timeout(Duration::from_secs(20)))
                })
                .collect();
            thread::sleep(Duration::from_millis(100));
            event.set();
            event.clear();
            assert!(threads.into_iter().all(|t| t.join().unwrap()));
            assert!(!event.is_set());
        });
    }

    #[test]
    fn a_wait_in_vain_ends_after_its_time() {
        everywhere(|| {
            let started = Instant::now();
            assert!(!Event::new().wait_timeout(Duration::from_millis(10)));
            assert!(started.elapsed() >= Duration::from_millis(10));
        });
    }
}
