//! Kills for the tests of the primitives, which run on OS threads where no real one can come.

use super::*;
use std::cell::Cell;
use std::time::Duration;

thread_local!(static DUE: Cell<Option<Instant>> = const { Cell::new(None) });

/// What a thread that was killed unwinds with.
pub(crate) struct Killed;

/// Kills the caller at its first wait that lasts until `after` from now.
pub(crate) fn kill_me_after(after: Duration) {
    DUE.set(Some(Instant::now() + after));
}

/// Whether a kill is due and has not been delivered.
pub(crate) fn is_kill_due() -> bool {
    DUE.get().is_some_and(|due| due <= Instant::now())
}

/// Runs `f` on a thread of its own that is killed; whether it was.
pub(crate) fn dies<T: Send>(after: Duration, f: impl FnOnce() -> T + Send) -> bool {
    std::thread::scope(|s| {
        let thread = s.spawn(|| {
            kill_me_after(after);
            f();
        });
        thread.join().is_err_and(|payload| payload.is::<Killed>())
    })
}

/// `park`, ended by a due kill as the real one is.
pub(super) fn park_until_killed(waiter: &Waiter, wait: &Wait) -> Ended {
    let due = DUE.get().filter(|_| wait.interrupts == Interrupts::Allowed);
    let until = wait.deadline.into_iter().chain(due).min();
    match park(waiter, until, wait.interrupts, wait.reason) {
        Ended::TimedOut if due.is_some() && is_kill_due() => Ended::Interrupted,
        ended => ended,
    }
}

/// `deliver_interrupts`, for such a kill.
pub(super) fn deliver_kill() {
    if is_kill_due() {
        DUE.set(None);
        std::panic::resume_unwind(Box::new(Killed));
    }
}
