//! [`WaitGroup`]: waits until everybody who holds a clone has dropped it.

use super::event::Event;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Waits for work to end: every clone stands for one piece of it.
///
/// As in `crossbeam`: [`wait`](WaitGroup::wait) gives up its own clone and waits until all others are dropped, be it by
/// unwinding.
///
/// # Examples
///
/// ```
/// use greenhub::sync::WaitGroup;
///
/// let group = WaitGroup::new();
/// for _ in 0..4 {
///     let group = group.clone();
///     std::thread::spawn(move || {
///         // Some work.
///         drop(group);
///     });
/// }
/// group.wait();
/// ```
#[derive(Clone)]
pub struct WaitGroup {
    /// Set by the drop of the last clone.
    members: Arc<Members>,
}

struct Members {
    gone: Arc<Event>,
}

impl Drop for Members {
    fn drop(&mut self) {
        self.gone.set();
    }
}

impl WaitGroup {
    /// A group of one: the value returned.
    ///
    /// ```
    /// greenhub::sync::WaitGroup::new().wait();
    /// ```
    pub fn new() -> WaitGroup {
        WaitGroup { members: Arc::new(Members { gone: Arc::new(Event::new()) }) }
    }

    /// Drops this clone and waits until all others are dropped.
    ///
    /// ```
    /// let group = greenhub::sync::WaitGroup::new();
    /// drop(group.clone());
    /// group.wait();
    /// ```
    pub fn wait(self) {
        let gone = Arc::clone(&self.members.gone);
        drop(self);
        gone.wait();
    }

    /// As [`wait`](WaitGroup::wait), for at most `timeout`. Returns whether all are gone.
    ///
    /// ```
    /// let group = greenhub::sync::WaitGroup::new();
    /// let member = group.clone();
    /// assert!(!group.wait_timeout(std::time::Duration::from_millis(1)));
    /// # drop(member);
    /// ```
    pub fn wait_timeout(self, timeout: Duration) -> bool {
        let gone = Arc::clone(&self.members.gone);
        drop(self);
        gone.wait_timeout(timeout)
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("members", &Arc::strong_count(&self.members)).finish()
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests {
    use super::*;
    use crate::testing::{everywhere, thread};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn wait_returns_when_the_last_clone_is_gone() {
        everywhere(|| {
            let (group, done) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
            for _ in 0..8 {
                let (group, done) = (group.clone(), Arc::clone(&done));
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(5));
                    done.fetch_add(1, Ordering::SeqCst);
                    drop(group);
                });
            }
            group.wait();
            assert_eq!(done.load(Ordering::SeqCst), 8);
        });
    }
}
