//! The hold: a burst of greenlets is shared before it is started.
//!
//! In the default mode a started greenlet stays on its hub. A hub that has spawned a thousand starts them all in less time
//! than another needs to wake up, and then has them for good. So, where started greenlets are ready as well, a hub that
//! comes to many unstarted ones leaves them where others may take them, runs the started ones for [`policy::HOLD`], and
//! only then goes on in order. It does so once until its deque is empty, so who spawns without end is not held up.
//!
//! Nobody is idle meanwhile, and what waits for its start waits for a millisecond longer, or until the hub next looks at the
//! clock.

use crate::hub::policy;
use std::cell::Cell;

/// See the [module](self).
pub(super) struct Hold(Cell<Phase>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// There is nobody to share with.
    Never,
    /// Not yet: there have not been many.
    Not,
    /// Since the clock was last looked at.
    Begun,
    /// Since then.
    Since(u64),
    /// Not again before the deque is empty.
    Over,
}

impl Hold {
    /// `shared`: there are hubs that may take what has not started, and nothing else.
    pub(super) fn new(shared: bool) -> Self {
        Self(Cell::new(if shared { Phase::Not } else { Phase::Never }))
    }

    /// Whether what is ready goes first, before `unstarted` greenlets that have waited for longer.
    pub(super) fn lasts(&self, unstarted: usize) -> bool {
        match self.0.get() {
            Phase::Not if unstarted >= policy::HOLD_FROM => {
                self.0.set(Phase::Begun);
                true
            }
            Phase::Begun | Phase::Since(_) => true,
            Phase::Never | Phase::Not | Phase::Over => false,
        }
    }

    /// `awaited`: whether a hub that has nothing to do is on its way.
    #[inline]
    pub(super) fn look_at_clock(&self, now: u64, awaited: impl Fn() -> bool) {
        match self.0.get() {
            Phase::Begun => self.0.set(Phase::Since(now)),
            Phase::Since(begin) => {
                let limit = if awaited() { policy::HOLD.1 } else { policy::HOLD.0 };
                if now - begin >= limit {
                    self.0.set(Phase::Over);
                }
            }
            Phase::Never | Phase::Not | Phase::Over => {}
        }
    }

    /// The deque was empty: what comes now is another burst.
    #[inline]
    pub(super) fn reset(&self) {
        if self.0.get() != Phase::Never {
            self.0.set(Phase::Not);
        }
    }
}

#[cfg(all(test, not(greenhub_loom), not(greenhub_schedule)))]
mod tests {
    use super::*;
    use crate::hub::policy::{HOLD, HOLD_FROM};

    #[test]
    fn a_burst_is_held_once_and_for_a_while() {
        let hold = Hold::new(true);
        assert!(!hold.lasts(HOLD_FROM - 1));
        assert!(hold.lasts(HOLD_FROM));
        hold.look_at_clock(1_000, || false);
        hold.look_at_clock(999 + HOLD.0, || false);
        hold.look_at_clock(999 + HOLD.1, || true);
        assert!(hold.lasts(1));
        hold.look_at_clock(1_000 + HOLD.0, || false);
        assert!(!hold.lasts(HOLD_FROM), "it does not begin anew");
        hold.reset();
        assert!(hold.lasts(HOLD_FROM));
    }

    #[test]
    fn nothing_is_held_where_nobody_could_take_it() {
        let hold = Hold::new(false);
        assert!(!hold.lasts(1_000));
        hold.reset();
        assert!(!hold.lasts(1_000));
    }
}
