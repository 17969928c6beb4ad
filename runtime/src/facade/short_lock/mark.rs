//! [`Mark`]: by which a lock knows a thread.

use std::sync::atomic::{AtomicU16, Ordering};

/// A hub's thread, as short locks know it. No two threads of a process have had the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark(pub(super) u16);

impl Mark {
    /// Of threads that are no hub's, and of hubs that come too late: locks are biased to none of them.
    pub(crate) const NOBODY: Mark = Mark(u16::MAX - 1);

    /// One more. After 65,533 of them there are no more, and new hubs' locks cost what they cost between threads.
    pub(crate) fn new() -> Mark {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        // Relaxed: marks are only compared.
        let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
            (next < Self::NOBODY.0).then_some(next + 1)
        });
        next.map_or(Mark::NOBODY, Mark)
    }

    /// A model's own.
    #[cfg(all(test, greenhub_loom))]
    pub(crate) fn of_model(mark: u16) -> Mark {
        Mark(mark)
    }

    /// Whether a lock may be biased to its thread.
    #[inline]
    pub(super) fn may_have_bias(self) -> bool {
        self != Mark::NOBODY
    }
}
