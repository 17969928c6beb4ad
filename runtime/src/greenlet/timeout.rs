//! Timeouts and shields: what may interrupt a caller, and from when on.
//!
//! Every enclosing [`timeout`] is a [`Frame`] on the caller's own stack, linked from the inside out. `shield` sets a
//! floor: frames below it are not looked at until it ends. The innermost frame knows the earliest deadline of all
//! frames down to the floor, so "by when must I be woken?" is one load.

use super::current::{self, Running};
use super::unwind;
use crate::time::Elapsed;
use crate::timer::clock::{self, NEVER};
use std::cell::Cell;
use std::ptr::NonNull;
use std::time::Duration;

/// One `timeout` call in progress.
pub(crate) struct Frame {
    deadline: u64,
    /// The earliest deadline from here to the floor.
    earliest: u64,
    outer: Option<NonNull<Frame>>,
}

/// What masks or interrupts one caller, greenlet or OS thread. Only the caller itself touches it.
#[repr(C)]
pub(crate) struct Masks {
    no_switch: Cell<u32>,
    shields: Cell<u32>,
    frames: Cell<Option<NonNull<Frame>>>,
    /// Frames from this one outwards are shielded.
    floor: Cell<Option<NonNull<Frame>>>,
}

/// The payload that unwinds to the `timeout` whose frame it names. Frames are told apart by address: the payload
/// cannot outlive its frame, which is popped only after the unwinding has passed or reached it.
///
/// A payload that user code has caught and kept may be thrown again when another frame lies at that address; the
/// deadline tells them apart.
struct Expired {
    which: Which,
    mark: unwind::Mark,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Which {
    frame: usize,
    deadline: u64,
}

/// The mark in a payload that is an expired timeout's.
pub(super) fn mark_of(payload: &(dyn std::any::Any + Send)) -> Option<&unwind::Mark> {
    payload.downcast_ref::<Expired>().map(|expired| &expired.mark)
}

impl Masks {
    pub(crate) const fn new() -> Self {
        Self {
            frames: Cell::new(None),
            floor: Cell::new(None),
            shields: Cell::new(0),
            no_switch: Cell::new(0),
        }
    }

    /// When the enclosing timeouts want the caller back, or [`NEVER`].
    #[inline]
    pub(crate) fn earliest(&self) -> u64 {
        match self.frames.get() {
            frame if frame == self.floor.get() => NEVER,
            // SAFETY: a linked frame lives on the caller's stack until it is unlinked.
            Some(frame) => unsafe { frame.as_ref() }.earliest,
            None => NEVER,
        }
    }

    /// As [`Masks::earliest`], as an instant.
    pub(crate) fn earliest_instant(&self) -> Option<std::time::Instant> {
        clock::instant(self.earliest())
    }

    /// Whether kill must wait.
    #[inline]
    pub(crate) fn shielded(&self) -> bool {
        self.shields.get() != 0
    }

    /// Whether suspending is forbidden.
    #[inline]
    pub(crate) fn may_not_switch(&self) -> bool {
        self.no_switch.get() != 0
    }

    /// The payload of the timeout that has expired, the one that expired first if there are several.
    fn expired(&self, now: u64) -> Option<Which> {
        if self.earliest() > now {
            return None;
        }
        let mut at = self.frames.get();
        let mut first: Option<(u64, NonNull<Frame>)> = None;
        while at != self.floor.get() {
            let Some(frame) = at else { break };
            // SAFETY: as in `earliest`.
            let this = unsafe { frame.as_ref() };
            // `<=`: of two that expire together the outer one goes first; the inner one is inside it anyway.
            if this.deadline <= now && first.is_none_or(|(deadline, _)| this.deadline <= deadline) {
                first = Some((this.deadline, frame));
            }
            at = this.outer;
        }
        first.map(|(deadline, frame)| Which { frame: frame.as_ptr().addr(), deadline })
    }

    /// Whether an enclosing timeout has expired.
    pub(crate) fn has_expired(&self) -> bool {
        self.earliest() != NEVER && self.expired(clock::now()).is_some()
    }

    /// Unwinds to the first expired timeout, if there is one.
    pub(crate) fn deliver_expired(&self) {
        if self.earliest() == NEVER {
            return;
        }
        if let Some(which) = self.expired(clock::now()) {
            unwind::interrupt(|mark| Box::new(Expired { which, mark }));
        }
    }
}

/// Runs `with` on the masks of whoever is running.
fn with_masks<R>(with: impl FnOnce(&Masks) -> R) -> R {
    match current::greenlet() {
        Some(greenlet) => with(&greenlet.fiber.masks),
        None => with(&current::thread().masks),
    }
}

/// Undoes a change to the masks, also when unwinding.
struct Restore<F: Fn(&Masks)>(F);

impl<F: Fn(&Masks)> Drop for Restore<F> {
    fn drop(&mut self) {
        with_masks(&self.0);
    }
}

/// Runs `f`; if `f` is still at it after `after`, unwinds it at its next suspension point and gives [`Elapsed`].
///
/// The time is looked at wherever `f` suspends: in every blocking call of this crate and in
/// [`yield_now`](crate::yield_now). Code that never suspends is not interrupted. Destructors run as in a panic, but
/// no panic hook and no message. Timeouts nest, and each one catches only its own end: an outer timeout that expires
/// first passes through the inner one. Nothing is interrupted inside [`shield`] or while the
/// greenlet already unwinds; it is kept for later. Works on plain OS threads too.
///
/// If `f` returns, its value is returned, however late it is.
///
/// In a program built with `panic = "abort"` nothing can be unwound: calls that give an `io::Result` then fail
/// with [`TimedOut`](std::io::ErrorKind::TimedOut), everything else runs on.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// greenhub::run(|| {
///     let slow = greenhub::timeout(Duration::from_millis(5), || greenhub::sleep(Duration::from_secs(60)));
///     assert!(slow.is_err());
///     let quick = greenhub::timeout(Duration::from_secs(60), || 42);
///     assert_eq!(quick, Ok(42));
/// });
/// ```
///
/// # Errors
///
/// [`Elapsed`] if the time was up and `f` has been unwound.
pub fn timeout<T>(after: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let Some(deadline) = clock::deadline(after).map(clock::nanos) else { return Ok(f()) };
    let outer = with_masks(|masks| (masks.frames.get(), masks.earliest()));
    let frame = Frame { deadline, earliest: deadline.min(outer.1), outer: outer.0 };
    let link = NonNull::from(&frame);
    let result = {
        let _pop = Restore(|masks: &Masks| {
            masks.frames.set(outer.0);
            rearm_current();
        });
        with_masks(|masks| {
            masks.frames.set(Some(link));
            rearm_current();
        });
        unwind::catch(f)
    };
    let mine = Which { frame: link.as_ptr().addr(), deadline };
    match result {
        Ok(value) => Ok(value),
        Err(payload) => match payload.downcast_ref::<Expired>() {
            Some(expired) if expired.which == mine => Err(Elapsed::new()),
            _ => unwind::resume_unwind(payload),
        },
    }
}

/// Lets the alarm of the greenlet stand at its earliest frame, so that the frame is noticed in a `yield_now` loop too.
#[inline]
pub(crate) fn rearm(greenlet: Running) {
    let earliest = greenlet.fiber.masks.earliest();
    if earliest == NEVER {
        greenlet.alarm.relax(NEVER);
    } else if let Some(hub) = current::hub() {
        greenlet.alarm.set(greenlet.as_ptr(), hub.timers(), earliest);
    }
}

fn rearm_current() {
    if let Some(greenlet) = current::greenlet() {
        rearm(greenlet);
    }
}

/// Runs `f` with kill and enclosing timeouts held back; they are delivered at the first suspension point after it.
///
/// Timeouts set *inside* `f` work as ever. Shields nest. For code that must not be cut in half: a hand-over of two
/// things, a clean-up that waits.
///
/// ```
/// use std::time::Duration;
///
/// greenhub::run(|| {
///     let ended = greenhub::timeout(Duration::from_millis(1), || {
///         greenhub::shield(|| greenhub::sleep(Duration::from_millis(5))); // runs to its end
///         greenhub::sleep(Duration::from_secs(60)); // is interrupted at once
///     });
///     assert!(ended.is_err());
/// });
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    let before = with_masks(|masks| {
        masks.shields.set(masks.shields.get() + 1);
        masks.floor.replace(masks.frames.get())
    });
    let _restore = Restore(|masks: &Masks| {
        // Saturating, here and in `no_switch`: in a child forked in `f` these are its thread's masks, not the greenlet's.
        masks.shields.set(masks.shields.get().saturating_sub(1));
        masks.floor.set(before);
        rearm_current();
        if masks.has_expired()
            && let Some(greenlet) = current::greenlet()
        {
            // For a `yield_now` that comes before the hub looks at its timers. It is awake, so this is a note.
            let _noted = greenlet.state.timer();
        }
    });
    f()
}

/// Runs `f` and panics, in the call that does it, if it suspends.
///
/// For code that is only right while nothing else runs on this OS thread: a borrow out of a thread-local, a
/// scoped thread-local's block, a callback out of C. On a plain OS thread, where blocking calls block the thread,
/// `f` just runs.
///
/// # Panics
///
/// If `f` calls something that would have to suspend.
///
/// ```
/// let n = greenhub::run(|| greenhub::no_switch(|| 6 * 7));
/// assert_eq!(n, 42);
/// ```
pub fn no_switch<T>(f: impl FnOnce() -> T) -> T {
    with_masks(|masks| masks.no_switch.set(masks.no_switch.get() + 1));
    let _restore = Restore(|masks: &Masks| masks.no_switch.set(masks.no_switch.get().saturating_sub(1)));
    f()
}
