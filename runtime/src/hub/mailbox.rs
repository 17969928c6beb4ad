//! The mailbox: what is known of a hub everywhere, for as long as the process lives.
//!
//! A greenlet's header names its hub's mailbox, and any thread that holds a `Greenlet` may wake it at any time, also
//! while its runtime shuts down. So mailboxes are never freed: when a hub ends, its mailbox waits for the next hub
//! that starts. A late wake that reaches the next owner costs it one look around.

use super::idle::Bed;
use super::inbox::{Batch, Inbox};
use crate::facade::Mutex;
use crate::facade::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::greenlet::header::Header;
use crate::reactor::Reactor;
use crate::runtime::fork::ProcessLock;
use std::ptr::NonNull;
use std::sync::Arc;

/// One hub's address.
#[repr(align(128))]
pub(crate) struct Mailbox {
    inbox: Inbox<Header>,
    /// The hub has not looked at the outside world for too long: it should, at its next turn.
    overdue: AtomicBool,
    pub(crate) bed: Bed,
    reactor: Mutex<Option<Arc<Reactor>>>,
    runtime: AtomicU64,
    hub: AtomicUsize,
}

/// Mailboxes out of use.
pub(crate) static FREE: ProcessLock<Vec<&'static Mailbox>> = ProcessLock::new(Vec::new());

impl Mailbox {
    /// A mailbox for a hub that starts.
    pub(crate) fn open(runtime: u64, hub: usize, reactor: Arc<Reactor>) -> &'static Mailbox {
        let used = FREE.lock().pop();
        let mailbox: &'static Mailbox = used.unwrap_or_else(|| {
            Box::leak(Box::new(Mailbox {
                inbox: Inbox::new(),
                overdue: AtomicBool::new(false),
                bed: Bed::new(),
                reactor: Mutex::new(None),
                runtime: AtomicU64::new(0),
                hub: AtomicUsize::new(0),
            }))
        });
        // Relaxed: the greenlets and threads that will read them are made after this.
        mailbox.runtime.store(runtime, Ordering::Relaxed);
        mailbox.hub.store(hub, Ordering::Relaxed);
        // A reminder that came too late for the last owner.
        mailbox.looked();
        *mailbox.reactor.lock() = Some(reactor);
        mailbox
    }

    /// The hub has ended. With `reuse`, all its greenlets have ended too, so nobody will push here again; otherwise
    /// the mailbox is kept out of use for good.
    pub(crate) fn close(&'static self, reuse: bool) {
        *self.reactor.lock() = None;
        if reuse {
            FREE.lock().push(self);
        }
    }

    /// Hands a greenlet to this hub, and wakes the hub if it sleeps.
    ///
    /// # Safety
    ///
    /// The caller owns the greenlet's right to run (or to be started), and it lies in no inbox.
    pub(crate) unsafe fn push(&self, greenlet: NonNull<Header>) {
        // SAFETY: the caller's promise.
        unsafe { self.push_and_see(greenlet) };
    }

    /// As [`Mailbox::push`]; gives whether the hub slept.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn push_and_see(&self, greenlet: NonNull<Header>) -> bool {
        // SAFETY: the caller's promise; a greenlet with a right to run is alive.
        unsafe { self.inbox.push(greenlet.as_ptr()) };
        self.rouse()
    }

    /// Wakes the hub if it sleeps; gives whether it did. What it is to find must have been written before.
    #[inline]
    pub(crate) fn rouse(&self) -> bool {
        let asleep = self.bed.must_wake();
        if asleep {
            self.write_eventfd();
        }
        asleep
    }

    #[cold]
    fn write_eventfd(&self) {
        if let Some(reactor) = &*self.reactor.lock() {
            // A full eventfd counter is the one way this fails short of a broken descriptor, and full means woken.
            if let Err(error) = reactor.wake()
                && error.kind() != std::io::ErrorKind::WouldBlock
            {
                eprintln!("greenhub: hub {} cannot be woken: {error}; the program ends here", self.hub());
                std::process::abort();
            }
        }
    }

    /// The monitor finds that the hub has been busy without a look at the outside world. Relaxed, here and below: a
    /// hint that carries nothing.
    pub(crate) fn remind(&self) {
        self.overdue.store(true, Ordering::Relaxed);
    }

    /// Whether the hub was reminded.
    #[inline]
    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue.load(Ordering::Relaxed)
    }

    /// The hub looks.
    pub(crate) fn looked(&self) {
        self.overdue.store(false, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Everything in the inbox, oldest first. For the hub itself, or for another one of its runtime that looks after
    /// it while it is stuck.
    pub(crate) fn take(&self) -> Batch<Header> {
        self.inbox.take()
    }

    pub(crate) fn runtime(&self) -> u64 {
        self.runtime.load(Ordering::Relaxed)
    }

    pub(crate) fn hub(&self) -> usize {
        self.hub.load(Ordering::Relaxed)
    }
}
