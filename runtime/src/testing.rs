//! What the unit tests of the waiting primitives share: runtimes of every kind, threads that are greenlets when the
//! test is one, kills, chance, and a watchdog.
//!
//! A test's body is the same code on plain OS threads and in greenlets ([`everywhere`]); [`thread`] spawns what fits. On
//! two hubs every other one spawned is an OS thread, so that both sorts meet at one object.

use crate::JoinHandle;
use crate::monitor::dump_of;
use crate::runtime::{Builder, Shared};
use crate::wait::current_id;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How long a stress test goes on in one place.
pub(crate) const BRIEF: Duration = Duration::from_millis(60);

/// How long one body may take in one place.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `body` on a plain OS thread, and then as [`in_greenlets`] does.
pub(crate) fn everywhere(body: impl Fn() + Send + Sync) {
    {
        let _watchdog = watch("on OS threads".into(), None);
        body();
    }
    in_greenlets(body);
}

/// Runs `body` as a greenlet on fresh runtimes: 1, 2 and 4 hubs, in both modes. Nothing may be left of it.
pub(crate) fn in_greenlets(body: impl Fn() + Send + Sync) {
    for migrate in [false, true] {
        for hubs in [1, 2, 4] {
            on(hubs, migrate, &body);
        }
    }
}

/// Runs `body` as a greenlet on one hub that keeps to itself, where the order of things is known.
pub(crate) fn on_one_hub(body: impl Fn() + Send + Sync) {
    on(1, false, &body);
}

fn on(hubs: usize, migrate: bool, body: &(impl Fn() + Send + Sync)) {
    let place = format!("on {hubs} hubs{}", if migrate { ", migrating" } else { "" });
    let mut builder = Builder::new().hubs(hubs);
    if migrate {
        // SAFETY: what the tests hold across a suspension is `Send`, and they use no thread-locals of their own.
        builder = unsafe { builder.migrate_started() };
    }
    let runtime = builder.build().expect("a runtime starts");
    let _watchdog = watch(place.clone(), Some(runtime.shared()));
    runtime.run(body);
    let deadline = Instant::now() + Duration::from_secs(10);
    while runtime.metrics().live != 0 {
        assert!(Instant::now() < deadline, "{} greenlets are left {place}", runtime.metrics().live);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(runtime.shutdown_timeout(Duration::from_secs(10)), "the runtime ends {place}");
}

/// While it lives, the calling test is watched.
struct Watchdog(#[expect(dead_code, reason = "dropping it calls the watchdog off")] mpsc::Sender<()>);

fn watch(place: String, runtime: Option<&Arc<Shared>>) -> Watchdog {
    let runtime = runtime.map(Arc::downgrade);
    let (alive, gone) = mpsc::channel::<()>();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if gone.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            let dump = runtime.and_then(|runtime| runtime.upgrade()).map(|runtime| dump_of(&runtime));
            let dump = dump.unwrap_or_default();
            // Directly, past the capture of the test harness. Nothing is left to be done if that fails.
            let _written = writeln!(std::io::stderr(), "{test} {place} hangs\n{dump}");
            std::process::abort();
        }
    });
    Watchdog(alive)
}

/// `std::thread`, as far as the tests use it, of greenlets if a greenlet asks.
pub(crate) mod thread {
    use super::*;
    pub(crate) use crate::{sleep, yield_now};

    /// A greenlet, or an OS thread that a greenlet may join.
    pub(crate) enum Handle<T> {
        Greenlet(JoinHandle<T>),
        Thread(std::thread::JoinHandle<T>),
    }

    /// Spawns a greenlet if a greenlet calls (on two hubs every other time), and an OS thread otherwise.
    #[track_caller]
    pub(crate) fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
        static TURN: AtomicU64 = AtomicU64::new(0);
        let hubs = crate::greenlet::current::hub().map_or(0, |hub| hub.runtime().hubs().len());
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        match hubs {
            0 => Handle::Thread(std::thread::spawn(f)),
            2 if turn.is_multiple_of(2) => Handle::Thread(std::thread::spawn(f)),
            _ => Handle::Greenlet(crate::spawn(f)),
        }
    }

    impl<T> Handle<T> {
        pub(crate) fn is_finished(&self) -> bool {
            match self {
                Handle::Greenlet(handle) => handle.is_finished(),
                Handle::Thread(handle) => handle.is_finished(),
            }
        }

        pub(crate) fn join(self) -> Result<T, Box<dyn std::any::Any + Send>> {
            match self {
                Handle::Greenlet(handle) => handle.join().map_err(|error| match error.try_into_panic() {
                    Ok(payload) => payload,
                    Err(error) => Box::new(error.to_string()),
                }),
                Handle::Thread(handle) => {
                    while !handle.is_finished() {
                        sleep(Duration::from_micros(200));
                    }
                    handle.join()
                }
            }
        }
    }
}

/// Spawns `f` as a greenlet, kills it `after` so long, and says whether it died of that.
pub(crate) fn dies<T: Send + 'static>(after: Duration, f: impl FnOnce() -> T + Send + 'static) -> bool {
    let victim = crate::spawn(f);
    crate::sleep(after);
    victim.kill();
    match victim.join() {
        Ok(_) => false,
        Err(error) if error.is_killed() => true,
        Err(error) => panic!("{error}"),
    }
}

/// Chance (xorshift64).
pub(crate) struct Chance(u64);

impl Chance {
    /// Seeded by the clock, or by the environment variable `GREENHUB_SEED`; says so.
    pub(crate) fn new() -> Self {
        let seed = std::env::var("GREENHUB_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("after 1970").as_nanos() as u64 ^ current_id().get()
        });
        println!("GREENHUB_SEED={seed}");
        Self(seed | 1)
    }

    /// Another one, whose course this one decides.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next() | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn micros(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }

    /// True one time in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Has `workers` greenlets call `step` again and again, for [`BRIEF`], and kills them at random; whoever is killed gets
/// a successor. One call in four is made inside a short timeout. Two OS threads, which nobody can kill, do the same.
/// When it returns all have ended: if `by_themselves`, the last without being killed. Gives how many were killed.
pub(crate) fn with_random_kills<S>(workers: usize, by_themselves: bool, step: S) -> usize
where
    S: Fn(&mut Chance) + Send + Sync + Clone + 'static,
{
    let mut chance = Chance::new();
    let stop = Arc::new(AtomicBool::new(false));
    let worker = |chance: &mut Chance| {
        let (step, stop, mut chance) = (step.clone(), stop.clone(), chance.fork());
        move || {
            while !stop.load(Ordering::Relaxed) {
                if chance.one_in(4) {
                    let limit = chance.micros(300);
                    // Elapsed or not: both are wanted.
                    let _elapsed = crate::timeout(limit, || step(&mut chance));
                } else {
                    step(&mut chance);
                }
                crate::yield_now();
            }
        }
    };
    let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(worker(&mut chance))).collect();
    let mut greenlets: Vec<_> = (0..workers).map(|_| crate::spawn(worker(&mut chance))).collect();
    let until = Instant::now() + BRIEF;
    let mut killed = 0;
    let mut see = |ended: Result<(), crate::JoinError>| match ended {
        Ok(()) => {}
        Err(error) if error.is_killed() => killed += 1,
        Err(error) => crate::resume_unwind(error.into_panic()),
    };
    while Instant::now() < until {
        crate::sleep(chance.micros(400));
        for _ in 0..=chance.below(2) {
            let at = chance.below(workers as u64) as usize;
            greenlets[at].kill();
            if chance.one_in(2) {
                let successor = crate::spawn(worker(&mut chance));
                see(std::mem::replace(&mut greenlets[at], successor).join());
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    if !by_themselves {
        crate::kill_all(greenlets.iter().map(JoinHandle::greenlet));
    }
    greenlets.into_iter().for_each(|greenlet| see(greenlet.join()));
    for thread in threads {
        if let Err(payload) = thread::Handle::Thread(thread).join() {
            crate::resume_unwind(payload);
        }
    }
    killed
}
