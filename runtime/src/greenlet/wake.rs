//! Waking: where a greenlet goes whose wait somebody has just ended.

use super::current::{self, HubPtr};
use super::header::Header;
use crate::hub::queue::Entry;
use std::ptr::NonNull;

/// The right to run a greenlet, on its way to a queue (invariant 1): whoever moved it out of `Parked` holds the only
/// one. Must be delivered.
#[must_use = "a woken greenlet runs only once it is delivered"]
pub(crate) struct Runnable(NonNull<Header>);

// SAFETY: the right is exclusive, and whoever has it may use the header's cells. The wake that gave it has acquired them
// from the park, and handing it on needs a lock or the like, which does the same.
unsafe impl Send for Runnable {}

impl Runnable {
    /// # Safety
    ///
    /// The caller has just moved the greenlet out of `Parked` (the state word's verdict `Enqueue`).
    #[inline]
    pub(crate) unsafe fn from_wake(header: NonNull<Header>) -> Self {
        Self(header)
    }

    /// Puts the greenlet on the ready queue of its hub; in migrate mode, of the waker's hub.
    #[inline]
    pub(crate) fn deliver(self) {
        // SAFETY: a greenlet that may run has not ended.
        let header = unsafe { self.0.as_ref() };
        match current::hub() {
            Some(hub) if std::ptr::eq(header.home(), hub.mailbox()) => hub.push_ready(Entry::woken(self.0)),
            hub => self.deliver_elsewhere(hub),
        }
    }

    /// As [`Runnable::deliver`], to a greenlet of another hub than the waker's.
    #[inline(never)]
    fn deliver_elsewhere(self, waker: Option<HubPtr>) {
        // SAFETY: as above.
        let header = unsafe { self.0.as_ref() };
        if let Some(hub) = waker {
            if hub.adopts(header) {
                hub.push_migrating(Entry::resume(self.0));
                return;
            }
            hub.count_wake_sent();
        }
        header.state.count_parks_anew();
        // SAFETY: we hold its right to run, and it lies in no inbox: it was parked.
        unsafe { header.home().push(self.0) };
    }

    /// As [`Runnable::deliver`], but a greenlet of this hub runs before everything that is ready.
    pub(crate) fn deliver_next(self) {
        // SAFETY: as above.
        let header = unsafe { self.0.as_ref() };
        match current::hub() {
            Some(hub) if std::ptr::eq(header.home(), hub.mailbox()) => hub.run_next(Entry::resume(self.0)),
            _ => self.deliver(),
        }
    }
}
