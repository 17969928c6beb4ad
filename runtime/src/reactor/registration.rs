//! [`Registration`]: one descriptor's tie to the reactors, and the loop around every system call that may block.
//!
//! The loop is: try, and only on `WouldBlock` wait, then try again. So a descriptor that never has to wait is never
//! registered. The one exception is a stream known to be empty since its last read was short: there the caller waits
//! at once and saves the call that would fail.

use super::caller::{self, Here};
use super::home::Home;
use super::source::{Awaited, Direction, Source};
use super::{Reactor, thread_wait};
use crate::facade::atomic::{AtomicU32, Ordering};
use crate::facade::{Arc, about_to_wait_outside};
use crate::wait::{CallName, Interrupts};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// After this many calls in a row that found the descriptor ready, the caller lets others run. At some 0.3 to 1 µs a
/// call this is a share of time no neighbour notices, and the look at the queues that it costs is not noticed either.
const CALLS_PER_TURN: u32 = 32;

/// How long a call may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// Not at all: `WouldBlock` goes to the caller.
    None,
    /// This long from when it first has to wait.
    For(Duration),
    /// As long as it takes.
    Unlimited,
}

/// Owned by the object that owns the descriptor. It must be dropped *before* the descriptor is closed or given away
/// (declare it above the descriptor), because closing one of several duplicates leaves the event queue's entry alive.
pub(crate) struct Registration {
    source: OnceLock<Arc<Source>>,
    home: Home<Reactor>,
    /// Calls in a row that did not wait. Callers on several threads may lose counts to each other; it is a hint.
    in_a_row: AtomicU32,
}

impl Registration {
    pub(crate) fn new() -> Self {
        Self { source: OnceLock::new(), home: Home::new(), in_a_row: AtomicU32::new(0) }
    }

    /// Does a system call that must not block, waiting until it succeeds or fails with anything but `WouldBlock`;
    /// `Interrupted` is tried again. A timeout ends it with the `WouldBlock` that std gives for one.
    pub(crate) fn io<T>(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        patience: Patience,
        what: CallName,
        call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        self.run(fd, direction, patience, what, false, call, |_| false)
    }

    /// [`io`](Self::io) for reads from a TCP stream into a buffer of `wanted` bytes: makes use of short reads. Sound
    /// for nothing else, see the page of [`Source`].
    pub(crate) fn read_stream(
        &self,
        fd: BorrowedFd<'_>,
        wanted: usize,
        patience: Patience,
        what: CallName,
        call: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let known_empty = wanted > 0 && patience != Patience::None && self.is_known_empty_here();
        self.run(fd, Direction::Read, patience, what, known_empty, call, |&read| 0 < read && read < wanted)
    }

    #[expect(clippy::too_many_arguments, reason = "the one loop behind two doors")]
    fn run<T>(
        &self,
        fd: BorrowedFd<'_>,
        direction: Direction,
        patience: Patience,
        what: CallName,
        wait_first: bool,
        mut call: impl FnMut() -> io::Result<T>,
        emptied: impl Fn(&T) -> bool,
    ) -> io::Result<T> {
        self.step_aside_now_and_then();
        let mut deadline = None;
        let mut wait_first = wait_first;
        let mut time_is_up = false;
        loop {
            let mut seen = None;
            if !std::mem::take(&mut wait_first) {
                seen = self.source.get().map(|source| source.observe());
                match call() {
                    Ok(value) => {
                        if emptied(&value)
                            && let (Some(source), Some(seen)) = (self.source.get(), seen)
                        {
                            source.clear_after_short_read(seen);
                        }
                        return Ok(value);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    Err(error) if time_is_up || patience == Patience::None => return Err(error),
                    Err(_) => {}
                }
            }
            self.in_a_row.store(0, Ordering::Relaxed);
            let until = *deadline.get_or_insert_with(|| match patience {
                Patience::For(limit) => crate::facade::instant_now().checked_add(limit),
                Patience::None | Patience::Unlimited => None,
            });
            let awaited = match caller::current_reactor() {
                Some(here) => self.wait(fd, &here, direction, until, what, seen)?,
                None => thread_wait::wait(fd, direction, until)?,
            };
            match awaited {
                Awaited::AtOnce | Awaited::Woken => {}
                Awaited::Interrupted => caller::deliver_interrupts()?,
                // One last try: a busy hub may look at its clock before it looks at its descriptors.
                Awaited::TimedOut => time_is_up = true,
            }
        }
    }

    /// Waits in the reactors. `here` is where the caller runs before it waits; `seen`, what was known before a call that would
    /// have blocked.
    fn wait(
        &self,
        fd: BorrowedFd<'_>,
        here: &Here,
        direction: Direction,
        deadline: Option<Instant>,
        what: CallName,
        seen: Option<super::source::Observed>,
    ) -> io::Result<Awaited> {
        about_to_wait_outside(what);
        let source = self.source.get_or_init(|| Arc::new(Source::new()));
        if let Some(seen) = seen {
            source.clear(direction, seen);
        }
        let Some(home) = self.home.ensure(fd.as_raw_fd(), here, source)? else {
            // The caller's own hub is going down and takes no registration any more. The kill that comes with that is first.
            caller::deliver_interrupts()?;
            return thread_wait::wait(fd, direction, deadline);
        };
        let awaited = {
            let _counted = home.count_waiter();
            source.wait(direction, deadline, Interrupts::Reported, what, || self.home.reports(&home))
        };
        if awaited == Awaited::Woken
            && let Some(here) = caller::current_reactor()
        {
            self.home.follow(&here, source);
        }
        Ok(awaited)
    }

    /// Whether the last read left the stream empty and the caller is where news of it would arrive. (From elsewhere
    /// the call is worth trying: the other hub may be kept from polling.)
    #[inline]
    fn is_known_empty_here(&self) -> bool {
        self.source.get().is_some_and(|source| !source.is_ready(Direction::Read))
            && caller::current_reactor().is_some_and(|here| self.home.is_at(&here))
    }

    /// Before a call, never after one: a kill delivered here must not cost the bytes of a read that was done.
    fn step_aside_now_and_then(&self) {
        // Relaxed, and not one atomic step: see the field.
        let calls = self.in_a_row.load(Ordering::Relaxed) + 1;
        if calls > CALLS_PER_TURN {
            self.in_a_row.store(0, Ordering::Relaxed);
            caller::yield_budget();
        } else {
            self.in_a_row.store(calls, Ordering::Relaxed);
        }
    }

    /// The reactor the descriptor is registered with, for tests.
    #[cfg(test)]
    pub(super) fn home(&self) -> Option<Arc<Reactor>> {
        self.home.reactor()
    }
}
