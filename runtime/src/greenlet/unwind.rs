//! Unwinding: whose panic it is.
//!
//! std counts panics per OS thread. A greenlet that suspends while it unwinds (a destructor that flushes, or joins)
//! therefore makes `std::thread::panicking()` true for whatever runs next on its hub. It stays on that hub until its
//! unwinding has ended, so that the count balances (invariant 6); and the runtime keeps its own knowledge of *which*
//! greenlet unwinds:
//!
//! * nobody else on this hub is suspended mid-unwinding: std's answer is the running greenlet's;
//! * somebody is: the running greenlet unwinds if its panic hook ran, or the runtime itself began its unwinding.
//!
//! One case is beyond knowing: while another greenlet of the hub is suspended mid-unwinding, this one panics *and*
//! catches that panic itself. It then counts as unwinding until std's count is zero again, which only keeps kills and
//! timeouts for later.
//!
//! And it rests on the panic hook: a program that replaces the hook after its first runtime has started, without calling
//! the one before, or that re-raises with std's `resume_unwind` while a neighbour unwinds, takes that knowledge away.

use super::current::{self, Running};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Whether the *greenlet* that calls this is unwinding; on a plain OS thread, whether the thread is.
///
/// `std::thread::panicking()` counts per OS thread, so it is also true while *another* greenlet of the same hub is
/// suspended in the middle of its unwinding. Destructors that ask "am I unwinding?" should ask here.
///
/// ```
/// assert!(!greenhub::panicking());
/// ```
#[must_use]
pub fn panicking() -> bool {
    match current::greenlet_even_in_hook() {
        Some(greenlet) => is_unwinding(greenlet),
        None => std::thread::panicking(),
    }
}

/// Whether the running greenlet unwinds.
#[inline]
pub(crate) fn is_unwinding(greenlet: Running) -> bool {
    if !std::thread::panicking() {
        return false;
    }
    is_unwinding_slow(greenlet)
}

#[cold]
fn is_unwinding_slow(greenlet: Running) -> bool {
    let others = current::hub().is_some_and(|hub| hub.suspended_unwinding.get() != 0);
    !others || greenlet.fiber.unwinding.get()
}

/// Called by the running greenlet before it suspends. Gives whether it unwinds, and so must stay on this hub.
#[inline]
pub(crate) fn before_switch(greenlet: Running) -> bool {
    if !std::thread::panicking() {
        // Forgets an unwinding that was caught.
        if greenlet.fiber.unwinding.get() {
            greenlet.fiber.unwinding.set(false);
        }
        return false;
    }
    before_switch_slow(greenlet)
}

#[cold]
fn before_switch_slow(greenlet: Running) -> bool {
    if !is_unwinding_slow(greenlet) {
        return false;
    }
    greenlet.fiber.unwinding.set(true);
    if let Some(hub) = current::hub() {
        hub.suspended_unwinding.set(hub.suspended_unwinding.get() + 1);
    }
    true
}

/// Called by a greenlet that suspended while unwinding, when it runs again (on the same hub).
#[cold]
pub(crate) fn after_switch() {
    if let Some(hub) = current::hub() {
        hub.suspended_unwinding.set(hub.suspended_unwinding.get() - 1);
    }
}

/// `catch_unwind` that keeps the books: what the greenlet knew of its unwinding before holds again after. Every place
/// where the runtime catches what goes on running afterwards uses this; otherwise the greenlet would count as
/// unwinding, out of reach of kills and timeouts, for as long as a neighbour is suspended in the middle of its own.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    let before = current::greenlet_even_in_hook().is_some_and(|greenlet| greenlet.fiber.unwinding.get());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    if result.is_err()
        && let Some(greenlet) = current::greenlet_even_in_hook()
    {
        greenlet.fiber.unwinding.set(before);
    }
    result
}

/// Goes on with a panic that was caught, without running the panic hook. As `std::panic::resume_unwind`, but
/// [`panicking`] knows of it even while other greenlets of the hub unwind: prefer it inside greenlets.
///
/// ```
/// let caught = greenhub::spawn(|| greenhub::resume_unwind(Box::new("over"))).join();
/// assert!(caught.unwrap_err().is_panic());
/// ```
pub fn resume_unwind(payload: Box<dyn Any + Send>) -> ! {
    if let Some(greenlet) = current::greenlet_even_in_hook() {
        greenlet.fiber.unwinding.set(true);
    }
    std::panic::resume_unwind(payload)
}

/// Drops a panic's payload nobody wants. Its destructor is the user's, and what that panics with in turn is left
/// undropped: this must not unwind, for it is called at a greenlet's base and on hubs' stacks.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}

/// Wraps the process's panic hook, once: notes whose panic it is, and keeps code in the hook from suspending (a
/// switch there would leave std believing this OS thread is still in the hook, and its next panic would abort).
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let Some(greenlet) = current::greenlet_even_in_hook() else { return before(info) };
            greenlet.fiber.unwinding.set(true);
            let hub = current::hub();
            if let Some(hub) = hub {
                hub.in_panic_hook.set(true);
            }
            before(info);
            if let Some(hub) = hub {
                hub.in_panic_hook.set(false);
            }
        }));
    });
}
