//! Identities: one never-reused counter over greenlets and OS threads, so that an owner's id means one of them for
//! ever. Hubs take numbers in blocks, so spawning touches no line that hubs share.

use std::sync::atomic::{AtomicU64, Ordering};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// How many numbers a hub takes at once.
const BLOCK: u64 = 4096;

/// One number.
pub(crate) fn next() -> u64 {
    // Relaxed: numbers are only compared.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A hub's supply of numbers.
#[derive(Default)]
pub(crate) struct Supply {
    next: std::cell::Cell<u64>,
    end: std::cell::Cell<u64>,
}

impl Supply {
    #[inline]
    pub(crate) fn take(&self) -> u64 {
        let id = self.next.get();
        if id < self.end.get() {
            self.next.set(id + 1);
            return id;
        }
        // Relaxed: as above.
        let first = NEXT.fetch_add(BLOCK, Ordering::Relaxed);
        self.next.set(first + 1);
        self.end.set(first + BLOCK);
        first
    }
}
