//! The lock under [`Mutex`](super::Mutex), [`ReentrantMutex`](super::ReentrantMutex) and their guards.
//!
//! A word of state, the holder's number, and a wait list that is touched only when somebody has to wait.
//!
//! | bit | set | cleared |
//! |---|---|---|
//! | `LOCKED` | by whoever takes the lock | by the holder, unless it hands the lock over locked |
//! | `WAITERS` | under the list's lock: somebody stands in line | under the list's lock: nobody does any more |
//! | `WOKEN` | by who woke the first in line to try | by that waiter, when it has the lock or waits again |
//! | `STARVED` | by a woken waiter that lost for too long | by the hand-over, and by the last in line that gives up |
//!
//! Locking a free lock is one read-modify-write, with waiters and without, and unlocking is another, unless somebody is to be
//! woken. Neither asks for the word's value beforehand: a load right behind a read-modify-write of the same word costs a
//! quarter of it, and a compare-exchange that guessed wrong costs a whole one. So an unlock frees the lock before it knows
//! whether somebody is to be woken. Until the woken one gets there a running locker may take it (*barging*): on one hub
//! that saves a switch for every lock. While one woken waiter is on its way (`WOKEN`) no ordinary unlock wakes another. A
//! woken waiter that has been overtaken for [`STARVATION`] since it was first woken goes back to the head of the line and asks
//! for the lock itself (`STARVED`; never beside `WOKEN`). The next unlock takes the lock back and hands it over; if somebody on
//! another hub slips in between, their unlock does the same. Waiters are woken in the order they came.
//!
//! Why no wake is lost: `WAITERS`, `WOKEN` and `STARVED` change only under the list's lock. A waiter enlists, and a woken
//! one clears `WOKEN` and enlists again, in one compare-exchange that still sees `LOCKED`. So the holder's unlock comes later,
//! and sees waiters. If it sees no `WOKEN` it goes to wake the first. Otherwise whoever is on its way takes the lock, and
//! unlocks it later, or enlists again, before a later unlock. A hand-over that finds the lock taken again leaves it to who has
//! taken it: they unlock later.

use crate::facade::const_atomic::{AtomicU32, AtomicU64, Ordering};
use crate::facade::{self, ShortMutex, ShortMutexGuard, has_passed, instant_now, observable};
use crate::ids::is_explored;
use crate::wait::{
    CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, Wakeup, current_id, deadline_after,
};
use lock_api::GuardSend;
use std::time::{Duration, Instant};

const LOCKED: u32 = 1;
const WAITERS: u32 = 2;
const WOKEN: u32 = 4;
const STARVED: u32 = 8;

/// How long a waiter may be overtaken before the lock is handed to it. A guess that others share; a lock held for
/// about as long as this would speak for more.
const STARVATION: Duration = Duration::from_micros(500);

/// The lock of [`Mutex`](super::Mutex) as [`lock_api`] sees it: what its guards' type parameters name.
///
/// Locking through this interface never delivers a kill or a timeout; [`Mutex::lock`](super::Mutex::lock) does.
pub struct RawMutex {
    state: AtomicU32,
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
    /// A free lock.
    pub(super) const fn new() -> RawMutex {
        RawMutex {
            state: AtomicU32::new(0),
            holder: AtomicU64::new(0),
            queue: ShortMutex::new(Queue { list: List::new() }),
        }
    }

    /// Takes the lock if it is free, waiters or not.
    #[inline]
    fn take(&self) -> bool {
        // Acquire: what the last holder wrote is visible; pairs with the Release of every unlock.
        self.state.fetch_or(LOCKED, Ordering::Acquire) & LOCKED == 0
    }

    /// As [`RawMutex::take`], unless somebody starves, and notes who has it. Who polls neither takes the word's cache line from
    /// the holder nor keeps slipping in before a hand-over.
    #[inline]
    fn try_and_note(&self) -> bool {
        // Relaxed: a hint.
        let taken = self.state.load(Ordering::Relaxed) & (LOCKED | STARVED) == 0 && self.take();
        if taken {
            self.note_holder();
        }
        taken
    }

    #[inline]
    fn note_holder(&self) {
        // Relaxed: read by the deadlock report, and by the holder itself, who sees its own store.
        self.holder.store(current_id().get(), Ordering::Relaxed);
        facade::note("Mutex: has it", std::ptr::from_ref(self).cast());
    }

    /// Who holds the lock, as a number of [`current_id`]: 0 for nobody. A guard that was sent elsewhere still counts
    /// for whoever locked.
    pub(crate) fn holder(&self) -> u64 {
        // Relaxed: a snapshot for reports. Between taking the lock and noting it the holder before is named.
        if self.state.load(Ordering::Relaxed) & LOCKED == 0 { 0 } else { self.holder.load(Ordering::Relaxed) }
    }

    /// How many wait for it.
    #[cfg(all(test, not(greenhub_loom)))]
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().list.len()
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
        facade::note("Mutex: has it", std::ptr::from_ref(self).cast());
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
        observable!(what, self.try_and_note() || self.wait_for_lock(deadline, interrupts, what))
    }

    fn wait_for_lock(&self, deadline: Option<Instant>, interrupts: Interrupts, what: CallName) -> bool {
        let reason = Reason { holder: Some(Self::holder_at), ..Reason::new(what, self) };
        let wait = Wait { deadline, interrupts, reason };
        // When this caller was first woken to try; before that it asks for no clock.
        let mut overtaken_since: Option<Instant> = None;
        let mut side = Side::Back;
        let mut queue = self.queue.lock();
        loop {
            // Under the list's lock: enlist if the lock is held, else take it.
            let woken = side == Side::Front;
            let starved = woken && overtaken_since.is_some_and(|since| has_passed(STARVATION, since));
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

    /// Frees the lock, which the caller holds, and wakes the first in line if nobody is on its way.
    #[inline]
    fn give_back(&self) {
        // Release: pairs with the Acquire of the next taker.
        let state = self.state.fetch_sub(LOCKED, Ordering::Release);
        debug_assert!(state & LOCKED != 0, "unlocked by who does not hold it");
        if state & (WAITERS | WOKEN) == WAITERS {
            self.wake_first();
        }
    }

    /// The lock was freed with somebody in line.
    #[inline(never)]
    fn wake_first(&self) {
        let mut queue = self.queue.lock();
        // Relaxed: what is asked of it is ordered by the list's lock.
        let state = self.state.load(Ordering::Relaxed);
        if state & STARVED != 0 {
            if self.take() {
                self.hand_over(queue);
            }
        } else if state & (WAITERS | WOKEN) == WAITERS {
            // Also if somebody has taken the lock since, so that who is in line comes to know that it is overtaken.
            let woken = queue.first(&mut Handed::Chance, |_| ());
            let next = waiters(&queue.list) | if woken.is_some() { WOKEN } else { 0 };
            // Relaxed: the woken waiter needs the list's lock before it looks at this.
            self.state.fetch_xor(WAITERS ^ next, Ordering::Relaxed);
            drop(queue);
            woken.into_iter().for_each(Wakeup::deliver);
        }
    }

    /// Hands the lock, which the caller holds, to the first in line, or frees it.
    fn hand_over(&self, mut queue: ShortMutexGuard<'_, Queue>) {
        let woken = queue.first(&mut Handed::Lock, |line| {
            // `LOCKED` stays: from the wake on it belongs to the waiter, which may unlock at once. `WOKEN` stays: another
            // may be on its way. Relaxed: the wake publishes it.
            self.state.fetch_and(!(STARVED | WAITERS) | waiters(line), Ordering::Relaxed);
        });
        if woken.is_none() {
            // Release: pairs with the Acquire of the next taker.
            self.state.fetch_and(!(LOCKED | WAITERS | STARVED), Ordering::Release);
        }
        drop(queue);
        woken.into_iter().for_each(Wakeup::deliver);
    }

    /// Lets go of the lock, which the caller holds, in favour of the first in line. `false` if nobody is, and the caller still
    /// holds it.
    fn hand_over_if_wanted(&self) -> bool {
        // Relaxed: a hint; a waiter that comes later has not been waiting.
        let wanted = self.state.load(Ordering::Relaxed) & WAITERS != 0;
        if wanted {
            self.hand_over(self.queue.lock());
        }
        wanted
    }
}

impl Queue {
    /// Takes the first out of the line that still waits, and leaves `given` in its entry; `before` comes before its wait ends.
    fn first(&mut self, given: &mut Handed, mut before: impl FnMut(&List<Handed>)) -> Option<Wakeup> {
        loop {
            let woken = self.list.end_first(|entry, line| {
                std::mem::swap(entry, given);
                before(line);
            });
            if let Ok(woken) = woken {
                return woken;
            }
        }
    }
}

/// What the state says of a line.
fn waiters(line: &List<Handed>) -> u32 {
    if line.is_empty() { 0 } else { WAITERS }
}

// SAFETY: `LOCKED` is set by exactly one taker at a time (a read-modify-write that sees it clear; a hand-over is done by who
// has set it, and leaves it set), with acquire on taking and release on freeing; `lock` waits with interrupts kept, so it does not
// unwind; the guard state is empty, and a `RawMutex` may be moved or dropped while locked: with no waiters, as waiters
// borrow it, its list is empty.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self::new();

    type Guard = GuardSend;

    #[inline]
    fn lock(&self) -> GuardSend {
        let locked = self.lock_with(None, Interrupts::Kept, &"Mutex::lock (again)");
        debug_assert!(locked);
        GuardSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardSend> {
        observable!("Mutex::try_lock", self.try_and_note()).then(GuardSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _: GuardSend) {
        facade::note("Mutex: gives it back", std::ptr::from_ref(self).cast());
        self.give_back();
    }

    fn is_locked(&self) -> bool {
        // Relaxed: a snapshot.
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }
}

// SAFETY: a fair unlock hands the lock to one waiter or frees it.
unsafe impl lock_api::RawMutexFair for RawMutex {
    unsafe fn unlock_fair(&self, _: GuardSend) {
        if !self.hand_over_if_wanted() {
            self.give_back();
        }
    }

    unsafe fn bump(&self, _: &mut GuardSend) {
        if self.hand_over_if_wanted() {
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
