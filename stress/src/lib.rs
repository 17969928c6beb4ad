//! What the stress programs share: options, a seeded source of chance, accounting, a watchdog, and a last look.
//!
//! Each program under `src/bin` hunts one danger, in rounds, until its time is up. What a round does follows from the
//! seed; in which order the hubs do it does not, so a seed narrows a failure down but need not repeat it. Nothing
//! is survived quietly: a panic that is not meant, a round without progress, a greenlet, stack or registration left at
//! the end each abort the program, with the seed and what the runtime knows.
//!
//! With `--soak` a program runs for an hour, unless told otherwise, and what the process holds between rounds must stay
//! flat.
//!
//! Panics that are meant use [`greenhub::resume_unwind`], which runs no hook.
//!
//! Each was seen to fail once, on a bug planted in a copy of the runtime:
//!
//! | program | the planted bug | how it showed, within seconds |
//! |---|---|---|
//! | `spawn` | one in 100,000 new greenlets is put into no queue | nothing gets on |
//! | `steal` | one in 50 thieves loses what it took first | nothing gets on |
//! | `unpark` | one in 2,000 tokens for a greenlet that is awake is not kept | nothing gets on |
//! | `kill` | one in 2,000 kills does nothing | nothing gets on |
//! | `timeout` | one in 100 timers that fire early counts as due | a wait that ended early |
//! | `descriptors` | one in 500 descriptors is closed without being deregistered | a call fails as the number comes again |
//! | `connections` | one in 100 error events is not passed on | an end that the server has not seen |
//! | `emfile` | one in 50 shortages is an error of `accept` | the server says so |
//! | `stacks` | now and then one stack more than the limit; a wait for a stack that cannot come | too many inside; nothing gets on |
//! | `stuck` | nobody looks after a stuck hub | nothing gets on |
//! | `million` | a wake of more than 10,000 leaves one out | nothing gets on |
//! | `runtimes` | one in 20 event loops stays open | descriptors grow |
//! | `mixed` | one in 2,000 wakes of an OS thread is not sent | nothing gets on |
//! | `kill --soak` | each greenlet leaves 200 bytes behind | memory grows, with the samples |

mod chance;
mod ledger;
mod process;
mod soak;
mod watchdog;

pub use chance::Chance;
pub use ledger::{Inside, Ledger, Witness};
pub use process::{Limit, Resources, address_space, available_memory, waited_for_processors};
pub use watchdog::{die, expect_panic, progress, watch};

use clap::{Args, Parser};
use greenhub::runtime::{Builder, HubMetrics, Metrics, Runtime};
use soak::Soak;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long the last look waits for what is still ending.
const PATIENCE: Duration = Duration::from_secs(10);

/// The command line of every stress program.
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// How long new rounds are begun [default: 5, with --soak 3600].
    #[arg(long)]
    pub seconds: Option<u64>,
    /// What the rounds follow from; taken from the clock if it is not given.
    #[arg(long)]
    pub seed: Option<u64>,
    /// On how many hubs.
    #[arg(long, default_value_t = 2)]
    pub hubs: usize,
    /// Whether started greenlets migrate.
    #[arg(long)]
    pub migrate: bool,
    /// Whether memory, mappings and descriptors must stay as they are after a warm-up of a third of the time.
    #[arg(long)]
    pub soak: bool,
}

/// One program's run: gives out rounds, and ends it all.
pub struct Stress {
    program: String,
    options: Options,
    length: Duration,
    seed: u64,
    rounds: u64,
    started: Instant,
    soak: Option<Soak>,
}

/// The command line of a program that has options of its own.
#[derive(Parser)]
struct CommandLine<More: Args> {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    more: More,
}

#[derive(Args)]
struct NoMore {}

impl Stress {
    /// Reads the command line, says what will be done, and starts the watchdog.
    pub fn start(program: &str) -> Stress {
        Self::start_with::<NoMore>(program).0
    }

    /// As [`start`](Self::start), for a program that has more options.
    pub fn start_with<More: Args>(program: &str) -> (Stress, More) {
        let CommandLine { options, more } = CommandLine::parse();
        let seconds = options.seconds.unwrap_or(if options.soak { 3600 } else { 5 });
        let clock = || {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64)
        };
        let seed = options.seed.unwrap_or_else(clock);
        let migrate = if options.migrate { " --migrate" } else { "" };
        let every = if moves_every_time() { "GREENHUB_MIGRATE=every " } else { "" };
        let soaks = if options.soak { " --soak" } else { "" };
        let line = format!(
            "{every}{program} --seconds {seconds} --hubs {}{migrate}{soaks} --seed {seed}",
            options.hubs
        );
        println!("{line}");
        watchdog::start(line);
        let length = Duration::from_secs(seconds);
        let soak = options.soak.then(|| Soak::new(length));
        let started = Instant::now();
        (Stress { program: program.into(), options, length, seed, rounds: 0, started, soak }, more)
    }

    /// The settings of a runtime as the command line wants it.
    pub fn builder(&self) -> Builder {
        self.builder_for(self.options.hubs)
    }

    /// As [`builder`](Self::builder), with so many hubs.
    pub fn builder_for(&self, hubs: usize) -> Builder {
        // Greenlets that compute are part of the stress, and so are cores that others use.
        let builder = Builder::new().hubs(hubs).blocked_after(Duration::MAX);
        if self.options.migrate {
            // SAFETY: the programs' greenlets hold nothing across a suspension that is not `Send`, unless they are
            // local ones, which are pinned; they touch no thread-local of their own and no OS thread's identity.
            unsafe { builder.migrate_started() }
        } else {
            builder
        }
    }

    /// The runtime the command line wants.
    pub fn runtime(&self) -> Arc<Runtime> {
        let runtime = Arc::new(self.builder().build().expect("a runtime starts"));
        watch(&runtime);
        runtime
    }

    /// Whether the command line wants started greenlets to migrate.
    pub fn migrates(&self) -> bool {
        self.options.migrate
    }

    /// How many hubs the command line wants.
    pub fn hubs(&self) -> usize {
        self.options.hubs
    }

    /// Rounds begun so far.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// The chance of the next round, or `None` when the time is up.
    pub fn next_round(&mut self) -> Option<Chance> {
        progress();
        if let Some(soak) = &mut self.soak {
            soak.look(self.started);
        }
        if self.started.elapsed() >= self.length {
            return None;
        }
        self.rounds += 1;
        Some(Chance::new(self.seed ^ self.rounds.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    /// Ends the runtime; dies if anything is left of its greenlets, or if it does not end. Then says what was done.
    pub fn finish(self, runtime: Arc<Runtime>, done: &str) {
        expect_nothing_left(&runtime);
        let Some(runtime) = Arc::into_inner(runtime) else { die("the runtime is still held by somebody") };
        if !runtime.shutdown_timeout(PATIENCE) {
            die("the runtime did not end in time");
        }
        self.conclude(done);
    }

    /// Says what was done.
    pub fn conclude(self, done: &str) {
        if self.rounds == 0 {
            die("not one round was begun");
        }
        if let Some(soak) = self.soak {
            println!("{}", soak.conclude());
        }
        println!(
            "{} on {} hubs: {} rounds in {:.1?}: {done}",
            self.program,
            self.options.hubs,
            self.rounds,
            self.started.elapsed()
        );
    }
}

/// Whether each greenlet of a migrating runtime is resumed on another hub than last time.
pub fn moves_every_time() -> bool {
    std::env::var_os("GREENHUB_MIGRATE").is_some_and(|value| value == "every")
}

/// The sum of one counter over all hubs.
pub fn sum(metrics: &Metrics, counter: impl Fn(&HubMetrics) -> u64) -> u64 {
    metrics.hubs.iter().map(counter).sum()
}

/// Waits until `condition` holds; `false` if it does not within `limit`.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return condition();
        }
        greenhub::sleep(Duration::from_micros(100));
    }
}

/// Computes for about so long, without suspending.
pub fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// Dies unless every greenlet has ended and everything that belonged to one is back.
pub fn expect_nothing_left(runtime: &Runtime) {
    let clean = || {
        let now = runtime.metrics();
        let idle = |hub: &HubMetrics| {
            hub.registrations == 0 && hub.timers == 0 && hub.live_started == 0 && hub.waiting_outside == 0
        };
        now.live == 0 && now.stacks_in_use == 0 && now.blocking_jobs == 0 && now.hubs.iter().all(idle)
    };
    if !within(PATIENCE, clean) {
        die(&format!("something is left: {:#?}", runtime.metrics()));
    }
}
