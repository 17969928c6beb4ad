//! Exploring: the same program on many schedules, chosen by seeds, to find the one on which it goes wrong.
//!
//! [`explore`](explore()) runs a closure again and again on a runtime of its own. There, what runs next is not left to
//! queues and cores but chosen, at every suspension and *between any two operations* that other greenlets can observe
//! (to lock, to send, to unpark, to spawn, ..), by a random source that starts from a seed. Code that is only right if
//! nothing comes in between meets, sooner or later, a schedule on which something does; and the seed, which is printed,
//! gives that schedule again, step by step, as often as you like.
//!
//! The code under exploration is your own, unchanged, in an ordinary build: greenlets, scopes, timeouts, kills, all of
//! [`sync`](crate::sync) and [`channel`](crate::channel).
//!
//! ```should_panic
//! use greenhub::sync::Mutex;
//! use std::sync::Arc;
//!
//! // Two greenlets take two locks in opposite orders.
//! greenhub::explore(|| {
//!     let (a, b) = (Arc::new(Mutex::new(1)), Arc::new(Mutex::new(2)));
//!     let (a2, b2) = (a.clone(), b.clone());
//!     let other = greenhub::spawn(move || *b2.lock() + *a2.lock());
//!     assert_eq!(*a.lock() + *b.lock(), 3);
//!     assert_eq!(other.join().unwrap(), 3);
//! });
//! ```
//!
//! This panics with a report: what was found, who waits for whom, the schedule that led there, and a line such as
//!
//! ```text
//! To see it again: GREENHUB_REPLAY=random-2545f4914f6cdd1d cargo test -- --exact 'two_locks' --nocapture
//! ```
//!
//! # What is found
//!
//! * a panic: in the closure, or in a greenlet whose end nobody joined ([`Problem::Panic`]);
//! * a deadlock: everybody waits ([`Problem::Deadlock`]);
//! * a leak: the closure has returned and some greenlet waits for ever ([`Problem::Leak`]; daemons are told from leaks
//!   by [`Builder::kill_leftovers`]);
//! * greenlets that keep each other busy without an end ([`Problem::TooLong`]).
//!
//! What counts as wrong beyond that your assertions say, inside the closure. It is called once a schedule, so what the
//! greenlets share must be made inside it too.
//!
//! # Time
//!
//! Time is chosen, not waited for. It stands still while greenlets run and passes in one leap, to the next deadline:
//! when nobody can run, or when the seed says so although somebody could, as on a machine that is slow at the worst
//! moment. So a schedule with an hour's sleep takes no time, and every timeout is explored both ways. Deadlines keep
//! their order: of two sleeps that begin together the shorter ends first. [`Builder::time_races`] turns the second kind
//! of leap off.
//!
//! [`std::time::Instant::now`] knows nothing of this. Code that computes with deadlines should ask
//! [`greenhub::time::now`](crate::time::now()), which is the same thing everywhere else.
//!
//! # What is outside
//!
//! The choices are the only thing that differs between two schedules, as long as the code depends on nothing else.
//! Therefore, inside the closure:
//!
//! * no I/O that waits and no [`unblock`](crate::unblock): they panic and say so. Put a channel in their place.
//! * no OS threads, no randomness but seeded, no order of a `HashMap` with std's hasher, no values left over in
//!   `static`s by the schedule before.
//! * a `std::sync::Mutex` that is held across a wait blocks the one OS thread on which all of this runs; after ten
//!   seconds without a step that is said on stderr.
//!
//! Between two operations of the crate code runs without interruption. So races on std's atomics alone are met only at
//! the operations around them; and everything is seen in one order, as if every atomic were `SeqCst`: for small
//! protocols on atomics, exhaustively and with weak memory, there is loom.
//!
//! Greenlets of [`spawn_local`](crate::spawn_local) and [`pinned`](crate::Builder::pinned) ones keep the promise of
//! their hub: where they share one with their spawner, they take turns at suspensions only.
//!
//! # Seeds and settings
//!
//! Without further words there are 1,000 schedules, half of them random, half by [PCT](Strategy::Pct) of depth 3. The
//! first seed is another every time; a failing one is worth keeping in a test of its own ([`Builder::replay`]).
//!
//! | environment | |
//! |---|---|
//! | `GREENHUB_REPLAY` | this one schedule, whatever was set; best with a filter on the one test it is for |
//! | `GREENHUB_EXPLORE_ITERATIONS` | how many schedules, unless the [builder](Builder::iterations) says |

mod builder;
mod explorer;
mod report;
mod run;
mod seed;
mod strategy;

pub use builder::{Builder, Explored, Strategy};
pub(crate) use explorer::{Action, Explorer, State};
pub use report::{Failure, Problem};
pub use seed::{ParseSeedError, Seed};

use crate::greenlet::header::Header;
use crate::greenlet::{current, park};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// How many explorations are going on in this process. While there are none, which is one load and one branch, no
/// operation looks any further.
static GOING_ON: AtomicUsize = AtomicUsize::new(0);

/// Counts one exploration until it goes.
struct GoingOn;

impl GoingOn {
    fn new() -> Self {
        // Relaxed, here and below: an exploration's own greenlets run on a thread that is started after this and has
        // ended before its drop. Others only look further, in vain.
        GOING_ON.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        GOING_ON.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the caller may be part of an exploration.
#[inline(always)]
pub(crate) fn is_conceivable() -> bool {
    GOING_ON.load(Ordering::Relaxed) != 0
}

/// Runs `f` on 1,000 schedules, and panics with a report if it goes wrong on one of them. See [the module](self) for
/// what that means, and [`Builder`] for settings.
///
/// ```
/// use greenhub::channel;
///
/// greenhub::explore(|| {
///     let (send, receive) = channel::bounded(1);
///     let producer = greenhub::spawn(move || (0..3).for_each(|n| send.send(n).unwrap()));
///     assert_eq!(receive.iter().collect::<Vec<_>>(), [0, 1, 2]);
///     producer.join().unwrap();
/// });
/// ```
///
/// # Panics
///
/// If a schedule fails, with [the failure](Failure) as the message; inside a greenlet; and if an environment variable
/// means nothing.
#[track_caller]
pub fn explore<F>(f: F)
where
    F: Fn() + Send + Sync + 'static,
{
    Builder::new().run(f);
}

/// Runs `operation`, which others can observe; others may run before and after it.
#[cold]
#[inline(never)]
pub(crate) fn observed<R>(what: &'static str, operation: impl FnOnce() -> R) -> R {
    point(what);
    let result = operation();
    point("");
    result
}

/// A point between two operations of a greenlet: another may run here. `what` it does next, if that is known.
fn point(what: &'static str) {
    let greenlet = {
        let Some((hub, greenlet)) = current::hub_and_greenlet() else { return };
        let Some(explorer) = hub.explorer() else { return };
        // What unwinds goes on to its end: others would take std's count of panics for their own.
        if greenlet.fiber.masks.may_not_switch() || std::thread::panicking() {
            return;
        }
        if hub.goes_on(explorer, &greenlet, what) {
            return;
        }
        greenlet
    };
    park::give_way(greenlet);
}

/// A greenlet of this hub's was spawned; if that was done by a greenlet, others may run before it goes on.
#[cold]
#[inline(never)]
pub(crate) fn spawned(child: &Header) {
    {
        let Some(hub) = current::hub() else { return };
        let Some(explorer) = hub.explorer() else { return };
        let parent = current::greenlet();
        explorer.state.borrow_mut().spawned(child, parent.as_deref());
    }
    point("");
}

/// What time it is, if the caller is part of an exploration.
#[cold]
#[inline(never)]
pub(crate) fn virtual_now() -> Option<Instant> {
    let now = current::hub()?.explorer()?.now.get();
    crate::timer::clock::instant(now)
}

/// A greenlet ended with an error that nobody joined: whether an exploration takes it.
#[cold]
pub(crate) fn takes_error(header: &Header, payload: &(dyn std::any::Any + Send)) -> bool {
    let Some(hub) = current::hub() else { return false };
    let Some(explorer) = hub.explorer() else { return false };
    let who = crate::greenlet::handle::Describe(header);
    let message = crate::greenlet::join_error::message(payload);
    explorer.found(Problem::Panic, format!("{who} panicked and nobody joined it: {message}"));
    true
}

/// # Panics
///
/// In an exploration, which knows nothing of the world outside.
#[cold]
#[inline(never)]
pub(crate) fn refuse_outside(what: &'static str) {
    let explores = current::hub().is_some_and(|hub| hub.explorer().is_some());
    assert!(
        !explores,
        "{what} would wait for the world outside, of which an exploration has none: put a channel in its place"
    );
}
