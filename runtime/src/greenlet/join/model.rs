//! A joiner that has claimed its child stops waiting just when the child ends, on another hub: whoever is about to wake it
//! finds it alive.
//!
//! The join list with `list_joiner`, `end_waits`, `has_ended` and `leave_list` of `greenlet/join.rs` runs as it ships, and so do
//! `greenlet/state.rs` and `Waiter::wake`; headers are bare ones. Played are the two hubs: what `hub/hand_over.rs` does where a
//! claimed child suspends, the child's end, and the joiner, which ends as soon as it runs again.

use super::{has_ended, leave_list};
use crate::facade::thread;
use crate::greenlet::current::Running;
use crate::greenlet::header::bare::bare;
use crate::greenlet::header::{Header, let_go};
use crate::greenlet::state::{Commit, Kill, Owner, State};
use crate::model::explore;
use crate::wait::Waiter;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// The right to run a greenlet, and what keeps it alive.
#[derive(Clone, Copy)]
struct Greenlet(NonNull<Header>);

// SAFETY: as a `Runnable`.
unsafe impl Send for Greenlet {}

impl Greenlet {
    /// One that runs.
    fn running() -> Self {
        let greenlet = Self(ManuallyDrop::new(bare(State::unstarted())).as_ptr());
        assert!(greenlet.state.claim());
        greenlet
    }

    fn end(self) {
        assert!(self.state.finish(true).is_ok());
    }

    fn let_go(self, owner: Owner) {
        // SAFETY: the model's greenlets do so once for each owner, and touch the header no more as that owner.
        unsafe { let_go(self.0, owner) };
    }
}

impl std::ops::Deref for Greenlet {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: one of its owners has not let go; if that is not so, `alive` tells.
        unsafe { self.0.as_ref() }
    }
}

/// The joiner runs on, as `claim_and_wait` does, and ends.
fn joiner_leaves(joiner: Greenlet, child: Greenlet, waiter: &Waiter) {
    if !has_ended(&child, waiter, true) {
        leave_list(&child, waiter);
    }
    child.let_go(Owner::Handle);
    joiner.end();
    joiner.let_go(Owner::Life);
}

#[test]
fn model_a_joiner_gives_up_as_its_child_ends() {
    explore(|| {
        let (joiner, child) = (Greenlet::running(), Greenlet::running());
        // SAFETY: this thread plays the joiner now.
        let waiter = Waiter::of(unsafe { Running::itself(joiner.0) });
        // As `Hub::park_chain`.
        child.list_joiner(waiter);
        assert_eq!(joiner.state.commit_park(waiter.epoch(), false, false, None), Commit::Parked);
        let elsewhere = thread::spawn(move || {
            child.end();
            let (first, _, _) = child.joiners.end_waits();
            let wakes = first.is_some();
            if wakes {
                joiner_leaves(joiner, child, &waiter);
            }
            child.let_go(Owner::Life);
            wakes
        });
        let killed = joiner.state.kill() == Kill::Enqueue;
        joiner.let_go(Owner::Handle);
        if killed {
            joiner_leaves(joiner, child, &waiter);
        }
        assert_ne!(elsewhere.join().unwrap(), killed, "one of them ends its wait");
    });
}
