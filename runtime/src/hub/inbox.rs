//! The inbox: how anybody hands a greenlet to a hub that is not its own.
//!
//! A stack of headers linked through the header itself, so a push allocates nothing and never waits. A greenlet is
//! in one inbox at most (invariant 1: whoever pushes owns its right to run). The consumer takes everything at once
//! and turns it round, which makes a first-in-first-out batch; taking everything is one swap, so a hub that looks
//! after a stuck neighbour may do it too.

use crate::facade::atomic::{AtomicPtr, Ordering};
use std::ptr;

#[cfg(all(test, greenhub_loom))]
mod model;

/// Something that can lie in an inbox: it carries the link.
///
/// # Safety
///
/// `link` must always return the same field, and nobody else may use that field while the node lies in an inbox.
pub(crate) unsafe trait Linked {
    /// The link to the node pushed before.
    fn link(&self) -> &AtomicPtr<Self>
    where
        Self: Sized;
}

/// Where other threads leave greenlets for a hub.
pub(crate) struct Inbox<T: Linked> {
    newest: AtomicPtr<T>,
}

impl<T: Linked> Inbox<T> {
    /// An empty inbox.
    pub(crate) fn new() -> Self {
        Self { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Whether there was nothing to take just now. Relaxed: a hint, except after the fence of the sleep protocol,
    /// which orders it (invariant 7).
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.load(Ordering::Relaxed).is_null()
    }

    /// Adds a node.
    ///
    /// # Safety
    ///
    /// `node` is alive until it is taken, lies in no inbox, and the caller owns the right to put it into one.
    pub(crate) unsafe fn push(&self, node: *mut T) {
        // Relaxed: only a guess for the exchange below.
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller vouches that `node` is alive and ours until the exchange publishes it.
            // Relaxed: published by the exchange.
            unsafe { (*node).link().store(newest, Ordering::Relaxed) };
            // Release: the link and all the pusher wrote to the greenlet; pairs with the Acquire in `take`.
            match self.newest.compare_exchange_weak(newest, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => newest = seen,
            }
        }
    }

    /// Takes all there is, oldest first.
    pub(crate) fn take(&self) -> Batch<T> {
        // Acquire: pairs with the Release in `push` (all pushes of the chain: each exchange continues the release
        // sequence of the one before).
        let mut newest = self.newest.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest: *mut T = ptr::null_mut();
        while !newest.is_null() {
            // SAFETY: the swap made this thread the chain's only owner; its nodes are alive until they are handed out.
            let next = unsafe { (*newest).link().swap(oldest, Ordering::Relaxed) };
            oldest = newest;
            newest = next;
        }
        Batch { oldest }
    }
}

/// What was taken from an inbox at once. Whoever holds it owns the right to run of every node in it.
pub(crate) struct Batch<T: Linked> {
    oldest: *mut T,
}

impl<T: Linked> Iterator for Batch<T> {
    type Item = *mut T;

    fn next(&mut self) -> Option<*mut T> {
        let node = self.oldest;
        if node.is_null() {
            return None;
        }
        // SAFETY: the batch owns its chain; `node` is not handed out yet, so it is alive.
        // Relaxed: no other thread sees the chain.
        self.oldest = unsafe { (*node).link().load(Ordering::Relaxed) };
        Some(node)
    }
}
