//! [`Builder`]: a runtime's settings, and how its hubs are started.

use super::fork;
use super::gate::Gate;
use super::{Migration, Runtime, Shared};
use crate::blocking::BlockingPool;
use crate::facade::Mutex;
use crate::facade::ThreadMark;
use crate::facade::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::greenlet::current;
use crate::greenlet::header::Header;
use crate::greenlet::memory;
use crate::greenlet::registry::Shard;
use crate::greenlet::unwind;
use crate::hub::idle::Watch;
use crate::hub::mailbox::Mailbox;
use crate::hub::metrics::Counters;
use crate::hub::queue::Queue;
use crate::hub::{Hub, HubShared};
use crate::monitor::{BlockedReport, Deadlock, DeadlockReport, Monitor, Settings, thread_number};
use crate::reactor::Reactor;
use crate::stack::overflow::{self, AlternateStack, SignalWriter};
use crate::stack::{StackCache, StackConfig, StackPool, StackSize};
use crate::timer::Timers;
use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// The most hubs a runtime may have.
const MAX_HUBS: usize = 4096;

/// Settings of a [`Runtime`].
///
/// ```
/// use std::time::Duration;
///
/// let runtime = greenhub::runtime::Builder::new()
///     .hubs(2)
///     .stack_size(128 << 10)
///     .blocked_after(Duration::from_millis(50))
///     .build()?;
/// assert_eq!(runtime.metrics().hubs.len(), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "settings start nothing until `build`"]
pub struct Builder {
    hubs: Option<usize>,
    stack_size: Option<usize>,
    max_stacks: Option<usize>,
    unguarded: bool,
    pin: bool,
    migration: Migration,
    /// What `GREENHUB_MIGRATE` says, if that is nothing it may say.
    wrong_migration: Option<std::ffi::OsString>,
    blocking_threads: usize,
    pub(crate) monitor: Settings,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The default settings: one hub a core, stacks of 256 KiB (1 MiB in debug builds), no migration of started
    /// greenlets.
    pub fn new() -> Self {
        Self {
            hubs: None,
            stack_size: None,
            max_stacks: None,
            unguarded: false,
            pin: false,
            migration: Migration::Never,
            wrong_migration: None,
            blocking_threads: BlockingPool::MAX_THREADS,
            monitor: Settings::default(),
        }
    }

    /// How many hubs. Without it: `GREENHUB_HUBS`, or one for each core this process may use.
    pub fn hubs(mut self, hubs: usize) -> Self {
        self.hubs = Some(hubs);
        self
    }

    /// The size of a greenlet's stack in bytes, rounded up to the next size there is. Only touched pages take
    /// memory: a parked greenlet costs one page of 4 KiB plus its header, whatever this says.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// The most stacks that may be in use at once. A greenlet that would need one more waits for one. Where every stack belongs
    /// to a greenlet that waits, without a limit in time, for the end of one that has none (or of another such), it fails
    /// instead, and `join` gives an error that says so.
    pub fn max_stacks(mut self, stacks: usize) -> Self {
        self.max_stacks = Some(stacks);
        self
    }

    /// Whether stacks may go without a guard page where the kernel has none left to give (before Linux 6.13 every
    /// guard counts against `vm.max_map_count`). Without it a greenlet that would need such a stack waits for another, or
    /// fails.
    ///
    /// # Safety
    ///
    /// With `true`, no greenlet of this runtime may overflow its stack: an overflow of a stack without a guard is not
    /// caught, but writes over another greenlet's. That is a promise about every call that greenlets make, down to the
    /// last dependency, and about the input that decides how deep they go. With `false` there is nothing to promise.
    ///
    /// ```
    /// let builder = greenhub::runtime::Builder::new().stack_size(1 << 20);
    /// // SAFETY: what runs here recurses nowhere, and was measured to need less than 20 KiB.
    /// let runtime = unsafe { builder.unguarded_stacks(true) }.build()?;
    /// assert_eq!(runtime.run(|| 6 * 7), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub unsafe fn unguarded_stacks(mut self, allowed: bool) -> Self {
        self.unguarded = allowed;
        self
    }

    /// Whether each hub is bound to one core, of those this process may use. With more hubs than cores, several share
    /// one.
    pub fn pin_hubs(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// The most threads that [`unblock`](crate::unblock) and name look-ups may use at once (512).
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.blocking_threads = threads;
        self
    }

    /// Lets started greenlets move between hubs too: an idle hub takes them over at any suspension point, and one
    /// that is woken goes to its waker's hub. `GREENHUB_MIGRATE=every` in the environment makes each greenlet resume on
    /// another hub than last time, for tests. With one hub there is nowhere to go, and both change nothing.
    ///
    /// # Safety
    ///
    /// For every greenlet that will ever run on this runtime and is not [pinned](crate::Builder::pinned), at every
    /// call that may suspend (every blocking function of this crate, and `yield_now`):
    ///
    /// 1. No value that is not `Send`, and no reference to a value that is not `Sync`, is live anywhere on the
    ///    greenlet's stack: not in callers, not in destructors in progress, not as a borrow from a thread-local.
    /// 2. No function on the stack accesses a thread-local both before and after the call, itself or by inlining: the
    ///    compiler may keep the address. Accessors that are `#[inline(never)]` are fine. This includes dependencies
    ///    and C code, and link-time optimisation widens it.
    /// 3. No frame relies on which OS thread it is on: `std::thread::current`, re-entrant or error-checking locks,
    ///    locks that the locking thread must release, `errno` after the call, signal masks, thread-affine handles,
    ///    guards that a library "entered".
    /// 4. No foreign frame (C, C++) on the stack does any of this.
    ///
    /// The runtime itself keeps to it, and never moves a greenlet that unwinds, that is pinned, or that has called
    /// [`spawn_local`](crate::spawn_local).
    pub unsafe fn migrate_started(mut self) -> Self {
        let value = std::env::var_os("GREENHUB_MIGRATE").filter(|value| !value.is_empty());
        let every = value.as_ref().is_some_and(|value| value == "every");
        self.migration = if every { Migration::Every } else { Migration::Allowed };
        self.wrong_migration = value.filter(|_| !every);
        self
    }

    /// After how long in one greenlet a hub is reported as blocked; `Duration::MAX` turns the reports off. Without it:
    /// the environment variable `GREENHUB_BLOCKED_AFTER_MS` (a number of milliseconds, or `off`), or 100 ms.
    ///
    /// Each occurrence is reported once, on stderr or to [`on_blocked`](Self::on_blocked), within a quarter more than
    /// the time given (no sooner than 1 ms, no later than 25 ms after it). The hub is not interrupted: what can be
    /// done for it by others, its timers and I/O, is done, reported or not.
    pub fn blocked_after(mut self, limit: Duration) -> Self {
        self.monitor.blocked_after = Some(limit);
        self
    }

    /// Who is told of a blocked hub, instead of stderr. `report` runs on the monitor's own thread, a plain OS thread,
    /// which watches nothing meanwhile: it should be brief.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (sender, reports) = mpsc::channel();
    /// let runtime = greenhub::runtime::Builder::new()
    ///     .hubs(1)
    ///     .blocked_after(Duration::from_millis(20))
    ///     .on_blocked(move |report| sender.send(report.to_string()).unwrap())
    ///     .build()?;
    /// runtime.run(|| std::thread::sleep(Duration::from_millis(500))); // should be `greenhub::sleep`
    /// assert!(reports.recv().unwrap().contains("hub 0 is stuck"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_blocked(mut self, report: impl Fn(&BlockedReport) + Send + Sync + 'static) -> Self {
        self.monitor.on_blocked = Some(Arc::new(report));
        self
    }

    /// What happens when all greenlets wait and nothing is left to wake one, while somebody waits in `run`. Without
    /// it: the environment variable `GREENHUB_DEADLOCK` (`report`, `panic` or `ignore`), or a report.
    ///
    /// It counts as a deadlock when every hub has been idle for a second, the greenlet of a `run` called on a plain
    /// OS thread is among those that wait, and none of them waits for a time, for I/O, for
    /// [`unblock`](crate::unblock) or in a [`block_on`](crate::block_on). Each `run` is reported once.
    pub fn deadlock(mut self, reaction: Deadlock) -> Self {
        self.monitor.deadlock = Some(reaction);
        self
    }

    /// Who is told of a deadlock, instead of stderr; see [`on_blocked`](Self::on_blocked) for where it runs.
    pub fn on_deadlock(mut self, report: impl Fn(&DeadlockReport) + Send + Sync + 'static) -> Self {
        self.monitor.on_deadlock = Some(Arc::new(report));
        self
    }

    /// Whether SIGUSR1 makes this runtime [list its greenlets](super::dump) on stderr. Other handlers of the signal
    /// still get it.
    pub fn dump_on_sigusr1(mut self, dump: bool) -> Self {
        self.monitor.dump_on_sigusr1 = dump;
        self
    }

    /// Any mode, for schedules.
    #[cfg(all(test, greenhub_schedule))]
    pub(crate) fn set_migration(&mut self, migration: Migration) {
        self.migration = migration;
    }

    /// Starts the hubs.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for zero hubs, more than 4,096, a stack size that no stack can have, or an environment variable
    /// that means nothing; otherwise what the
    /// system says when it will not give a thread, an epoll instance or memory.
    pub fn build(self) -> io::Result<Runtime> {
        self.build_with(None)
    }

    /// One hub that does what `drive` says and then ends, without a monitor, which would meddle.
    pub(crate) fn build_exploring(self, drive: impl FnOnce(&Hub) + Send + 'static) -> io::Result<Runtime> {
        self.hubs(1).build_with(Some(Box::new(drive)))
    }

    fn build_with(self, mut drive: Option<Drive>) -> io::Result<Runtime> {
        let is_watched = drive.is_none();
        let hubs = self.number_of_hubs()?;
        let stack_size = self.stack_size.map_or(Ok(StackSize::DEFAULT), StackSize::new)?;
        if self.blocking_threads == 0 {
            return Err(invalid("blocking_threads(0): `unblock` needs at least one thread".into()));
        }
        if let Some(value) = self.wrong_migration {
            return Err(invalid(format!(
                "GREENHUB_MIGRATE={value:?} means nothing: say `every`, or do not set it"
            )));
        }
        fork::watch();
        {
            let _initialising = fork::INITIALISING.lock();
            unwind::install_hook();
            crate::timer::clock::start();
            crate::facade::lopsided_fence::prepare();
            crate::stack::explore_system();
            // SAFETY: `describe` is given what `set_owner` was given: a header, alive while it owns the stack.
            overflow::install(describe_owner)?;
        }
        let stacks = StackPool::new(StackConfig {
            unguarded: self.unguarded,
            max_stacks: self.max_stacks,
            ..StackConfig::default()
        })?;
        let id = crate::ids::next();
        // From a single hub nothing can be taken, so its greenlets need not lie where it could.
        let migration = if hubs == 1 { Migration::Never } else { self.migration };
        let queues: Vec<Queue> =
            (0..hubs).map(|_| Queue::new(migration != Migration::Never, hubs > 1)).collect();
        // What can fail comes first: a mailbox once opened lives for ever, and is given back by a runtime's end only.
        let new_reactor = |index| {
            Reactor::new().map_err(|error| {
                let message = format!("starting hub {index} of {hubs}: no event loop to be had: {error}");
                io::Error::new(error.kind(), message)
            })
        };
        let reactors: Vec<Arc<Reactor>> = (0..hubs).map(new_reactor).collect::<io::Result<_>>()?;
        let monitor = Monitor::new(self.monitor)?;
        let new_hub = |(index, (queue, reactor)): (usize, (&Queue, Arc<Reactor>))| HubShared {
            mailbox: Mailbox::open(id, index, reactor.clone()),
            stealers: queue.stealers(),
            reactor,
            timers: Timers::new(),
            counters: Counters::default(),
            registry: Shard::new(),
            rests: AtomicBool::new(false),
            running: AtomicU64::new(0),
            thread: AtomicU32::new(0),
        };
        let shared_hubs: Vec<HubShared> = queues.iter().zip(reactors).enumerate().map(new_hub).collect();
        let shared = Arc::new(Shared {
            id,
            generation: fork::generation(),
            hubs: shared_hubs.into(),
            watch: Watch::new(hubs),
            migration,
            stack_size,
            stacks,
            blocking: BlockingPool::new(self.blocking_threads, BlockingPool::IDLE),
            monitor,
            gate: Gate::new(),
            outside_turn: AtomicU64::new(0),
        });
        // From here on dropping the runtime ends whatever has been started.
        let runtime = Runtime { shared, threads: Mutex::new(Vec::with_capacity(hubs)) };
        let cores = if self.pin { core_affinity::get_core_ids().unwrap_or_default() } else { Vec::new() };
        if self.pin && cores.is_empty() {
            return Err(io::Error::other(
                "pin_hubs: the system does not say which cores this process may use",
            ));
        }
        for (index, queue) in queues.into_iter().enumerate() {
            let shared = runtime.shared.clone();
            let drive = drive.take();
            let core = cores.get(index % cores.len().max(1)).copied();
            let thread = crate::facade::thread::Builder::new()
                .name(format!("greenhub-hub-{index}"))
                .spawn(move || run_hub(index, shared, queue, core, drive))
                .map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!("starting hub {index} of {hubs}: no thread: {error}"),
                    )
                })?;
            runtime.threads.lock().push(thread);
        }
        if is_watched {
            runtime.shared.monitor.start(&runtime.shared)?;
        }
        Ok(runtime)
    }

    fn number_of_hubs(&self) -> io::Result<usize> {
        let hubs = match (self.hubs, std::env::var_os("GREENHUB_HUBS")) {
            (Some(hubs), _) => hubs,
            (None, Some(value)) => value
                .to_str()
                .and_then(|value| value.trim().parse().ok())
                .filter(|hubs| (1..=MAX_HUBS).contains(hubs))
                .ok_or_else(|| {
                    invalid(format!("GREENHUB_HUBS={value:?} is no number of hubs: say 1 to {MAX_HUBS}"))
                })?,
            (None, None) => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        };
        match hubs {
            0 => Err(invalid("hubs(0): a runtime needs at least one hub".into())),
            1..=MAX_HUBS => Ok(hubs),
            _ => Err(invalid(format!("hubs({hubs}): a runtime has at most {MAX_HUBS} hubs"))),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// What a hub does instead of running what comes.
type Drive = Box<dyn FnOnce(&Hub) + Send>;

/// The body of a hub's OS thread.
fn run_hub(
    index: usize,
    shared: Arc<Shared>,
    queue: Queue,
    core: Option<core_affinity::CoreId>,
    drive: Option<Drive>,
) {
    if let Some(core) = core
        && !core_affinity::set_for_current(core)
    {
        eprintln!("greenhub: hub {index} could not be bound to core {}", core.id);
    }
    fine_timers();
    // Relaxed: for reports, which come later and say less without it.
    shared.hub(index).thread.store(thread_number(), Ordering::Relaxed);
    let alternate = AlternateStack::install();
    if let Err(error) = &alternate {
        eprintln!(
            "greenhub: hub {index} has no signal stack, so a stack overflow will not be explained: {error}"
        );
    }
    let hub = Hub::new(index, shared.clone(), queue, StackCache::new(shared.stacks.clone()));
    current::set_hub(Some(NonNull::from(&hub)), hub.mark);
    let drive = || match drive {
        Some(drive) => drive(&hub),
        None => hub.run(),
    };
    if catch_unwind(AssertUnwindSafe(drive)).is_err() {
        // The panic hook has said what happened. Its greenlets can neither run nor be taken over, and whoever waits
        // for them would wait for ever.
        eprintln!(
            "greenhub: hub {index} panicked outside of any greenlet, which is a bug in greenhub; the program ends here"
        );
        std::process::abort();
    }
    current::set_hub(None, ThreadMark::NOBODY);
    // Nobody polls it any more: whoever waits here on a hub of another runtime need not wait for the rest of the shutdown.
    shared.hub(index).reactor.close();
    drop(hub);
    memory::trim_all();
}

/// Sleeps end when they should, not up to 50 µs later.
fn fine_timers() {
    #[cfg(target_os = "linux")]
    {
        // All five are passed, as whole words: the kernel reads five registers, and a C caller's prototype fills them.
        const NANOS: libc::c_ulong = 1_000;
        const UNUSED: libc::c_ulong = 0;
        // SAFETY: sets a number of the calling thread.
        // Refused only where the option does not exist; timers are then as coarse as the system's default.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, NANOS, UNUSED, UNUSED, UNUSED) };
    }
}

/// What the overflow report says of a stack's owner. Called in a signal handler.
///
/// # Safety
///
/// `owner` is the header that was set with `set_owner`, and has not ended.
unsafe fn describe_owner(owner: *mut (), out: &mut SignalWriter) {
    // SAFETY: the caller's promise.
    let header = unsafe { &*owner.cast::<Header>() };
    // A `SignalWriter` never fails: it drops what does not fit.
    let id = crate::ids::shown(header.id);
    let _fits = match header.name() {
        Some(name) => write!(out, "greenlet '{name}' (#{id}, spawned at {})", header.spawned_at),
        None => write!(out, "greenlet #{id} (spawned at {})", header.spawned_at),
    };
}
