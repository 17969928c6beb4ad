//! [`Barrier`]: all go on when the last has come.

use crate::facade::{ShortMutex, const_fn, observable};
use crate::wait::{Batch, Interrupts, List, Reason, Side, Wait, Waited};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Lets a fixed number of callers wait for each other, again and again.
///
/// As `std::sync::Barrier`. Whoever is killed while waiting no longer counts as having come.
///
/// # Examples
///
/// ```
/// use greenhub::sync::Barrier;
/// use std::sync::Arc;
///
/// let barrier = Arc::new(Barrier::new(2));
/// let other = Arc::clone(&barrier);
/// let thread = std::thread::spawn(move || other.wait().is_leader());
/// let here = barrier.wait().is_leader();
/// let there = thread.join().unwrap();
/// assert!(here != there);
/// ```
pub struct Barrier {
    size: usize,
    line: ShortMutex<Line>,
}

struct Line {
    /// How many wait in this round.
    come: usize,
    list: List<()>,
}

/// Says which caller of [`Barrier::wait`] came last.
///
/// ```
/// assert!(greenhub::sync::Barrier::new(1).wait().is_leader());
/// ```
#[derive(Debug)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this caller came last: true for exactly one in each round.
    ///
    /// ```
    /// assert!(greenhub::sync::Barrier::new(0).wait().is_leader());
    /// ```
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    const_fn! {
        /// A barrier for `size` callers; 0 counts as 1.
        ///
        /// ```
        /// static MEET: greenhub::sync::Barrier = greenhub::sync::Barrier::new(1);
        /// MEET.wait();
        /// ```
        pub fn new(size: usize) -> Barrier {
            Barrier { size, line: ShortMutex::new(Line { come: 0, list: List::new() }) }
        }
    }

    /// Waits until as many callers as the barrier is for have come; they go on in the order they came.
    ///
    /// ```
    /// let barrier = greenhub::sync::Barrier::new(1);
    /// barrier.wait();
    /// ```
    pub fn wait(&self) -> BarrierWaitResult {
        observable!("Barrier::wait", self.wait_now())
    }

    fn wait_now(&self) -> BarrierWaitResult {
        let reason = Reason::new(&"Barrier::wait", self);
        let wait = Wait { deadline: None, interrupts: Interrupts::Allowed, reason };
        loop {
            let mut line = self.line.lock();
            line.come += 1;
            if line.come >= self.size {
                line.come = 0;
                let mut batch = Batch::new();
                line.list.wake_all(&mut batch);
                drop(line);
                batch.deliver();
                return BarrierWaitResult(true);
            }
            let passed_over = match wait.in_line(&self.line, line, |line| &mut line.list, Side::Back, ()) {
                Waited::Woken(()) => return BarrierWaitResult(false),
                Waited::Over { mut state, passed_over, .. } => {
                    // A round that closed meanwhile passed this waiter over, and began a new count without it.
                    if !passed_over {
                        state.come -= 1;
                    }
                    passed_over
                }
            };
            wait.deliver();
            if passed_over {
                return BarrierWaitResult(false);
            }
        }
    }
}

impl UnwindSafe for Barrier {}
impl RefUnwindSafe for Barrier {}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests {
    use super::*;
    use crate::testing::{everywhere, thread};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn rounds_do_not_overlap_and_each_has_one_leader() {
        everywhere(|| {
            let barrier = Arc::new(Barrier::new(4));
            let (rounds, leaders) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let (barrier, rounds, leaders) =
                        (Arc::clone(&barrier), Arc::clone(&rounds), Arc::clone(&leaders));
                    thread::spawn(move || {
                        for round in 0..200 {
                            rounds.fetch_add(1, Ordering::SeqCst);
                            if barrier.wait().is_leader() {
                                leaders.fetch_add(1, Ordering::SeqCst);
                            }
                            assert!(rounds.load(Ordering::SeqCst) >= 4 * (round + 1));
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(leaders.load(Ordering::SeqCst), 200);
        });
    }
}
