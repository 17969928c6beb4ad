//! The lock under [`Mutex`](super::Mutex), [`ReentrantMutex`](super::ReentrantMutex) and their guards.
//!
//! One byte of state, the holder's number, and a wait list that is touched only when somebody has to wait.
//!
//! | bit | set | cleared |
//! |---|---|---|
//! | `LOCKED` | by whoever takes the lock | by the holder, unless it hands the lock over locked |
//! | `WAITERS` | under the list's lock: somebody stands in line | under the list's lock: nobody does any more |
//! | `WOKEN` | by the unlocker that woke the first in line to try | by that waiter, when it has the lock or waits again |
//! | `STARVED` | by a woken waiter that lost for too long | by the hand-over |
//!
//! Without waiters, locking is one compare-exchange and so is unlocking. With waiters a running locker may still take
//! a free lock before the woken one gets to it (*barging*): on one hub that saves a switch for every lock. While one
//! woken waiter is on its way (`WOKEN`) no unlock wakes another. A waiter that has been overtaken for
//! [`STARVATION`] goes back to the head of the line and asks for the lock itself; the next unlock then hands it
//! over without ever being free. Waiters are woken in the order they came.
//!
//! Why no wake is lost: `WAITERS`, `WOKEN` and `STARVED` change only under the list's lock, except that the free
//! lock may be taken with them set. A woken waiter that finds the lock held clears `WOKEN` and enlists again in one
//! compare-exchange that still sees `LOCKED`; so the holder, whose unlock comes later, sees waiters and no `WOKEN`
//! and wakes the next one.

use crate::facade::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::facade::{ShortMutex, const_fn, instant_now, observable};
use crate::ids::is_explored;
use crate::wait::{
    CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, Wakeup, current_id, deadline_after,
};
use lock_api::GuardSend;
use std::time::{Duration, Instant};

const LOCKED: u8 = 1;
const WAITERS: u8 = 2;
const WOKEN: u8 = 4;
const STARVED: u8 = 8;

/// How long a waiter may be overtaken before the lock is handed to it. A guess that others share; a lock held for
/// about as long as this would speak for more.
#[cfg(not(greenhub_loom))]
const STARVATION: Duration = Duration::from_micros(500);
/// Under loom every overtaken waiter starves at once, so that models reach the hand-over.
#[cfg(greenhub_loom)]
const STARVATION: Duration = Duration::ZERO;

/// The lock of [`Mutex`](super::Mutex) as [`lock_api`] sees it: what its guards' type parameters name.
///
/// Locking through this interface never delivers a kill or a timeout; [`Mutex::lock`](super::Mutex::lock) does.
pub struct RawMutex {
    state: AtomicU8,
    /// Who took the lock last; means something while `LOCKED` is set.
    holder: AtomicU64,
    queue: ShortMutex<Queue>,
}

struct Queue {
    list: List<Handed>,
}

/// What a waker leaves in a waiter's entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handed {
    /// Nothing: the lock was freed, try again.
    Chance,
    /// The lock itself.
    Lock,
}

impl RawMutex {
    const_fn! {
        /// A free lock.
        pub(super) fn new() -> RawMutex {
            RawMutex { state: AtomicU8::new(0), holder: AtomicU64::new(0), queue: ShortMutex::new(Queue { list: List::new() }) }
        }
    }

    /// Takes the lock if it is free, waiters or not.
    #[inline]
    fn take(&self) -> bool {
        // Acquire: what the last holder wrote is visible; pairs with the Release of every unlock.
        let free = self.state.compare_exchange_weak(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok();
        free || self.barge()
    }

    /// As [`RawMutex::take`], and notes who has it.
    #[inline]
    fn take_and_note(&self) -> bool {
        let taken = self.take();
        if taken {
            self.note_holder();
        }
        taken
    }

    /// Takes a free lock past those who wait for it.
    #[inline]
    fn barge(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            // Acquire: as in `take`.
            match self.state.compare_exchange_weak(
                state,
                state | LOCKED,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    #[inline]
    fn note_holder(&self) {
        // Relaxed: read by the deadlock report, and by the holder itself, who sees its own store.
        self.holder.store(current_id().get(), Ordering::Relaxed);
    }

    /// Who holds the lock, as a number of [`current_id`]: 0 for nobody. A guard that was sent elsewhere still counts
    /// for whoever locked.
    pub(crate) fn holder(&self) -> u64 {
        // Relaxed: a snapshot for reports. Between taking the lock and noting it the holder before is named.
        if self.state.load(Ordering::Relaxed) & LOCKED == 0 { 0 } else { self.holder.load(Ordering::Relaxed) }
    }

    /// [`RawMutex::holder`] of the lock at `object`.
    ///
    /// # Safety
    ///
    /// `object` must be the address of a live `RawMutex`.
    unsafe fn holder_at(object: *const ()) -> u64 {
        // SAFETY: the caller says so.
        unsafe { (*object.cast::<RawMutex>()).holder() }
    }

    /// Locks on the terms given. `false` only at the deadline.
    #[inline]
    pub(super) fn lock_with(
        &self,
        deadline: Option<Instant>,
        interrupts: Interrupts,
        what: CallName,
    ) -> bool {
        if !self.take() {
            return self.lock_slowly(deadline, interrupts, what);
        }
        let id = current_id().get();
        if is_explored(id) {
            return self.lock_explored(deadline, interrupts, what);
        }
        // Relaxed: as in `note_holder`.
        self.holder.store(id, Ordering::Relaxed);
        true
    }

    #[inline(never)]
    fn lock_slowly(&self, deadline: Option<Instant>, interrupts: Interrupts, what: CallName) -> bool {
        observable!(what, self.wait_for_lock(deadline, interrupts, what))
    }

    /// The caller, who has the lock, is under [exploration](mod@crate::explore): others may come first. (To ask before taking
    /// it would cost all others three instructions; whoever takes it asks for its own number anyway.)
    #[cold]
    #[inline(never)]
    fn lock_explored(&self, deadline: Option<Instant>, interrupts: Interrupts, what: CallName) -> bool {
        // Nobody has run since it was taken, so this is as if it had not been.
        // SAFETY: the caller has the lock.
        unsafe { lock_api::RawMutex::unlock(self, GuardSend::new()) };
        observable!(what, self.take_and_note() || self.wait_for_lock(deadline, interrupts, what))
    }

    fn wait_for_lock(&self, deadline: Option<Instant>, interrupts: Interrupts, what: CallName) -> bool {
        let reason = Reason { holder: Some(Self::holder_at), ..Reason::new(what, self) };
        let wait = Wait { deadline, interrupts, reason };
        // When this caller was first woken to try; before that it has not been overtaken and needs no clock.
        let mut overtaken_since: Option<Instant> = None;
        let mut side = Side::Back;
        let mut queue = self.queue.lock();
        loop {
            // Under the list's lock: enlist if the lock is held, else take it.
            let woken = side == Side::Front;
            let starved = woken && overtaken_since.is_some_and(|since| instant_now() - since >= STARVATION);
            if self.take_or_announce(woken, starved) {
                drop(queue);
                self.note_holder();
                return true;
            }
            match wait.in_line(&self.queue, queue, |q| &mut q.list, side, Handed::Chance) {
                Waited::Woken(Handed::Lock) => {
                    self.note_holder();
                    return true;
                }
                Waited::Woken(Handed::Chance) => {
                    // A deadline or an interrupt that came meanwhile ends the next wait, not this chance.
                    side = Side::Front;
                    overtaken_since.get_or_insert_with(instant_now);
                }
                Waited::Over { state, why, .. } => {
                    self.withdraw(&state);
                    drop(state);
                    if why == Over::TimedOut {
                        return false;
                    }
                    wait.deliver();
                    side = Side::Back;
                }
            }
            queue = self.queue.lock();
        }
    }

    /// Takes a free lock (`true`) or sets `WAITERS` for the caller, who is about to enlist. `woken`: the caller was
    /// woken to try, and its `WOKEN` ends here either way. `starved`: it asks to be handed the lock. The list's lock
    /// is held.
    fn take_or_announce(&self, woken: bool, starved: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let free = state & LOCKED == 0;
            let mut next = state | if free { LOCKED } else { WAITERS };
            if woken {
                next &= !WOKEN;
            }
            if starved && !free {
                next |= STARVED;
            }
            // Acquire: as in `take`.
            match self.state.compare_exchange_weak(state, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return free,
                Err(now) => state = now,
            }
        }
    }

    /// After the caller left the line: the bits say so if it was the last. The list's lock is held.
    fn withdraw(&self, queue: &Queue) {
        if queue.list.is_empty() {
            // Relaxed: these bits are ordered by the list's lock.
            self.state.fetch_and(!(WAITERS | STARVED), Ordering::Relaxed);
        }
    }

    /// Frees the lock and wakes who must be woken. The caller holds the lock.
    #[inline(never)]
    fn unlock_slowly(&self, fair: bool) {
        let mut state = self.state.load(Ordering::Relaxed);
        // Nobody to wake, or somebody is on its way already: free it and be gone.
        while state & WAITERS == 0 || (state & (WOKEN | STARVED) == WOKEN && !fair) {
            // Release: pairs with the Acquire of the next taker.
            match self.state.compare_exchange_weak(
                state,
                state & !LOCKED,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        if let Some(wakeup) = self.pass_on(fair) {
            wakeup.deliver();
        }
    }

    /// Under the list's lock, hands the lock over or frees it and wakes the first in line.
    fn pass_on(&self, fair: bool) -> Option<Wakeup> {
        let mut queue = self.queue.lock();
        // The holder and the list's lock are both here, so nobody else changes the state now. Relaxed: ordered by
        // the list's lock.
        let state = self.state.load(Ordering::Relaxed);
        debug_assert!(state & LOCKED != 0);
        let hand_over = fair || state & STARVED != 0;
        let mut given = if hand_over { Handed::Lock } else { Handed::Chance };
        let waiters = |line: &List<Handed>| if line.is_empty() { 0 } else { WAITERS };
        let woken = loop {
            let woken = queue.list.end_first(|entry, line| {
                std::mem::swap(entry, &mut given);
                if hand_over {
                    // `LOCKED` stays: from the wake on it belongs to the waiter, which may unlock at once. A `WOKEN`
                    // waiter may be on its way beside it. Relaxed: the wake publishes it.
                    self.state.store(waiters(line) | LOCKED | (state & WOKEN), Ordering::Relaxed);
                }
            });
            if let Ok(woken) = woken {
                break woken;
            }
        };
        if woken.is_none() || !hand_over {
            let on_its_way = if woken.is_some() { WOKEN } else { state & WOKEN };
            // The woken waiter needs the list's lock before it looks at this. Release: pairs with the Acquire of the
            // next taker.
            self.state.store(waiters(&queue.list) | on_its_way, Ordering::Release);
        }
        woken
    }
}

// SAFETY: `LOCKED` is set by exactly one taker at a time (a compare-exchange that sees it clear, or a hand-over that
// never clears it), with acquire on taking and release on freeing; `lock` waits with interrupts kept, so it does not
// unwind; the guard state is empty, and a `RawMutex` may be moved or dropped while locked: with no waiters, as waiters
// borrow it, its list is empty.
unsafe impl lock_api::RawMutex for RawMutex {
    #[cfg(not(greenhub_loom))]
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self::new();
    #[cfg(greenhub_loom)]
    const INIT: Self = panic!("loom's atomics have no const constructor: use from_raw");

    type Guard = GuardSend;

    #[inline]
    fn lock(&self) -> GuardSend {
        let locked = self.lock_with(None, Interrupts::Kept, &"Mutex::lock (again)");
        debug_assert!(locked);
        GuardSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardSend> {
        observable!("Mutex::try_lock", self.take_and_note()).then(GuardSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _: GuardSend) {
        // Release: pairs with the Acquire of the next taker.
        if self.state.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.unlock_slowly(false);
        }
    }

    fn is_locked(&self) -> bool {
        // Relaxed: a snapshot.
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }
}

// SAFETY: a fair unlock hands the lock to one waiter or frees it.
unsafe impl lock_api::RawMutexFair for RawMutex {
    unsafe fn unlock_fair(&self, _: GuardSend) {
        // Release: pairs with the Acquire of the next taker.
        if self.state.compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_err() {
            self.unlock_slowly(true);
        }
    }

    unsafe fn bump(&self, _: &mut GuardSend) {
        // Relaxed: a hint; a waiter that comes later has not been waiting.
        if self.state.load(Ordering::Relaxed) & WAITERS != 0 {
            self.unlock_slowly(true);
            // Does not unwind: interrupts are kept.
            self.lock_with(None, Interrupts::Kept, &"MutexGuard::bump");
        }
    }
}

// SAFETY: as for `lock_api::RawMutex`. These forms are reached only through the newtypes' timed locks, never to lock
// again, and an interrupt delivered in them leaves the caller without the lock.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_for(&self, timeout: Duration) -> Option<GuardSend> {
        self.take_or_wait_until(deadline_after(timeout))
    }

    fn try_lock_until(&self, deadline: Instant) -> Option<GuardSend> {
        self.take_or_wait_until(Some(deadline))
    }
}

impl RawMutex {
    #[inline]
    fn take_or_wait_until(&self, deadline: Option<Instant>) -> Option<GuardSend> {
        self.lock_with(deadline, Interrupts::Allowed, &"Mutex::try_lock_until").then(GuardSend::new)
    }
}
