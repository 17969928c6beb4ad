//! The first and the last frame of a greenlet: runs its closure, and sees it to its end.
//!
//! On the greenlet's own stack, where user code may still suspend: the closure, the destructors of its locals, and of
//! a result nobody wants. Then, on the hub's stack, what needs no user code: joiners, links, stack, registry, the
//! life reference.

use super::header::{Header, Outcome};
use super::join_error::JoinError;
use super::kill::Killed;
use super::unwind;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

/// The base frame. No panic passes it (invariant 6).
///
/// # Safety
///
/// Called once, on the greenlet's new stack, by whoever owns its right to run.
pub(crate) unsafe fn main(greenlet: NonNull<Header>) {
    // SAFETY: the life reference is held while the greenlet runs.
    let header = unsafe { greenlet.as_ref() };
    if header.state.load().kill_requested() {
        header.state.take_kill();
        // Shielded: its destructors run to their end, as those of one that unwinds do, however often it is killed.
        let drop_closure = || {
            // SAFETY: we own the right to run, and nobody has run or dropped the closure.
            super::timeout::shield(|| unsafe { (header.vtable().drop_closure)(greenlet) });
        };
        let dropped = catch_unwind(AssertUnwindSafe(drop_closure));
        let error = match dropped {
            Ok(()) => JoinError::killed(header),
            Err(payload) => JoinError::from_unwinding(header, payload),
        };
        // SAFETY: as above.
        unsafe { (header.vtable().fail)(greenlet, error) };
    } else {
        // SAFETY: as above.
        unsafe { (header.vtable().run)(greenlet) };
    }
    drop_locals(header);
    if header.fiber.awaited.get() {
        // Its joiner waits where it was, and keeps it from being detached: the hub sees to the rest.
        return;
    }
    let joined = match header.state.finish(false) {
        Ok(joined) => joined,
        Err(()) => {
            drop_result(greenlet);
            // Its destructor may have made new ones.
            drop_locals(header);
            header.state.finish(true).unwrap_or(true)
        }
    };
    header.fiber.joined.set(joined);
}

/// Drops every greenlet-local, here on the greenlet's hub: they need not be `Send`. A destructor that panics, or is
/// ended by a kill, does not keep the others from it.
fn drop_locals(header: &Header) {
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| header.locals.clear())) {
        super::on_error::report(header, payload);
    }
}

/// Drops the result of a greenlet nobody will join; an error nobody joins goes to the error handler.
pub(crate) fn drop_result(greenlet: NonNull<Header>) {
    // SAFETY: callers hold a reference.
    let header = unsafe { greenlet.as_ref() };
    // SAFETY: detached, so the result is ours: the greenlet's own while it is not done, the handle's afterwards.
    let taken = catch_unwind(AssertUnwindSafe(|| unsafe { (header.vtable().take_panic)(greenlet) }));
    match taken {
        Ok(None) => {}
        Ok(Some(payload)) | Err(payload) => match header.scope() {
            Some(scope) => {
                scope.note_unseen_panic();
                unwind::discard(payload);
            }
            None => super::on_error::report(header, payload),
        },
    }
}

/// Runs the user's closure and turns an unwinding into an error.
pub(crate) fn call<T>(header: &Header, closure: impl FnOnce() -> T) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(closure)).map_err(|payload| JoinError::from_unwinding(header, payload))
}

/// Whether a payload is a kill's.
pub(crate) fn is_kill(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Killed>()
}
