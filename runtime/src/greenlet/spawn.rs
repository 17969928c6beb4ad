//! Spawning: from a closure to an entry in somebody's queue.

use super::current;
use super::header::{self, Birth, Extra, Header, Kind, Life};
use super::join::JoinHandle;
use super::join_error::JoinError;
use super::state::{Owner, State};
use crate::runtime::Shared;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

/// What a spawn is told besides the closure.
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(crate) at: Option<u64>,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) extra: Option<Box<Extra>>,
}

impl Order {
    #[inline]
    pub(crate) fn new(kind: Kind, spawned_at: &'static Location<'static>) -> Self {
        Self { kind, at: None, spawned_at, extra: None }
    }
}

/// Starts a greenlet: `f` will run, as soon as a hub gets to it, in parallel with the caller.
///
/// The caller runs on; the greenlet is put at the end of its hub's queue, from where an idle hub may take it. Called
/// in a greenlet it starts one of the same runtime; on a plain OS thread, one of the default runtime, which the first
/// use starts. After its runtime has shut down, `f` is dropped and the handle joins as killed.
///
/// ```
/// let handle = greenhub::spawn(|| "hello from a greenlet");
/// println!("{}", handle.join().unwrap());
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `F` and `T` are `'static` and `Send`.
    unsafe { spawn_with(Order::new(Kind::Free, Location::caller()), f) }
}

/// Starts a greenlet on this very hub, where it stays: `f` and what it returns need not be `Send`.
///
/// Between two suspensions nothing else on this hub runs, so greenlets that share an `Rc<RefCell<_>>` need no lock.
/// The caller stays on this hub too, from now on to its end.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// greenhub::run(|| {
///     let count = Rc::new(Cell::new(0));
///     let shared = count.clone();
///     greenhub::spawn_local(move || shared.set(shared.get() + 1)).join().unwrap();
///     assert_eq!(count.get(), 1);
/// });
/// ```
///
/// # Panics
///
/// On a plain OS thread, which has no hub to stay on.
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let Some(greenlet) = current::greenlet() else {
        panic!(
            "spawn_local was called on a plain OS thread, which has no hub for the greenlet to stay on: call it inside \
             `greenhub::run`, or use `greenhub::spawn`"
        );
    };
    greenlet.fiber.pinned.set(true);
    // SAFETY: a `Local` greenlet starts, runs and ends on this hub, as does the caller, who has the handle.
    unsafe { spawn_with(Order::new(Kind::Local, Location::caller()), f) }
}

/// Starts a greenlet after `delay`. Killed before that, it never runs.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// greenhub::run(|| {
///     let start = Instant::now();
///     let handle = greenhub::spawn_later(Duration::from_millis(2), move || start.elapsed());
///     assert!(handle.join().unwrap() >= Duration::from_millis(2));
/// });
/// ```
#[track_caller]
pub fn spawn_later<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let mut order = Order::new(Kind::Free, Location::caller());
    order.at = Some(later(delay));
    // SAFETY: `F` and `T` are `'static` and `Send`.
    unsafe { spawn_with(order, f) }
}

/// When a greenlet starts that is to start after `delay`.
pub(crate) fn later(delay: Duration) -> u64 {
    use crate::timer::clock;
    // `NEVER` means "no alarm", and what has none would not be taken out of its wheel again; a time that cannot be told
    // apart from it, whether the clock or only its count is exceeded, is centuries away.
    clock::deadline(delay).map_or(clock::NEVER, clock::nanos).min(clock::NEVER - 1)
}

/// Spawns on the current runtime, or on the default one.
///
/// # Safety
///
/// What `f` and `T` borrow outlives the greenlet, and they are `Send` unless the order's kind is `Local`, whose
/// caller runs on the hub.
#[inline]
pub(crate) unsafe fn spawn_with<F, T>(order: Order, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T,
{
    match current::hub() {
        // SAFETY: the caller's promise.
        Some(hub) => unsafe { spawn_here(&hub, order, f) },
        // SAFETY: as above.
        None => unsafe { spawn_outside(crate::runtime::default_runtime(), order, f) },
    }
}

/// # Safety
///
/// As [`spawn_with`]; `hub` is the current OS thread's.
#[inline]
unsafe fn spawn_here<F: FnOnce() -> T, T>(hub: &crate::hub::Hub, order: Order, f: F) -> JoinHandle<T> {
    if hub.refuses_spawns() {
        return refuse(order, f, hub.mailbox());
    }
    let elsewhere = if order.kind == Kind::Free && order.at.is_none() { hub.better_place() } else { None };
    let pushed_here = order.at.is_none() && elsewhere.is_none();
    let state = if pushed_here { State::unstarted() } else { State::placed() };
    let header = header::create(
        Birth {
            state,
            id: hub.next_id(),
            kind: order.kind,
            spawned_at: order.spawned_at,
            home: elsewhere.unwrap_or(hub.mailbox()),
            extra: order.extra,
        },
        f,
    );
    hub.register(header);
    // SAFETY: its life goes to the queue, the inbox or the wheel.
    let life = unsafe { Life::from_raw(header) };
    match (order.at, elsewhere) {
        (Some(at), _) => hub.start_later(life, at),
        // SAFETY: it is `Placed`, new, and ours to push.
        (None, Some(mailbox)) => unsafe { mailbox.push(life.into_raw()) },
        (None, None) => hub.push_new(life, order.kind),
    }
    if crate::explore::is_conceivable() {
        // SAFETY: the handle, which is made below, keeps it alive.
        crate::explore::spawned(unsafe { header.as_ref() });
    }
    // SAFETY: created above, with this result type.
    unsafe { JoinHandle::new(header) }
}

/// Spawns from a plain OS thread, or into another runtime.
///
/// # Safety
///
/// As [`spawn_with`]; the kind is not `Local`.
pub(crate) unsafe fn spawn_outside<F, T>(runtime: &Arc<Shared>, order: Order, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T,
{
    runtime.check_process();
    let place = runtime.place_from_outside();
    let mailbox = runtime.hub(place).mailbox;
    let birth = Birth {
        state: State::placed(),
        id: crate::ids::next(),
        kind: order.kind,
        spawned_at: order.spawned_at,
        home: mailbox,
        extra: order.extra,
    };
    let at = order.at;
    let header = header::create(birth, f);
    if !runtime.gate.let_in(header) {
        // SAFETY: created above, with this result type, and nobody else has seen it.
        return unsafe { end_unrun(header) };
    }
    // SAFETY: as in `spawn_here`.
    let life = unsafe { Life::from_raw(header) };
    match at {
        Some(at) => runtime.start_later(place, life, at),
        None => {
            // SAFETY: it is `Placed`, new, and ours to push.
            if !unsafe { mailbox.push_and_see(life.into_raw()) } {
                runtime.announce(place);
            }
        }
    }
    // SAFETY: created above, with this result type.
    unsafe { JoinHandle::new(header) }
}

/// A spawn after shutdown: the closure is dropped, the handle joins as killed.
#[cold]
fn refuse<F: FnOnce() -> T, T>(
    order: Order,
    f: F,
    home: &'static crate::hub::mailbox::Mailbox,
) -> JoinHandle<T> {
    let birth = Birth {
        state: State::placed(),
        id: crate::ids::next(),
        kind: order.kind,
        spawned_at: order.spawned_at,
        home,
        extra: order.extra,
    };
    // SAFETY: created here, with this result type, and nobody else has seen it.
    unsafe { end_unrun(header::create(birth, f)) }
}

/// # Safety
///
/// `greenlet` is new, was created with result type `T`, and nobody else has seen it.
#[cold]
unsafe fn end_unrun<T>(greenlet: NonNull<Header>) -> JoinHandle<T> {
    // SAFETY: its life is ours.
    let header = unsafe { greenlet.as_ref() };
    // Nobody else has seen it.
    assert!(header.state.arrive() && header.state.claim(), "a refused greenlet was seen by somebody");
    // A panic of the closure's destructor is the greenlet's own, as with one that is killed before it runs.
    // SAFETY: claimed, so its closure is ours, and it never ran.
    let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { (header.vtable().drop_closure)(greenlet) }));
    let error = match dropped {
        Ok(()) => JoinError::killed(header),
        Err(payload) => JoinError::from_unwinding(header, payload),
    };
    // SAFETY: as above.
    unsafe { (header.vtable().fail)(greenlet, error) };
    let _nobody_waits = header.state.finish(true);
    if let Some(scope) = header.scope() {
        scope.leave();
    }
    // SAFETY: its life ends here, and its handle is made here.
    unsafe {
        header::let_go(greenlet, Owner::Life);
        JoinHandle::new(greenlet)
    }
}
