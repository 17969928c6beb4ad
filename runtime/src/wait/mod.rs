//! Waiting: how whoever runs now, a greenlet or a plain OS thread, stops until someone wakes it.
//!
//! A wait goes through four steps, the same for every primitive of the crate:
//!
//! 1. [`Waiter::current`] names the caller and the *epoch* of its next wait.
//! 2. The caller puts the waiter where a waker will find it, in a list behind a short lock.
//! 3. [`park`] stops the caller until the wait ends: by a wake, by its deadline, or because a kill or an enclosing
//!    timeout is due.
//! 4. The caller takes the lock again and looks: still listed means nobody woke it (unlist, then
//!    [`deliver_interrupts`] or give up); no longer listed means it was woken and owns what it was handed.
//!
//! A waker finds the waiter under the lock, calls [`Waiter::wake`] *under that lock* (the node is used anew, or its stack
//! is, as soon as the waiter can take the lock again), and calls [`Wakeup::deliver`] after releasing it. The [`list`] and a
//! descriptor's source spare a woken waiter the lock of step 4: there the wake is the last touch of its entry.

mod id;
pub(crate) mod list;
mod room;
pub(crate) mod thread;
mod waiter;

pub(crate) use id::current_id;
pub(crate) use list::{Batch, List, Over, Side, Wait, Waited, deadline_after};
pub(crate) use room::Room;
pub(crate) use waiter::{CallName, Ended, Interrupts, Reason, Waiter, Wakeup, deliver_interrupts, park};
