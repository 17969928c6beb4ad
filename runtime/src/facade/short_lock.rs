//! The lock around what is short: a handful of instructions on a wait list or a channel's buffer, never a switch
//! (invariant 5), never a system call.
//!
//! Taking it is one read-modify-write and giving it back is none, which is half of what it costs elsewhere: whoever gives
//! it back must learn whether somebody sleeps for it, and the fence between its two words is a lopsided one, paid by who
//! goes to sleep. Sleeping is rare: it takes an owner that the system has stopped in the middle of those instructions.
//!
//! After the last step of giving it back (a look at `sleepers`) the lock is not touched, but that look comes *after* the
//! lock is free. So it must not lie in memory that the next owner may free while the one before is still inside
//! `unlock`: it is for what both reach through a borrow or a counted reference of their own.

use super::atomic::{AtomicBool, Ordering};
use super::{Condvar, Mutex, lopsided_fence, spin_loop};

#[cfg(all(test, greenhub_loom))]
mod model;

/// The two words of the lock.
pub(crate) struct ShortLock {
    locked: AtomicBool,
    /// Somebody sleeps, or is about to.
    sleepers: AtomicBool,
}

/// Where those sleep who wait long for one of the locks that share it.
pub(crate) struct Bedroom {
    lock: Mutex<()>,
    woken: Condvar,
}

/// How often to look again before going to sleep: pauses that double, then the rest of the time slice.
const PAUSES: u32 = if cfg!(greenhub_loom) { 0 } else { 5 };
const SLICES: u32 = if cfg!(greenhub_loom) { 0 } else { 3 };

impl ShortLock {
    super::const_fn! {
        /// A free lock.
        pub(crate) fn new() -> Self {
            Self { locked: AtomicBool::new(false), sleepers: AtomicBool::new(false) }
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
    pub(crate) fn acquire<'a>(&'a self, bedroom: impl FnOnce(&'a Self) -> &'a Bedroom) {
        if !self.try_acquire() {
            self.acquire_slowly(bedroom(self));
        }
    }

    #[cold]
    fn acquire_slowly(&self, bedroom: &Bedroom) {
        loop {
            for round in 0..PAUSES {
                (0..1 << round).for_each(|_| spin_loop());
                if self.try_acquire() {
                    return;
                }
            }
            for _ in 0..SLICES {
                std::thread::yield_now();
                if self.try_acquire() {
                    return;
                }
            }
            let mut sleeping = bedroom.lock.lock();
            self.sleepers.store(true, Ordering::Relaxed);
            // Pairs with the light fence in `release`: of our look at the lock and the owner's at the sleepers one
            // comes second. The owner then waits for `bedroom.lock`, which we hold until we sleep.
            lopsided_fence::heavy();
            if self.try_acquire() {
                return;
            }
            bedroom.woken.wait(&mut sleeping);
        }
    }

    /// Gives the lock back.
    #[inline]
    pub(crate) fn release<'a>(&'a self, bedroom: impl FnOnce(&'a Self) -> &'a Bedroom) {
        // Release: what the owner did is visible to the next; pairs with `try_acquire`.
        self.locked.store(false, Ordering::Release);
        // Pairs with the heavy fence of somebody who goes to sleep.
        lopsided_fence::light();
        // Relaxed: the words of the sleepers are behind the bedroom's lock.
        if self.sleepers.load(Ordering::Relaxed) {
            self.wake_sleepers(bedroom(self));
        }
    }

    #[cold]
    fn wake_sleepers(&self, bedroom: &Bedroom) {
        let _sleeping = bedroom.lock.lock();
        // All of them, for others may sleep here too. Who must sleep on says so again.
        self.sleepers.store(false, Ordering::Relaxed);
        bedroom.woken.notify_all();
    }
}

impl Bedroom {
    super::const_fn! {
        /// An empty one.
        pub(crate) fn new() -> Self {
            Self { lock: Mutex::new(()), woken: Condvar::new() }
        }
    }
}

#[cfg(not(greenhub_loom))]
mod raw {
    use super::super::atomic::Ordering;
    use super::{Bedroom, ShortLock};

    const BEDROOMS: usize = 64;
    static ALL: [Bedroom; BEDROOMS] = [const { Bedroom::new() }; BEDROOMS];

    /// The bedroom of a lock: by its address, which is spread by a multiplication.
    #[cold]
    fn bedroom(lock: &ShortLock) -> &Bedroom {
        let mixed = (std::ptr::from_ref(lock).addr() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &ALL[(mixed >> 32) as usize % BEDROOMS]
    }

    // SAFETY: `try_acquire` succeeds for one caller until that one has called `release`.
    unsafe impl lock_api::RawMutex for ShortLock {
        const INIT: Self = Self::new();
        type Guard = lock_api::GuardNoSend;

        #[inline]
        fn lock(&self) -> Self::Guard {
            self.acquire(bedroom);
            lock_api::GuardNoSend::new()
        }

        #[inline]
        fn try_lock(&self) -> Option<Self::Guard> {
            self.try_acquire().then(lock_api::GuardNoSend::new)
        }

        #[inline]
        unsafe fn unlock(&self, _taken: Self::Guard) {
            self.release(bedroom);
        }

        fn is_locked(&self) -> bool {
            // Relaxed: an answer that is old when it arrives.
            self.locked.load(Ordering::Relaxed)
        }
    }
}
