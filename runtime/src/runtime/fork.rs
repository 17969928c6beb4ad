//! fork(2) beside hubs.
//!
//! The child has one OS thread, the one that forked, and none of the hubs. What the runtime makes of that:
//!
//! * forked from a plain OS thread, the child's first use of the default runtime starts a new one; runtimes made by
//!   hand stay behind, and using one is a clear panic;
//! * forked from inside a greenlet, the child's code runs on as on a plain OS thread: its blocking calls block, and
//!   what it spawns goes to the child's own default runtime. When the greenlet's closure returns, there is no hub left
//!   to return to, so the child ends, with a message. It is best to `exec` or `_exit` before.

use crate::greenlet::current;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often this process is a fork's child since a runtime was first built.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The present generation; a runtime of another one has lost its hubs.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Sees to it that a child knows it is one.
pub(super) fn watch() {
    #[cfg(unix)]
    {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handler only stores to an atomic and to a thread-local without a destructor.
            let refused = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
            if refused != 0 {
                eprintln!(
                    "greenhub: forks of this process will not be noticed (pthread_atfork: error {refused})"
                );
            }
        });
    }
}

#[cfg(unix)]
unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    current::set_hub(None);
}

/// Called by a hub when a greenlet has ended: in a child there is no hub to go on with.
#[inline]
pub(crate) fn end_child(generation_of_hub: u64) {
    if generation() != generation_of_hub {
        end_child_now();
    }
}

#[cold]
fn end_child_now() -> ! {
    eprintln!(
        "greenhub: a greenlet that had forked returned in the child process, where its hub does not exist; the child \
         ends here. Call `exec` or `_exit` in the child instead."
    );
    // SAFETY: ends this process; its destructors belong to the parent.
    unsafe { libc::_exit(70) }
}
