//! Joining: how somebody waits for a greenlet's end and takes what it left.

use super::current;
use super::handle::Greenlet;
use super::header::{self, Header, Ref, take_result};
use super::join_error::JoinError;
use super::link::Link;
use super::state::{Owner, Phase};
use crate::facade::Mutex;
use crate::timer::clock;
use crate::wait::{CallName, Ended, Interrupts, Reason, Waiter, Wakeup, deliver_interrupts, park};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
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
    /// Not counted: the handle is an [`Owner`].
    greenlet: ManuallyDrop<Greenlet>,
    /// The result has been taken.
    taken: bool,
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
    /// # Safety
    ///
    /// The header was created with result type `T`, and its handle is the caller's to make.
    pub(crate) unsafe fn new(header: NonNull<Header>) -> Self {
        // SAFETY: the handle is an owner, and never drops this.
        let greenlet = ManuallyDrop::new(Greenlet::new(unsafe { Ref::from_raw(header) }));
        Self { greenlet, taken: false, result: PhantomData }
    }

    fn header(&self) -> &Ref {
        self.greenlet.header().expect("a spawned greenlet has a header")
    }

    /// Waits for the greenlet's end and gives what it returned.
    ///
    /// A greenlet that has not started and that nobody has taken yet is run at once, before whatever else is ready.
    ///
    /// # Errors
    ///
    /// A [`JoinError`] if it panicked, was killed, or could not be given a stack.
    #[inline(always)]
    pub fn join(self) -> Result<T, JoinError> {
        wait_for(self.header(), None);
        self.into_result()
    }

    /// As [`JoinHandle::join`] for a greenlet that was lent something: returns or unwinds only when it has ended. Who is
    /// interrupted meanwhile kills it first.
    pub(crate) fn join_to_the_end(self) -> Result<T, JoinError> {
        let waited = super::unwind::catch(|| wait_for(self.header(), None));
        if let Err(payload) = waited {
            self.kill();
            wait_with(self.header(), None, Interrupts::Kept);
            super::unwind::resume_unwind(payload);
        }
        self.into_result()
    }

    /// The result of a greenlet that is done; the handle goes.
    #[inline(always)]
    fn into_result(mut self) -> Result<T, JoinError> {
        let result = self.take();
        // As the drop would do, which is not inlined as a rule.
        let header = std::mem::ManuallyDrop::new(self).header().as_ptr();
        // SAFETY: the handle goes, and with it the last that it did.
        unsafe { header::let_go(header, Owner::Handle) };
        result
    }

    /// The result of a greenlet that is done.
    #[inline(always)]
    fn take(&mut self) -> Result<T, JoinError> {
        assert!(!std::mem::replace(&mut self.taken, true), "a greenlet is joined once");
        // SAFETY: the greenlet is done, its result is a `T`, and this is its one handle.
        unsafe { take_result(self.header().as_ptr()) }.expect("a greenlet that is done has left a result")
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
    #[inline]
    fn drop(&mut self) {
        if self.taken || self.abandon() {
            // SAFETY: the handle goes, and with it the last that it did.
            unsafe { header::let_go(self.header().as_ptr(), Owner::Handle) };
        }
    }
}

impl<T> JoinHandle<T> {
    /// Nobody will take the result: it is dropped, here or, `false`, by the greenlet, where the handle has let go already.
    #[inline(never)]
    fn abandon(&self) -> bool {
        let over = self.header().state.detach();
        if over {
            // Shielded: a kill or timeout of whoever drops the handle must not get lost among the errors of the result's
            // destructor.
            super::timeout::shield(|| super::finish::drop_result(self.header().as_ptr()));
        }
        over
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
            // Cloned before the lock, and what it replaces dropped after it: both are code of somebody else's.
            let waker = context.waker().clone();
            let mut list = header.joiners.0.lock();
            if header.state.join() {
                let _replaced = list.set_waker(waker);
                drop(list);
                return Poll::Pending;
            }
        }
        Poll::Ready(self.take())
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
    others: Option<Box<Others>>,
}

#[derive(Default)]
struct Others {
    waiters: Vec<Waiter>,
    /// Of the last poll. There is one handle to poll.
    waker: Option<Waker>,
    links: Vec<Link>,
}

impl JoinList {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Joiners { first: None, others: None }))
    }
}

impl Joiners {
    fn add(&mut self, waiter: Waiter) {
        match &mut self.first {
            first @ None => *first = Some(waiter),
            Some(_) => self.others.get_or_insert_default().waiters.push(waiter),
        }
    }

    fn remove(&mut self, waiter: &Waiter) {
        if self.first.as_ref() == Some(waiter) {
            self.first = None;
        } else if let Some(others) = &mut self.others {
            others.waiters.retain(|each| each != waiter);
        }
    }

    fn set_waker(&mut self, waker: Waker) -> Option<Waker> {
        self.others.get_or_insert_default().waker.replace(waker)
    }
}

impl JoinList {
    /// Adds a link, unless the greenlet has ended: then it comes back.
    pub(super) fn add_link(&self, header: &Header, link: Link) -> Option<Link> {
        let mut list = self.0.lock();
        if !header.state.join() {
            return Some(link);
        }
        list.others.get_or_insert_default().links.push(link);
        None
    }

    /// Takes a link back.
    pub(super) fn remove_link(&self, is_it: impl Fn(&Link) -> bool) -> Option<Link> {
        let mut list = self.0.lock();
        let links = &mut list.others.as_mut()?.links;
        links.iter().position(is_it).map(|at| links.remove(at))
    }

    /// Ends the waits of whoever is listed; of the first, the others, and what else there is.
    fn end_waits(&self) -> (Option<Wakeup>, Vec<Wakeup>, Option<Box<Others>>) {
        let mut list = self.0.lock();
        // SAFETY: a listed waiter is inside its wait: it takes this lock before it leaves.
        let wake = |waiter: Waiter| unsafe { waiter.wake() };
        let first = list.first.take().and_then(wake);
        let mut others = list.others.take();
        let waiters = others.iter_mut().flat_map(|others| others.waiters.drain(..));
        (first, waiters.filter_map(wake).collect(), others)
    }
}

/// Wakes whoever waits for a greenlet that has ended, and starts its links.
pub(crate) fn wake_joiners(header: &Header) {
    let (first, wakeups, others) = header.joiners.end_waits();
    if let Some(wakeup) = first {
        if header.fiber.claimed.get() { wakeup.deliver_next() } else { wakeup.deliver() }
    }
    wakeups.into_iter().for_each(Wakeup::deliver);
    if let Some(others) = others {
        // Somebody else's code, on the hub's stack: a panic in it must not end the hub.
        if let Some(waker) = others.waker
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake()))
        {
            super::on_error::report(header, payload);
        }
        others.links.into_iter().for_each(|link| link.run(header));
    }
}

impl Header {
    /// Lists the joiner that claimed this greenlet, which has not ended, on its behalf.
    pub(crate) fn list_joiner(&self, joiner: Waiter) {
        let mut list = self.joiners.0.lock();
        let listed = self.state.join();
        debug_assert!(listed, "only its own hub could have ended it");
        list.add(joiner);
    }
}

/// Wakes the joiner that claimed a greenlet which has now ended, and lets it run next.
#[inline]
pub(crate) fn hand_back(header: &Header) {
    if let Some(joiner) = header.hand_back.take() {
        // SAFETY: the joiner takes itself out of `hand_back` before it leaves its wait, on this same hub.
        if let Some(wakeup) = unsafe { joiner.wake() } {
            wakeup.deliver_next();
        }
    }
}

/// Waits until the greenlet has ended or the time is up; gives whether it has ended.
#[inline(always)]
pub(crate) fn wait_for(header: &Ref, deadline: Option<Instant>) -> bool {
    wait_with(header, deadline, Interrupts::Allowed)
}

/// As [`wait_for`], with a say in whether it may be interrupted.
///
/// Inlined down to the switch that hands over to the child: see `park::switch` for why.
#[inline(always)]
pub(crate) fn wait_with(header: &Ref, deadline: Option<Instant>, interrupts: Interrupts) -> bool {
    if header.state.load().phase() == Phase::Unstarted
        && let Some(done) = claim_and_wait(header, deadline, interrupts)
    {
        return done;
    }
    wait_listed(header, deadline, interrupts)
}

/// As [`wait_with`], in the join list.
#[inline(never)]
fn wait_listed(header: &Ref, deadline: Option<Instant>, interrupts: Interrupts) -> bool {
    loop {
        if header.state.load().is_done() {
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
        let ended = park(&waiter, deadline, interrupts, &reason(header));
        header.joiners.0.lock().remove(&waiter);
        if header.state.load().is_done() {
            return true;
        }
        match ended {
            Ended::TimedOut => return false,
            Ended::Interrupted if interrupts != Interrupts::Kept => deliver_interrupts(),
            Ended::Interrupted | Ended::Woken | Ended::FalseAlarm => {}
        }
    }
}

/// What reports call this wait. Its object is the greenlet.
pub(super) const WAIT: CallName = &"JoinHandle::join";

fn reason(header: &Ref) -> Reason {
    Reason { holder: Some(running_id), ..Reason::new(WAIT, &**header) }
}

/// Joining an unstarted greenlet that lies in a queue of this runtime takes it from there and runs it next, on this
/// hub (see `hub::hand_over`).
///
/// `None`: it could not be claimed, or the wait was a false alarm: wait in the ordinary way.
#[inline(always)]
fn claim_and_wait(header: &Ref, deadline: Option<Instant>, interrupts: Interrupts) -> Option<bool> {
    let (hub, greenlet) = current::hub_and_greenlet()?;
    // It is to run at once, and may have been spawned long ago.
    super::memory::prefetch(header.as_ptr().as_ptr().cast(), size_of::<Header>() / 64 + 1);
    if !hub.may_claim(header) || super::park::is_interrupted(greenlet, interrupts) {
        return None;
    }
    let waiter = Waiter::of(greenlet);
    if !header.state.claim_out_of_queue() {
        return None;
    }
    let migrates = hub.migrates();
    hub.hand_over(header, waiter);
    let ended = super::park::await_child(greenlet, &header.fiber, deadline, interrupts, &reason(header));
    if has_ended(header, &waiter, migrates) {
        return Some(true);
    }
    ended_before_the_child(header, &waiter, migrates, ended, interrupts)
}

/// Whether the child has ended that the caller has claimed. If so, the caller may leave its wait.
#[inline(always)]
fn has_ended(child: &Header, waiter: &Waiter, migrates: bool) -> bool {
    let state = child.state.load();
    // The caller was woken by something else, perhaps, and another hub is about to wake whoever is listed.
    if migrates && state.is_done() && state.is_joined() {
        leave_list(child, waiter);
    }
    state.is_done()
}

#[cold]
#[inline(never)]
fn leave_list(child: &Header, waiter: &Waiter) {
    child.joiners.0.lock().remove(waiter);
}

/// The rest of [`claim_and_wait`] where the child has suspended, and this greenlet was parked and woken since, by
/// something else than its end.
#[cold]
fn ended_before_the_child(
    header: &Ref,
    waiter: &Waiter,
    migrates: bool,
    ended: Ended,
    interrupts: Interrupts,
) -> Option<bool> {
    if migrates {
        leave_list(header, waiter);
    } else {
        header.hand_back.set(None);
    }
    match ended {
        Ended::TimedOut => return Some(header.state.load().is_done()),
        Ended::Interrupted if interrupts != Interrupts::Kept => deliver_interrupts(),
        Ended::Interrupted | Ended::Woken | Ended::FalseAlarm => {}
    }
    None
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

#[cfg(all(test, greenhub_loom))]
mod model;
