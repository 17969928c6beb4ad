//! Joining: how somebody waits for a greenlet's end and takes what it left.

use super::current;
use super::handle::{Describe, Greenlet};
use super::header::{Header, Ref, take_result};
use super::state::Phase;
use crate::hub::queue::Entry;
use crate::timer::clock;
use crate::wait::{Ended, Interrupts, Reason, Waiter, Wakeup, deliver_interrupts, park};
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The right to take a greenlet's result, once. Dropping it detaches the greenlet, which runs on.
///
/// Also a future, for async code that waits for a greenlet.
///
/// ```
/// let handle = greenhub::spawn(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// ```
#[must_use = "dropping the handle detaches the greenlet; if that is meant, say `drop(..)`"]
pub struct JoinHandle<T> {
    greenlet: Greenlet,
    header: Option<Ref>,
    result: PhantomData<T>,
}

// SAFETY: a handle is the greenlet's shared header and the right to take a `T` out of it, on whichever thread the
// handle then is; so it is as `Send` as `T`.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: through `&JoinHandle` only the shared header can be reached, never the `T`; but a handle of something that
// is not `Send` stays with its hub altogether, so that nobody elsewhere can come to wait for it.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(crate) fn new(header: Ref) -> Self {
        Self { greenlet: Greenlet::new(header.clone()), header: Some(header), result: PhantomData }
    }

    fn header(&self) -> &Ref {
        self.header.as_ref().expect("taken only by `join`, `poll` and `drop`")
    }

    /// Waits for the greenlet's end and gives what it returned.
    ///
    /// A greenlet that has not started and that nobody has taken yet is run at once, before whatever else is ready.
    ///
    /// # Errors
    ///
    /// A [`JoinError`] if it panicked, was killed, or could not be given a stack.
    pub fn join(self) -> Result<T, JoinError> {
        wait_for(self.header(), None);
        self.take()
    }

    /// As [`JoinHandle::join`] for a greenlet that was lent something: returns or unwinds only when it has ended. Who is
    /// interrupted meanwhile kills it first.
    pub(crate) fn join_to_the_end(self) -> Result<T, JoinError> {
        let waited = catch_unwind(AssertUnwindSafe(|| wait_for(self.header(), None)));
        if let Err(payload) = waited {
            self.kill();
            wait_with(self.header(), None, Interrupts::Kept);
            super::unwind::resume_unwind(payload);
        }
        self.take()
    }

    fn take(mut self) -> Result<T, JoinError> {
        let header = self.header.take().expect("a handle is joined once");
        // SAFETY: the greenlet is done, its result is a `T`, and the handle is used up.
        unsafe { take_result(&header) }.expect("a greenlet that is done has left a result")
    }

    /// Waits for the greenlet's end, for at most `limit`. Gives whether it has ended.
    #[must_use]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        wait_for(self.header(), clock::deadline(limit).map(Some).unwrap_or(None))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.greenlet.is_finished()
    }

    /// The greenlet.
    #[must_use]
    pub fn greenlet(&self) -> &Greenlet {
        &self.greenlet
    }

    /// As [`Greenlet::kill`].
    pub fn kill(&self) {
        self.greenlet.kill();
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(header) = self.header.take()
            && header.state.detach()
        {
            super::finish::drop_result(header.as_ptr());
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("greenlet", &self.greenlet).finish_non_exhaustive()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let header = self.header();
        if !header.state.load().is_done() {
            let mut list = header.joiners.0.lock();
            if header.state.join() {
                list.add_waker(context.waker());
                return Poll::Pending;
            }
        }
        let header = self.header.take().expect("a handle is joined once");
        // SAFETY: as in `take`.
        Poll::Ready(unsafe { take_result(&header) }.expect("a greenlet that is done has left a result"))
    }
}

/// Waits for every handle, in order, and gives the results in order.
///
/// ```
/// let squares = greenhub::join_all((0..4).map(|n| greenhub::spawn(move || n * n)));
/// assert_eq!(squares.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 1, 4, 9]);
/// ```
pub fn join_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<Result<T, JoinError>> {
    // All of them exist before the first is waited for: an iterator that spawns lazily would run them one by one.
    let handles: Vec<_> = handles.into_iter().collect();
    handles.into_iter().map(JoinHandle::join).collect()
}

/// Who waits for one greenlet's end.
#[derive(Default)]
pub(crate) struct JoinList(Mutex<Joiners>);

#[derive(Default)]
struct Joiners {
    /// Nearly always there is one, and it needs no allocation.
    first: Option<Waiter>,
    others: Vec<Waiter>,
    wakers: Vec<Waker>,
}

impl JoinList {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Joiners { first: None, others: Vec::new(), wakers: Vec::new() }))
    }
}

impl Joiners {
    fn add(&mut self, waiter: Waiter) {
        match &mut self.first {
            first @ None => *first = Some(waiter),
            Some(_) => self.others.push(waiter),
        }
    }

    fn remove(&mut self, waiter: &Waiter) {
        if self.first.as_ref() == Some(waiter) {
            self.first = None;
        } else {
            self.others.retain(|each| each != waiter);
        }
    }

    fn add_waker(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|each| each.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }
}

/// Wakes whoever waits for a greenlet that has ended. `next`: they run before what is ready.
pub(crate) fn wake_joiners(header: &Header, next: bool) {
    let mut first: Option<Wakeup> = None;
    let (mut others, mut wakers) = (Vec::new(), Vec::new());
    {
        let mut list = header.joiners.0.lock();
        if let Some(waiter) = list.first.take() {
            // SAFETY: a listed waiter is inside its wait: it takes this lock before it leaves.
            first = unsafe { waiter.wake() };
        }
        if !list.others.is_empty() {
            // SAFETY: as above.
            others = list.others.drain(..).filter_map(|waiter| unsafe { waiter.wake() }).collect();
        }
        if !list.wakers.is_empty() {
            wakers = std::mem::take(&mut list.wakers);
        }
    }
    if let Some(wakeup) = first {
        if next { wakeup.deliver_next() } else { wakeup.deliver() }
    }
    others.into_iter().for_each(Wakeup::deliver);
    wakers.into_iter().for_each(Waker::wake);
}

/// Waits until the greenlet has ended or the time is up; gives whether it has ended.
pub(crate) fn wait_for(header: &Ref, deadline: Option<Instant>) -> bool {
    wait_with(header, deadline, Interrupts::Allowed)
}

/// As [`wait_for`], with a say in whether it may be interrupted.
pub(crate) fn wait_with(header: &Ref, deadline: Option<Instant>, interrupts: Interrupts) -> bool {
    let mut tried_to_claim = false;
    loop {
        let now = header.state.load();
        if now.is_done() {
            return true;
        }
        let waiter = Waiter::current();
        {
            let mut list = header.joiners.0.lock();
            if !header.state.join() {
                return true;
            }
            list.add(waiter);
        }
        if !tried_to_claim && now.phase() == Phase::Unstarted {
            tried_to_claim = true;
            claim(header);
        }
        let mut reason = Reason::new("JoinHandle::join", &**header);
        reason.holder = Some(running_id);
        let ended = park(&waiter, deadline, interrupts, reason);
        if ended == Ended::Woken {
            return true;
        }
        header.joiners.0.lock().remove(&waiter);
        if header.state.load().is_done() {
            return true;
        }
        match ended {
            Ended::TimedOut => return false,
            _ if interrupts == Interrupts::Kept => {}
            _ => deliver_interrupts(),
        }
    }
}

/// Who is waited for, as the deadlock report asks.
///
/// # Safety
///
/// `header` is the address of a header that is alive: its joiner holds a reference while it waits.
unsafe fn running_id(header: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*header.cast::<Header>()).id }
}

/// Joining an unstarted greenlet that lies in a queue of this runtime takes it from there and runs it next.
fn claim(header: &Ref) {
    let (Some(hub), Some(_)) = (current::hub(), current::greenlet()) else { return };
    if !hub.may_claim(header) || !header.state.claim() {
        return;
    }
    header.fiber.hand_back.set(true);
    // The queue entry that is now stale keeps its reference; the greenlet's life needs one of its own.
    let life = header.clone().into_raw();
    hub.note_claimed(header);
    hub.run_next_claimed(Entry::resume(life));
}

/// Why a greenlet left no result.
pub struct JoinError {
    cause: Cause,
    /// Who: as messages name it.
    who: Box<str>,
}

enum Cause {
    Panic(Box<dyn Any + Send>),
    Killed,
    NoStack(Box<str>),
}

impl JoinError {
    pub(crate) fn killed(header: &Header) -> Self {
        Self { cause: Cause::Killed, who: Describe(header).to_string().into() }
    }

    pub(crate) fn no_stack(header: &Header, why: &dyn fmt::Display) -> Self {
        Self { cause: Cause::NoStack(why.to_string().into()), who: Describe(header).to_string().into() }
    }

    pub(crate) fn from_unwinding(header: &Header, payload: Box<dyn Any + Send>) -> Self {
        if super::finish::is_kill(&*payload) {
            Self::killed(header)
        } else {
            Self { cause: Cause::Panic(payload), who: Describe(header).to_string().into() }
        }
    }

    /// Whether the greenlet panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panic(_))
    }

    /// Whether it was killed.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        matches!(self.cause, Cause::Killed)
    }

    /// The panic's payload, for [`resume_unwind`](crate::resume_unwind) or a look.
    ///
    /// # Panics
    ///
    /// If the greenlet did not panic.
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("`into_panic` on an error that is no panic: {error}"),
        }
    }

    /// The panic's payload, or the error itself if the greenlet did not panic.
    ///
    /// # Errors
    ///
    /// The error itself, if it is no panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.cause {
            Cause::Panic(payload) => Ok(payload),
            cause => Err(Self { cause, who: self.who }),
        }
    }
}

/// The message of a panic's payload.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no string")
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Panic(payload) => write!(f, "{} panicked: {}", self.who, message(&**payload)),
            Cause::Killed => write!(f, "{} was killed", self.who),
            Cause::NoStack(why) => write!(f, "{} could not be given a stack: {why}", self.who),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}
