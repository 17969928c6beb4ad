//! What the tests share: fresh runtimes in every mode, a check that nothing is left of them, a watchdog, and child
//! processes.
//!
//! A test that wants a runtime says on which: [`everywhere`] (both modes, 1, 2 and 4 hubs), or [`on`] a choice of
//! [`Place`]s. After its body every greenlet must have ended, and after the runtime's end every stack, timer,
//! registration, thread, descriptor and mapping must be gone. Tests run one at a time, so that what is counted is
//! theirs.
#![allow(dead_code)] // each test program uses a part of this

pub(crate) mod child;
pub(crate) mod explored;
pub(crate) mod left;
pub(crate) mod watchdog;

use greenhub::runtime::{Builder, Metrics, Runtime};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// How many hubs, in which mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) hubs: usize,
    pub(crate) migrate: bool,
}

/// Every place tests run.
pub(crate) const ALL: [Place; 6] = [stay(1), stay(2), stay(4), roam(1), roam(2), roam(4)];
/// Where the order of things is that of one hub. (From there nothing can migrate: two names for one thing, as users have them.)
pub(crate) const ONE_HUB: [Place; 2] = [stay(1), roam(1)];
/// Where hubs can take from each other.
pub(crate) const SEVERAL_HUBS: [Place; 4] = [stay(2), stay(4), roam(2), roam(4)];
/// The default mode.
pub(crate) const STAY: [Place; 3] = [stay(1), stay(2), stay(4)];

/// So many hubs, in the default mode.
pub(crate) const fn stay(hubs: usize) -> Place {
    Place { hubs, migrate: false }
}

/// So many hubs, started greenlets migrate.
pub(crate) const fn roam(hubs: usize) -> Place {
    Place { hubs, migrate: true }
}

impl Place {
    /// A runtime builder for this place.
    pub(crate) fn builder(self) -> Builder {
        let builder = Builder::new().hubs(self.hubs);
        if self.migrate {
            // SAFETY: the tests' greenlets hold nothing across a suspension that is not `Send`, or are pinned, and
            // look at thread-locals only through functions that are never inlined.
            unsafe { builder.migrate_started() }
        } else {
            builder
        }
    }
}

/// Whether each greenlet of a migrating runtime is resumed on another hub than last time, busy or not. Nothing that is
/// said of load and order holds there.
pub(crate) fn moves_every_time() -> bool {
    std::env::var_os("GREENHUB_MIGRATE").is_some_and(|value| value == "every")
}

/// These places, less those whose greenlets move every time.
pub(crate) fn where_load_counts(places: &[Place]) -> Vec<Place> {
    places.iter().copied().filter(|place| !(place.migrate && moves_every_time())).collect()
}

/// A runtime under test, and where it is.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) runtime: Arc<Runtime>,
}

impl World {
    pub(crate) fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.runtime.run(body)
    }
}

/// Runs a test's body on a fresh runtime in every place.
#[track_caller]
pub(crate) fn everywhere(body: impl Fn(&World)) {
    on(&ALL, body);
}

/// Runs a test's body as a greenlet in every place.
#[track_caller]
pub(crate) fn inside(body: impl Fn() + Send + Sync) {
    on(&ALL, |world| world.run(&body));
}

/// Runs a test's body as a greenlet in these places.
#[track_caller]
pub(crate) fn inside_on(places: &[Place], body: impl Fn() + Send + Sync) {
    on(places, |world| world.run(&body));
}

/// Runs a test's body on a fresh runtime in each of these places.
#[track_caller]
pub(crate) fn on(places: &[Place], body: impl Fn(&World)) {
    on_built(places, |builder| builder, body);
}

/// As [`on`], with more settings.
#[track_caller]
pub(crate) fn on_built(places: &[Place], settings: impl Fn(Builder) -> Builder, body: impl Fn(&World)) {
    let _alone = alone();
    for &place in places {
        let before = left::Resources::now();
        let runtime = Arc::new(settings(place.builder()).build().expect("a runtime starts"));
        let _watched = watchdog::watch(format!("{:?} on {place:?}", std::thread::current().name()), &runtime);
        let world = World { place, runtime };
        let started = Instant::now();
        body(&world);
        if std::env::var_os("GREENHUB_TEST_TIMES").is_some() {
            eprintln!("{:>8.1?} {:?} {place:?}", started.elapsed(), std::thread::current().name());
        }
        left::expect_no_greenlets(&world);
        let runtime = Arc::into_inner(world.runtime).expect("the test has let go of its runtime");
        assert!(
            runtime.shutdown_timeout(Duration::from_secs(20)),
            "the runtime on {place:?} did not end in time"
        );
        left::expect_as_before(&before, place);
    }
}

/// Keeps other tests of this program from running meanwhile, and has the watchdog look after this one.
pub(crate) fn alone() -> Alone {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    install_hook();
    left::mark_this_thread();
    let watched = watchdog::watch_alone(format!("{:?}", std::thread::current().name()));
    Alone { _watched: watched, _guard: guard }
}

/// See [`alone`].
pub(crate) struct Alone {
    _watched: watchdog::Watched,
    _guard: MutexGuard<'static, ()>,
}

/// Waits, without holding up a hub, until `condition` holds; `false` if it does not within `limit`.
pub(crate) fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return condition();
        }
        greenhub::sleep(Duration::from_micros(200));
    }
}

/// Waits until `condition` holds; fails the test if that takes more than ten seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(Duration::from_secs(10), condition), "after ten seconds still not: {what}");
}

/// Spawns a greenlet and waits until it has begun.
pub(crate) fn spawn_begun<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> greenhub::JoinHandle<T> {
    let begun = Arc::new(AtomicBool::new(false));
    let flag = begun.clone();
    let handle = greenhub::spawn(move || {
        flag.store(true, SeqCst);
        f()
    });
    eventually("the greenlet began", || begun.load(SeqCst));
    handle
}

/// Waits until everything that may run now has parked: no greenlet is ready anywhere, as far as can be seen.
pub(crate) fn settle() {
    for _ in 0..3 {
        greenhub::sleep(Duration::from_millis(2));
    }
}

/// Computes for about so long, without suspending.
pub(crate) fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// The kernel's number of this OS thread, never cached by a compiler.
#[inline(never)]
pub(crate) fn os_thread() -> i64 {
    // SAFETY: asks only.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

/// `std::thread::panicking`, never cached by a compiler.
#[inline(never)]
pub(crate) fn std_panicking() -> bool {
    std::thread::panicking()
}

/// CPU time this process has used.
pub(crate) fn cpu_time() -> Duration {
    // SAFETY: all zeros is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is writable.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(failed, 0);
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The sum of one counter over all hubs.
pub(crate) fn sum(metrics: &Metrics, counter: impl Fn(&greenhub::runtime::HubMetrics) -> u64) -> u64 {
    metrics.hubs.iter().map(counter).sum()
}

/// Tells when it is dropped, and how often, and on which OS thread.
#[derive(Debug)]
pub(crate) struct Witness(Arc<Seen>);

/// What a [`Witness`] has told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    drops: AtomicUsize,
    thread: AtomicI64,
}

impl Witness {
    pub(crate) fn new() -> (Witness, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        (Witness(seen.clone()), seen)
    }

    pub(crate) fn of(seen: &Arc<Seen>) -> Witness {
        Witness(seen.clone())
    }
}

impl Seen {
    pub(crate) fn drops(&self) -> usize {
        self.drops.load(SeqCst)
    }
    /// Where it was dropped.
    pub(crate) fn thread(&self) -> i64 {
        self.thread.load(SeqCst)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.thread.store(os_thread(), SeqCst);
        self.0.drops.fetch_add(1, SeqCst);
    }
}

static QUIET: AtomicBool = AtomicBool::new(false);
static PRINTED: AtomicUsize = AtomicUsize::new(0);

/// Counts panic messages, and keeps them quiet when they are expected. Below the runtime's own hook, which wraps the one
/// it finds.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PRINTED.fetch_add(1, SeqCst);
            let message = info.payload_as_str().unwrap_or("");
            if !QUIET.load(SeqCst) || message.contains("assertion") {
                loud(info);
            }
        }));
    });
}

/// Runs `f` with panics kept quiet (they are expected), and says how many would have been printed.
pub(crate) fn quietly<T>(f: impl FnOnce() -> T) -> (T, usize) {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            QUIET.store(false, SeqCst);
        }
    }
    let _loud = Loud;
    QUIET.store(true, SeqCst);
    let before = PRINTED.load(SeqCst);
    let result = f();
    (result, PRINTED.load(SeqCst) - before)
}
