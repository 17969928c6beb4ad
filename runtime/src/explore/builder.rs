//! [`Builder`]: how an exploration is set up.

use super::explorer::Terms;
use super::report::Failure;
use super::run;
use super::seed::{MAX_DEPTH, Method, Seed};
use super::strategy::Random;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::panic::Location;
use std::str::FromStr;

/// How many schedules, unless somebody says.
const ITERATIONS: usize = 1000;

/// How many steps a schedule may take, unless somebody says.
const STEPS: u64 = 100_000;

/// How long a PCT schedule is taken to be as long as none has been seen.
const FIRST_LENGTH: u32 = 100;

/// How schedules are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// One schedule random, the next by PCT of depth 3, and so on: they find different bugs.
    #[default]
    Mixed,
    /// At every step whoever may run has the same chance. Good at bugs that need many switches.
    Random,
    /// Probabilistic concurrency testing: greenlets have random priorities, the highest runs, and `depth - 1` times in a
    /// schedule the one that runs drops below all others. Good at bugs that need few switches, but those exactly: a bug
    /// of `depth` ordered events among `n` greenlets in `k` steps is met with a chance of at least 1 in
    /// `n * k^(depth-1)` a schedule. Most bugs have a depth of 1 or 2.
    Pct {
        /// 1 to 1,000.
        depth: u32,
    },
}

/// Settings of an exploration.
///
/// ```
/// use greenhub::explore::{Builder, Strategy};
/// use greenhub::sync::Mutex;
/// use std::sync::Arc;
///
/// Builder::new().iterations(200).strategy(Strategy::Pct { depth: 2 }).run(|| {
///     let count = Arc::new(Mutex::new(0));
///     let add = |count: Arc<Mutex<u32>>| greenhub::spawn(move || *count.lock() += 1);
///     let both = [add(count.clone()), add(count.clone())];
///     greenhub::join_all(both).into_iter().for_each(|each| each.unwrap());
///     assert_eq!(*count.lock(), 2);
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings explore nothing until `run` or `check`"]
pub struct Builder {
    iterations: Option<usize>,
    strategy: Strategy,
    first: Option<u64>,
    replay: Option<Seed>,
    steps: u64,
    time_races: bool,
    kill_leftovers: bool,
}

/// What an exploration did that found nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Explored {
    /// How many schedules were run.
    pub iterations: usize,
    /// How many steps they took together. A step is one choice.
    pub steps: u64,
    /// How many steps the longest took.
    pub longest: u64,
    /// A number that two explorations have in common if they made the same choices at every step.
    pub fingerprint: u64,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The default settings: 1,000 schedules of mixed strategy, at most 100,000 steps each.
    pub fn new() -> Self {
        Self {
            iterations: None,
            strategy: Strategy::default(),
            first: None,
            replay: None,
            steps: STEPS,
            time_races: true,
            kill_leftovers: false,
        }
    }

    /// How many schedules. Without it: the environment variable `GREENHUB_EXPLORE_ITERATIONS`, or 1,000.
    ///
    /// # Panics
    ///
    /// If that is none.
    pub fn iterations(mut self, iterations: usize) -> Self {
        assert!(iterations > 0, "iterations(0): an exploration needs at least one schedule");
        self.iterations = Some(iterations);
        self
    }

    /// How schedules are chosen.
    ///
    /// # Panics
    ///
    /// For a depth of 0 or above 1,000.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        if let Strategy::Pct { depth } = strategy {
            assert!((1..=MAX_DEPTH).contains(&depth), "a depth of {depth}: say 1 to {MAX_DEPTH}");
        }
        self.strategy = strategy;
        self
    }

    /// The number from which the seeds of all schedules come: the same number, the same exploration. Without it, another
    /// one every time.
    pub fn first_seed(mut self, first: u64) -> Self {
        self.first = Some(first);
        self
    }

    /// This one schedule and no other, however many iterations were asked for.
    ///
    /// ```
    /// use greenhub::explore::Builder;
    ///
    /// let explored = Builder::new()
    ///     .replay("random-00c0ffee00c0ffee".parse()?)
    ///     .check(|| drop(greenhub::spawn(|| ())))
    ///     .unwrap();
    /// assert_eq!(explored.iterations, 1);
    /// # Ok::<(), greenhub::explore::ParseSeedError>(())
    /// ```
    pub fn replay(mut self, seed: Seed) -> Self {
        self.replay = Some(seed);
        self
    }

    /// How many steps (choices) one schedule may take before it counts as one that does not end (100,000).
    ///
    /// # Panics
    ///
    /// If that is none.
    pub fn steps(mut self, steps: u64) -> Self {
        assert!(steps > 0, "steps(0): a schedule takes at least one step");
        self.steps = steps;
        self
    }

    /// Whether time may pass while a greenlet could run (it may). With `false` it passes only when everybody waits:
    /// every greenlet is then as quick as can be, and timeouts fire only where nothing else would happen.
    ///
    /// ```
    /// use greenhub::explore::Builder;
    /// use std::time::Duration;
    ///
    /// Builder::new().iterations(50).time_races(false).run(|| {
    ///     let busy = || (0..10).for_each(|_| greenhub::yield_now());
    ///     assert!(greenhub::timeout(Duration::from_millis(1), busy).is_ok());
    /// });
    /// ```
    pub fn time_races(mut self, races: bool) -> Self {
        self.time_races = races;
        self
    }

    /// Whether greenlets that are left when the explored closure returns are killed (they are not). With `false` they
    /// run on to their ends, and one that waits for ever is a [leak](super::Problem::Leak).
    ///
    /// ```
    /// use greenhub::explore::Builder;
    /// use std::time::Duration;
    ///
    /// Builder::new().iterations(50).kill_leftovers(true).run(|| {
    ///     drop(greenhub::spawn(|| loop {
    ///         greenhub::sleep(Duration::from_secs(1)); // a daemon
    ///     }));
    /// });
    /// ```
    pub fn kill_leftovers(mut self, kill: bool) -> Self {
        self.kill_leftovers = kill;
        self
    }

    /// Explores `f`; see [`explore`](super::explore()).
    ///
    /// # Panics
    ///
    /// As [`explore`](super::explore()).
    #[track_caller]
    pub fn run<F>(self, f: F)
    where
        F: Fn() + Send + Sync + 'static,
    {
        if let Err(failure) = self.check(f) {
            panic!("{failure}");
        }
    }

    /// Explores `f`, and gives what was found instead of panicking with it. Stops at the first schedule that fails; what
    /// it leaves (greenlets in a deadlock, and what they own) stays in memory until the process ends.
    ///
    /// ```
    /// use greenhub::explore::{Builder, Problem};
    ///
    /// let failure = Builder::new().check(|| greenhub::park()).unwrap_err();
    /// assert_eq!(failure.problem(), Problem::Deadlock);
    /// let again = Builder::new().replay(failure.seed()).check(|| greenhub::park()).unwrap_err();
    /// assert_eq!(again.fingerprint(), failure.fingerprint());
    /// ```
    ///
    /// # Errors
    ///
    /// The first schedule that fails.
    ///
    /// # Panics
    ///
    /// Inside a greenlet; if an environment variable means nothing; and if the system has no thread or memory for the
    /// runtime that explores.
    #[track_caller]
    pub fn check<F>(self, f: F) -> Result<Explored, Failure>
    where
        F: Fn() + Send + Sync + 'static,
    {
        let terms =
            Terms { steps: self.steps, time_races: self.time_races, kill_leftovers: self.kill_leftovers };
        let seeds = match self.seeds() {
            Ok(seeds) => seeds,
            Err(error) => panic!("greenhub::explore: {error}"),
        };
        run::explore(terms, seeds, f, Location::caller())
    }

    fn seeds(&self) -> Result<Seeds, String> {
        let replay = match from_environment::<Seed>("GREENHUB_REPLAY", "the seed that a failure printed")? {
            Some(seed) => Some(seed),
            None => self.replay,
        };
        let asked = from_environment("GREENHUB_EXPLORE_ITERATIONS", "a number of schedules, 1 or more")?;
        if asked == Some(0) {
            return Err("GREENHUB_EXPLORE_ITERATIONS=0: say a number of schedules, 1 or more".into());
        }
        Ok(Seeds {
            left: if replay.is_some() { 1 } else { self.iterations.or(asked).unwrap_or(ITERATIONS) },
            replay,
            strategy: self.strategy,
            // Keyed anew by std in each process and each time.
            random: Random(self.first.unwrap_or_else(|| RandomState::new().hash_one(()))),
            is_random: true,
        })
    }
}

/// The value of an environment variable, or what would do.
fn from_environment<T: FromStr>(name: &str, wanted: &str) -> Result<Option<T>, String> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let parsed = value.to_str().and_then(|value| value.trim().parse().ok());
    parsed.map(Some).ok_or_else(|| format!("{name}={value:?} means nothing: say {wanted}"))
}

/// The schedules of an exploration, one after the other.
pub(super) struct Seeds {
    left: usize,
    replay: Option<Seed>,
    strategy: Strategy,
    random: Random,
    /// Whose turn it is, where they are mixed.
    is_random: bool,
}

impl Seeds {
    /// The next schedule's; the longest so far took `longest` steps.
    pub(super) fn next(&mut self, longest: u64) -> Option<Seed> {
        self.left = self.left.checked_sub(1)?;
        if self.replay.is_some() {
            return self.replay;
        }
        let length = if longest == 0 { FIRST_LENGTH } else { u32::try_from(longest).unwrap_or(u32::MAX) };
        let method = match self.strategy {
            Strategy::Random => Method::Random,
            Strategy::Pct { depth } => Method::Pct { depth, length },
            Strategy::Mixed if self.is_random => Method::Random,
            Strategy::Mixed => Method::Pct { depth: 3, length },
        };
        self.is_random = !self.is_random;
        Some(Seed { method, number: self.random.next() })
    }
}
