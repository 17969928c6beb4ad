//! [`after`], [`tick`] and [`never`](never()): receivers of points in time.
//!
//! There is no sender and no timer of their own: whoever receives waits until the next message is due and takes it.

use super::error::RecvTimeoutError;
use super::receiver::Receiver;
use super::shared::Patience;
use crate::facade::{ShortMutex, instant_now};
use crate::wait::{CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, deadline_after};
use std::time::{Duration, Instant};

pub(super) struct Clock<T> {
    inner: ShortMutex<Inner>,
    /// Turns the moment a message was due into the message.
    message: fn(Instant) -> T,
}

struct Inner {
    /// When the next message is due; none comes any more if `None`.
    next: Option<Instant>,
    period: Option<Duration>,
    /// Receivers; nobody wakes them, they go by their own deadlines.
    list: List<()>,
}

/// One message, the moment it was due, after `timeout`.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let started = Instant::now();
/// let timer = greenhub::channel::after(Duration::from_millis(5));
/// assert!(timer.recv().unwrap() >= started + Duration::from_millis(5));
/// assert!(timer.try_recv().is_err());
/// ```
pub fn after(timeout: Duration) -> Receiver<Instant> {
    Receiver::of_clock(Clock::new(deadline_after(timeout), None, |at| at))
}

/// A message every `period`, the moment it was due. Those that nobody takes in time are left out, not piled up.
///
/// ```
/// use std::time::Duration;
///
/// let ticks = greenhub::channel::tick(Duration::from_millis(2));
/// assert!(ticks.recv().unwrap() < ticks.recv().unwrap());
/// ```
pub fn tick(period: Duration) -> Receiver<Instant> {
    Receiver::of_clock(Clock::new(deadline_after(period), Some(period), |at| at))
}

/// No message, ever.
///
/// ```
/// let nothing = greenhub::channel::never::<String>();
/// assert!(nothing.recv_timeout(std::time::Duration::from_millis(1)).unwrap_err().is_timeout());
/// ```
pub fn never<T>() -> Receiver<T> {
    Receiver::of_clock(Clock::new(None, None, |_| unreachable!("no message is ever due")))
}

impl<T> Clock<T> {
    fn new(next: Option<Instant>, period: Option<Duration>, message: fn(Instant) -> T) -> Self {
        Clock { inner: ShortMutex::new(Inner { next, period, list: List::new() }), message }
    }

    pub(super) fn is_due(&self) -> bool {
        let next = self.inner.lock().next;
        next.is_some_and(|next| next <= instant_now())
    }

    pub(super) fn recv(&self, patience: Patience, what: CallName) -> Result<T, RecvTimeoutError> {
        loop {
            let now = instant_now();
            let mut inner = self.inner.lock();
            if let Some(due) = inner.take(now) {
                drop(inner);
                return Ok((self.message)(due));
            }
            let Patience::Until(deadline) = patience else { return Err(RecvTimeoutError::Timeout) };
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(RecvTimeoutError::Timeout);
            }
            let until = match (inner.next, deadline) {
                (Some(next), Some(deadline)) => Some(next.min(deadline)),
                (next, deadline) => next.or(deadline),
            };
            let reason = Reason::new(what, self);
            let wait = Wait { deadline: until, interrupts: Interrupts::Allowed, reason };
            if let Waited::Over { state, why: Over::Interrupted, .. } =
                wait.in_line(&self.inner, inner, |inner| &mut inner.list, Side::Back, ())
            {
                drop(state);
                wait.deliver();
            }
        }
    }
}

impl Inner {
    /// Takes the message that is due at `now` and sets when the next one is.
    fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next.filter(|&next| next <= now)?;
        self.next = self.period.and_then(|period| now.checked_add(period));
        Some(due)
    }
}
