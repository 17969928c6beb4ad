//! When the monitor may sleep: the protocol between it and the hubs.
//!
//! The monitor sleeps only while every hub does, and must be woken by the first that gets up. It writes *resting*,
//! fences, looks at every hub's bed once more, and only then blocks. A hub that gets up writes *up* into its bed,
//! fences, and looks whether the monitor rests. The two fences have an order: if the hub's comes first, the monitor's
//! look finds the hub up and the monitor does not block; if the monitor's comes first, the hub finds it resting and
//! rings. Exactly one hub rings per rest.
//!
//! The mark is also the monitor's evidence that nobody has been up: while it still stands, no hub has ended a rest
//! since it was made.

use crate::hub::idle::Bed;

#[cfg(all(test, greenhub_loom))]
mod model;

/// The monitor's own bed, on a line of its own: hubs read it at every end of a rest.
#[repr(align(128))]
pub(crate) struct Rest {
    bed: Bed,
}

impl Rest {
    /// The rest of a monitor that is up.
    pub(crate) fn new() -> Self {
        Self { bed: Bed::new() }
    }

    /// Asked by a hub after its own `Bed::get_up`: must it ring?
    #[inline]
    pub(crate) fn must_ring(&self) -> bool {
        self.bed.must_wake()
    }

    /// The monitor wants to rest. `false`: a hub is up, so it may not.
    pub(crate) fn lie_down(&self, all_asleep: impl FnOnce() -> bool) -> bool {
        self.bed.lie_down();
        if all_asleep() {
            return true;
        }
        self.get_up();
        false
    }

    /// Whether no hub has got up since the monitor lay down.
    pub(crate) fn undisturbed(&self) -> bool {
        self.bed.is_asleep()
    }

    /// The monitor is up again.
    pub(crate) fn get_up(&self) {
        self.bed.get_up();
    }
}
