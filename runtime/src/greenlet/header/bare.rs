//! Bare headers, for the models of single protocols: a greenlet with a state word, a reference count, an alarm, a place
//! in the registry, and nothing to run.

use super::task::Task;
use super::{Birth, Header, Kind, Ref, create};
use crate::greenlet::memory;
use crate::greenlet::state::State;
use crate::hub::mailbox::MAILBOXES;
use std::alloc::Layout;
use std::panic::Location;
use std::ptr::NonNull;

type Bare = Task<fn(), ()>;

/// A header in `state` with one reference, which its owners share.
pub(crate) fn bare(state: State) -> Ref {
    let birth = Birth {
        state,
        id: crate::ids::next(),
        kind: Kind::Free,
        spawned_at: Location::caller(),
        home: &MAILBOXES[0],
        extra: None,
    };
    let header = create(birth, (|| ()) as fn());
    // SAFETY: new; nobody runs it, so nobody looks for its closure.
    unsafe { *header.cast::<Bare>().as_ref().closure.get() = None };
    // SAFETY: the owners' common reference.
    unsafe { Ref::from_raw(header) }
}

/// Gives back the memory of a bare header that has been ended by hand, whoever may have used it until then.
///
/// # Safety
///
/// It comes from [`bare`], its references are not given up, and the model's threads have ended.
pub(crate) unsafe fn bury(header: NonNull<Header>) {
    // SAFETY: taken with this layout.
    unsafe { memory::give(header.cast(), Layout::new::<Bare>()) };
}
