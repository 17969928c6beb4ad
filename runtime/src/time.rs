//! Sleeping and time limits, under the names of `std::thread` and gevent.

use crate::greenlet::{current, park};
use crate::timer::clock;
use std::fmt;
use std::time::{Duration, Instant};

pub use crate::greenlet::timeout::timeout;

/// The time was up; see [`timeout`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed(());

impl Elapsed {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit has passed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// What time it is: [`Instant::now`], but in an [exploration](mod@crate::explore) the time it has there.
///
/// ```
/// use greenhub::time;
/// use std::time::Duration;
///
/// greenhub::explore(|| {
///     let start = time::now();
///     greenhub::sleep(Duration::from_secs(3600)); // takes no time at all
///     assert_eq!(time::now() - start, Duration::from_secs(3600));
/// });
/// ```
#[must_use]
pub fn now() -> Instant {
    crate::facade::instant_now()
}

/// Stops the greenlet for `duration`; the hub goes on with others. Never returns early. On a plain OS thread this is
/// `std::thread::sleep`, except that an enclosing [`timeout`] ends it.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// greenhub::run(|| {
///     let start = Instant::now();
///     greenhub::sleep(Duration::from_millis(3));
///     assert!(start.elapsed() >= Duration::from_millis(3));
/// });
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        return crate::yield_now();
    }
    sleep_to(clock::deadline(duration));
}

/// Stops the greenlet until `deadline`; see [`sleep`].
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let soon = Instant::now() + Duration::from_millis(1);
/// greenhub::run(move || greenhub::sleep_until(soon));
/// assert!(Instant::now() >= soon);
/// ```
pub fn sleep_until(deadline: Instant) {
    if deadline <= now() {
        return crate::yield_now();
    }
    sleep_to(Some(deadline));
}

fn sleep_to(deadline: Option<Instant>) {
    match current::greenlet() {
        Some(greenlet) => park::sleep_until(greenlet, deadline.map_or(clock::NEVER, clock::nanos)),
        None => sleep_thread(deadline),
    }
}

fn sleep_thread(deadline: Option<Instant>) {
    use crate::wait::{Ended, Interrupts, Reason, Waiter, deliver_interrupts, park};
    loop {
        let ended = park(&Waiter::current(), deadline, Interrupts::Allowed, &Reason::outside(&"sleep", 0));
        match ended {
            Ended::Woken | Ended::TimedOut => return,
            Ended::Interrupted => deliver_interrupts(),
            Ended::FalseAlarm => {}
        }
    }
}
