//! A busy hub offers its core to an OS thread of this process that was woken and waits for one.
//!
//! Where hubs keep all cores busy, a thread that is woken (one that joins a greenlet, say) may have to wait for the
//! scheduler's next tick, up to 4 ms: Linux does not always let it preempt a hub that has not used up its slice. So who wakes
//! such a thread counts it, who is up again is counted out, and while there are any a hub whose time for a look at the outside has
//! come yields its core (sched_yield(2)): once for each that was woken, since it may lose the core for a whole slice, also
//! to whatever else the machine runs.
//!
//! 1000 spawns and joins from outside, while each of two hubs on two cores is busy, in the migrating mode: 4.1 to 2.1 µs each
//! (`bench sample greenhub-migrate rt-spawn-busy 2 1000 300`).

use crate::cache_padded::CachePadded;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many threads were woken so far, and how many of them are up. Relaxed throughout: hints, by which nothing is read.
struct Threads {
    called: AtomicUsize,
    came: AtomicUsize,
}

static THREADS: CachePadded<Threads> =
    CachePadded::new(Threads { called: AtomicUsize::new(0), came: AtomicUsize::new(0) });

/// A thread was woken. It calls [`came`] once, as soon as it runs.
pub(crate) fn called() {
    THREADS.called.fetch_add(1, Relaxed);
}

/// The calling thread, for which [`called`] was called, is up.
pub(crate) fn came() {
    THREADS.came.fetch_add(1, Relaxed);
}

/// What one hub has offered.
pub(super) struct Offers {
    /// How many had been called when it last did.
    made: Cell<usize>,
}

impl Offers {
    pub(super) fn new() -> Self {
        Self { made: Cell::new(0) }
    }

    /// Lets a thread that waits for a core have this one, if there is any that was woken since the last time. (In the child of a
    /// fork those that were woken before never come; after the first time that is all.)
    pub(super) fn make(&self) {
        let called = THREADS.called.load(Relaxed);
        if called != self.made.get() && called != THREADS.came.load(Relaxed) {
            self.made.set(called);
            std::thread::yield_now();
        }
    }
}
