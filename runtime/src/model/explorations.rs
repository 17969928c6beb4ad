//! A model is no exploration: what shipping code asks of [`explore`](mod@crate::explore), answered with no.

use crate::greenlet::header::Header;
use std::any::Any;

pub(crate) const fn is_conceivable() -> bool {
    false
}

pub(crate) fn spawned(_child: &Header) {}

pub(crate) fn takes_error(_header: &Header, _payload: &(dyn Any + Send)) -> bool {
    false
}
