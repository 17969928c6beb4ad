//! Errors nobody joins: one handler for the process.

use super::handle::{Describe, Greenlet};
use super::header::Header;
use crate::runtime::fork::{self, ProcessLock};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

type Handler = dyn Fn(&Greenlet, Box<dyn Any + Send>) + Send + Sync;

pub(crate) static HANDLER: ProcessLock<Option<Arc<Handler>>> = ProcessLock::new(None);

/// Sets what happens to a panic that nobody joins: of a greenlet whose handle was dropped, or of the destructor of a
/// result or greenlet-local. `handler` gets the greenlet and the panic's payload.
///
/// It runs in the context of that greenlet's end and must not suspend: a blocking call in it panics, and a panic of its own
/// is printed and goes no further. Without a handler one line on stderr names the greenlet, its spawn place and the message.
///
/// ```
/// greenhub::on_error(|greenlet, payload| {
///     let message = payload.downcast_ref::<&str>().copied().unwrap_or("something else");
///     eprintln!("{greenlet:?} failed and nobody was there to see it: {message}");
/// });
/// ```
pub fn on_error(handler: impl Fn(&Greenlet, Box<dyn Any + Send>) + Send + Sync + 'static) {
    fork::watch();
    // What it replaces is dropped after the lock: its destructor is the user's, and may come here again, or suspend.
    let _replaced = HANDLER.lock().replace(Arc::new(handler));
}

/// Hands a panic nobody will join to the handler.
pub(crate) fn report(header: &Header, payload: Box<dyn Any + Send>) {
    if super::finish::is_kill(&*payload) {
        return;
    }
    if crate::explore::is_conceivable() && crate::explore::takes_error(header, &*payload) {
        return super::unwind::discard(payload);
    }
    let handler = HANDLER.lock().clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| match handler {
        Some(handler) => {
            let greenlet = Greenlet::of(header);
            super::timeout::no_switch(|| handler(&greenlet, payload));
        }
        None => eprintln!(
            "greenhub: {} panicked and nobody joined it: {}",
            Describe(header),
            super::join_error::message(&*payload)
        ),
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
