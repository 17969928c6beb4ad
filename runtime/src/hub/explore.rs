//! A hub that explores: instead of what comes next in its queues it runs whom a [seeded choice](mod@crate::explore) names.
//!
//! Such a hub is the only one of its runtime, has no monitor, never looks at its event loop and never sleeps. It takes
//! its queues apart at every step; what lay in them is the set to choose from. Greenlets ask here too, from the points
//! around their operations ([`Hub::goes_on`]): whoever is not chosen there gives way and is ready again.
//!
//! Time stands still but for [`Hub::pass_time`], which moves it to the earliest deadline. The wheel is not asked (its
//! ticks are too coarse to be the same in every run); alarms are.

use super::Hub;
use super::queue::Entry;
use crate::explore::{Action, Explorer, State};
use crate::greenlet::header::{Header, Life, Ref, let_go};
use crate::greenlet::state::{Owner, Phase, Wake};
use crate::greenlet::wake::Runnable;
use crate::timer::clock::NEVER;

impl Hub {
    /// The exploration that this hub runs, if it does.
    #[inline]
    pub(crate) fn explorer(&self) -> Option<&Explorer> {
        self.explorer.get().map(|explorer| &**explorer)
    }

    /// Makes this hub one that explores.
    pub(crate) fn become_explorer(&self, explorer: Explorer) -> &Explorer {
        // What its mailbox's last owner was reminded of.
        self.mailbox.looked();
        self.ids.mark_explored();
        self.explorer.get_or_init(|| Box::new(explorer))
    }

    /// Takes one step of the schedule. `false`: nobody can run any more, or nobody is to.
    pub(crate) fn explore_step(&self, explorer: &Explorer) -> bool {
        let planned = explorer.state.borrow_mut().planned.take();
        match planned.unwrap_or_else(|| self.next_action(explorer, None)) {
            Action::Run(ordinal, entry) => {
                explorer.state.borrow_mut().runs(ordinal);
                self.execute(entry);
                let mut state = explorer.state.borrow_mut();
                state.last = state.planned.is_none().then_some(ordinal);
                true
            }
            Action::Pass(until) => {
                self.pass_time(explorer, until);
                true
            }
            Action::Nothing | Action::Stop => false,
            Action::GoOn => unreachable!("nobody is at a point"),
        }
    }

    /// The greenlet `header`, which runs here, is about to do `what`: whether it goes on at once. Otherwise it is to
    /// give way.
    pub(crate) fn goes_on(&self, explorer: &Explorer, header: &Header, what: &'static str) -> bool {
        let current = explorer.state.borrow_mut().ordinal(header);
        loop {
            let action = self.next_action(explorer, Some(current));
            let mut state = explorer.state.borrow_mut();
            match action {
                Action::GoOn => {
                    state.does(current, what);
                    return true;
                }
                Action::Pass(until) => {
                    drop(state);
                    self.pass_time(explorer, until);
                }
                Action::Run(..) | Action::Stop | Action::Nothing => {
                    state.hold(current, what);
                    state.planned = Some(action);
                    return false;
                }
            }
        }
    }

    fn next_action(&self, explorer: &Explorer, current: Option<u32>) -> Action {
        let mut state = explorer.state.borrow_mut();
        self.collect(&mut state);
        state.look(current);
        state.choose(explorer, current, |live| self.next_deadline(live, explorer.now.get()))
    }

    /// Moves everything that is ready here to the set to choose from.
    fn collect(&self, state: &mut State) {
        if !self.mailbox.is_empty() {
            self.receive(self.index);
        }
        while let Some(entry) = self.next.take().or_else(|| self.queue.pop()) {
            // SAFETY: an entry keeps its greenlet alive, stale or not.
            let header = unsafe { entry.header().as_ref() };
            if is_stale(entry, header) {
                self.drop_stale(entry);
                continue;
            }
            // Its joiner handed over, so that it would run next. Here it may not, so the joiner waits like everybody else.
            self.park_joiners(header);
            if let Some(stale) = state.add_ready(header, entry) {
                self.drop_stale(stale);
            }
        }
    }

    /// Its greenlet was claimed by a joiner.
    fn drop_stale(&self, entry: Entry) {
        debug_assert!(entry.is_start(), "a right to run exists once");
        self.queue.forget_stale();
        // SAFETY: it is in no queue any more, and goes unused.
        unsafe { let_go(entry.header(), Owner::StaleEntry) };
    }

    /// When the first of all alarms goes off that can make a difference.
    fn next_deadline(&self, greenlets: &[Ref], now: u64) -> Option<u64> {
        if self.timers().len() == 0 {
            return None;
        }
        greenlets.iter().filter_map(|greenlet| alarm_of(greenlet, now)).min()
    }

    /// It is `until`, or later already: every alarm that is due goes off.
    fn pass_time(&self, explorer: &Explorer, until: u64) {
        let before = explorer.now.get();
        let now = before.max(until);
        explorer.now.set(now);
        let greenlets = explorer.state.borrow_mut().live().to_vec();
        for greenlet in greenlets {
            if alarm_of(&greenlet, before).is_none_or(|deadline| deadline > now) {
                continue;
            }
            if greenlet.state.load().phase() == Phase::Later {
                if greenlet.state.time_came() {
                    // The wheel's node goes first: nobody else sees the greenlet before it is accepted.
                    greenlet.alarm.remove();
                    // SAFETY: `time_came` has given us the push, and with it the life reference.
                    self.accept(unsafe { Life::from_raw(greenlet.as_ptr()) });
                }
            } else if greenlet.state.timer() == Wake::Enqueue {
                // SAFETY: the verdict says that we own its push.
                unsafe { Runnable::from_wake(greenlet.as_ptr()) }.deliver();
            }
        }
    }

    /// A schedule has ended early: what was ready is never run.
    pub(crate) fn leave_schedule(&self, explorer: &Explorer) {
        explorer.state.borrow_mut().forget_ready();
        self.next.take();
        // Entries are copies of pointers: what they stand for is left where it is, for good.
        let _left = self.queue.drain();
    }
}

fn is_stale(entry: Entry, header: &Header) -> bool {
    entry.is_start() && header.state.load().phase() != Phase::Unstarted
}

/// When a greenlet's alarm goes off, if that can make a difference: it waits, or would be told something new.
fn alarm_of(header: &Header, now: u64) -> Option<u64> {
    let deadline = header.alarm.deadline();
    let matters = match header.state.load().phase() {
        Phase::Later | Phase::Parked => deadline != NEVER,
        // One that is due already has been noted in its state word.
        Phase::Awake => deadline != NEVER && deadline > now,
        Phase::Unstarted | Phase::Done => false,
    };
    matters.then_some(deadline)
}
