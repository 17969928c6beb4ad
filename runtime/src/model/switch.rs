//! The switch of a model: a greenlet that suspends stays on its stack and waits there, in its own loom thread, for what
//! a hub would resume it for.

use crate::greenlet::current;
use crate::greenlet::state::Commit;
use crate::hub::here;
use crate::model::seat::{self, Doing};
use crate::model::trace;

/// What the hub is to do with a greenlet that switched to it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum After {
    /// Let others run.
    Yield,
    /// Park it, unless its wait has already ended.
    Park {
        /// The wait.
        epoch: u32,
        /// An unpark ends it.
        user: bool,
        /// A kill does not end it.
        masked: bool,
    },
}

/// Greenlets of a model have their stacks from their seats.
pub(crate) struct Context;

/// How a running greenlet switches to its hub.
#[derive(Clone, Copy)]
pub(crate) struct Suspender(());

impl Suspender {
    pub(crate) fn new() -> Self {
        Self(())
    }

    /// Returns when the greenlet is resumed.
    ///
    /// # Safety
    ///
    /// The caller runs on the stack this suspender belongs to.
    pub(crate) unsafe fn suspend(self, after: After) {
        let greenlet = current::greenlet().expect("a greenlet suspends");
        match after {
            After::Yield => {
                trace::tell("gives way".to_owned());
                here().give_way(&greenlet);
            }
            After::Park { epoch, user, masked } => {
                let (_, seat) = seat::current().expect("greenlets of a model have seats");
                let (what, object) = seat.next_wait.get();
                trace::note(what, std::ptr::without_provenance(object), None);
                seat.doing.set(Doing::Waiting { what, object });
                match greenlet.state.commit_park(epoch, user, masked) {
                    Commit::Parked => here().sleep(&greenlet),
                    // The wait had ended before it began.
                    Commit::Requeue => {}
                }
                seat.doing.set(Doing::Running);
                trace::tell("goes on".to_owned());
            }
        }
    }
}
