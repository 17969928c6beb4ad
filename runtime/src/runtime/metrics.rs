//! [`Metrics`]: what the hubs of a runtime have done.

use super::Shared;

/// A runtime's counters, one set a hub. Read while the hubs run, so the numbers are of slightly different moments.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// One entry a hub.
    pub hubs: Vec<HubMetrics>,
    /// Greenlets spawned from plain OS threads or other runtimes.
    pub spawned_outside: u64,
    /// Greenlets that have not ended.
    pub live: u64,
    /// Stacks in use by started greenlets.
    pub stacks_in_use: usize,
    /// Stacks kept for the next greenlets.
    pub stacks_cached: usize,
    /// Threads of the blocking pool.
    pub blocking_threads: usize,
    /// Jobs the blocking pool is running or has queued.
    pub blocking_jobs: usize,
}

/// One hub's counters.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HubMetrics {
    /// Switches to a greenlet.
    pub switches: u64,
    /// Greenlets spawned here.
    pub spawned: u64,
    /// Greenlets that began to run here.
    pub started: u64,
    /// Greenlets that ended here.
    pub finished: u64,
    /// Unstarted greenlets taken from other hubs.
    pub taken_unstarted: u64,
    /// Started greenlets taken from other hubs (migrate mode only).
    pub taken_started: u64,
    /// Tries to take from another hub.
    pub steals_tried: u64,
    /// Times a greenlet parked here.
    pub parks: u64,
    /// Looks at the event loop.
    pub polls: u64,
    /// Wakes sent to other hubs.
    pub wakes_sent: u64,
    /// Greenlets received from other hubs and threads.
    pub wakes_received: u64,
    /// Timers in the wheel, those left lazily included.
    pub timers: u64,
    /// Greenlets ready on this hub that stay here, as of its last look at the clock.
    pub ready: u64,
    /// Greenlets in this hub's queues that any hub may take.
    pub stealable: usize,
    /// Started greenlets that live on this hub.
    pub live_started: u64,
    /// Of those, the ones that wait for I/O or time.
    pub waiting_outside: u64,
    /// Descriptors registered with this hub's event loop.
    pub registrations: usize,
}

impl Metrics {
    pub(crate) fn of(shared: &Shared) -> Self {
        let stacks = shared.stacks.counts();
        let blocking = shared.blocking.counts();
        let hubs = shared.hubs().iter().map(|hub| {
            let counters = &hub.counters;
            HubMetrics {
                switches: counters.switches.get(),
                spawned: counters.spawned.get(),
                started: counters.started.get(),
                finished: counters.finished.get(),
                taken_unstarted: counters.taken_unstarted.get(),
                taken_started: counters.taken_started.get(),
                steals_tried: counters.steals_tried.get(),
                parks: counters.parks.get(),
                polls: counters.polls.get(),
                wakes_sent: counters.wakes_sent.get(),
                wakes_received: counters.wakes_received.get(),
                timers: hub.timers.len(),
                ready: counters.ring_length.get(),
                stealable: hub.stealers.len(),
                live_started: counters.live_started(),
                waiting_outside: counters.waiting_outside.get(),
                registrations: hub.reactor.registrations(),
            }
        });
        Self {
            hubs: hubs.collect(),
            spawned_outside: shared.gate.spawned_outside(),
            live: shared.live(),
            stacks_in_use: stacks.in_use,
            stacks_cached: stacks.cached,
            blocking_threads: blocking.threads,
            blocking_jobs: blocking.queued + blocking.running,
        }
    }
}
