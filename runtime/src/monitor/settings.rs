//! What the monitor reports, and how: the builder's settings and their environment variables.

use super::{BlockedReport, DeadlockReport};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt, io};

/// What happens when every greenlet waits and nothing is left that could wake one.
///
/// ```
/// use greenhub::runtime::{Builder, Deadlock};
/// use std::panic::{AssertUnwindSafe, catch_unwind};
///
/// let runtime = Builder::new().hubs(1).deadlock(Deadlock::Panic).build()?;
/// let waits_for_nobody = || runtime.run(|| greenhub::park());
/// assert!(catch_unwind(AssertUnwindSafe(waits_for_nobody)).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Deadlock {
    /// It is reported, on stderr or to [`on_deadlock`](crate::runtime::Builder::on_deadlock).
    #[default]
    Report,
    /// It is reported, and then the call of `run` panics: its greenlet unwinds, with the report as the payload.
    /// Greenlets it does not own go on waiting. In a program built with `panic = "abort"` the process ends.
    Panic,
    /// Nothing: nobody looks for it.
    Ignore,
}

/// How long a hub may be in one greenlet unless told otherwise.
const BLOCKED_AFTER: Duration = Duration::from_millis(100);

/// What a callback of the user looks like.
pub(super) type Callback<R> = Arc<dyn Fn(&R) + Send + Sync>;

/// What the monitor reports, and how. `None`: what the environment says, or the default.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) blocked_after: Option<Duration>,
    pub(crate) on_blocked: Option<Callback<BlockedReport>>,
    pub(crate) deadlock: Option<Deadlock>,
    pub(crate) on_deadlock: Option<Callback<DeadlockReport>>,
    pub(crate) dump_on_sigusr1: bool,
}

/// [`Settings`] with every question answered.
#[derive(Clone)]
pub(super) struct Resolved {
    /// `None`: blocked hubs are not reported.
    pub(super) blocked_after: Option<Duration>,
    pub(super) on_blocked: Option<Callback<BlockedReport>>,
    pub(super) deadlock: Deadlock,
    pub(super) on_deadlock: Option<Callback<DeadlockReport>>,
}

impl Settings {
    /// # Errors
    ///
    /// `InvalidInput` for a value in the environment that means nothing.
    pub(super) fn resolve(self) -> io::Result<Resolved> {
        let blocked_after = match self.blocked_after {
            Some(limit) => limit,
            None => {
                from_environment("GREENHUB_BLOCKED_AFTER_MS", parse_milliseconds)?.unwrap_or(BLOCKED_AFTER)
            }
        };
        let deadlock = match self.deadlock {
            Some(deadlock) => deadlock,
            None => from_environment("GREENHUB_DEADLOCK", parse_deadlock)?.unwrap_or_default(),
        };
        Ok(Resolved {
            blocked_after: (blocked_after != Duration::MAX).then_some(blocked_after),
            on_blocked: self.on_blocked,
            deadlock,
            on_deadlock: self.on_deadlock,
        })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("blocked_after", &self.blocked_after)
            .field("on_blocked", &self.on_blocked.is_some())
            .field("deadlock", &self.deadlock)
            .field("on_deadlock", &self.on_deadlock.is_some())
            .field("dump_on_sigusr1", &self.dump_on_sigusr1)
            .finish()
    }
}

/// The value of an environment variable, or, if `parse` cannot make sense of it, an error that says what would do.
fn from_environment<T>(
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> io::Result<Option<T>> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    parse(value.to_string_lossy().trim()).map(Some).map_err(|wanted| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{name}={value:?} means nothing: say {wanted}"))
    })
}

fn parse_milliseconds(value: &str) -> Result<Duration, &'static str> {
    if value == "off" {
        return Ok(Duration::MAX);
    }
    let milliseconds = value.parse().ok().filter(|&milliseconds| milliseconds > 0);
    milliseconds.map(Duration::from_millis).ok_or("a number of milliseconds, 1 or more, or `off`")
}

fn parse_deadlock(value: &str) -> Result<Deadlock, &'static str> {
    match value {
        "report" => Ok(Deadlock::Report),
        "panic" => Ok(Deadlock::Panic),
        "ignore" => Ok(Deadlock::Ignore),
        _ => Err("`report`, `panic` or `ignore`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_environment_mean_what_they_say_or_nothing() {
        assert_eq!(parse_milliseconds("250"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_milliseconds("off"), Ok(Duration::MAX));
        for nonsense in ["0", "-1", "", "1s"] {
            assert!(parse_milliseconds(nonsense).is_err(), "{nonsense:?}");
        }
        assert_eq!(parse_deadlock("panic"), Ok(Deadlock::Panic));
        assert!(parse_deadlock("abort").is_err());
    }

    #[test]
    fn settings_that_were_made_pass_over_the_environment() {
        let settings = Settings {
            blocked_after: Some(Duration::MAX),
            deadlock: Some(Deadlock::Ignore),
            ..Settings::default()
        };
        let resolved = settings.resolve().unwrap();
        assert_eq!(resolved.blocked_after, None);
        assert_eq!(resolved.deadlock, Deadlock::Ignore);
    }
}
