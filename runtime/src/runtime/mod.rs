//! The runtime: hubs that belong together, how they are started, and how they end.

mod builder;
mod default;
pub(crate) mod fork;
pub(crate) mod gate;
mod metrics;
mod shutdown;

pub use builder::Builder;
pub(crate) use default::{default_runtime, started as started_default_runtime, try_default_runtime};
pub use metrics::{HubMetrics, Metrics};

use crate::blocking::BlockingPool;
use crate::facade::Mutex;
use crate::facade::atomic::AtomicU64;
use crate::greenlet::current;
use crate::greenlet::header::{Extra, Header, Kind, Life, Ref, RunMark};
use crate::greenlet::join::JoinHandle;
use crate::greenlet::spawn::{Order, spawn_outside, spawn_with};
use crate::greenlet::unwind;
use crate::hub::HubShared;
use crate::hub::idle::Watch;
use crate::monitor::Monitor;
use crate::stack::{StackPool, StackSize};
use gate::Gate;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Whether started greenlets may change hubs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Migration {
    /// Never: a greenlet stays where it started.
    Never,
    /// When it helps.
    Allowed,
    /// At every resumption, for tests.
    Every,
}

/// What all hubs of a runtime share. Nothing in here is written on spawn, wake or registration but what is one hub's.
pub(crate) struct Shared {
    pub(crate) id: u64,
    /// The process it was made in, counted in forks.
    pub(crate) generation: u64,
    hubs: Box<[HubShared]>,
    pub(crate) watch: Watch,
    pub(crate) migration: Migration,
    pub(crate) stack_size: StackSize,
    pub(crate) stacks: Arc<StackPool>,
    pub(crate) blocking: BlockingPool,
    pub(crate) monitor: Monitor,
    pub(crate) gate: Gate,
    /// Whose turn it is to be the first choice for a greenlet spawned from outside.
    pub(crate) outside_turn: AtomicU64,
}

impl Shared {
    #[inline]
    pub(crate) fn hub(&self, index: usize) -> &HubShared {
        &self.hubs[index]
    }

    #[inline]
    pub(crate) fn hubs(&self) -> &[HubShared] {
        &self.hubs
    }

    /// Whether new greenlets are refused.
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.gate.is_closing()
    }

    /// Whether hubs are to leave.
    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        self.gate.is_ended()
    }

    /// # Panics
    ///
    /// In a child process: the hubs stayed in the parent.
    pub(crate) fn check_process(&self) {
        assert!(
            self.generation == fork::generation(),
            "this runtime was made before the process forked, and its hubs exist only in the parent: make a new runtime \
             in the child, or `exec`"
        );
    }

    /// Puts an unstarted greenlet into the wheel of `hub` until `at`.
    pub(crate) fn start_later(&self, hub: usize, life: Life, at: u64) {
        let header = life.into_raw();
        let hub = self.hub(hub);
        if !hub.timers.start_at(header, at) {
            // SAFETY: it is `Placed`, in no inbox, and the life is its right to be started.
            unsafe { hub.mailbox.push(header) };
            return;
        }
        // Its hub may sleep past the new deadline.
        if current::hub().is_none_or(|here| !std::ptr::eq(here.mailbox(), hub.mailbox)) {
            hub.mailbox.rouse();
        }
    }

    /// A greenlet whose start time has come, `Placed` and ours.
    pub(crate) fn push_started_later(&self, life: Life) {
        match current::hub() {
            Some(hub) if life.kind == Kind::Free || std::ptr::eq(life.home(), hub.mailbox()) => {
                hub.accept(life)
            }
            // SAFETY: it is `Placed`, in no inbox, and the life is its right to be started.
            _ => unsafe { life.home().push(life.into_raw()) },
        }
    }

    /// How many greenlets have not ended.
    pub(crate) fn live(&self) -> u64 {
        self.gate.live(self.hubs.iter().map(|hub| &hub.counters))
    }

    /// Every greenlet that has not ended.
    pub(crate) fn greenlets(&self) -> Vec<Ref> {
        let mut all = Vec::new();
        for hub in &self.hubs {
            hub.registry.snapshot(&mut all);
        }
        self.gate.snapshot(&mut all);
        all
    }

    /// The first greenlet that has not ended and for which `wanted` says so.
    pub(crate) fn find_greenlet(&self, mut wanted: impl FnMut(&Header) -> bool) -> Option<Ref> {
        let on_hubs = self.hubs.iter().find_map(|hub| hub.registry.find(&mut wanted));
        on_hubs.or_else(|| self.gate.find(&mut wanted))
    }

    /// Shows every greenlet that has not ended.
    pub(crate) fn visit_greenlets(&self, mut visit: impl FnMut(&Header)) {
        let _none = self.find_greenlet(|header| {
            visit(header);
            false
        });
    }
}

/// A set of hubs, explicitly started. Dropping it shuts it down.
///
/// Programs that need no settings use the default runtime, which starts with the first [`spawn`](crate::spawn) or
/// [`run`].
///
/// ```
/// let runtime = greenhub::runtime::Builder::new().hubs(2).build()?;
/// let sum = runtime.run(|| greenhub::join_all((1..=3).map(|n| greenhub::spawn(move || n))).into_iter().flatten().sum::<i32>());
/// assert_eq!(sum, 6);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    shared: Arc<Shared>,
    threads: Mutex<Vec<crate::facade::thread::JoinHandle<()>>>,
}

impl Runtime {
    /// Runs `f` as a greenlet of this runtime and blocks the caller until it has ended. A panic in `f` goes on in
    /// the caller.
    ///
    /// # Panics
    ///
    /// If `f` panics, or is killed (by a shutdown, say).
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        run_on(Some(&self.shared), Location::caller(), f)
    }

    /// Starts a greenlet on this runtime, from anywhere; see [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let order = Order::new(Kind::Free, Location::caller());
        // SAFETY: `F` and `T` are `'static` and `Send`.
        unsafe { spawn_onto(&self.shared, order, f) }
    }

    /// Lists every greenlet of this runtime, as [`dump`] does.
    #[must_use]
    pub fn dump(&self) -> String {
        crate::monitor::dump_of(&self.shared)
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Another handle of the same runtime, for a thread of a schedule, which must forget it.
    #[cfg(all(test, greenhub_schedule))]
    pub(crate) fn for_schedule(shared: Arc<Shared>) -> std::mem::ManuallyDrop<Self> {
        std::mem::ManuallyDrop::new(Self { shared, threads: Mutex::new(Vec::new()) })
    }

    /// What every hub has done so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::of(&self.shared)
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("hubs", &self.shared.hubs.len()).finish_non_exhaustive()
    }
}

/// # Safety
///
/// As [`spawn_with`].
unsafe fn spawn_onto<F: FnOnce() -> T, T>(runtime: &Arc<Shared>, order: Order, f: F) -> JoinHandle<T> {
    match current::hub() {
        // SAFETY: the caller's promise.
        Some(hub) if hub.runtime().id == runtime.id => unsafe { spawn_with(order, f) },
        // SAFETY: as above; outside callers make no `Local` greenlets.
        _ => unsafe { spawn_outside(runtime, order, f) },
    }
}

/// Runs `f` as a greenlet, and blocks the caller until it has ended; a panic in `f` goes on in the caller.
///
/// On a plain OS thread, `f` runs on the default runtime, which the first use starts: one hub for each core this
/// process may use, or as many as the environment variable `GREENHUB_HUBS` says. Called in a greenlet, it is
/// [`spawn`](crate::spawn) and join.
///
/// ```
/// let mut greeting = String::from("hello");
/// let length = greenhub::run(|| {
///     greeting.push_str(", greenlets"); // `f` may borrow: `run` returns only when it has ended
///     greeting.len()
/// });
/// assert_eq!(length, 16);
/// ```
///
/// # Panics
///
/// If `f` panics, or is killed; and if the default runtime cannot be started.
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    run_on(None, Location::caller(), f)
}

fn run_on<F, T>(runtime: Option<&Arc<Shared>>, spawned_at: &'static Location<'static>, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    crate::greenlet::scope::check_may_wait();
    let mut order = Order::new(Kind::Free, spawned_at);
    let inside =
        current::hub().is_some_and(|hub| runtime.is_none_or(|runtime| hub.runtime().id == runtime.id));
    let shared = if inside { None } else { Some(runtime.unwrap_or_else(|| default_runtime())) };
    let _counted = shared.map(|shared| shared.monitor.count_run());
    if !inside {
        order.extra = Some(Box::new(Extra { run: Some(RunMark::default()), ..Extra::default() }));
    }
    // SAFETY: whatever `f` and `T` borrow outlives this call, and this call outlives the greenlet: `join_to_the_end` does
    // not return or unwind before it is done (invariant 9).
    let handle = unsafe {
        match runtime {
            Some(runtime) => spawn_onto(runtime, order, f),
            None => spawn_with(order, f),
        }
    };
    match handle.join_to_the_end() {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => unwind::resume_unwind(payload),
            Err(error) => panic!("greenhub::run: {error}"),
        },
    }
}

/// The number of this OS thread's hub within its runtime. `None` outside of greenlets.
///
/// ```
/// assert_eq!(greenhub::runtime::current_hub(), None);
/// assert!(greenhub::run(greenhub::runtime::current_hub).is_some());
/// ```
#[must_use]
pub fn current_hub() -> Option<usize> {
    current::hub().map(|hub| hub.index())
}

pub use crate::monitor::{BlockedReport, Cause, Deadlock, DeadlockReport, StuckGreenlet, dump};

/// How long a dropped runtime waits for its greenlets to end.
const DROP_PATIENCE: Duration = Duration::from_secs(5);
