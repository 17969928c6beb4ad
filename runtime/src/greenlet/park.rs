//! Parking: how a running greenlet stops until its wait is ended.
//!
//! The greenlet only *asks*: it switches to its hub with [`After::Park`], and the hub, on its own stack, commits the
//! request to the state word. Until then a waker finds the greenlet awake and leaves a note (it moves the epoch on),
//! which the commit sees. After it the waker owns the push. So nobody resumes a stack that is not saved (invariant
//! 2), and no wake is lost (invariant 3).

use super::current::{self, Running};
use super::header::Fiber;
use super::state::Cause;
use super::switch::After;
use super::unwind;
use crate::timer::clock::{self, NEVER};
use crate::wait::{Ended, Interrupts, Reason};
use std::time::{Duration, Instant};

/// Switches to the hub and comes back. No lock of the runtime may be held (invariant 5); nothing read from a
/// thread-local before is valid after (invariant 4).
///
/// Always inlined, as `yield_now` is: the processor predicts where a frame returns to from the last calls made, and those
/// were made on another stack. Our own switch, two jumps, leaves that prediction as it is, so a frame between the user's
/// loop and the switch is mispredicted where the greenlet before suspended in another function. Corosensei's leaves through
/// a `ret` of its own, and every frame is mispredicted: with it, out of line, `bench run yield` printed four times as much.
#[inline(always)]
fn switch(greenlet: Running, after: After) {
    let held = unwind::before_switch(greenlet);
    greenlet.fiber.held.set(held);
    // SAFETY: the caller runs on this very stack, so there is a context, and nobody else touches it.
    unsafe { (*greenlet.fiber.context.get()).as_ref().unwrap_unchecked().suspend(after) };
    if held {
        unwind::after_switch();
    }
}

/// As [`yield_now`], but where no kill or timeout is due to be delivered: between two operations of an exploration.
#[cold]
pub(crate) fn give_way(greenlet: Running) {
    switch(greenlet, After::Yield);
}

/// # Panics
///
/// Inside `no_switch`.
#[inline]
pub(crate) fn check_may_switch(greenlet: Running) {
    if greenlet.fiber.masks.may_not_switch() {
        refuse_to_switch(greenlet);
    }
}

#[cold]
fn refuse_to_switch(greenlet: Running) -> ! {
    panic!(
        "{} tried to suspend inside `no_switch`: take the blocking call out of the block",
        super::handle::Describe(&greenlet)
    );
}

/// Whether enclosing timeouts may end a wait made now; kill may too, except inside `shield`.
#[inline]
fn interruptible(greenlet: Running, interrupts: Interrupts) -> bool {
    match interrupts {
        Interrupts::Kept => false,
        Interrupts::Allowed if cfg!(panic = "abort") => false,
        _ => !unwind::is_unwinding(greenlet),
    }
}

/// Stops the running greenlet until the wait `epoch` ends.
#[inline(always)]
pub(crate) fn park_for(
    greenlet: Running,
    epoch: u32,
    deadline: Option<Instant>,
    interrupts: Interrupts,
    reason: &Reason,
) -> Ended {
    wait(greenlet, epoch, deadline.map_or(NEVER, clock::nanos), false, interrupts, reason)
}

/// What a wait is made of besides its reason.
struct Plan {
    interruptible: bool,
    masked: bool,
    /// When the enclosing timeouts end it, where they may, and when it ends itself.
    timeouts: u64,
    deadline: u64,
}

impl Plan {
    #[inline(always)]
    fn new(greenlet: Running, deadline: u64, interrupts: Interrupts) -> Self {
        let interruptible = interruptible(greenlet, interrupts);
        let masked = !interruptible || greenlet.fiber.masks.shielded();
        let timeouts = if interruptible { greenlet.fiber.masks.earliest() } else { NEVER };
        Self { interruptible, masked, timeouts, deadline }
    }

    /// Says what the greenlet waits for, and sets its alarm.
    #[inline(always)]
    fn announce(&self, greenlet: Running, reason: &Reason) {
        let hub = current::hub().expect("a greenlet runs on a hub");
        greenlet.waiting.begin(reason, hub.clock());
        let wake_at = self.deadline.min(self.timeouts);
        if wake_at != NEVER {
            greenlet.alarm.set(greenlet.as_ptr(), hub.timers(), wake_at);
        } else if greenlet.alarm.deadline() != NEVER {
            greenlet.alarm.relax(NEVER);
        }
        greenlet.fiber.counted.set(reason.outside);
    }

    /// How the wait ended that has just ended.
    #[inline(always)]
    fn outcome(&self, greenlet: Running) -> Ended {
        super::timeout::rearm(greenlet);
        match greenlet.state.load().cause() {
            Cause::Wake => Ended::Woken,
            Cause::Kill => Ended::Interrupted,
            // An enclosing timeout that is due first goes first: otherwise shorter waits in a loop would hide it for
            // ever.
            Cause::Timer if self.timeouts < self.deadline => Ended::Interrupted,
            // Never early: the wheel rounds up, but a late look at an old deadline may wake a new wait.
            Cause::Timer if self.deadline != NEVER && clock::now() >= self.deadline => Ended::TimedOut,
            Cause::Timer if self.interruptible => Ended::Interrupted,
            Cause::Timer => Ended::FalseAlarm,
        }
    }
}

#[inline(always)]
fn wait(
    greenlet: Running,
    epoch: u32,
    deadline: u64,
    user: bool,
    interrupts: Interrupts,
    reason: &Reason,
) -> Ended {
    let plan = Plan::new(greenlet, deadline, interrupts);
    let state = greenlet.state.load();
    if state.epoch() != epoch {
        return Ended::Woken;
    }
    if !plan.masked && state.kill_requested() {
        return if greenlet.state.withdraw(epoch) { Ended::Interrupted } else { Ended::Woken };
    }
    plan.announce(greenlet, reason);
    switch(greenlet, After::Park { epoch, user, masked: plan.masked });
    plan.outcome(greenlet)
}

/// Whether a wait that begins now would be cut short at once.
#[inline]
pub(crate) fn is_interrupted(greenlet: Running, interrupts: Interrupts) -> bool {
    greenlet.state.load().wants_attention() && interruptible(greenlet, interrupts)
}

/// Lets the child run that this greenlet has just claimed and handed over to (`hub::hand_over`), until it ends, or this
/// greenlet's wait for that does: if the child is not done, the answer says why.
#[inline(always)]
pub(crate) fn await_child(
    greenlet: Running,
    child: &Fiber,
    deadline: Option<Instant>,
    interrupts: Interrupts,
    reason: &Reason,
) -> Ended {
    let plan = Plan::new(greenlet, deadline.map_or(NEVER, clock::nanos), interrupts);
    child.joiner_masked.set(plan.masked);
    plan.announce(greenlet, reason);
    switch(greenlet, After::Await);
    plan.outcome(greenlet)
}

/// Gives way: the greenlet goes to the end of its hub's ready queue and runs on when its turn comes.
///
/// Costs a few nanoseconds, never makes a system call of its own, and starves nobody: the hub looks after I/O and
/// timers between turns. On a plain OS thread this is `std::thread::yield_now`.
///
/// ```
/// greenhub::run(|| {
///     let other = greenhub::spawn(|| println!("the other one"));
///     greenhub::yield_now(); // with one hub, the other one has run by now
///     other.join().unwrap();
/// });
/// ```
#[inline(always)]
pub fn yield_now() {
    match current::greenlet() {
        Some(greenlet) => {
            check_may_switch(greenlet);
            switch(greenlet, After::Yield);
            if greenlet.state.load().wants_attention() {
                super::kill::deliver_interrupts();
            }
        }
        None => crate::facade::thread::yield_now(),
    }
}

/// Stops the greenlet until somebody calls [`Greenlet::unpark`](crate::Greenlet::unpark) on it, or returns at once if
/// that has happened since the last `park`. As `std::thread::park`; on a plain OS thread it *is* that.
///
/// Unlike std's, it does not return without reason.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::sync::Arc;
///
/// greenhub::run(|| {
///     let flag = Arc::new(AtomicBool::new(false));
///     let seen = flag.clone();
///     let waiter = greenhub::spawn(move || {
///         while !seen.load(Ordering::Acquire) {
///             greenhub::park();
///         }
///     });
///     flag.store(true, Ordering::Release);
///     waiter.greenlet().unpark();
///     waiter.join().unwrap();
/// });
/// ```
pub fn park() {
    match current::greenlet() {
        Some(greenlet) => {
            user_park(greenlet, NEVER);
        }
        None => {
            current::check_may_block();
            std::thread::park();
        }
    }
}

/// As [`park`], for at most `limit`.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// greenhub::run(|| {
///     let start = Instant::now();
///     greenhub::park_timeout(Duration::from_millis(2)); // nobody unparks it
///     assert!(start.elapsed() >= Duration::from_millis(2));
/// });
/// ```
pub fn park_timeout(limit: Duration) {
    match current::greenlet() {
        Some(greenlet) => {
            user_park(greenlet, clock::deadline(limit).map_or(NEVER, clock::nanos));
        }
        None => {
            current::check_may_block();
            std::thread::park_timeout(limit);
        }
    }
}

fn user_park(greenlet: Running, deadline: u64) {
    check_may_switch(greenlet);
    loop {
        if greenlet.state.take_unpark() {
            return;
        }
        let epoch = greenlet.state.load().epoch();
        let reason = Reason::new(&"park", &*greenlet);
        match wait(greenlet, epoch, deadline, true, Interrupts::Allowed, &reason) {
            Ended::Woken | Ended::TimedOut => return,
            Ended::Interrupted => super::kill::deliver_interrupts(),
            Ended::FalseAlarm => {}
        }
    }
}

/// Sleeps until `deadline`.
pub(crate) fn sleep_until(greenlet: Running, deadline: u64) {
    check_may_switch(greenlet);
    loop {
        let epoch = greenlet.state.load().epoch();
        let reason = Reason::outside(&"sleep", 0);
        match wait(greenlet, epoch, deadline, false, Interrupts::Allowed, &reason) {
            Ended::Woken | Ended::TimedOut => return,
            Ended::Interrupted => super::kill::deliver_interrupts(),
            Ended::FalseAlarm => {}
        }
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
