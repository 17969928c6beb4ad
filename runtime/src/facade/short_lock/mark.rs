//! [`ThreadMark`]: by which a lock knows a thread.

use super::NO_MORE;
use std::sync::atomic::{AtomicU16, Ordering};

/// A hub's thread, as short locks know it. No two such threads of a process have had the same; all others are
/// [nobody](ThreadMark::NOBODY).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ThreadMark(pub(super) u16);

/// The next to be given.
static NEXT: AtomicU16 = AtomicU16::new(1);

/// Those below belong to threads of the process that this one was forked from.
static LOST: AtomicU16 = AtomicU16::new(0);

impl ThreadMark {
    /// Of threads that are no hub's, and of hubs that come too late: locks are biased to none of them, nor look so when they are
    /// biased to nobody any more.
    pub(crate) const NOBODY: ThreadMark = ThreadMark(u16::MAX - 1);

    /// One more. After 32,765 of them there are no more, and new hubs' locks cost what they cost between threads.
    pub(crate) fn new() -> ThreadMark {
        // Relaxed: marks are only compared.
        let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| match next {
            // Every schedule must find marks; they need to be different within one only.
            _ if cfg!(greenhub_schedule) => Some(next % 1000 + 1),
            _ => (next < (Self::NOBODY.0 & !NO_MORE)).then_some(next + 1),
        });
        next.map_or(ThreadMark::NOBODY, ThreadMark)
    }

    /// Called in the child of a fork(2), which has no hubs yet.
    pub(crate) fn lose_all() {
        LOST.store(NEXT.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether its thread was left behind by a fork(2).
    pub(super) fn is_lost(self) -> bool {
        // Relaxed: written before there is a second thread.
        self.0 < LOST.load(Ordering::Relaxed)
    }

    /// A model's own.
    #[cfg(all(test, greenhub_loom))]
    pub(crate) fn of_model(mark: u16) -> ThreadMark {
        ThreadMark(mark)
    }

    /// Whether a lock may be biased to its thread.
    #[inline]
    pub(super) fn may_have_bias(self) -> bool {
        self != ThreadMark::NOBODY
    }
}
