//! Running one greenlet: start or resume it, and do, on the hub's stack, what it asked for when it switched back.

use super::Hub;
use super::queue::Entry;
use crate::facade::atomic::Ordering;
use crate::greenlet::header::{Header, Life, let_go};
use crate::greenlet::join::{hand_back, wake_joiners};
use crate::greenlet::registry;
use crate::greenlet::state::{Commit, Owner, Phase};
use crate::greenlet::switch::{After, Context};
use crate::runtime::{Migration, fork};
use crate::stack::{NoStack, Stack, StackCache, StackSize};
use std::ptr::NonNull;

impl Hub {
    /// Runs what an entry stands for, until it suspends or ends.
    ///
    /// Inlined into the hub's loop, down to the switch: see `park::switch` for why.
    #[inline(always)]
    pub(super) fn execute(&self, entry: Entry) {
        let greenlet = entry.header();
        if entry.is_start() {
            // SAFETY: a start entry keeps the header alive, stale or not.
            if !unsafe { greenlet.as_ref() }.state.claim() {
                self.queue.forget_stale();
                // SAFETY: the entry goes unused.
                unsafe { let_go(greenlet, Owner::StaleEntry) };
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

    pub(super) fn give_stack(&self, greenlet: NonNull<Header>) -> Result<(), NoStack> {
        // SAFETY: claimed by us, so alive and ours.
        let header = unsafe { greenlet.as_ref() };
        let stack = self.stacks().take(self.stack_size_of(greenlet))?;
        stack.set_owner(greenlet.as_ptr().cast());
        let counters = &self.shared().counters;
        counters.live_stacks.add(1);
        counters.started.add(1);
        let context = Context::new(stack, greenlet);
        // SAFETY: ours until the greenlet parks.
        unsafe { *header.fiber.context.get() = Some(context) };
        Ok(())
    }

    pub(super) fn stack_size_of(&self, greenlet: NonNull<Header>) -> StackSize {
        // SAFETY: callers have claimed it, so it is alive.
        unsafe { greenlet.as_ref() }.stack_size().unwrap_or(self.runtime.stack_size)
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
            Some(After::Await) => {}
            Some(After::Yield) => {
                self.park_joiners(header);
                // After a long turn what has come due meanwhile goes before it.
                if self.mailbox.is_overdue() {
                    self.check_clock();
                }
                self.push_ready(Entry::resume(greenlet));
            }
            Some(After::Park { epoch, user, masked }) => {
                self.park_joiners(header);
                shared.counters.parks.add(1);
                // In migrate mode started greenlets even out by themselves, and may be resumed by a hub that does
                // not own this counter.
                let counted = header.fiber.counted.get() && self.migration == Migration::Never;
                header.fiber.counted.set(counted);
                if counted {
                    shared.counters.waiting_outside.add(1);
                }
                // From `Parked` on any thread may own it (invariant 2).
                match header.state.commit_park(epoch, user, masked, Some(self.mark)) {
                    Commit::Parked => {}
                    Commit::Requeue => self.push_ready(Entry::resume(greenlet)),
                }
            }
            None if header.fiber.awaited.get() => self.finish_awaited(greenlet),
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
            header.state.count_parks_anew();
        }
    }

    /// A greenlet has ended: everything that is left of it goes.
    #[inline(never)]
    fn finish(&self, greenlet: NonNull<Header>) {
        fork::end_child(self.runtime.generation);
        // SAFETY: its life is ours to end.
        let header = unsafe { greenlet.as_ref() };
        self.take_stack(header);
        self.end(header);
        // SAFETY: it has ended, and this was the last of it.
        unsafe { let_go(greenlet, Owner::Life) };
        if !self.stackless.is_empty() {
            self.retry_stackless();
        }
    }

    /// Takes the stack of a greenlet that has ended.
    #[inline]
    pub(super) fn take_stack(&self, header: &Header) {
        // SAFETY: it has ended; nobody runs on its stack any more, and what was its context is its hub's.
        let context =
            unsafe { (*header.fiber.context.get()).take() }.expect("a greenlet that ran has a stack");
        self.give_back(context.into_stack());
        self.shared().counters.live_stacks.sub(1);
    }

    /// Takes a greenlet that ends out of whatever knows of it.
    #[inline]
    pub(super) fn strike_off(&self, header: &Header) {
        header.alarm.remove();
        // SAFETY: it ends here and now, and its life has not let go.
        unsafe { registry::remove(header, &self.shared().registry) };
    }

    /// What the end of every greenlet has in common, with a stack or without.
    #[inline]
    pub(super) fn end(&self, header: &Header) {
        let shared = self.shared();
        self.strike_off(header);
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

    /// What came in through this hub's inbox, or another's, goes to the queues.
    pub(super) fn receive(&self, from: usize) {
        self.receive_from(from, false);
    }

    /// As [`Hub::receive`], from this hub's own inbox and just before the next greenlet is taken from the queue: if one came
    /// and is alone here, it is that one, and there is nothing to tell the others.
    pub(super) fn receive_before_turn(&self) {
        self.receive_from(self.index, self.queue.is_empty() && !self.next_is_set());
    }

    fn receive_from(&self, from: usize, alone: bool) {
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
                // SAFETY: an unstarted greenlet's life is the right to run it, which came with the batch.
                self.arrive(unsafe { Life::from_raw(greenlet) }, !alone || received > 1);
            } else if self.migration == Migration::Every {
                // It was sent here to run here; or to a hub that is stuck, where `push_ready` would send it again.
                self.queue.push_ring(Entry::resume(greenlet));
            } else {
                self.push_ready(Entry::woken(greenlet));
            }
        }
        if alone && received > 1 {
            // The first was not, in the end.
            self.announce_rest();
        }
        self.shared().counters.wakes_received.add(received);
    }

    /// An unstarted greenlet, `Placed`, that nobody else holds, comes to this hub's queues.
    pub(crate) fn accept(&self, life: Life) {
        self.arrive(life, true);
    }

    /// As [`Hub::accept`]; `tell` says whether the others must know.
    fn arrive(&self, life: Life, tell: bool) {
        life.set_home(self.mailbox);
        let kind = life.kind;
        let arrived = life.state.arrive();
        debug_assert!(arrived, "only a placed greenlet travels unstarted");
        let length = self.push_untold(life, kind);
        if let Some(length) = length.filter(|_| tell) {
            self.announce(length);
        }
    }
}
