//! The wait list: who waits for one object, in the order they came.
//!
//! A [`List`] is an intrusive doubly linked queue. The nodes of greenlets lie in their headers ([`Room`](super::Room)), those of
//! threads, and what is too large for that, on the waiters' stacks; so waiting allocates nothing. A list is always part of a
//! state `S` behind one short lock, and everything here happens under that lock: a lock, a semaphore or a channel keeps its
//! slow-path state beside its list. The list itself knows nothing of permits or messages; each node carries an *entry* of the
//! owner's choosing, in which a waker leaves what it hands over.
//!
//! Who may do what
//!
//! - The waiter enlists and parks without the lock ([`Wait::run`]). If it was woken, node and entry are its own again
//!   and it leaves without the lock. If its wait ended otherwise it takes the lock and looks at its node first.
//! - A waker, under the lock, takes a node out of line and writes the entry, and *then* ends the wait, with which the
//!   node is gone. If the wait turns out to be over, the waiter has not been woken and cannot leave without the lock:
//!   the waker takes back what it had put into the entry.
//!
//! Rules
//!
//! 1. Exactly one side ends a wait. [`Waiter::wake`] decides it: the waker that gets a [`Wakeup`] has won, and only
//!    then hands something over. A waiter whose deadline or kill came first is passed over, and the next in line is
//!    tried: a hand-over is never lost to somebody who has stopped waiting.
//! 2. Nobody but a waker of this list knows the wait's epoch, so [`Ended::Woken`] says that a waker of this list is
//!    done with the node. It releases and the waiter acquires the state word (or the thread's epoch): what the waker
//!    wrote, in the entry and elsewhere, is visible.
//! 3. Wakeups are delivered after the lock is released, in the order in which the waiters stood.

use super::waiter::{Ended, Interrupts, Reason, Waiter, Wakeup, deliver_interrupts, park};
use crate::facade::{ShortMutex, ShortMutexGuard, UnsafeCell, instant_now};
use crate::greenlet::header::fetch_around_node;
use std::mem::MaybeUninit;
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

/// One waiter in line. Lies where [`Wait::run`] puts it and is reached from the list while it is in line.
struct Node<T> {
    cell: UnsafeCell<NodeState<T>>,
}

/// What a node holds; all of it belongs to whoever holds the list's lock, and from a waker's [`Waiter::wake`] on to the
/// waiter.
struct NodeState<T> {
    /// [`Node::TAKEN_OUT`]: not linked any more, since a waker has ended the wait, or has come too late for that.
    prev: *const Node<T>,
    next: *const Node<T>,
    waiter: Waiter,
    entry: T,
}

impl<T> Node<T> {
    /// The address of no node. (A word of its own would leave less room for the entry.)
    const TAKEN_OUT: *const Self = ptr::dangling();
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

    /// How many stand in line.
    #[cfg(all(test, not(greenhub_loom)))]
    pub(crate) fn len(&self) -> usize {
        // SAFETY: linked nodes are alive, and `&self` means that the lock is held.
        let next = |&node: &*const Node<T>| unsafe { (*node).cell.with(|state| (*state).next) };
        std::iter::successors((!self.head.is_null()).then_some(self.head), |node| {
            Some(next(node)).filter(|next| !next.is_null())
        })
        .count()
    }

    /// The entry of the first in line.
    pub(crate) fn front(&self) -> Option<&T> {
        if self.head.is_null() {
            return None;
        }
        // SAFETY: linked nodes are alive, and `&self` means that the lock is held.
        Some(unsafe { (*self.head).cell.with(|state| &(*state).entry) })
    }

    /// Takes the first in line out, calls `exchange` with its entry and the line that is left, and ends its wait.
    /// `Ok(None)` if nobody stands in line; `Err` if its wait was over already: it is passed over, and `exchange`, which
    /// must be its own inverse, called again.
    ///
    /// Once woken the waiter runs on at once, also before this returns. What it relies on must be done in `exchange`.
    #[inline(always)]
    pub(crate) fn end_first(
        &mut self,
        mut exchange: impl FnMut(&mut T, &Self),
    ) -> Result<Option<Wakeup>, PassedOver> {
        if self.head.is_null() {
            return Ok(None);
        }
        let node = self.head;
        fetch_around_node(node.cast());
        // SAFETY: linked nodes are alive, and `&mut self` means that the lock is held. The reference ends here.
        let waiter = unsafe {
            (*node).cell.with_mut(|state| {
                let state = &mut *state;
                self.unlink(state);
                state.prev = Node::TAKEN_OUT;
                exchange(&mut state.entry, self);
                state.waiter
            })
        };
        // From here on the node is the waiter's, if it was woken.
        // SAFETY: the waiter cannot have left its wait: it has not been woken, and for anything else it needs the lock.
        match unsafe { waiter.wake() } {
            Some(wakeup) => Ok(Some(wakeup)),
            None => {
                // SAFETY: as above, still.
                unsafe { (*node).cell.with_mut(|state| exchange(&mut (*state).entry, self)) };
                Err(PassedOver)
            }
        }
    }

    /// Takes the first in line out and ends its wait; its entry stays as it is. `Err` if its wait was over already (it
    /// is passed over), `Ok(None)` if nobody stands in line.
    #[inline]
    pub(crate) fn wake_first(&mut self) -> Result<Option<Wakeup>, PassedOver> {
        self.end_first(|_, _| ())
    }

    /// Ends the wait of the first in line that still waits, passing over those whose wait is over, and exchanges its
    /// entry for `given`.
    #[inline]
    pub(crate) fn wake_next(&mut self, given: &mut T) -> Option<Wakeup> {
        loop {
            match self.end_first(|entry, _| std::mem::swap(entry, given)) {
                Ok(woken) => return woken,
                Err(PassedOver) => continue,
            }
        }
    }

    /// Ends every wait and adds the wakeups to `batch`. Entries stay as they are.
    pub(crate) fn wake_all(&mut self, batch: &mut Batch) {
        loop {
            match self.wake_first() {
                Ok(Some(wakeup)) => batch.push(wakeup),
                Ok(None) => return,
                Err(PassedOver) => {}
            }
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

/// The end of a wait.
pub(crate) enum Waited<'a, S, T> {
    /// A waker ended it, and this is what it left in the entry.
    Woken(T),
    /// It ended otherwise; the caller is out of line and was handed nothing.
    Over {
        /// The lock around the list.
        state: ShortMutexGuard<'a, S>,
        /// Why.
        why: Over,
        /// Whether a waker had its turn for this waiter and came too late. Owners that count their waiters need to
        /// know.
        passed_over: bool,
        /// What the caller had put there.
        entry: T,
    },
}

/// Why a wait ended that nobody woke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Over {
    /// Its deadline passed.
    TimedOut,
    /// Something else may be due: [`Wait::deliver`], without the lock, and if that returns wait again.
    Interrupted,
}

impl Wait {
    /// Stands in line until the wait ends: steps 2 to 4 of the module page.
    #[inline(always)]
    pub(crate) fn in_line<'a, S, T>(
        self,
        lock: &'a ShortMutex<S>,
        state: ShortMutexGuard<'a, S>,
        list: fn(&mut S) -> &mut List<T>,
        side: Side,
        entry: T,
    ) -> Waited<'a, S, T> {
        self.run(lock, state, list, side, entry, || ())
    }

    /// As [`Wait::in_line`]; `enlisted` runs when the caller stands in line and the lock is released. It must not wait itself.
    ///
    /// Inlined, with all between here and the switch, because returns are predicted badly after a switch: each frame
    /// less saves a misprediction.
    #[inline(always)]
    pub(crate) fn run<'a, S, T>(
        self,
        lock: &'a ShortMutex<S>,
        mut state: ShortMutexGuard<'a, S>,
        list: fn(&mut S) -> &mut List<T>,
        side: Side,
        entry: T,
        enlisted: impl FnOnce(),
    ) -> Waited<'a, S, T> {
        let mut here = MaybeUninit::uninit();
        let (mut waiter, room) = Waiter::current_and_room::<Node<T>>();
        let place = if room.is_null() { here.as_mut_ptr() } else { room };
        let cell = UnsafeCell::new(NodeState { prev: ptr::null(), next: ptr::null(), waiter, entry });
        // SAFETY: room for one node. In the header nobody else uses it: the caller stands in no other line, and until it has
        // left this one it calls nothing that waits (`enlisted` does not) but `park`, which is told of this wait.
        let node = unsafe {
            place.write(Node { cell });
            &*place
        };
        // SAFETY: neither this frame nor the greenlet ends before the node is out of line: `must_stay` aborts on an unwinding,
        // and the loop below leaves only when a waker has taken the node out, or after unlinking it.
        unsafe { list(&mut state).link(node, side) };
        let must_stay = AbortOnUnwind;
        drop(state);
        enlisted();
        let (state, why, passed_over) = loop {
            let ended = park(&waiter, self.deadline, self.interrupts, &self.reason);
            if ended == Ended::Woken {
                std::mem::forget(must_stay);
                // SAFETY: woken, so the node is the caller's, which makes no other use of it.
                return Waited::Woken(unsafe { place.read() }.cell.into_inner().entry);
            }
            let mut state = lock.lock();
            // SAFETY: not woken, so the node is the lock's, which is held.
            let in_line = node.cell.with(|node| unsafe { (*node).prev }) != Node::TAKEN_OUT;
            if in_line && ended == Ended::FalseAlarm {
                // Same place in line, new epoch.
                waiter.renew();
                // SAFETY: as above.
                node.cell.with_mut(|node| unsafe { (*node).waiter = waiter });
                continue;
            }
            if in_line {
                // SAFETY: as above, and the node is linked in this list.
                node.cell.with(|node| unsafe { list(&mut state).unlink(&*node) });
            }
            let why = if ended == Ended::TimedOut { Over::TimedOut } else { Over::Interrupted };
            break (state, why, !in_line);
        };
        std::mem::forget(must_stay);
        // SAFETY: out of line, so the node is the caller's, which makes no other use of it.
        let entry = unsafe { place.read() }.cell.into_inner().entry;
        Waited::Over { state, why, passed_over, entry }
    }

    /// After [`Over::Interrupted`]: unwinds if a kill or a timeout is due and may be delivered here. No lock may be
    /// held.
    pub(crate) fn deliver(&self) {
        if self.interrupts != Interrupts::Kept {
            deliver_interrupts();
        }
    }
}

/// A frame with a linked node must not be left by unwinding: the list would point at what is used anew.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!("greenhub: a wait was left by unwinding while others could still see it");
        std::process::abort();
    }
}

/// The instant `timeout` from now; none if that is beyond the clock's range, which is never.
pub(crate) fn deadline_after(timeout: std::time::Duration) -> Option<Instant> {
    instant_now().checked_add(timeout)
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;

#[cfg(all(test, greenhub_loom))]
mod model;
