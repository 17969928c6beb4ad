//! [`Registration`]: one descriptor's tie to the reactors, and the loop around every system call that may block.
//!
//! The loop is: try, and only on `WouldBlock` wait, then try again. So a descriptor that never has to wait is never
//! registered. The one exception is a stream known to be empty since its last read was short: there the caller waits
//! at once and saves the call that would fail.
//!
//! The [`Source`] stays the same for life and only its *home*, the reactor that reports to it, changes: a move is
//! a deregistration and a registration, the new one reports the present state, and waiters stay listed through it.

use super::caller::{self, Here};
use super::source::{Awaited, Direction, Readiness, Source};
use super::{Reactor, thread_wait};
use crate::facade::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::facade::mio::Token;
use crate::facade::{Arc, Mutex, about_to_wait_outside};
use crate::wait::{CallName, Interrupts};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
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
    /// Which reactor `home` names, for who only compares. Written under its lock; null before our share of that reactor goes, so
    /// that a later reactor at the same address is not taken for it.
    home_at: AtomicPtr<Reactor>,
    /// Wakes in a row whose waiter was on another hub than the home's. Callers may lose counts to each other.
    elsewhere: AtomicU32,
    /// Calls in a row that did not wait. Callers on several threads may lose counts to each other; it is a hint.
    in_a_row: AtomicU32,
}

/// Where the descriptor is registered.
struct Home {
    reactor: Arc<Reactor>,
    token: Token,
    fd: RawFd,
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
                Some(here) => self.wait(fd, here, direction, until, what, seen)?,
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
        here: Here,
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
            let still_home = || {
                // Relaxed: who changes either tells so by `Source::set`, and this is called under its lock.
                ptr::eq(self.home_at.load(Ordering::Relaxed), Arc::as_ptr(&home)) && !home.is_closed()
            };
            source.wait(direction, deadline, Interrupts::Reported, what, still_home)
        };
        if awaited == Awaited::Woken
            && let Some(here) = caller::current_reactor()
        {
            self.follow_waiter(here, source);
        }
        Ok(awaited)
    }

    /// The reactor the descriptor is registered with, after registering it with `here` if there is none (any more).
    #[inline]
    fn ensure_home(
        &self,
        fd: BorrowedFd<'_>,
        here: Here,
        source: &Arc<Source>,
    ) -> io::Result<Option<Arc<Reactor>>> {
        if self.is_home(&here) && !here.is_closed() {
            return Ok(Some(Arc::clone(&here)));
        }
        let mut home = self.home.lock();
        if let Some(present) = home.take_if(|home| home.reactor.is_closed()) {
            self.leave(present);
        }
        if home.is_none() {
            *home = self.enter(fd.as_raw_fd(), &here, source)?;
        }
        Ok(home.as_ref().map(|home| home.reactor.clone()))
    }

    /// Whether the descriptor is registered with this reactor. The answer may be old when it arrives: who waits looks once more
    /// under the source's lock.
    #[inline]
    fn is_home(&self, here: &Arc<Reactor>) -> bool {
        // Relaxed: nothing is read by it.
        ptr::eq(self.home_at.load(Ordering::Relaxed), Arc::as_ptr(here))
    }

    /// After a wake: counts whether the waiter, who is `here`, lives where the descriptor is registered, and moves the descriptor
    /// if time and again it does not.
    #[inline]
    fn follow_waiter(&self, here: Here, source: &Arc<Source>) {
        // Relaxed, and not one atomic step: see the field.
        let elsewhere = self.elsewhere.load(Ordering::Relaxed);
        if !self.is_home(&here) {
            let elsewhere = elsewhere.saturating_add(1);
            self.elsewhere.store(elsewhere, Ordering::Relaxed);
            if elsewhere >= MOVE_AFTER && !here.is_closed() {
                self.move_home(&here, source);
            }
        } else if elsewhere != 0 {
            self.elsewhere.store(0, Ordering::Relaxed);
        }
    }

    #[cold]
    fn move_home(&self, here: &Arc<Reactor>, source: &Arc<Source>) {
        let mut home = self.home.lock();
        let Some(old) = home.take_if(|home| !Arc::ptr_eq(&home.reactor, here)) else { return };
        let fd = old.fd;
        self.leave(old);
        match self.enter(fd, here, source) {
            Ok(Some(new)) => *home = Some(new),
            // Registered nowhere now: whoever is listed must come back and register, or report why it cannot.
            Ok(None) | Err(_) => source.set(Readiness::READ.and(Readiness::WRITE)),
        }
    }

    /// Registers the descriptor. Under the lock of `home`, which is to hold the answer.
    fn enter(&self, fd: RawFd, reactor: &Arc<Reactor>, source: &Arc<Source>) -> io::Result<Option<Home>> {
        let Some(token) = reactor.register(fd, source)? else { return Ok(None) };
        self.elsewhere.store(0, Ordering::Relaxed);
        // Relaxed: see `is_home`.
        self.home_at.store(Arc::as_ptr(reactor).cast_mut(), Ordering::Relaxed);
        Ok(Some(Home { reactor: reactor.clone(), token, fd }))
    }

    /// Deregisters the descriptor. Under the lock of `home`, which held this.
    fn leave(&self, home: Home) {
        // Relaxed: see `is_home`. The end of the reactor, by the count of its owners, comes after this for everybody.
        self.home_at.store(ptr::null_mut(), Ordering::Relaxed);
        home.leave();
    }

    /// Whether the last read left the stream empty and the caller is where news of it would arrive. (From elsewhere
    /// the call is worth trying: the other hub may be kept from polling.)
    #[inline]
    fn is_known_empty_here(&self) -> bool {
        self.source.get().is_some_and(|source| !source.is_ready(Direction::Read))
            && caller::current_reactor().is_some_and(|here| self.is_home(&here))
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
