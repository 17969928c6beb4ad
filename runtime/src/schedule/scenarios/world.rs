//! The surroundings of every scenario: a runtime whose shape is chosen by chance, of which nothing may be left.

use crate::monitor::Deadlock;
use crate::runtime::{Builder, Migration, Runtime, Shared};
use crate::schedule::world::{self, Resting};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Runs `body` with a runtime of one to three hubs in any of the modes, shuts it down, and sees that nothing is left.
pub(super) fn with_runtime(body: impl FnOnce(&Runtime)) {
    let hubs = [1, 2, 2, 2, 3, 3][world::below(6) as usize];
    with(hubs, any_mode(), body);
}

/// A mode by chance.
pub(super) fn any_mode() -> Migration {
    match world::below(4) {
        0 | 1 => Migration::Never,
        2 => Migration::Allowed,
        _ => Migration::Every,
    }
}

/// The same with at least two hubs.
pub(super) fn with_hubs(body: impl FnOnce(&Runtime)) {
    with(2 + world::below(2) as usize, any_mode(), body);
}

pub(super) fn with(hubs: usize, migration: Migration, body: impl FnOnce(&Runtime)) {
    with_settings(hubs, migration, |builder| builder, body);
}

pub(super) fn with_settings(
    hubs: usize,
    migration: Migration,
    settings: impl FnOnce(Builder) -> Builder,
    body: impl FnOnce(&Runtime),
) {
    let mut builder = Builder::new()
        .hubs(hubs)
        .stack_size(64 << 10)
        .deadlock(Deadlock::Ignore)
        .blocked_after(Duration::from_secs(3600));
    builder.set_migration(migration);
    let runtime = settings(builder).build().expect("a runtime starts");
    let shared = runtime.shared().clone();
    watch(&shared);
    body(&runtime);
    assert!(runtime.shutdown_timeout(Duration::from_secs(5)), "the runtime does not end");
    nothing_is_left(&shared);
}

/// While nobody can run, no hub may sleep beside work.
fn watch(shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    world::at_rest(move |threads| match shared.upgrade() {
        Some(shared) => no_hub_sleeps_over_work(&shared, threads),
        None => Ok(()),
    });
}

/// How long a hub may sleep over what it could not see yet, in nanoseconds: the longest nap outside of schedules.
const SOON: u64 = 1_000_000;

fn no_hub_sleeps_over_work(shared: &Shared, threads: &Resting<'_>) -> Result<(), String> {
    for (index, hub) in shared.hubs().iter().enumerate() {
        if threads.waits_for(&format!("greenhub-hub-{index}")) != Some("events") {
            continue;
        }
        if !hub.mailbox.is_empty() {
            return Err(format!("hub {index} sleeps, and there is a greenlet in its inbox"));
        }
        if !hub.stealers.is_empty() {
            return Err(format!("hub {index} sleeps, and there is a greenlet in its deque"));
        }
    }
    // The rule of `hub::idle`: never a queue that is not empty beside a sleeping hub, without a hub that watches. (Who
    // looks again soon may have looked before a store came to be seen.)
    let queued = shared.hubs().iter().any(|hub| !hub.stealers.is_empty());
    let asleep = shared.hubs().iter().enumerate().any(|(index, hub)| {
        hub.mailbox.bed.is_asleep() && !threads.goes_on_within(SOON, &format!("greenhub-hub-{index}"))
    });
    if queued && asleep && shared.watch.holder().is_none() {
        return Err("a hub sleeps, another has work that may be taken, and nobody watches".into());
    }
    Ok(())
}

fn nothing_is_left(shared: &Shared) {
    assert_eq!(shared.live(), 0, "greenlets are left");
    assert!(shared.greenlets().is_empty(), "the registry lists a greenlet that has ended");
    assert_eq!(shared.stacks.counts().in_use, 0, "stacks are left");
    for hub in shared.hubs() {
        assert_eq!(hub.timers.len(), 0, "timers are left");
        assert_eq!(hub.reactor.registrations(), 0, "registrations are left");
        assert_eq!(hub.reactor.waiters(), 0, "waiters for I/O are left");
        assert!(hub.mailbox.is_empty(), "an inbox is not empty");
        assert!(hub.stealers.is_empty(), "a deque is not empty");
        assert!(hub.counters.waiting_outside.get() == 0, "the load is miscounted");
    }
}

/// Counts what greenlets do. Its own counters are no steps.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Counts>);

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    ran: AtomicUsize,
    dropped: AtomicUsize,
}

/// One greenlet's part in a tally. Moved into its closure, it is dropped with it, run or unrun.
pub(super) struct Mark {
    tally: Tally,
    ran: bool,
}

impl Tally {
    pub(super) fn mark(&self) -> Mark {
        self.0.made.fetch_add(1, Ordering::Relaxed);
        Mark { tally: self.clone(), ran: false }
    }

    /// How many have run.
    pub(super) fn ran(&self) -> usize {
        self.0.ran.load(Ordering::Relaxed)
    }

    /// Every one that was made has been dropped.
    pub(super) fn check_dropped(&self) {
        let made = self.0.made.load(Ordering::Relaxed);
        assert_eq!(self.0.dropped.load(Ordering::Relaxed), made, "closures that were never dropped");
    }

    /// Every one that was made has run, and been dropped.
    pub(super) fn check_all_ran(&self) {
        assert_eq!(self.ran(), self.0.made.load(Ordering::Relaxed), "greenlets that never ran");
        self.check_dropped();
    }
}

impl Mark {
    pub(super) fn run(&mut self) {
        assert!(!std::mem::replace(&mut self.ran, true), "a greenlet ran twice");
        self.tally.0.ran.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.tally.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}
