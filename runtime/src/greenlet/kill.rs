//! Kill: how a greenlet is made to end at its next suspension point.

use super::current;
use super::handle::Greenlet;
use super::header::Header;
use super::state;
use super::unwind;
use crate::greenlet::wake::Runnable;
use std::ptr::NonNull;

/// The payload of a kill. Caught at the greenlet's base.
pub(crate) struct Killed {
    mark: unwind::Mark,
}

/// The mark in a payload that is a kill's or a timeout's.
pub(super) fn mark_of(payload: &(dyn std::any::Any + Send)) -> Option<&unwind::Mark> {
    payload.downcast_ref::<Killed>().map(|killed| &killed.mark).or_else(|| super::timeout::mark_of(payload))
}

/// Whether a payload is a kill's or a timeout's.
pub(crate) fn is_interrupt(payload: &(dyn std::any::Any + Send)) -> bool {
    mark_of(payload).is_some()
}

/// Asks for the end of the greenlet.
pub(crate) fn kill(header: &Header) {
    match header.state.kill() {
        // SAFETY: the verdict says that we own its push.
        state::Kill::Enqueue => unsafe { Runnable::from_wake(NonNull::from(header)) }.deliver(),
        // SAFETY: as above; it is now `Placed`, which is what lies in an inbox.
        state::Kill::Place => unsafe { header.home().push(NonNull::from(header)) },
        state::Kill::Noted | state::Kill::Finished => {}
    }
}

/// Kills every greenlet in `greenlets`, and waits for none.
///
/// ```
/// use std::time::Duration;
///
/// greenhub::run(|| {
///     let handles: Vec<_> = (0..3).map(|_| greenhub::spawn(|| greenhub::sleep(Duration::from_secs(60)))).collect();
///     greenhub::kill_all(handles.iter().map(|handle| handle.greenlet()));
///     for handle in handles {
///         assert!(handle.join().unwrap_err().is_killed());
///     }
/// });
/// ```
pub fn kill_all<'a>(greenlets: impl IntoIterator<Item = &'a Greenlet>) {
    for greenlet in greenlets {
        greenlet.kill();
    }
}

/// As [`deliver_interrupts`], for calls that give an `io::Result`: with `panic = "abort"`, where nothing can be
/// unwound, a due kill or timeout is this call's error. (Its kind is never `Interrupted`, which `read_exact` and
/// `write_all` would try again for ever.)
pub(crate) fn deliver_or_report() -> std::io::Result<()> {
    if !cfg!(panic = "abort") {
        deliver_interrupts();
        return Ok(());
    }
    let expired = match current::greenlet() {
        Some(greenlet) => {
            if !greenlet.fiber.masks.shielded() && greenlet.state.load().kill_requested() {
                return Err(std::io::Error::other("this greenlet was killed"));
            }
            greenlet.state.take_timer();
            greenlet.fiber.masks.has_expired()
        }
        None => current::thread().masks.has_expired(),
    };
    if expired { Err(crate::time::Elapsed::new().into()) } else { Ok(()) }
}

/// Unwinds the caller if a kill or an expired timeout is due and may be delivered here.
pub(crate) fn deliver_interrupts() {
    match current::greenlet() {
        Some(greenlet) => {
            if cfg!(panic = "abort") || unwind::is_unwinding(greenlet) {
                return;
            }
            let state = &greenlet.state;
            if !greenlet.fiber.masks.shielded() && state.load().kill_requested() && state.take_kill() {
                let verdict = greenlet.run_mark().and_then(|mark| mark.verdict.lock().take());
                match verdict {
                    // The deadlock report, which becomes `run`'s panic. It has been printed.
                    Some(report) => unwind::resume_unwind(Box::new(report)),
                    None => unwind::interrupt(|mark| Box::new(Killed { mark })),
                }
            }
            state.take_timer();
            greenlet.fiber.masks.deliver_expired();
        }
        None => {
            if !cfg!(panic = "abort") && !std::thread::panicking() {
                current::thread().masks.deliver_expired();
            }
        }
    }
}
