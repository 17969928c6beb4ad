//! Running one greenlet: start or resume it, and do, on the hub's stack, what it asked for when it switched back.

use super::Hub;
use super::queue::Entry;
use crate::facade::atomic::Ordering;
use crate::greenlet::finish;
use crate::greenlet::header::{Header, Ref};
use crate::greenlet::join::{hand_back, wake_joiners};
use crate::greenlet::join_error::JoinError;
use crate::greenlet::registry;
use crate::greenlet::state::{Commit, Phase};
use crate::greenlet::switch::{After, Context};
use crate::runtime::{Migration, fork};
use crate::stack::{NoStack, Stack, StackCache};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

impl Hub {
    /// Runs what an entry stands for, until it suspends or ends.
    ///
    /// Inlined into the hub's loop, down to the switch: see `park::switch` for why.
    #[inline(always)]
    pub(super) fn execute(&self, entry: Entry) {
        let greenlet = entry.header();
        if entry.is_start() {
            // SAFETY: a start entry owns a reference.
            if !unsafe { greenlet.as_ref() }.state.claim() {
                self.queue.forget_stale();
                // SAFETY: the entry's reference, which nobody else gives up.
                drop(unsafe { Ref::from_raw(greenlet) });
                return;
            }
            if !self.begin(greenlet) {
                return;
            }
        } else if self.is_unbegun(greenlet) && !self.begin(greenlet) {
            return;
        }
        self.resume(greenlet);
    }

    /// A claimed child comes as an entry to resume, without a stack.
    #[inline]
    fn is_unbegun(&self, greenlet: NonNull<Header>) -> bool {
        // SAFETY: the entry is the right to run, so the context is ours to look at.
        unsafe { (*greenlet.as_ref().fiber.context.get()).is_none() }
    }

    /// Gives a claimed greenlet a stack. `false`: there is none just now; it waits for one, or has failed.
    #[inline(never)]
    fn begin(&self, greenlet: NonNull<Header>) -> bool {
        // SAFETY: claimed by us, so alive and ours.
        let header = unsafe { greenlet.as_ref() };
        header.alarm.remove();
        header.set_home(self.mailbox);
        match self.give_stack(greenlet) {
            Ok(()) => true,
            Err(why) => {
                self.without_stack(greenlet, &why);
                false
            }
        }
    }

    fn give_stack(&self, greenlet: NonNull<Header>) -> Result<(), NoStack> {
        // SAFETY: claimed by us, so alive and ours.
        let header = unsafe { greenlet.as_ref() };
        let stack = self.stacks().take(header.stack_size().unwrap_or(self.runtime.stack_size))?;
        stack.set_owner(greenlet.as_ptr().cast());
        let counters = &self.shared().counters;
        counters.live_stacks.add(1);
        counters.started.add(1);
        let context = Context::new(stack, greenlet);
        // SAFETY: ours until the greenlet parks.
        unsafe { *header.fiber.context.get() = Some(context) };
        Ok(())
    }

    /// Switches to a greenlet and back, and does what it asked for.
    #[inline(always)]
    pub(super) fn resume(&self, greenlet: NonNull<Header>) {
        // SAFETY: we hold its right to run, so it is alive.
        let header = unsafe { greenlet.as_ref() };
        let shared = self.shared();
        if self.migration != Migration::Never {
            self.make_home(header);
        }
        if header.fiber.counted.get() {
            header.fiber.counted.set(false);
            shared.counters.waiting_outside.sub(1);
        }
        self.current.set(Some(greenlet));
        shared.running.store(header.id, Ordering::Relaxed);
        shared.counters.switches.add(1);
        // SAFETY: as above; a begun greenlet has a context, and only its runner touches it.
        let after = unsafe { (*header.fiber.context.get()).as_ref().unwrap_unchecked().resume() };
        self.current.set(None);
        match after {
            Some(After::Yield) => {
                // After a long turn what has come due meanwhile goes before it.
                if self.mailbox.is_overdue() {
                    self.check_clock();
                }
                self.push_ready(Entry::resume(greenlet));
            }
            Some(After::Park { epoch, user, masked }) => {
                shared.counters.parks.add(1);
                // In migrate mode started greenlets even out by themselves, and may be resumed by a hub that does
                // not own this counter.
                let counted = header.fiber.counted.get() && self.migration == Migration::Never;
                header.fiber.counted.set(counted);
                if counted {
                    shared.counters.waiting_outside.add(1);
                }
                // From `Parked` on any thread may own it (invariant 2).
                match header.state.commit_park(epoch, user, masked) {
                    Commit::Parked => {}
                    Commit::Requeue => self.push_ready(Entry::resume(greenlet)),
                }
            }
            None => self.finish(greenlet),
        }
    }

    /// A started greenlet that runs here lives here from now on.
    #[inline]
    fn make_home(&self, header: &Header) {
        let from = header.home();
        if !std::ptr::eq(from, self.mailbox) {
            header.set_home(self.mailbox);
            self.shared().counters.live_stacks.add(1);
            // Relaxed: a count.
            self.runtime.hub(from.hub()).counters.moved_away.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A greenlet has ended: everything that is left of it goes.
    #[inline(never)]
    fn finish(&self, greenlet: NonNull<Header>) {
        fork::end_child(self.runtime.generation);
        // SAFETY: the life reference is ours to give up.
        let header = unsafe { Ref::from_raw(greenlet) };
        let shared = self.shared();
        // SAFETY: it has ended; nobody runs on its stack any more.
        let context =
            unsafe { (*header.fiber.context.get()).take() }.expect("a greenlet that ran has a stack");
        self.give_back(context.into_stack());
        shared.counters.live_stacks.sub(1);
        self.end(&header);
        drop(header);
        if !self.stackless.borrow().is_empty() {
            self.retry_stackless();
        }
    }

    /// What the end of every greenlet has in common, with a stack or without.
    #[inline]
    fn end(&self, header: &Ref) {
        let shared = self.shared();
        header.alarm.remove();
        // SAFETY: it ends here and now, and its life reference is held.
        unsafe { registry::remove(header, &shared.registry) };
        if header.fiber.joined.get() {
            wake_joiners(header);
        }
        hand_back(header);
        if let Some(scope) = header.scope() {
            scope.leave();
        }
        // Last: once the counts agree the runtime may shut down.
        shared.counters.finished.add(1);
    }

    fn give_back(&self, stack: Stack) {
        stack.clear_owner();
        self.stacks().give(stack);
    }

    /// This hub's stack cache.
    #[allow(clippy::mut_from_ref)] // the one place that makes the reference; see the SAFETY line
    pub(super) fn stacks(&self) -> &mut StackCache {
        // SAFETY: `Hub` is not `Sync`, and the cache's methods call back into nothing.
        unsafe { &mut *self.stacks.get() }
    }

    /// There is no stack for a claimed greenlet: it waits for one, or, if none is in use that could come free, fails.
    #[cold]
    fn without_stack(&self, greenlet: NonNull<Header>, why: &NoStack) {
        if self.a_stack_may_come(why) {
            self.stackless.borrow_mut().push_back(greenlet);
            return;
        }
        // The last stack in use may have come free between the two looks.
        match self.give_stack(greenlet) {
            Ok(()) => self.push_ready(Entry::resume(greenlet)),
            Err(why) => self.fail(greenlet, &why),
        }
    }

    /// Whether it makes sense to wait: a limit of the runtime's own is not reached for ever, and a stack in use comes
    /// free one day.
    fn a_stack_may_come(&self, why: &NoStack) -> bool {
        why.is_own_limit() || self.runtime.stacks.counts().in_use > 0
    }

    /// Ends a claimed greenlet that never ran.
    #[cold]
    fn fail(&self, greenlet: NonNull<Header>, why: &NoStack) {
        // SAFETY: claimed by us: the life reference is ours to give up.
        let header = unsafe { Ref::from_raw(greenlet) };
        // SAFETY: claimed and never run, so the closure is ours.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { (header.vtable().drop_closure)(greenlet) }));
        // SAFETY: as above.
        unsafe { (header.vtable().fail)(greenlet, JoinError::no_stack(&header, why)) };
        if let Err(payload) = dropped {
            crate::greenlet::on_error::report(&header, payload);
        }
        let joined = header.state.finish(false).unwrap_or_else(|()| {
            finish::drop_result(greenlet);
            header.state.finish(true).unwrap_or(true)
        });
        header.fiber.joined.set(joined);
        self.end(&header);
    }

    /// Stacks may have come free: the greenlets that wait for one try again, in order.
    #[cold]
    pub(super) fn retry_stackless(&self) {
        loop {
            let Some(greenlet) = self.stackless.borrow().front().copied() else { return };
            let mut given = self.give_stack(greenlet);
            if let Err(why) = &given {
                if self.a_stack_may_come(why) {
                    return;
                }
                // As in `without_stack`.
                given = self.give_stack(greenlet);
            }
            self.stackless.borrow_mut().pop_front();
            match given {
                Ok(()) => self.push_ready(Entry::resume(greenlet)),
                Err(why) => self.fail(greenlet, &why),
            }
        }
    }

    /// Whether some greenlet waits for a stack.
    pub(super) fn has_stackless(&self) -> bool {
        !self.stackless.borrow().is_empty()
    }

    /// What came in through this hub's inbox, or another's, goes to the queues.
    pub(super) fn receive(&self, from: usize) {
        let own = from == self.index;
        let mailbox = self.runtime.hub(from).mailbox;
        let mut received = 0;
        for greenlet in mailbox.take() {
            received += 1;
            let greenlet = NonNull::new(greenlet).expect("a batch holds no null");
            // SAFETY: the batch is the right to run each greenlet in it.
            let header = unsafe { greenlet.as_ref() };
            let stays = !super::may_move(header)
                || self.migration == Migration::Never && header.state.load().phase() == Phase::Awake;
            if !own && stays {
                // SAFETY: as above; the batch has let go of it.
                unsafe { mailbox.push(greenlet) };
            } else if header.state.load().phase() == Phase::Unstarted {
                // SAFETY: the life reference travelled with it.
                self.accept(unsafe { Ref::from_raw(greenlet) });
            } else if own && self.migration == Migration::Every {
                // It was sent here to run here.
                self.queue.push_ring(Entry::resume(greenlet));
            } else {
                self.push_ready(Entry::resume(greenlet));
            }
        }
        self.shared().counters.wakes_received.add(received);
    }

    /// An unstarted greenlet, `Placed`, that nobody else holds, comes to this hub's queues.
    pub(crate) fn accept(&self, life: Ref) {
        life.set_home(self.mailbox);
        let kind = life.kind;
        let arrived = life.state.arrive();
        debug_assert!(arrived, "only a placed greenlet travels unstarted");
        self.push_new(life, kind);
    }
}
