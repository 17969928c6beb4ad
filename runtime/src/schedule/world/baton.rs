//! The baton: the right to run, which exactly one thread of an execution has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

/// What one thread waits for while others run.
pub(crate) struct Baton {
    here: AtomicBool,
    holder: OnceLock<Thread>,
}

impl Baton {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { here: AtomicBool::new(false), holder: OnceLock::new() })
    }
    pub(crate) fn belongs_to(&self, thread: Thread) {
        assert!(self.holder.set(thread).is_ok(), "a baton has one holder");
    }
    pub(crate) fn give(&self) {
        // Release: all that the giver did; pairs with the Acquire in `wait`.
        self.here.store(true, Ordering::Release);
        self.holder.get().expect("set before its first turn").unpark();
    }
    pub(crate) fn wait(&self) {
        while !self.here.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

impl std::fmt::Debug for Baton {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Baton").finish_non_exhaustive()
    }
}
