//! Errors nobody joins: one handler for the process.

use super::handle::{Describe, Greenlet};
use super::header::Header;
use parking_lot::RwLock;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

type Handler = dyn Fn(&Greenlet, Box<dyn Any + Send>) + Send + Sync;

static HANDLER: RwLock<Option<Arc<Handler>>> = RwLock::new(None);

/// Sets what happens to a panic that nobody joins: of a greenlet whose handle was dropped, or of the destructor of a
/// result or greenlet-local. `handler` gets the greenlet and the panic's payload.
///
/// It runs in the context of that greenlet's end and must not suspend: a blocking call in it panics, or,
/// for a greenlet that never had a stack, blocks its hub; a panic of its own is printed and goes no further. Without a handler one line on stderr names the greenlet, its
/// spawn place and the message.
///
/// ```
/// greenhub::on_error(|greenlet, payload| {
///     let message = payload.downcast_ref::<&str>().copied().unwrap_or("something else");
///     eprintln!("{greenlet:?} failed and nobody was there to see it: {message}");
/// });
/// ```
pub fn on_error(handler: impl Fn(&Greenlet, Box<dyn Any + Send>) + Send + Sync + 'static) {
    // What it replaces is dropped after the lock: its destructor is the user's, and may come here again, or suspend.
    let _replaced = HANDLER.write().replace(Arc::new(handler));
}

/// Hands a panic nobody will join to the handler.
pub(crate) fn report(header: &Header, payload: Box<dyn Any + Send>) {
    if super::finish::is_kill(&*payload) {
        return;
    }
    let handler = HANDLER.read().clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| match handler {
        Some(handler) => {
            let greenlet = Greenlet::of(header);
            super::timeout::no_switch(|| handler(&greenlet, payload));
        }
        None => crate::hub::nobody_joined(header, &*payload),
    }));
    if let Err(payload) = outcome {
        eprintln!(
            "greenhub: the error handler itself panicked over {}: {}",
            Describe(header),
            super::join_error::message(&*payload)
        );
        super::unwind::discard(payload);
    }
}
