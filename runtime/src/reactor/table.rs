//! [`Table`]: the sources registered with one reactor, until it closes.

use super::slab::Slab;
use super::source::{Readiness, Source};
use crate::facade::atomic::{AtomicBool, Ordering};
use crate::facade::{Arc, Mutex};
use crate::wait::Wakeup;

/// A slab behind a lock, and whether it is closed.
pub(super) struct Table {
    slab: Mutex<Slab>,
    /// Written under the slab's lock.
    closed: AtomicBool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { slab: Mutex::new(Slab::default()), closed: AtomicBool::new(false) }
    }

    /// Gives the source a token, or `None` when the table is closed or every token is in use.
    pub(super) fn insert(&self, source: Arc<Source>) -> Option<usize> {
        let mut slab = self.slab.lock();
        if self.is_closed() { None } else { slab.insert(source) }
    }

    /// Takes the token back. Does nothing if it is not in use (any more).
    pub(super) fn remove(&self, token: usize) {
        self.slab.lock().remove(token);
    }

    /// Records what is `said` of sources, by their tokens; adds to `woken` what is to be delivered. Returns how many sources
    /// there are.
    pub(super) fn record(
        &self,
        said: impl Iterator<Item = (usize, Readiness)>,
        woken: &mut Vec<Wakeup>,
    ) -> usize {
        // Held over the wakes, for it keeps the sources: a waiter that goes on at once, and drops its own, has to take the token
        // out first.
        let slab = self.slab.lock();
        let named = said.filter_map(|(token, readiness)| Some((slab.get(token)?, readiness)));
        named.map(|(source, readiness)| source.record(readiness, woken)).count()
    }

    /// Takes out all sources and no further one in, and wakes whoever waits for them.
    pub(super) fn close(&self) {
        let sources = {
            let mut slab = self.slab.lock();
            // Relaxed: whoever sees it and takes a source out of the slab has the slab's lock after us, too late for us to overlook
            // that source; whoever does not see it and waits has the source's lock before us, or looks once more under it.
            self.closed.store(true, Ordering::Relaxed);
            slab.clear()
        };
        for source in sources {
            source.set(Readiness::READ.and(Readiness::WRITE));
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub(super) fn is_closed(&self) -> bool {
        // Relaxed: see `close`; `insert` asks under the lock.
        self.closed.load(Ordering::Relaxed)
    }

    /// How many sources there are.
    pub(super) fn len(&self) -> usize {
        self.slab.lock().len()
    }
}
