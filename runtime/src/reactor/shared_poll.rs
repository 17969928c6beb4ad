//! [`SharedPoll`]: one event queue that its hub polls, and that others poll in the hub's place while it cannot.
//!
//! One lock, held by whoever polls. The hub may block under it; nobody else waits for it: who finds it taken knows that
//! the hub is polling.
//!
//! The queue is edge-triggered, its waker included: a wake is told to one poll, once. It is meant for the hub, which
//! may have looked at its inbox for the last time and be on its way into a poll that will block, where nobody would wake
//! it again. So whoever polls in its place and is told of a wake writes it anew, and does so *before it lets go of the
//! lock*: the hub's poll comes after that, and is told. What the queue says of descriptors is for all alike, and
//! whoever polls hands it on.

use crate::facade::Mutex;
use std::io;
use std::time::Duration;

#[cfg(all(test, greenhub_loom))]
mod model;

/// An edge-triggered event queue.
pub(super) trait EventQueue {
    /// Waits until there is something, or `timeout` has passed (`None`: no limit), and hands on what there is.
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<usize>;
    /// Whether the last poll was told of a wake.
    fn was_woken(&self) -> bool;
}

/// See the module's page.
pub(super) struct SharedPoll<Q>(Mutex<Q>);

impl<Q: EventQueue> SharedPoll<Q> {
    pub(super) fn new(queue: Q) -> Self {
        Self(Mutex::new(queue))
    }

    /// Polls, as the hub. Returns what the queue does.
    pub(super) fn poll(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.0.lock().poll(timeout)
    }

    /// Looks, in the hub's place. `wake` writes the queue's waker. `None` if the hub is polling right now.
    pub(super) fn try_poll(&self, wake: impl FnOnce() -> io::Result<()>) -> Option<io::Result<usize>> {
        let mut queue = self.0.try_lock()?;
        let polled = queue.poll(Some(Duration::ZERO));
        if queue.was_woken()
            && let Err(error) = wake()
        {
            return Some(Err(error));
        }
        Some(polled)
    }
}
