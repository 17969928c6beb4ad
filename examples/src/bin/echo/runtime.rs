//! The runtime of either side.

use crate::failed;
use crate::options::Options;
use greenhub::runtime::{Builder, Runtime};
use std::io;

/// Starts the hubs that the options ask for.
pub(crate) fn start(options: &Options) -> io::Result<Runtime> {
    let mut builder = Builder::new().pin_hubs(options.pin);
    if let Some(hubs) = options.hubs {
        builder = builder.hubs(hubs);
    }
    if options.migrate {
        // SAFETY: the contract is about what lives across a call that may suspend. In this program's greenlets those
        // are `accept`, `connect`, `read`, `write_all`, the wait at the load's gate, and the end of a scope, all of
        // which are called by `server` and `load` only.
        // 1. The types say that nothing there is tied to a thread: what the greenlets own or borrow (streams, `Vec`s,
        //    `Arc<State>`, `&Run`, `&Scope`) is moved into `spawn`, which asks for `Send`, or made on the spot from the
        //    same types. Neither a lock's guard nor an `Rc` is live at any of these calls.
        // 2. Thread-locals: the only one in use is greenhub's own, by `current_hub`, which may be called on both sides
        //    of a suspension; its answer is used at once and not kept. What counts and records (atomics, a `Mutex` that
        //    is let go before the next call) is in functions that are never inlined into those that suspend.
        // 3. No greenlet asks which thread it is on, and `errno` is read by the call that failed, before it returns.
        // 4. There is no foreign code on these stacks but the system calls themselves and the allocator, which has
        //    returned by then.
        builder = unsafe { builder.migrate_started() };
    }
    builder.build().map_err(|error| failed("cannot start the hubs", &error))
}
