//! [`Source`]: what is known about the readiness of one descriptor, and who waits for it.
//!
//! The event queue is edge-triggered: it reports a *change*, once. So what it reported is kept in one word until a
//! system call has shown it to be used up, and the whole protocol is about never losing a change between the two.
//!
//! ```text
//!  caller                                     whoever polls the reactor
//!  seen = observe()                           set(READ), under the lock:
//!  recv() -> WouldBlock                         word |= READ, tick += 1
//!  clear(Read, seen), under the lock:           take the direction's waiters out of the list,
//!      READ off, unless the tick moved              wake each of them
//!  wait(Read): under the lock, READ on? ──► try again, else list a waiter; park
//! ```
//!
//! The word is written under the list's lock only, and read without it.
//!
//! Why nothing is lost:
//!
//! 1. *A stale clear erases nothing.* `seen` is taken before the system call. A change reported after that moved the
//!    tick, and the clear does nothing: the caller tries again. A change the kernel has not reported yet will be
//!    reported, and sets the bit anew.
//! 2. *No waiter is overlooked.* `set` writes the word and looks through the list under one lock, `wait` looks at the word
//!    and lists itself under it. Whichever of the two comes first in the lock's order, either the waiter sees the bit or the
//!    setter sees the waiter.
//! 3. *Every waiter of a direction is woken*, for one change may stand for several connections or datagrams, and the
//!    first to come may leave some. Readiness is a hint, never handed over, so a wake too many costs one system call.
//!
//! A stream that was read *short* is empty, and the bit may go without the failing call that would say so. That holds
//! for TCP only (a local stream also stops short where descriptors were passed), and only while nothing but data
//! can be next: with an end of stream, an error or urgent data reported, the next call has something to say at once,
//! and no further change may come. Hence the sticky bits, which only a `WouldBlock` turns off.

#[cfg(all(test, greenhub_loom))]
mod model;
mod waiters;

use crate::facade::ShortMutex;
use crate::facade::atomic::{AtomicU32, Ordering};
use crate::wait::{CallName, Ended, Interrupts, Reason, Waiter, Wakeup, park};
use std::time::Instant;
use waiters::Waiters;

/// Which way a caller wants to move bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// Towards us: `recv`, `accept`.
    Read,
    /// Away from us: `send`, and the end of `connect`.
    Write,
}

/// What an event said about a descriptor: which directions are worth a system call, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Readiness(u32);

impl Readiness {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);
    /// Bytes, a datagram or a connection may be taken.
    pub(crate) const READ: Self = Self(1);
    /// Bytes may be put, or a connection attempt has ended.
    pub(crate) const WRITE: Self = Self(1 << 1);
    /// Something other than plain data comes next when reading: the end, an error, urgent data.
    pub(crate) const READ_CLOSED: Self = Self(1 << 2);
    /// The peer takes nothing more, or an error is due.
    pub(crate) const WRITE_CLOSED: Self = Self(1 << 3);

    /// Both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a caller that wants `direction` should try.
    const fn includes(self, direction: Direction) -> bool {
        self.0 & Self::all_of(direction).0 != 0
    }

    /// Every bit that makes `direction` ready.
    const fn all_of(direction: Direction) -> Self {
        match direction {
            Direction::Read => Self::READ.and(Self::READ_CLOSED),
            Direction::Write => Self::WRITE.and(Self::WRITE_CLOSED),
        }
    }
}

/// The readiness bits of the word; above them the tick, which counts the calls of `set` modulo 2²⁸. A clear would
/// have to be delayed over that many events of one descriptor to be fooled.
const READINESS_MASK: u32 = 0b1111;
const TICK_ONE: u32 = READINESS_MASK + 1;

/// What the word said before a system call: evidence of what the call's outcome may be held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed(u32);

/// How a wait for readiness ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaited {
    /// The direction was ready already, or nobody would tell; the caller did not stop.
    AtOnce,
    /// The caller stopped, and an event woke it, or a timer that has no say: look again.
    Woken,
    /// The deadline passed.
    TimedOut,
    /// A kill or an enclosing timeout is due: call `deliver_interrupts`.
    Interrupted,
}

/// The readiness of one descriptor and its waiters, from any number of hubs.
pub(crate) struct Source {
    word: AtomicU32,
    waiters: ShortMutex<Waiters>,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0), waiters: ShortMutex::new(Waiters::new()) }
    }

    /// The word as it is now; to be taken before the system call whose outcome it will be cleared by.
    pub(crate) fn observe(&self) -> Observed {
        // Acquire: pairs with the Release in `record` and `clear_bits`; the system call that follows is made after the event was seen.
        Observed(self.word.load(Ordering::Acquire))
    }

    /// Whether a system call in this direction is worth trying, as far as anyone has reported.
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        // Relaxed: a hint. `wait` looks again under the lock before anybody stops.
        Readiness(self.word.load(Ordering::Relaxed)).includes(direction)
    }

    /// Records an event and wakes every waiter of the directions it makes ready.
    pub(crate) fn set(&self, readiness: Readiness) {
        let mut woken = Vec::new();
        self.record(readiness, &mut woken);
        woken.into_iter().for_each(Wakeup::deliver);
    }

    /// As [`set`](Self::set), and adds what is to be delivered to `woken`. A waiter that is woken may go before this returns: the
    /// caller sees to it that the source does not.
    pub(crate) fn record(&self, readiness: Readiness, woken: &mut Vec<Wakeup>) {
        let mut waiters = self.waiters.lock();
        let word = self.word.load(Ordering::Relaxed);
        // Release: pairs with the Acquire in `observe`. All else is ordered by the lock.
        self.word.store((word | readiness.0).wrapping_add(TICK_ONE), Ordering::Release);
        waiters.wake(readiness, woken);
    }

    /// A call in `direction` returned `WouldBlock`: nothing is left of what was reported up to `seen`.
    pub(crate) fn clear(&self, direction: Direction, seen: Observed) {
        self.clear_bits(Readiness::all_of(direction), seen);
    }

    /// A stream read took everything there was and it was less than asked for. The direction stays ready by its
    /// sticky bit if something other than data comes next.
    pub(crate) fn clear_after_short_read(&self, seen: Observed) {
        self.clear_bits(Readiness::READ, seen);
    }

    fn clear_bits(&self, bits: Readiness, seen: Observed) {
        let _alone = self.waiters.lock();
        let word = self.word.load(Ordering::Relaxed);
        // Another caller may have cleared its own direction meanwhile; only a moved tick means a newer event.
        if word & !READINESS_MASK == seen.0 & !READINESS_MASK {
            // Release: who observes this value has seen the events before it, as the lock has us.
            self.word.store(word & !bits.0, Ordering::Release);
        }
    }

    /// Stops the caller until `direction` is ready, unless it is already, or news would not come: `tied` says whether they do,
    /// and who changes that wakes, later, whoever is listed ([`Home`](super::home::Home) says how). Not to be called with
    /// anything lent to a lock of the runtime's (invariant 5).
    pub(crate) fn wait(
        &self,
        direction: Direction,
        deadline: Option<Instant>,
        interrupts: Interrupts,
        what: CallName,
        tied: impl FnOnce() -> bool,
    ) -> Awaited {
        let waiter = Waiter::current();
        let listed = {
            let mut waiters = self.waiters.lock();
            // Relaxed: the lock orders this against `record`, see point 2 above.
            if Readiness(self.word.load(Ordering::Relaxed)).includes(direction) || !tied() {
                return Awaited::AtOnce;
            }
            waiters.insert(direction, waiter);
            Listed { source: self, direction, waiter }
        };
        let reason = Reason::outside(what, std::ptr::from_ref(self).addr());
        match park(&waiter, deadline, interrupts, &reason) {
            Ended::Woken => {
                // This wait ends so by `Waiter::wake` only, and nobody has this waiter but our list, which takes it out first.
                std::mem::forget(listed);
                Awaited::Woken
            }
            // Whoever is told to look again does.
            Ended::FalseAlarm => Awaited::Woken,
            Ended::TimedOut => Awaited::TimedOut,
            Ended::Interrupted => Awaited::Interrupted,
        }
    }

    /// How many callers are listed.
    #[cfg(all(test, greenhub_loom))]
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.lock().len()
    }
}

/// A caller's entry in the list. Dropping it unlists the caller if no one has woken it, however the wait ended, even
/// if `park` refused by a panic.
struct Listed<'a> {
    source: &'a Source,
    direction: Direction,
    waiter: Waiter,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.source.waiters.lock().remove(self.direction, self.waiter);
    }
}
