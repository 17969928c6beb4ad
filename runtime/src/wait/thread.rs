//! The wait of a plain OS thread: an epoch behind a mutex, and a condition variable.

use super::{Ended, Interrupts};
use crate::facade::{Arc, Condvar, Mutex};
use crate::hub::offer;
use std::ptr::NonNull;
use std::time::Instant;

#[cfg(all(test, greenhub_loom))]
mod model;

/// Where one OS thread waits. Its owner parks; anybody may end the wait whose epoch it knows.
pub(crate) struct ThreadParker {
    wait: Mutex<Wait>,
    ended: Condvar,
}

struct Wait {
    /// The owner's next wait, or the one it is in.
    epoch: u32,
    /// The owner sleeps.
    asleep: bool,
}

/// What came of an attempt to end a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Something else has ended it.
    Stale,
    /// It is over, and the owner, which is awake, will see that.
    Noted,
    /// It is over, and the owner sleeps until [`ThreadParker::ring`].
    MustRing,
}

impl ThreadParker {
    pub(crate) fn new() -> Self {
        Self { wait: Mutex::new(Wait { epoch: 0, asleep: false }), ended: Condvar::new() }
    }

    /// The epoch of the owner's next wait.
    pub(crate) fn epoch(&self) -> u32 {
        self.wait.lock().epoch
    }

    /// Ends the wait `epoch`.
    #[must_use = "the owner may sleep"]
    pub(crate) fn end(&self, epoch: u32) -> End {
        let mut wait = self.wait.lock();
        if wait.epoch != epoch {
            return End::Stale;
        }
        wait.epoch = epoch.wrapping_add(1);
        if !wait.asleep {
            return End::Noted;
        }
        offer::called();
        End::MustRing
    }

    /// Wakes the owner from a wait that was ended. Not to be called under a lock that the owner takes next: where cores are
    /// few it runs at once, in the caller's place, and would give its core away to wait for that lock.
    pub(crate) fn ring(&self) {
        self.ended.notify_one();
    }

    /// Blocks the owner until the wait `epoch` has ended, or until `deadline`. Returns whether a wake ended it; at
    /// the deadline the wait is ended here, so that a later waker finds it over.
    pub(crate) fn park(&self, epoch: u32, deadline: Option<Instant>) -> bool {
        let mut wait = self.wait.lock();
        if wait.epoch != epoch {
            return true;
        }
        wait.asleep = true;
        let woken = loop {
            match deadline {
                None => self.ended.wait(&mut wait),
                Some(at) => {
                    let _timed_out = self.ended.wait_until(&mut wait, at);
                    if wait.epoch == epoch && crate::facade::instant_now() >= at {
                        wait.epoch = epoch.wrapping_add(1);
                        break false;
                    }
                }
            }
            if wait.epoch != epoch {
                offer::came();
                break true;
            }
        };
        wait.asleep = false;
        woken
    }
}

/// All the runtime keeps of one plain OS thread.
pub(crate) struct ThreadSelf {
    pub(crate) parker: ThreadParker,
    /// Its identity among greenlets and threads.
    pub(crate) id: u64,
    /// Only the thread itself looks at these.
    pub(crate) masks: crate::greenlet::timeout::Masks,
}

// SAFETY: other threads reach only the parker and the id; the masks are the thread's own (`current` is the way to
// them).
unsafe impl Sync for ThreadSelf {}
// SAFETY: as above; what the masks point to is on the thread's stack while it runs.
unsafe impl Send for ThreadSelf {}

impl ThreadSelf {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            parker: ThreadParker::new(),
            id: crate::ids::next(),
            masks: crate::greenlet::timeout::Masks::new(),
        })
    }
}

impl ThreadSelf {
    /// Where a waker finds the thread.
    pub(crate) fn address(this: &Arc<Self>) -> NonNull<Self> {
        NonNull::new(Arc::as_ptr(this).cast_mut()).expect("an `Arc` is not null")
    }

    /// Keeps what is at `address` alive for a waker: the thread may be gone as soon as its wait is over, and ending the
    /// wait touches the parker a little longer.
    ///
    /// # Safety
    ///
    /// `address` comes from [`ThreadSelf::address`], and the thread has not ended.
    pub(crate) unsafe fn share(address: NonNull<Self>) -> Arc<Self> {
        // SAFETY: the pointer is that of an `Arc`, which the thread holds; the count goes up by the one taken over.
        unsafe {
            Arc::increment_strong_count(address.as_ptr().cast_const());
            Arc::from_raw(address.as_ptr().cast_const())
        }
    }
}

/// What the runtime keeps of the calling OS thread.
pub(crate) fn current() -> Arc<ThreadSelf> {
    crate::greenlet::current::thread()
}

/// Blocks the calling OS thread until its wait `epoch` ends.
pub(crate) fn park(epoch: u32, deadline: Option<Instant>, interrupts: Interrupts) -> Ended {
    let thread = current();
    let interrupted_at = match interrupts {
        Interrupts::Kept => None,
        _ if cfg!(panic = "abort") || std::thread::panicking() => None,
        _ => thread.masks.earliest_instant(),
    };
    let until = match (deadline, interrupted_at) {
        (Some(own), Some(other)) => Some(own.min(other)),
        (own, other) => own.or(other),
    };
    if thread.parker.park(epoch, until) {
        Ended::Woken
    } else if deadline.is_some_and(|own| until == Some(own)) {
        Ended::TimedOut
    } else {
        Ended::Interrupted
    }
}
