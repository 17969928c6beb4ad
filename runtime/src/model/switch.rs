//! The switch of a model: a greenlet that suspends stays on its stack and waits there, in its own loom thread, for what
//! a hub would resume it for.

use super::After;
use crate::greenlet::current;
use crate::greenlet::state::Commit;
use crate::hub::here;
use crate::model::seat::{self, Doing};
use crate::model::trace;

/// A started greenlet's. Its stack is its seat's.
pub(crate) struct Context;

impl Context {
    /// Nothing: a model knows of no caches.
    pub(crate) fn fetch(&self, _lines: usize) {}

    /// Returns when the greenlet is resumed.
    ///
    /// # Safety
    ///
    /// The caller runs on the greenlet this context belongs to.
    pub(crate) unsafe fn suspend(&self, after: After) {
        let greenlet = current::greenlet().expect("a greenlet suspends");
        let (_, seat) = seat::current().expect("greenlets of a model have seats");
        match after {
            After::Yield => {
                trace::tell("gives way".to_owned());
                here().give_way(&greenlet);
            }
            After::Await => unreachable!("joiners claim nobody in models"),
            After::Park { epoch, user, masked } => {
                let (what, object) = seat.next_wait.get();
                trace::note_wait(what, object);
                seat.doing.set(Doing::Waiting { what, object });
                match greenlet.state.commit_park(epoch, user, masked, None) {
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
