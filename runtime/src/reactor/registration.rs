//! [`Registration`]: one descriptor's tie to the reactors, and the loop around every system call that may block.
//!
//! The loop is: try, and only on `WouldBlock` wait, then try again. So a descriptor that never has to wait is never
//! registered. The one exception is a stream known to be empty since its last read was short: there the caller waits
//! at once and saves the call that would fail.
//!
//! The [`Source`] stays the same for life and only its *home*, the reactor that reports to it, changes: a move is
//! a deregistration and a registration, the new one reports the present state, and waiters stay listed through it.

use super::caller;
use super::source::{Awaited, Direction, Readiness, Source};
use super::{Reactor, thread_wait};
use crate::facade::atomic::{AtomicU32, Ordering};
use crate::facade::mio::Token;
use crate::facade::{Arc, Mutex, about_to_wait_outside};
use crate::wait::{CallName, Interrupts};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// After this many wakes in a row for a waiter on another hub, the descriptor moves to that hub. A wake across hubs
/// may cost 25 µs, a move about 2 µs; the number only has to be large enough that a socket used by turns from two
/// hubs does not move all the time.
const MOVE_AFTER: u32 = 16;

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
#[derive(Default)]
pub(crate) struct Registration {
    source: OnceLock<Arc<Source>>,
    home: Mutex<Option<Home>>,
    /// Calls in a row that did not wait. Callers on several threads may lose counts to each other; it is a hint.
    in_a_row: AtomicU32,
}

/// Where the descriptor is registered.
struct Home {
    reactor: Arc<Reactor>,
    token: Token,
    fd: RawFd,
    /// Wakes in a row whose waiter was on another hub.
    elsewhere: u32,
}

impl Registration {
    pub(crate) fn new() -> Self {
        Self::default()
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

    /// Waits in the reactors. `seen` is what was known before a call that would have blocked.
    fn wait(
        &self,
        fd: BorrowedFd<'_>,
        here: &Arc<Reactor>,
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
        let Some(home) = self.ensure_home(fd, here, source)? else {
            // The caller's own hub is going down and takes no registration any more.
            return thread_wait::wait(fd, direction, deadline);
        };
        let awaited = {
            let _counted = home.count_waiter();
            source.wait(direction, deadline, Interrupts::Reported, what)
        };
        if awaited == Awaited::Woken {
            self.follow_waiter(source);
        }
        Ok(awaited)
    }

    /// The reactor the descriptor is registered with, after registering it with `here` if there is none (any more).
    fn ensure_home(
        &self,
        fd: BorrowedFd<'_>,
        here: &Arc<Reactor>,
        source: &Arc<Source>,
    ) -> io::Result<Option<Arc<Reactor>>> {
        let mut home = self.home.lock();
        if let Some(present) = home.take_if(|home| home.reactor.is_closed()) {
            present.leave();
        }
        if home.is_none() {
            *home = Home::enter(fd.as_raw_fd(), here, source)?;
        }
        Ok(home.as_ref().map(|home| home.reactor.clone()))
    }

    /// After a wake: counts whether the waiter lives where the descriptor is registered, and moves the descriptor if
    /// time and again it does not.
    fn follow_waiter(&self, source: &Arc<Source>) {
        let Some(here) = caller::current_reactor() else { return };
        let mut home = self.home.lock();
        let Some(present) = home.as_mut() else { return };
        if Arc::ptr_eq(&present.reactor, &here) {
            present.elsewhere = 0;
            return;
        }
        present.elsewhere += 1;
        if present.elsewhere < MOVE_AFTER || here.is_closed() {
            return;
        }
        let fd = present.fd;
        if let Some(old) = home.take() {
            old.leave();
        }
        match Home::enter(fd, &here, source) {
            Ok(Some(new)) => *home = Some(new),
            // Registered nowhere now: whoever is listed must come back and register, or report why it cannot.
            Ok(None) | Err(_) => {
                source.set(Readiness::READ.and(Readiness::WRITE));
            }
        }
    }

    /// Whether the last read left the stream empty and the caller is where news of it would arrive. (From elsewhere
    /// the call is worth trying: the other hub may be kept from polling.)
    fn is_known_empty_here(&self) -> bool {
        self.source.get().is_some_and(|source| !source.is_ready(Direction::Read))
            && self.home.lock().as_ref().is_some_and(|home| caller::is_current(&home.reactor))
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
        self.home.lock().as_ref().map(|home| home.reactor.clone())
    }
}

impl Home {
    fn enter(fd: RawFd, reactor: &Arc<Reactor>, source: &Arc<Source>) -> io::Result<Option<Self>> {
        let token = reactor.register(fd, source)?;
        Ok(token.map(|token| Self { reactor: reactor.clone(), token, fd, elsewhere: 0 }))
    }

    fn leave(self) {
        self.reactor.deregister(self.fd, self.token);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(home) = self.home.get_mut().take() {
            home.leave();
        }
    }
}
