//! A busy hub offers its core to an OS thread of this process that was woken and waits for one.
//!
//! Where hubs keep all cores busy, a thread that is woken (one that joins a greenlet, say) may have to wait for the
//! scheduler's next tick, up to 4 ms: Linux does not always let it preempt a hub that has not used up its slice. So who wakes
//! such a thread counts it, who is up again is counted out, and a hub whose time for a look at the outside has come yields its
//! core (sched_yield(2)) while there are any. Not where there are none: it would lose its core for a whole slice to whatever
//! else the machine runs.
//!
//! 1000 spawns and joins from outside, while each of two hubs on two cores is busy, in the migrating mode: 4.1 to 2.1 µs each
//! (`bench sample greenhub-migrate rt-spawn-busy 2 1000 300`).

use crate::cache_padded::CachePadded;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many threads were woken and are not up yet. Relaxed throughout: a hint, by which nothing is read.
static AWAITED: CachePadded<AtomicUsize> = CachePadded::new(AtomicUsize::new(0));

/// A thread was woken. It calls [`came`] once, as soon as it runs.
pub(crate) fn called() {
    AWAITED.fetch_add(1, Relaxed);
}

/// The calling thread, for which [`called`] was called, is up.
pub(crate) fn came() {
    AWAITED.fetch_sub(1, Relaxed);
}

/// In the child of a fork, which has no such threads.
pub(crate) fn forget() {
    AWAITED.store(0, Relaxed);
}

/// Lets a thread that waits for a core have this one, if there is any.
pub(super) fn make() {
    if AWAITED.load(Relaxed) > 0 {
        std::thread::yield_now();
    }
}
