//! [`Semaphore`]: a number of permits, handed out in the order they are asked for.
//!
//! The count and a `WAITERS` bit share one atomic. Without waiters, acquiring is one compare-exchange and releasing one
//! addition. With waiters nobody takes past them: a release adds its permits and then, under the list's lock, serves
//! the line from its head as far as the permits go. Everybody who might have made that possible looks: a release that
//! saw `WAITERS`, and a waiter that gives up (those behind it may want less than it did).

mod permit;

pub use permit::{OwnedSemaphorePermit, SemaphorePermit};

use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::{ShortMutex, const_fn, observable};
use crate::wait::{Batch, CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, deadline_after};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WAITERS: usize = 1;
const ONE: usize = 2;

/// Permits to be acquired and given back.
///
/// Permits go to waiters in the order they came, and nobody overtakes: a waiter for many permits holds up those behind
/// it until it has them. A permit gives itself back when dropped; [`add_permits`](Semaphore::add_permits) (gevent's
/// `release`) adds permits without one. Waiting is a suspension point; whoever is killed while waiting has taken
/// nothing.
///
/// # Examples
///
/// ```
/// use greenhub::sync::Semaphore;
///
/// let connections = Semaphore::new(2);
/// let first = connections.acquire();
/// let second = connections.acquire();
/// assert!(connections.try_acquire().is_none());
/// drop(first);
/// assert_eq!(connections.available_permits(), 1);
/// # drop(second);
/// ```
pub struct Semaphore {
    /// Free permits times `ONE`, and the `WAITERS` bit.
    state: AtomicUsize,
    line: ShortMutex<Line>,
}

struct Line {
    list: List<Wanted>,
}

/// How many permits a waiter wants. They are its own once it is woken.
struct Wanted(usize);

impl Semaphore {
    /// The most permits a semaphore can hold.
    ///
    /// ```
    /// assert!(greenhub::sync::Semaphore::MAX_PERMITS > 1_000_000);
    /// ```
    pub const MAX_PERMITS: usize = usize::MAX >> 2;

    const_fn! {
        /// A semaphore with `permits` free permits.
        ///
        /// ```
        /// static LIMIT: greenhub::sync::Semaphore = greenhub::sync::Semaphore::new(10);
        /// assert_eq!(LIMIT.available_permits(), 10);
        /// ```
        ///
        /// # Panics
        ///
        /// If `permits` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
        pub fn new(permits: usize) -> Semaphore {
            assert!(permits <= Semaphore::MAX_PERMITS, "more permits than a semaphore can hold");
            Semaphore { state: AtomicUsize::new(permits * ONE), line: ShortMutex::new(Line { list: List::new() }) }
        }
    }

    /// Acquires one permit, waiting for it as long as it takes.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(1);
    /// let permit = semaphore.acquire();
    /// assert_eq!(semaphore.available_permits(), 0);
    /// # drop(permit);
    /// ```
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Acquires `count` permits at once, waiting as long as it takes.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(3);
    /// let permits = semaphore.acquire_many(2);
    /// assert_eq!(semaphore.available_permits(), 1);
    /// # drop(permits);
    /// ```
    ///
    /// # Panics
    ///
    /// If `count` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    pub fn acquire_many(&self, count: usize) -> SemaphorePermit<'_> {
        let acquired = self.acquire_with(count, None, &"Semaphore::acquire");
        debug_assert!(acquired, "without a deadline the wait ends with the permits");
        SemaphorePermit { semaphore: self, count }
    }

    /// Acquires one permit if one is free and nobody waits for it.
    ///
    /// ```
    /// assert!(greenhub::sync::Semaphore::new(0).try_acquire().is_none());
    /// ```
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Acquires `count` permits if so many are free and nobody waits for them.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(3);
    /// assert!(semaphore.try_acquire_many(4).is_none());
    /// assert!(semaphore.try_acquire_many(3).is_some());
    /// ```
    pub fn try_acquire_many(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        observable!("Semaphore::try_acquire", self.take(count))
            .then(|| SemaphorePermit { semaphore: self, count })
    }

    /// Acquires one permit, or gives up after `timeout`.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(0);
    /// assert!(semaphore.acquire_timeout(std::time::Duration::from_millis(1)).is_none());
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.acquire_many_timeout(1, timeout)
    }

    /// Acquires `count` permits, or gives up after `timeout`.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(1);
    /// assert!(semaphore.acquire_many_timeout(2, std::time::Duration::from_millis(1)).is_none());
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    pub fn acquire_many_timeout(&self, count: usize, timeout: Duration) -> Option<SemaphorePermit<'_>> {
        self.acquire_with(count, deadline_after(timeout), &"Semaphore::acquire_timeout")
            .then(|| SemaphorePermit { semaphore: self, count })
    }

    /// As [`acquire`](Semaphore::acquire), with a permit that keeps the semaphore alive.
    ///
    /// ```
    /// use greenhub::sync::Semaphore;
    /// use std::sync::Arc;
    ///
    /// let semaphore = Arc::new(Semaphore::new(1));
    /// let permit = semaphore.acquire_owned();
    /// let worker = std::thread::spawn(move || drop(permit));
    /// # worker.join().unwrap();
    /// ```
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedSemaphorePermit {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Semaphore::acquire_many), with permits that keep the semaphore alive.
    ///
    /// ```
    /// let semaphore = std::sync::Arc::new(greenhub::sync::Semaphore::new(3));
    /// let permits = semaphore.acquire_many_owned(3);
    /// assert_eq!(semaphore.available_permits(), 0);
    /// # drop(permits);
    /// ```
    pub fn acquire_many_owned(self: &Arc<Self>, count: usize) -> OwnedSemaphorePermit {
        self.acquire_many(count).forget();
        OwnedSemaphorePermit { semaphore: Arc::clone(self), count }
    }

    /// As [`try_acquire`](Semaphore::try_acquire), with a permit that keeps the semaphore alive.
    ///
    /// ```
    /// let semaphore = std::sync::Arc::new(greenhub::sync::Semaphore::new(0));
    /// assert!(semaphore.try_acquire_owned().is_none());
    /// ```
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        self.try_acquire()?.forget();
        Some(OwnedSemaphorePermit { semaphore: Arc::clone(self), count: 1 })
    }

    /// Adds one permit; the count may exceed what the semaphore began with.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(0);
    /// semaphore.release();
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    ///
    /// # Panics
    ///
    /// As [`add_permits`](Semaphore::add_permits).
    pub fn release(&self) {
        self.add_permits(1);
    }

    /// Adds `count` permits and wakes those who now get theirs.
    ///
    /// ```
    /// let semaphore = greenhub::sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    ///
    /// # Panics
    ///
    /// If the count would exceed [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    #[inline]
    pub fn add_permits(&self, count: usize) {
        observable!("Semaphore::release", self.add(count));
    }

    #[inline]
    fn add(&self, count: usize) {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let free = (state / ONE).checked_add(count).filter(|&free| free <= Self::MAX_PERMITS);
            let free = free.expect("more permits than a semaphore can hold");
            // Release: what was done with the permit is visible to whoever takes it; pairs with the Acquire in
            // `take` and `serve`.
            let next = (free * ONE) | (state & WAITERS);
            match self.state.compare_exchange_weak(state, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        if state & WAITERS != 0 {
            self.serve_waiters();
        }
    }

    /// How many permits are free at this moment.
    ///
    /// ```
    /// assert_eq!(greenhub::sync::Semaphore::new(5).available_permits(), 5);
    /// ```
    pub fn available_permits(&self) -> usize {
        // Relaxed: a snapshot.
        observable!("Semaphore::available_permits", self.state.load(Ordering::Relaxed) / ONE)
    }

    /// Takes `count` permits if they are free and nobody waits.
    #[inline]
    fn take(&self, count: usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WAITERS == 0 && state / ONE >= count {
            // Acquire: pairs with the Release in `add_permits`.
            match self.state.compare_exchange_weak(
                state,
                state - count * ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    #[inline]
    fn acquire_with(&self, count: usize, deadline: Option<Instant>, what: CallName) -> bool {
        assert!(count <= Self::MAX_PERMITS, "more permits than a semaphore can hold");
        observable!(what, self.take(count) || self.acquire_slowly(count, deadline, what))
    }

    #[inline(never)]
    fn acquire_slowly(&self, count: usize, deadline: Option<Instant>, what: CallName) -> bool {
        let wait = Wait { deadline, interrupts: Interrupts::Allowed, reason: Reason::new(what, self) };
        loop {
            let line = self.line.lock();
            // Announced first, then looked: a release that does not see `WAITERS` came before, and `take_past`
            // sees its permits. Relaxed: one location, and the line's lock orders the line.
            let before = self.state.fetch_or(WAITERS, Ordering::Relaxed);
            if before & WAITERS == 0 && self.take_first(count) {
                return true;
            }
            let (mut line, why) =
                match wait.in_line(&self.line, line, |line| &mut line.list, Side::Back, Wanted(count)) {
                    Waited::Woken(_) => return true,
                    Waited::Over { state, why, .. } => (state, why),
                };
            let mut batch = Batch::new();
            self.serve(&mut line, &mut batch);
            drop(line);
            batch.deliver();
            if why == Over::TimedOut {
                return false;
            }
            wait.deliver();
        }
    }

    /// With `WAITERS` just set and nobody in line: takes the permits and clears it again if they suffice.
    fn take_first(&self, count: usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state / ONE >= count {
            let next = (state - count * ONE) & !WAITERS;
            // Acquire: pairs with the Release in `add_permits`.
            match self.state.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    #[inline(never)]
    fn serve_waiters(&self) {
        let mut batch = Batch::new();
        self.serve(&mut self.line.lock(), &mut batch);
        batch.deliver();
    }

    /// Gives the free permits to the line, from its head and as far as they go, and clears `WAITERS` behind the last.
    fn serve(&self, line: &mut Line, batch: &mut Batch) {
        while let Some(&Wanted(count)) = line.list.front() {
            // While `WAITERS` is set only the holder of the line's lock takes permits: what is free stays free.
            // Acquire: pairs with the Release in `add_permits`; the wake passes it on to the waiter.
            if self.state.load(Ordering::Acquire) / ONE < count {
                return;
            }
            // Taken first, since a woken waiter may give them back at once. Relaxed: read with Acquire above.
            self.state.fetch_sub(count * ONE, Ordering::Relaxed);
            match line.list.wake_first() {
                Ok(Some(wakeup)) => batch.push(wakeup),
                _ => {
                    // It had stopped waiting. Release: passes on what the Acquire saw.
                    self.state.fetch_add(count * ONE, Ordering::Release);
                }
            }
        }
        self.state.fetch_and(!WAITERS, Ordering::Relaxed);
    }
}

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
