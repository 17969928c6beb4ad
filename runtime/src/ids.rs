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

/// Set in the numbers of greenlets that are under [exploration](mod@crate::explore), so that whoever asks for the caller's
/// number anyway learns that from its sign. The other bits are nobody else's either.
const EXPLORED: u64 = 1 << 63;

/// Whether a number is that of a greenlet under exploration.
#[inline(always)]
pub(crate) fn is_explored(id: u64) -> bool {
    id & EXPLORED != 0
}

/// A number as people read it.
pub(crate) fn shown(id: u64) -> u64 {
    id & !EXPLORED
}

/// A hub's supply of numbers.
#[derive(Default)]
pub(crate) struct Supply {
    next: std::cell::Cell<u64>,
    end: std::cell::Cell<u64>,
    mark: std::cell::Cell<u64>,
}

impl Supply {
    /// From now on for greenlets under exploration. No number may have been taken.
    pub(crate) fn mark_explored(&self) {
        self.mark.set(EXPLORED);
    }

    #[inline]
    pub(crate) fn take(&self) -> u64 {
        let id = self.next.get();
        if id < self.end.get() {
            self.next.set(id + 1);
            return id;
        }
        // Relaxed: as above.
        let first = NEXT.fetch_add(BLOCK, Ordering::Relaxed) | self.mark.get();
        self.next.set(first + 1);
        self.end.set(first + BLOCK);
        first
    }
}
