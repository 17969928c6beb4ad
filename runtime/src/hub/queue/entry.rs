//! A queue entry.

use crate::facade::deque::Word;
use crate::greenlet::header::{Header, Life};
use std::ptr::NonNull;

/// A queue entry, one word: a greenlet to start (the entry is the greenlet's life, and may have gone stale: its
/// joiner may have claimed it) or to resume (the entry is the greenlet's right to run). The lowest bits tell them apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(NonNull<Header>);

const START: usize = 1;
/// On an entry to resume: the greenlet was parked.
const WOKEN: usize = 2;

// SAFETY: an entry is the right to start or run a greenlet, made to be handed between hubs; only `Free` greenlets go
// where another thread may take them, and started ones only in migrate mode, whose contract the user signed.
unsafe impl Send for Entry {}

// SAFETY: a pointer.
unsafe impl Word for Entry {}

impl Entry {
    #[inline]
    pub(crate) fn start(life: Life) -> Self {
        Self(life.into_raw().map_addr(|address| address | START))
    }
    #[inline]
    pub(crate) fn resume(header: NonNull<Header>) -> Self {
        Self(header)
    }
    #[inline]
    pub(crate) fn woken(header: NonNull<Header>) -> Self {
        Self(header.map_addr(|address| address | WOKEN))
    }
    #[inline]
    pub(super) fn is_woken(self) -> bool {
        self.0.addr().get() & WOKEN != 0
    }
    #[inline]
    pub(crate) fn is_start(self) -> bool {
        self.0.addr().get() & START != 0
    }
    #[inline]
    pub(crate) fn header(self) -> NonNull<Header> {
        // SAFETY: headers are aligned to more than four bytes, so what is left of the address is not null.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().map_addr(|address| address & !(START | WOKEN))) }
    }
}
