//! The lock as [`lock_api`] sees it.

use super::ShortLock;
use crate::facade::atomic::Ordering;

// SAFETY: `try_acquire` succeeds for one caller until that one has called `release`.
unsafe impl lock_api::RawMutex for ShortLock {
    const INIT: Self = Self::new();
    type Guard = lock_api::GuardNoSend;

    #[inline]
    fn lock(&self) -> Self::Guard {
        self.acquire();
        lock_api::GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<Self::Guard> {
        self.try_acquire().then(lock_api::GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _taken: Self::Guard) {
        self.release();
    }

    fn is_locked(&self) -> bool {
        // Relaxed: an answer that is old when it arrives.
        self.locked.load(Ordering::Relaxed)
    }
}
