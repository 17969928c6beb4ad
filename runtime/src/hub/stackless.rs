//! Greenlets for which there is no stack.
//!
//! A claimed greenlet that gets no stack waits for one to come free, first come first served on its hub. It fails, so that
//! its `join` gives an error, where none can come: no stack is in use at all and the system refuses one; or every stack
//! in use belongs to a greenlet that waits, without a limit in time, for the end of one that has no stack, or of another
//! such waiter. (A kill from outside could still end one of those. That is no reason to hang.) Where a stack's owner
//! waits for anything else, a channel's message, say, a plain OS thread may get it going, so the wait goes on.

use super::Hub;
use super::queue::Entry;
use crate::greenlet::finish;
use crate::greenlet::header::{Header, let_go};
use crate::greenlet::join_error::JoinError;
use crate::greenlet::state::{Owner, Phase};
use crate::runtime::Shared;
use crate::stack::NoStack;
use crate::timer::clock::NEVER;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

/// From so many retries in vain on a hub looks whether a stack can come at all.
const PATIENCE: u32 = 4;

/// A hub's greenlets without a stack.
#[derive(Default)]
pub(super) struct Stackless {
    waiting: RefCell<VecDeque<NonNull<Header>>>,
    /// How often an idle hub has tried in vain since one of them last left.
    in_vain: Cell<u32>,
}

impl Stackless {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    pub(super) fn in_vain(&self) -> u32 {
        self.in_vain.get()
    }

    fn first(&self) -> Option<NonNull<Header>> {
        self.waiting.borrow().front().copied()
    }

    fn push(&self, greenlet: NonNull<Header>) {
        // SAFETY: claimed by this hub, so alive and ours.
        unsafe { greenlet.as_ref() }.waiting.set_for_stack(true);
        self.waiting.borrow_mut().push_back(greenlet);
    }

    /// The first one leaves.
    fn pop(&self) {
        self.in_vain.set(0);
        if let Some(greenlet) = self.waiting.borrow_mut().pop_front() {
            // SAFETY: as in `push`.
            unsafe { greenlet.as_ref() }.waiting.set_for_stack(false);
        }
    }

    /// The runtime ends before they have: they are left where they are.
    pub(super) fn forget(&self) {
        self.waiting.borrow_mut().clear();
    }
}

impl Hub {
    /// There is no stack for a claimed greenlet: it waits for one, or, if none is in use that could come free, fails.
    #[cold]
    pub(super) fn without_stack(&self, greenlet: NonNull<Header>, why: &NoStack) {
        // SAFETY: claimed by us, so alive and ours.
        self.park_joiners(unsafe { greenlet.as_ref() });
        if self.is_stack_in_use(greenlet, why) {
            self.stackless.push(greenlet);
            return;
        }
        // The last stack in use may have come free between the two looks.
        match self.give_stack(greenlet) {
            Ok(()) => self.push_ready(Entry::resume(greenlet)),
            Err(why) => self.fail(greenlet, &why),
        }
    }

    /// Whether there is a stack that may come free and is of the right size: a limit of the runtime's own is not reached
    /// for nothing.
    fn is_stack_in_use(&self, greenlet: NonNull<Header>, why: &NoStack) -> bool {
        let (stacks, size) = (&self.runtime.stacks, self.stack_size_of(greenlet));
        why.is_own_limit() || stacks.counts().in_use > 0 && stacks.has_out(size) || stacks.is_trimming(size)
    }

    /// Ends a claimed greenlet that never ran.
    #[cold]
    fn fail(&self, greenlet: NonNull<Header>, why: &NoStack) {
        // SAFETY: claimed by us: its life is ours to end.
        let header = unsafe { greenlet.as_ref() };
        // SAFETY: claimed and never run, so the closure is ours.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { (header.vtable().drop_closure)(greenlet) }));
        let error = if header.state.load().kill_requested() {
            JoinError::killed(header)
        } else {
            JoinError::no_stack(header, why)
        };
        // SAFETY: as above.
        unsafe { (header.vtable().fail)(greenlet, error) };
        if let Err(payload) = dropped {
            crate::greenlet::on_error::report(header, payload);
        }
        let joined = header.state.finish(false).unwrap_or_else(|()| {
            finish::drop_result(greenlet);
            header.state.finish(true).unwrap_or(true)
        });
        header.fiber.joined.set(joined);
        self.end(header);
        // SAFETY: it has ended, and this was the last of it.
        unsafe { let_go(greenlet, Owner::Life) };
    }

    /// Stacks may have come free: the greenlets that wait for one try again, in order.
    #[cold]
    pub(super) fn retry_stackless(&self) {
        while let Some(greenlet) = self.stackless.first() {
            let mut given = self.give_stack(greenlet);
            if let Err(why) = &given {
                if self.is_stack_in_use(greenlet, why) {
                    return;
                }
                // As in `without_stack`.
                given = self.give_stack(greenlet);
            }
            self.stackless.pop();
            match given {
                Ok(()) => self.push_ready(Entry::resume(greenlet)),
                Err(why) => self.fail(greenlet, &why),
            }
        }
    }

    /// As [`Hub::retry_stackless`], on a hub with nothing else to do; where no stack can come the one that has waited
    /// longest fails, which gets its joiner going.
    #[cold]
    pub(super) fn retry_stackless_idle(&self) {
        self.retry_stackless();
        let Some(greenlet) = self.stackless.first() else { return };
        if !self.queue.is_empty() {
            return;
        }
        let in_vain = self.stackless.in_vain.get() + 1;
        self.stackless.in_vain.set(in_vain);
        // The look costs some nanoseconds for each greenlet there is: less and less often.
        let look = in_vain >= PATIENCE && (in_vain.is_power_of_two() || in_vain.is_multiple_of(1024));
        if !look || !self.runtime.no_stack_can_come(self.index) {
            return;
        }
        let given = self.give_stack(greenlet);
        self.stackless.pop();
        match given {
            Ok(()) => self.push_ready(Entry::resume(greenlet)),
            Err(why) => self.fail(greenlet, &why),
        }
        // The next one has waited long enough as well.
        self.stackless.in_vain.set(PATIENCE - 1);
    }
}

impl Shared {
    /// Whether every stack in use belongs to a greenlet that waits for the end of one without a stack, or of another
    /// such waiter. Asked by the hub `asking` while it is idle; `false` whenever that is in doubt.
    fn no_stack_can_come(&self, asking: usize) -> bool {
        let at_rest = || {
            let others = self.hubs().iter().enumerate().filter(|&(index, _)| index != asking);
            others.into_iter().all(|(_, hub)| hub.mailbox.bed.is_asleep())
        };
        let activity = || -> u64 {
            self.hubs().iter().map(|hub| hub.counters.switches.get() + hub.counters.finished.get()).sum()
        };
        let before = activity();
        if !at_rest() {
            return false;
        }
        // What may be waited for: addresses of greenlets, and of the scopes they belong to.
        let mut stuck = Vec::new();
        let mut waited_for = Vec::new();
        for greenlet in self.greenlets() {
            match greenlet.state.load().phase() {
                // They hold no stack, and need one to do anything; whoever waits for one of these is not stuck yet.
                Phase::Done | Phase::Later | Phase::Unstarted => continue,
                Phase::Awake if greenlet.waiting.is_for_stack() => {}
                Phase::Awake => return false,
                Phase::Parked => match greenlet.waits_for() {
                    Some(waiting) if waiting.deadline == NEVER && waiting.is_for_an_end() => {
                        waited_for.push(waiting.object);
                    }
                    _ => return false,
                },
            }
            stuck.push(greenlet.as_ptr().addr().get());
            stuck.extend(greenlet.scope().map(crate::greenlet::scope::Member::scope_address));
        }
        stuck.sort_unstable();
        // One that has ended but whose stack is not home yet is counted as in use. Looked at last: nobody has run since.
        waited_for.iter().all(|object| stuck.binary_search(object).is_ok())
            && self.stacks.counts().in_use == waited_for.len()
            && at_rest()
            && activity() == before
    }
}
