//! Scopes: greenlets that may borrow from whoever spawned them, because the scope outlives them all (invariant 9).

use super::current;
use super::handle::Greenlet;
use super::header::{Kind, Ref};
use super::join::JoinHandle;
use super::join_error::JoinError;
use super::spawn::{Order, spawn_with};
use super::unwind;
use crate::facade::Mutex;
use crate::wait::{CallName, Ended, Interrupts, Reason, Waiter, deliver_interrupts, park};
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Where scoped greenlets are spawned; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    shared: Arc<Children>,
    /// Invariant over `'scope`, as std's: it must not shrink.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// What reports call the wait for a scope's greenlets. Its object is the `Children`.
pub(super) const WAIT: CallName = &"scope";

/// The greenlets of one scope that have not ended.
struct Children {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who has not ended, by place.
    children: Vec<Option<Ref>>,
    free: Vec<usize>,
    /// The owner was killed, or its time was up: so are all children.
    killed: bool,
    /// A child panicked, and nobody joined it to see it.
    unseen_panic: bool,
    owner: Option<Waiter>,
}

/// A child's place in its scope, kept in the child's header. It leaves when it is done, that is when nothing of it can
/// touch what it borrowed any more.
pub(crate) struct Member {
    children: Arc<Children>,
    place: usize,
}

/// The right to take a scoped greenlet's result. As `std::thread::ScopedJoinHandle`.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    scope: PhantomData<&'scope ()>,
}

/// Runs `f`, which may spawn greenlets that borrow from outside `f`, and returns when all of them have ended. As
/// `std::thread::scope`.
///
/// ```
/// let mut numbers = vec![1, 2, 3, 4];
/// let (left, right) = numbers.split_at_mut(2);
/// greenhub::scope(|s| {
///     s.spawn(|| left[0] = 10);
///     s.spawn(|| right[0] = 30);
/// });
/// assert_eq!(numbers, [10, 2, 30, 4]);
/// ```
///
/// If the caller is killed, or an enclosing timeout expires, in `f` or while it waits here for its greenlets, those that
/// have not ended are killed, and the caller unwinds when all have ended.
///
/// # Panics
///
/// Inside [`no_switch`](crate::no_switch), before anything is lent. If a greenlet of the scope panicked and nobody joined
/// it; one that was killed is no panic. If `f` panics, that panic goes on after all greenlets have ended.
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    check_may_wait();
    let scope = Scope {
        shared: Arc::new(Children { state: Mutex::default() }),
        scope: PhantomData,
        env: PhantomData,
    };
    let result = unwind::catch(|| f(&scope));
    let stopped = result.as_ref().is_err_and(|payload| super::kill::is_interrupt(&**payload));
    if stopped {
        scope.shared.kill_all();
    }
    let interrupted = unwind::catch(|| scope.shared.wait_for_all(stopped)).err();
    let unseen_panic = scope.shared.state.lock().unseen_panic;
    match (result, interrupted) {
        (Err(payload), _) | (Ok(_), Some(payload)) => unwind::resume_unwind(payload),
        (Ok(_), None) if unseen_panic => panic!("a scoped greenlet panicked"),
        (Ok(value), None) => value,
    }
}

/// To be called before anything is lent to a greenlet: who may not wait for its end must not lend (invariant 9).
pub(crate) fn check_may_wait() {
    if let Some(greenlet) = current::greenlet() {
        super::park::check_may_switch(greenlet);
    }
}

impl Children {
    /// Kills all children, those to come included.
    fn kill_all(&self) {
        let children: Vec<Ref> = {
            let mut state = self.state.lock();
            state.killed = true;
            state.children.iter().flatten().cloned().collect()
        };
        children.iter().for_each(|child| super::kill::kill(child));
    }

    /// Returns, or unwinds, only when no child is left. `stopped`: the owner already unwinds for a kill or a timeout,
    /// and is not interrupted again.
    fn wait_for_all(&self, stopped: bool) {
        let mut interrupted = None;
        loop {
            let waiter = Waiter::current();
            {
                let mut state = self.state.lock();
                if state.free.len() == state.children.len() {
                    break;
                }
                state.owner = Some(waiter);
            }
            let kept = stopped || interrupted.is_some();
            let interrupts = if kept { Interrupts::Kept } else { Interrupts::Allowed };
            let ended = park(&waiter, None, interrupts, &Reason::new(WAIT, self));
            self.state.lock().owner = None;
            if ended == Ended::Interrupted && interrupted.is_none() {
                // What is delivered is caught, and goes on when nothing of ours is lent out any more.
                interrupted = unwind::catch(deliver_interrupts).err();
                if interrupted.is_some() {
                    self.kill_all();
                }
            }
        }
        if let Some(payload) = interrupted {
            unwind::resume_unwind(payload);
        }
    }
}

impl Member {
    /// What its scope's owner waits for, as reports have it.
    pub(crate) fn scope_address(&self) -> usize {
        std::ptr::from_ref(&*self.children).addr()
    }

    /// The child has ended.
    pub(crate) fn leave(&self) {
        let wakeup = {
            let mut state = self.children.state.lock();
            state.children[self.place] = None;
            state.free.push(self.place);
            if state.free.len() == state.children.len() {
                // SAFETY: the owner takes this lock before it leaves its wait.
                state.owner.take().and_then(|owner| unsafe { owner.wake() })
            } else {
                None
            }
        };
        if let Some(wakeup) = wakeup {
            wakeup.deliver();
        }
    }

    /// Nobody will join the child, and it panicked.
    pub(crate) fn note_unseen_panic(&self) {
        self.children.state.lock().unseen_panic = true;
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a greenlet that may borrow whatever outlives the scope.
    ///
    /// See [`scope`] for an example, and [`spawn`](crate::spawn) for where it runs.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_with(Order::new(Kind::Free, Location::caller()), f)
    }

    pub(crate) fn spawn_with<F, T>(&'scope self, mut order: Order, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        // A default runtime that does not start panics here: the scope would wait for ever for a place taken before.
        if current::hub().is_none() {
            crate::runtime::default_runtime();
        }
        let place = {
            let mut state = self.shared.state.lock();
            state.free.pop().unwrap_or_else(|| {
                state.children.push(None);
                state.children.len() - 1
            })
        };
        let member = Member { children: self.shared.clone(), place };
        order.extra.get_or_insert_default().scope = Some(member);
        // SAFETY: `scope` does not return before every child has left, which a child does once it is done: by then its
        // closure and, unless a handle (which cannot outlive `'scope`) holds it, its result are gone. Both are `Send`.
        let handle = unsafe { spawn_with(order, f) };
        let header = handle.greenlet().header().expect("a spawned greenlet has a header");
        if !header.state.load().is_done() {
            let killed = {
                let mut state = self.shared.state.lock();
                // It may have left between the look and the lock; then its place is in the free list, or already
                // another's.
                if !header.state.load().is_done() {
                    state.children[place] = Some(header.clone());
                }
                state.killed
            };
            if killed {
                super::kill::kill(header);
            }
        }
        ScopedJoinHandle { handle, scope: PhantomData }
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// As [`JoinHandle::join`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn join(self) -> Result<T, JoinError> {
        self.handle.join()
    }

    /// As [`JoinHandle::join_timeout`].
    #[must_use]
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.handle.join_timeout(limit)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The greenlet.
    #[must_use]
    pub fn greenlet(&self) -> &Greenlet {
        self.handle.greenlet()
    }

    /// As [`Greenlet::kill`].
    pub fn kill(&self) {
        self.handle.kill();
    }
}

impl std::fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("Scope")
            .field("running", &(state.children.len() - state.free.len()))
            .finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("greenlet", self.greenlet()).finish_non_exhaustive()
    }
}
