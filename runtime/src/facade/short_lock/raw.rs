//! The lock as [`lock_api`] sees it, and the bedrooms that all of them share.

use super::{Bedroom, ShortLock};
use crate::facade::atomic::Ordering;

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
