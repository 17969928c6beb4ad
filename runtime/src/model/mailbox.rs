//! Where wakes for a greenlet of a model go: a gate that it waits at.

use crate::facade::ConstGate;
use crate::greenlet::header::Header;
use crate::model::seat::SEATS;
use std::ptr::NonNull;

/// One seat's address.
pub(crate) struct Mailbox {
    hub: usize,
    pushed: ConstGate,
}

/// One for each seat. Only one model runs at a time.
pub(crate) static MAILBOXES: [Mailbox; SEATS] = {
    let mut hub = 0;
    let mut mailboxes = [const { Mailbox { hub: 0, pushed: ConstGate::new() } }; SEATS];
    while hub < SEATS {
        mailboxes[hub].hub = hub;
        hub += 1;
    }
    mailboxes
};

// SAFETY: all threads of a model share one OS thread, and only one model runs at a time.
unsafe impl Sync for Mailbox {}

impl Mailbox {
    /// Lets the greenlet run.
    ///
    /// # Safety
    ///
    /// The caller owns its right to run.
    pub(crate) unsafe fn push(&self, _greenlet: NonNull<Header>) {
        self.pushed.gate().open();
    }

    /// As [`Mailbox::push`]; there is no other hub to tell.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn push_and_see(&self, greenlet: NonNull<Header>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.push(greenlet) };
        true
    }

    /// Waits for a push.
    pub(crate) fn pass(&self) {
        self.pushed.gate().pass();
    }

    pub(crate) fn hub(&self) -> usize {
        self.hub
    }
}
