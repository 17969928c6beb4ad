//! Who runs now, as a number that is never used twice.

use std::num::NonZeroU64;

/// The number of the caller: of the greenlet, or of the OS thread outside any.
#[inline]
pub(crate) fn current_id() -> NonZeroU64 {
    NonZeroU64::new(crate::greenlet::current::id()).expect("ids start at one")
}
