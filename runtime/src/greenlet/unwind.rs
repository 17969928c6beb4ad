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
//! The runtime's own catches keep the books ([`catch`]), and so do users' that go through [`catch_unwind`]. Other code that
//! catches a kill or a timeout is seen to do so when it drops the payload, in which there is a [`Mark`].
//!
//! One case is beyond knowing: while another greenlet of the hub is suspended mid-unwinding, this one panics *and*
//! catches that panic by std's means. It then counts as unwinding until std's count is zero again, or until it returns to
//! a [`catch_unwind`] around it, which only keeps kills and timeouts for later.
//!
//! And it rests on the panic hook: a program that replaces the hook after its first runtime has started, without calling
//! the one before, or that re-raises with std's `resume_unwind` while a neighbour unwinds, takes that knowledge away.
//! Std cannot be asked instead: it tells whether its count is zero, never what it is, so beside a neighbour that unwinds
//! its answer is always the same; and the count cannot be put aside for the time a greenlet is suspended, since only the
//! end of an unwinding lowers it.

use super::current::{self, Running};
use std::any::Any;
use std::panic::{AssertUnwindSafe, UnwindSafe};
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
    !others || greenlet.fiber.unwinding.get() != Unwinding::NOT
}

/// Called by the running greenlet before it suspends. Gives whether it unwinds, and so must stay on this hub.
#[inline]
pub(crate) fn before_switch(greenlet: Running) -> bool {
    if !std::thread::panicking() {
        // Forgets an unwinding that was caught.
        if greenlet.fiber.unwinding.get() != Unwinding::NOT {
            greenlet.fiber.unwinding.set(Unwinding::NOT);
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
    if greenlet.fiber.unwinding.get() == Unwinding::NOT {
        greenlet.fiber.unwinding.set(Unwinding::PANIC);
    }
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

/// Std's `catch_unwind` that keeps the books: what the greenlet unwound for before, it unwinds for after. Every place
/// where the runtime catches what goes on running afterwards uses this; otherwise the greenlet would count as
/// unwinding, out of reach of kills and timeouts, for as long as a neighbour is suspended in the middle of its own.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    let before = unwinding_for();
    let result = std::panic::catch_unwind(AssertUnwindSafe(f));
    if result.is_err() {
        unwinds_for(before);
    }
    result
}

/// What the running greenlet unwinds for. What it noted last may be an unwinding that it has caught.
#[inline]
fn unwinding_for() -> Unwinding {
    if std::thread::panicking() { unwinding_for_slow() } else { Unwinding::NOT }
}

/// Notes what the running greenlet unwinds for.
#[cold]
fn unwinds_for(unwinding: Unwinding) {
    if let Some(greenlet) = current::greenlet_even_in_hook() {
        greenlet.fiber.unwinding.set(unwinding);
    }
}

#[cold]
fn unwinding_for_slow() -> Unwinding {
    match current::greenlet_even_in_hook() {
        Some(greenlet) if is_unwinding_slow(greenlet) => match greenlet.fiber.unwinding.get() {
            Unwinding::NOT => Unwinding::PANIC,
            known => known,
        },
        _ => Unwinding::NOT,
    }
}

/// Calls `f` and gives what it returns, or the payload of the panic that ended it: std's
/// [`catch_unwind`](std::panic::catch_unwind), for greenlets. Prefer it inside them.
///
/// Std counts panics per OS thread. While a neighbour on the same hub is suspended in the middle of its unwinding, it
/// cannot tell that another greenlet has caught a panic: that one goes on counting as unwinding, and no kill and no
/// timeout reaches it, until the neighbour is done. What is caught here is over at once. That is true of what `f` itself
/// has caught by std's means too, so this is what to wrap around code of others that catches panics.
///
/// As with std's, a kill or a timeout that unwinds `f` is caught as well, and is over: the greenlet goes on. Hand on with
/// [`resume_unwind`] what is not for you. On a plain OS thread this is std's function.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let handle = greenhub::spawn(|| {
///     let number = greenhub::catch_unwind(|| "many".parse::<u32>().unwrap());
///     assert!(number.is_err() && !greenhub::panicking());
///     greenhub::sleep(Duration::from_secs(60)); // can be killed, whoever else unwinds meanwhile
/// });
/// greenhub::sleep(Duration::from_millis(5));
/// handle.kill();
/// assert!(handle.join().unwrap_err().is_killed());
/// ```
pub fn catch_unwind<F, T>(f: F) -> std::thread::Result<T>
where
    F: FnOnce() -> T + UnwindSafe,
{
    let before = unwinding_for();
    let result = std::panic::catch_unwind(f);
    // Also if `f` returned, for it may have caught something by std's means; but where nobody unwinds, nobody asks.
    if result.is_err() || std::thread::panicking() {
        unwinds_for(before);
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
        let known = super::kill::mark_of(&*payload).map_or(Unwinding::PANIC, |mark| mark.0);
        greenlet.fiber.unwinding.set(known);
    }
    std::panic::resume_unwind(payload)
}

/// Unwinds the caller for a kill or a timeout, with a payload that holds the mark.
pub(crate) fn interrupt(payload: impl FnOnce(Mark) -> Box<dyn Any + Send>) -> ! {
    let number = current::hub().map_or(0, |hub| {
        // Not those of `NOT` and `PANIC`. They come again after 254 others; to be mistaken, a payload would have to be
        // kept for so long and then dropped amid the unwinding of its namesake.
        let next = hub.interrupts.get().wrapping_add(1).max(2);
        hub.interrupts.set(next);
        next
    });
    resume_unwind(payload(Mark(Unwinding(number))))
}

/// In the payload of a kill or a timeout: dropped while that still counts as what the greenlet unwinds for, it shows that
/// somebody has caught it. (During the unwinding itself nobody can drop it, for nobody has it.)
pub(crate) struct Mark(Unwinding);

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(greenlet) = current::greenlet_even_in_hook()
            && greenlet.fiber.unwinding.get() == self.0
        {
            greenlet.fiber.unwinding.set(Unwinding::NOT);
        }
    }
}

/// What a greenlet unwinds for, as far as the runtime knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unwinding(u8);

impl Unwinding {
    /// For nothing; or nobody knows.
    pub(crate) const NOT: Self = Self(0);
    /// A panic. Every other number is that of a kill or a timeout.
    const PANIC: Self = Self(1);
}

/// Drops a panic's payload nobody wants. Its destructor is the user's, and what that panics with in turn is left
/// undropped: this must not unwind, for it is called at a greenlet's base and on hubs' stacks.
pub(crate) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
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
            // Also amid the unwinding of a kill: who has caught one and kept its payload may drop that amid this one.
            greenlet.fiber.unwinding.set(Unwinding::PANIC);
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
