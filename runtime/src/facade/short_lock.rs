//! The lock around what is short: a handful of instructions on a wait list or a channel's buffer, never a switch
//! (invariant 5), never a system call but for the memory that a list may need.
//!
//! It is one flag. Taking it is one read-modify-write, and giving it back is a store: nobody has to be told, since nobody
//! sleeps until told. Who finds it taken looks again for a while, and then *dozes*: sleeps for some microseconds, looks,
//! and sleeps for twice as long. That is rare, for it takes an owner that the system has stopped in the middle of those
//! instructions, and then costs little: who doubles its naps oversleeps by no longer than it had to wait anyway.
//!
//! Why nothing better informed: a table of who sleeps would belong to the process, and a child of fork(2) would inherit
//! it as another thread happened to leave it; asking for sleepers would need a fence with every giving back; and the flag
//! would have to outlive that question. As it is, the store is the last that an owner does to the lock.

use super::atomic::{AtomicBool, Ordering};
use super::{in_models, spin_loop, thread};
use std::iter::repeat_n;
use std::time::Duration;

#[cfg(all(test, greenhub_loom))]
mod model;
#[cfg(not(greenhub_loom))]
mod raw;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;

/// A flag that one has set.
pub(crate) struct ShortLock {
    locked: AtomicBool,
}

/// How long to pause between looks before the first nap: some spins, and then the rest of the time slice, so often. A model
/// goes from look to look.
const SPINS: &[u32] = in_models(&[], &[1, 2, 4, 8, 16]);
const SLICES: usize = in_models(0, 3);

/// The first nap and the longest, of which the kernel makes some more. A stopped owner runs again within some
/// milliseconds as a rule.
const FIRST_NAP: Duration = Duration::from_micros(20);
const LONGEST_NAP: Duration = Duration::from_millis(1);

impl ShortLock {
    super::const_fn! {
        /// A free lock.
        pub(crate) fn new() -> Self {
            Self { locked: AtomicBool::new(false) }
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub(crate) fn try_acquire(&self) -> bool {
        // Acquire: pairs with the Release of the owner before.
        self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock when it becomes free.
    #[inline]
    pub(crate) fn acquire(&self) {
        if !self.try_acquire() {
            self.acquire_slowly();
        }
    }

    #[cold]
    fn acquire_slowly(&self) {
        let mut length = FIRST_NAP;
        while !self.acquire_soon() {
            nap(length);
            if self.try_acquire() {
                return;
            }
            length = (length * 2).min(LONGEST_NAP);
        }
    }

    /// Looks at the lock for a while, as its owner will nearly always be done with it at once.
    fn acquire_soon(&self) -> bool {
        let after_spins = SPINS.iter().any(|spins| {
            (0..*spins).for_each(|_| spin_loop());
            self.try_acquire()
        });
        after_spins
            || repeat_n((), SLICES).any(|()| {
                thread::yield_now();
                self.try_acquire()
            })
    }

    /// Gives the lock back. Called by its owner.
    #[inline]
    pub(crate) fn release(&self) {
        // Release: what the owner did is visible to the next; pairs with `try_acquire`.
        self.locked.store(false, Ordering::Release);
    }
}

/// Lets others run, for `length` or longer.
fn nap(length: Duration) {
    if in_models(true, false) { spin_loop() } else { std::thread::sleep(length) }
}
