//! Who runs now, as a number that is never used twice.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// The next number. Greenlets and OS threads draw from this one counter, so a number names one of them for ever.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Draws a number nobody had before.
pub(crate) fn new_id() -> NonZeroU64 {
    // Relaxed: only that every draw differs matters, which the read-modify-write gives.
    NonZeroU64::new(NEXT.fetch_add(1, Ordering::Relaxed)).expect("2^64 greenlets have been started")
}

/// The number of the caller: of the greenlet, or of the OS thread outside any.
#[inline]
pub(crate) fn current_id() -> NonZeroU64 {
    current_thread_id()
}

#[cfg(not(greenhub_loom))]
#[inline]
fn current_thread_id() -> NonZeroU64 {
    thread_local!(static ID: std::cell::Cell<Option<NonZeroU64>> = const { std::cell::Cell::new(None) });
    ID.with(|id| match id.get() {
        Some(known) => known,
        None => {
            let new = new_id();
            id.set(Some(new));
            new
        }
    })
}

#[cfg(greenhub_loom)]
fn current_thread_id() -> NonZeroU64 {
    loom::thread_local!(static ID: NonZeroU64 = new_id());
    ID.with(|id| *id)
}
