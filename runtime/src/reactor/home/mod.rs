//! [`Home`]: the reactor that reports to a descriptor's [`Source`], and how it changes.
//!
//! The source stays the same for life and only its home changes: a move is a deregistration and a registration, the new one
//! reports the present state, and waiters stay listed through it.
//!
//! A caller asks where the descriptor is registered, and then lists itself in the source; in between the descriptor may move,
//! or its reactor close, and tell nobody of what comes. Nobody is left behind, for
//!
//! 1. a move registers the descriptor anew before it gives up the old registration, and so wakes whoever is listed for what there is;
//! 2. a reactor that closes calls [`Source::set`] for every source it has ([`Table`](super::table::Table) sees to it that none is
//!    taken out before by somebody who knows already), and so wakes whoever is listed;
//! 3. whoever is about to be listed asks [`Home::reports`] under the lock that both of these take.
//!
//! An open reactor is one that somebody polls: a hub closes its own as the last thing it does.

#[cfg(all(test, greenhub_loom))]
mod model;

use super::source::Source;
use crate::facade::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::facade::{Arc, Mutex};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

/// After this many wakes in a row for a waiter on another hub, the descriptor moves to that hub. A wake across hubs
/// may cost 25 µs, a move about 2 µs; the number only has to be large enough that a socket used by turns from two
/// hubs does not move all the time.
const MOVE_AFTER: u32 = 16;

/// What a home asks of a reactor.
pub(super) trait Registrar {
    /// Registers a descriptor; its state as of now is reported soon. `Ok(None)`: closed, or as full as pointers of 32 bits
    /// let it be.
    fn register(&self, fd: RawFd, source: &Arc<Source>) -> io::Result<Option<usize>>;
    /// Undoes it. The descriptor must still be open.
    fn deregister(&self, fd: RawFd, token: usize);
    /// Whether it has closed.
    fn is_closed(&self) -> bool;
}

/// See the module's page.
pub(super) struct Home<R: Registrar> {
    registered: Mutex<Option<Registered<R>>>,
    /// Which reactor `registered` names, for who only compares. Written under its lock, and before our share of the reactor it
    /// named goes, so that a later one at the same address is not taken for that.
    at: AtomicPtr<R>,
    /// Wakes in a row whose waiter was elsewhere. Callers may lose counts to each other.
    elsewhere: AtomicU32,
}

struct Registered<R> {
    reactor: Arc<R>,
    token: usize,
    fd: RawFd,
}

impl<R: Registrar> Home<R> {
    /// Registered nowhere.
    pub(super) fn new() -> Self {
        Self {
            registered: Mutex::new(None),
            at: AtomicPtr::new(ptr::null_mut()),
            elsewhere: AtomicU32::new(0),
        }
    }

    /// The reactor the descriptor is registered with, after registering it with `here` if there is none (any more). `None` if
    /// `here` takes it no more.
    #[inline]
    pub(super) fn ensure(
        &self,
        fd: RawFd,
        here: &Arc<R>,
        source: &Arc<Source>,
    ) -> io::Result<Option<Arc<R>>> {
        if self.reports(here) {
            return Ok(Some(Arc::clone(here)));
        }
        let mut registered = self.registered.lock();
        if let Some(present) = registered.take_if(|present| present.reactor.is_closed()) {
            self.leave(present);
        }
        if registered.is_none() {
            *registered = self.enter(fd, here, source)?;
        }
        Ok(registered.as_ref().map(|present| Arc::clone(&present.reactor)))
    }

    /// Whether the descriptor is registered with this reactor. The answer may be old when it arrives.
    #[inline]
    pub(super) fn is_at(&self, reactor: &Arc<R>) -> bool {
        // Relaxed: no other memory is read on the strength of it.
        ptr::eq(self.at.load(Ordering::Relaxed), Arc::as_ptr(reactor))
    }

    /// Whether news comes from this reactor. Yes, under the source's lock: if that changes later, whoever is listed by then is
    /// woken.
    #[inline]
    pub(super) fn reports(&self, reactor: &Arc<R>) -> bool {
        self.is_at(reactor) && !reactor.is_closed()
    }

    /// After a wake: counts whether the waiter, who is `here`, lives where the descriptor is registered, and moves the descriptor
    /// if time and again it does not.
    #[inline]
    pub(super) fn follow(&self, here: &Arc<R>, source: &Arc<Source>) {
        // Relaxed, and not one atomic step: see the field.
        let elsewhere = self.elsewhere.load(Ordering::Relaxed);
        if !self.is_at(here) {
            let elsewhere = elsewhere.saturating_add(1);
            self.elsewhere.store(elsewhere, Ordering::Relaxed);
            if elsewhere >= MOVE_AFTER && !here.is_closed() {
                self.move_to(here, source);
            }
        } else if elsewhere != 0 {
            self.elsewhere.store(0, Ordering::Relaxed);
        }
    }

    #[cold]
    fn move_to(&self, here: &Arc<R>, source: &Arc<Source>) {
        let mut registered = self.registered.lock();
        let Some(old) = registered.as_ref().filter(|present| !Arc::ptr_eq(&present.reactor, here)) else {
            return;
        };
        match self.enter(old.fd, here, source) {
            Ok(Some(new)) => {
                if let Some(old) = registered.replace(new) {
                    old.reactor.deregister(old.fd, old.token);
                }
            }
            // It stays where it is, until it has been waited for elsewhere as often again.
            Ok(None) | Err(_) => self.elsewhere.store(0, Ordering::Relaxed),
        }
    }

    /// Under the lock of `registered`, which is to hold the answer.
    fn enter(&self, fd: RawFd, reactor: &Arc<R>, source: &Arc<Source>) -> io::Result<Option<Registered<R>>> {
        let Some(token) = reactor.register(fd, source)? else { return Ok(None) };
        self.elsewhere.store(0, Ordering::Relaxed);
        // Relaxed: see `is_at`.
        self.at.store(Arc::as_ptr(reactor).cast_mut(), Ordering::Relaxed);
        Ok(Some(Registered { reactor: Arc::clone(reactor), token, fd }))
    }

    /// Under the lock of `registered`, which held this, or alone.
    fn leave(&self, present: Registered<R>) {
        // Relaxed: see `is_at`. The end of the reactor, by the count of its owners, comes after this for everybody.
        self.at.store(ptr::null_mut(), Ordering::Relaxed);
        present.reactor.deregister(present.fd, present.token);
    }

    /// The reactor the descriptor is registered with, for tests.
    #[cfg(test)]
    pub(super) fn reactor(&self) -> Option<Arc<R>> {
        self.registered.lock().as_ref().map(|present| Arc::clone(&present.reactor))
    }
}

impl<R: Registrar> Drop for Home<R> {
    fn drop(&mut self) {
        let present = self.registered.lock().take();
        if let Some(present) = present {
            self.leave(present);
        }
    }
}
