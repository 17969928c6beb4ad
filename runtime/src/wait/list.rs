//! The wait list: who waits for one object, in the order they came.
//!
//! A [`List`] is an intrusive doubly linked queue whose nodes live on the waiters' own stacks, so that waiting
//! allocates nothing. It is always part of a state `S` behind one short lock, and everything here happens under that
//! lock: a lock, a semaphore or a channel keeps its slow-path state beside its list. The list itself knows nothing of
//! permits or messages; each node carries an *entry* of the owner's choosing, in which a waker leaves what it hands
//! over.
//!
//! Who may do what
//!
//! - The waiter enlists, parks without the lock, takes the lock again and looks at its own node ([`Wait::run`]).
//! - A waker holds the lock from taking a node out of line until it has written the entry. The waiter cannot leave
//!   its wait without that lock, so the node outlives the hand-over; nothing of the node is touched afterwards.
//!
//! Rules
//!
//! 1. Exactly one side ends a wait. [`Waiter::wake`] decides it: the waker that gets a [`Wakeup`] has won, and only
//!    then hands something over. A waiter whose deadline or kill came first is passed over, and the next in line is
//!    tried: a hand-over is never lost to somebody who has stopped waiting.
//! 2. A waiter whose wait ended for another reason, but who was taken out of line before it got the lock back, *was*
//!    woken: it owns what its entry holds. Its interrupt stays due for its next wait.
//! 3. Wakeups are delivered after the lock is released, in the order in which the waiters stood.

use super::waiter::{Ended, Interrupts, Reason, Waiter, Wakeup, deliver_interrupts, park};
use crate::facade::{Mutex, MutexGuard, UnsafeCell};
use std::ptr;
use std::time::Instant;

/// A queue of waiters, first come first woken. Its lock is the lock of the state it is part of.
pub(crate) struct List<T> {
    head: *const Node<T>,
    tail: *const Node<T>,
}

// SAFETY: a list holds pointers to nodes of any thread, each of which is touched only under the lock around the list;
// through the list an entry may be written by one thread and read by another, hence `T: Send`.
unsafe impl<T: Send> Send for List<T> {}

/// One waiter in line. Lives in the frame of [`Wait::run`] and is reached from the list while `place` is `InLine`.
struct Node<T> {
    cell: UnsafeCell<NodeState<T>>,
}

/// What a node holds; all of it belongs to whoever holds the list's lock.
struct NodeState<T> {
    prev: *const Node<T>,
    next: *const Node<T>,
    place: Place,
    waiter: Waiter,
    entry: T,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Linked; nobody has called this waiter yet.
    InLine,
    /// Taken out of line by a waker that ended the wait: the entry is what was handed over.
    Woken,
    /// Taken out of line by a waker that came too late: the waiter is leaving by itself.
    PassedOver,
}

/// At which end a waiter joins the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Behind everybody: the ordinary case.
    Back,
    /// Before everybody: a waiter that was woken, found nothing left and keeps its turn.
    Front,
}

impl<T> List<T> {
    /// An empty line.
    pub(crate) const fn new() -> Self {
        Self { head: ptr::null(), tail: ptr::null() }
    }

    /// Whether nobody stands in line.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// The entry of the first in line.
    pub(crate) fn front(&self) -> Option<&T> {
        if self.head.is_null() {
            return None;
        }
        // SAFETY: linked nodes are alive, and `&self` means that the lock is held.
        Some(unsafe { (*self.head).cell.with(|state| &(*state).entry) })
    }

    /// Takes the first in line out and ends its wait. `Err` if its wait was over already (it is passed over),
    /// `Ok(None)` if nobody stands in line.
    #[inline]
    pub(crate) fn wake_first(&mut self) -> Result<Option<(Wakeup, &mut T)>, PassedOver> {
        if self.head.is_null() {
            return Ok(None);
        }
        let node = self.head;
        // SAFETY: linked nodes are alive, and `&mut self` means that the lock is held.
        let state = unsafe { (*node).cell.with_mut(|state| &mut *state) };
        self.unlink(state);
        // SAFETY: the caller holds the lock without which the waiter cannot leave its wait.
        match unsafe { state.waiter.wake() } {
            Some(wakeup) => {
                state.place = Place::Woken;
                Ok(Some((wakeup, &mut state.entry)))
            }
            None => {
                state.place = Place::PassedOver;
                Err(PassedOver)
            }
        }
    }

    /// Ends the wait of the first in line that still waits, passing over those whose wait is over, and returns its
    /// entry for the caller to leave something in.
    #[inline]
    pub(crate) fn wake_next(&mut self) -> Option<(Wakeup, &mut T)> {
        let list: *mut Self = self;
        loop {
            // SAFETY: `list` is this exclusive borrow; each turn's borrow ends before the next begins, except the
            // one returned. (The borrow checker does not see that an `Err` keeps nothing borrowed.)
            match unsafe { (*list).wake_first() } {
                Ok(found) => return found,
                Err(PassedOver) => continue,
            }
        }
    }

    /// Ends every wait and adds the wakeups to `batch`. Entries stay as they are.
    pub(crate) fn wake_all(&mut self, batch: &mut Batch) {
        while let Some((wakeup, _)) = self.wake_next() {
            batch.push(wakeup);
        }
    }

    /// # Safety
    ///
    /// The node must stay where it is until it is out of line.
    unsafe fn link(&mut self, node: &Node<T>, side: Side) {
        let (prev, next) = match side {
            Side::Back => (self.tail, ptr::null()),
            Side::Front => (ptr::null(), self.head),
        };
        // SAFETY: a new node is the caller's own; the lock is held.
        node.cell.with_mut(|state| unsafe {
            (*state).prev = prev;
            (*state).next = next;
        });
        self.join(prev, node);
        self.join(node, next);
    }

    fn unlink(&mut self, state: &NodeState<T>) {
        self.join(state.prev, state.next);
    }

    /// Makes `next` follow `prev`; null stands for the ends of the line.
    fn join(&mut self, prev: *const Node<T>, next: *const Node<T>) {
        if prev.is_null() {
            self.head = next;
        } else {
            // SAFETY: a linked node is alive and the lock is held. The reference is to the field alone.
            unsafe { (*prev).cell.with_mut(|state| (*state).next = next) };
        }
        if next.is_null() {
            self.tail = prev;
        } else {
            // SAFETY: as above.
            unsafe { (*next).cell.with_mut(|state| (*state).prev = prev) };
        }
    }
}

/// The first in line had stopped waiting; it is out of line now.
pub(crate) struct PassedOver;

/// Wakeups owed, in order. The first needs no allocation: most releases wake one.
#[must_use = "woken greenlets run only once they are delivered"]
pub(crate) struct Batch {
    first: Option<Wakeup>,
    rest: Vec<Wakeup>,
}

impl Batch {
    /// Nothing owed.
    pub(crate) const fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    /// Adds one more.
    pub(crate) fn push(&mut self, wakeup: Wakeup) {
        match self.first {
            None => self.first = Some(wakeup),
            Some(_) => self.rest.push(wakeup),
        }
    }

    /// Makes all of them runnable and says how many they were. No lock may be held.
    pub(crate) fn deliver(self) -> usize {
        let mut count = 0;
        for wakeup in self.first.into_iter().chain(self.rest) {
            wakeup.deliver();
            count += 1;
        }
        count
    }
}

/// On which terms a primitive waits.
#[derive(Clone, Copy)]
pub(crate) struct Wait {
    /// When to give up.
    pub(crate) deadline: Option<Instant>,
    /// Whether kill and timeouts may end the wait.
    pub(crate) interrupts: Interrupts,
    /// What is waited for.
    pub(crate) reason: Reason,
}

/// The end of a wait, with the lock held again.
pub(crate) struct Waited<'a, S, T> {
    /// The lock around the list.
    pub(crate) state: MutexGuard<'a, S>,
    /// `Woken` if and only if a waker took this waiter out of line (rule 2).
    pub(crate) ended: Ended,
    /// Whether a waker had its turn for this waiter and came too late. Owners that count their waiters need to know.
    pub(crate) passed_over: bool,
    /// The entry, with whatever a waker left in it.
    pub(crate) entry: T,
}

impl Wait {
    /// Stands in line until the wait ends: steps 2 to 4 of the module page.
    #[inline]
    pub(crate) fn in_line<'a, S, T>(
        self,
        lock: &'a Mutex<S>,
        state: MutexGuard<'a, S>,
        list: fn(&mut S) -> &mut List<T>,
        side: Side,
        entry: T,
    ) -> Waited<'a, S, T> {
        self.run(lock, state, list, side, entry, || ())
    }

    /// As [`Wait::in_line`]; `enlisted` runs when the caller stands in line and the lock is released.
    pub(crate) fn run<'a, S, T>(
        self,
        lock: &'a Mutex<S>,
        mut state: MutexGuard<'a, S>,
        list: fn(&mut S) -> &mut List<T>,
        side: Side,
        entry: T,
        enlisted: impl FnOnce(),
    ) -> Waited<'a, S, T> {
        let mut waiter = Waiter::current();
        let node = Node {
            cell: UnsafeCell::new(NodeState {
                prev: ptr::null(),
                next: ptr::null(),
                place: Place::InLine,
                waiter,
                entry,
            }),
        };
        // SAFETY: this frame does not end before the node is out of line: `must_stay` aborts on an unwinding, and
        // the loop below leaves only once `place` says so or after unlinking.
        unsafe { list(&mut state).link(&node, side) };
        let must_stay = AbortOnUnwind;
        drop(state);
        enlisted();
        let (state, ended, passed_over) = loop {
            #[cfg(any(not(test), greenhub_loom))]
            let ended = park(&waiter, self.deadline, self.interrupts, self.reason);
            #[cfg(all(test, not(greenhub_loom)))]
            let ended = kill::park_until_killed(&waiter, &self);
            let mut state = lock.lock();
            // SAFETY: the lock is held.
            let place = node.cell.with(|node| unsafe { (*node).place });
            match (place, ended) {
                (Place::Woken, _) => break (state, Ended::Woken, false),
                (Place::PassedOver, ended) => break (state, ended, true),
                (Place::InLine, Ended::Woken) => {
                    // Nobody who knows this list ended the wait: stay in line.
                    waiter.renew();
                    // SAFETY: the lock is held.
                    node.cell.with_mut(|node| unsafe { (*node).waiter = waiter });
                }
                (Place::InLine, ended) => {
                    // SAFETY: the lock is held, and the node is linked in this list.
                    node.cell.with(|node| unsafe { list(&mut state).unlink(&*node) });
                    break (state, ended, false);
                }
            }
        };
        std::mem::forget(must_stay);
        Waited { state, ended, passed_over, entry: node.cell.into_inner().entry }
    }

    /// Unwinds if `ended` says that a kill or a timeout is due and it may be delivered here. No lock may be held.
    #[inline]
    pub(crate) fn deliver(ended: Ended) {
        if ended == Ended::Interrupted {
            #[cfg(all(test, not(greenhub_loom)))]
            kill::deliver_kill();
            deliver_interrupts();
        }
    }
}

/// A frame that holds a linked node must not be left by unwinding: the list would point into freed stack.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        // A failed model is torn down by unwinding its threads wherever they stand.
        #[cfg(not(greenhub_loom))]
        {
            eprintln!("greenhub: a wait was left by unwinding while others could still see it");
            std::process::abort();
        }
    }
}

/// The instant `timeout` from now; none if that is beyond the clock's range, which is never.
pub(crate) fn deadline_after(timeout: std::time::Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

#[cfg(all(test, not(greenhub_loom)))]
pub(crate) mod kill;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;

#[cfg(all(test, greenhub_loom))]
mod model;
