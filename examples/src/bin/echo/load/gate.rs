//! The gate between opening and measuring: connections wait at it until all are open.

use greenhub::sync::Event;
use std::sync::{Condvar, Mutex, PoisonError};

/// A gate that is opened once, for good.
pub(crate) trait Gate: Send + Sync {
    /// Waits until it is open.
    fn wait(&self);
    /// Opens it.
    fn open(&self);
}

/// For greenlets.
#[derive(Default)]
pub(crate) struct GreenletGate(Event);

impl Gate for GreenletGate {
    fn wait(&self) {
        self.0.wait();
    }

    fn open(&self) {
        self.0.set();
    }
}

/// For threads, of nothing but std.
#[derive(Default)]
pub(crate) struct ThreadGate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate for ThreadGate {
    fn wait(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.opened.wait_while(open, |open| !*open));
    }

    fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }
}
