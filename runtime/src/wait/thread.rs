//! The wait of a plain OS thread: an epoch behind a mutex, and a condition variable.

use super::{Ended, Interrupts};
use crate::facade::instant_now;
use crate::facade::{Arc, Condvar, Mutex};
use std::ptr::NonNull;
use std::time::Instant;

#[cfg(all(test, greenhub_loom))]
mod model;

/// Where one OS thread waits. Its owner parks; anybody may end the wait whose epoch it knows.
pub(crate) struct ThreadParker {
    epoch: Mutex<u32>,
    ended: Condvar,
}

impl ThreadParker {
    pub(crate) fn new() -> Self {
        Self { epoch: Mutex::new(0), ended: Condvar::new() }
    }

    /// The epoch of the owner's next wait.
    pub(crate) fn epoch(&self) -> u32 {
        *self.epoch.lock()
    }

    /// Ends the wait `epoch`. Returns whether this call ended it.
    pub(crate) fn end(&self, epoch: u32) -> bool {
        let mut current = self.epoch.lock();
        if *current != epoch {
            return false;
        }
        *current = epoch.wrapping_add(1);
        self.ended.notify_one();
        true
    }

    /// Blocks the owner until the wait `epoch` has ended, or until `deadline`. Returns whether a wake ended it; at
    /// the deadline the wait is ended here, so that a later waker finds it over.
    pub(crate) fn park(&self, epoch: u32, deadline: Option<Instant>) -> bool {
        let mut current = self.epoch.lock();
        while *current == epoch {
            match deadline {
                None => self.ended.wait(&mut current),
                Some(at) => {
                    let _timed_out = self.ended.wait_until(&mut current, at);
                    if *current == epoch && (cfg!(greenhub_loom) || instant_now() >= at) {
                        *current = epoch.wrapping_add(1);
                        return false;
                    }
                }
            }
        }
        true
    }
}

/// All the runtime keeps of one plain OS thread.
pub(crate) struct ThreadSelf {
    pub(crate) parker: ThreadParker,
    /// Its identity among greenlets and threads.
    pub(crate) id: u64,
    /// Only the thread itself looks at these.
    #[cfg(not(greenhub_loom))]
    pub(crate) masks: crate::greenlet::timeout::Masks,
}

// SAFETY: other threads reach only the parker and the id; the masks are the thread's own (`current` is the way to
// them).
#[cfg(not(greenhub_loom))]
unsafe impl Sync for ThreadSelf {}
// SAFETY: as above; what the masks point to is on the thread's stack while it runs.
#[cfg(not(greenhub_loom))]
unsafe impl Send for ThreadSelf {}

impl ThreadSelf {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            parker: ThreadParker::new(),
            id: crate::ids::next(),
            #[cfg(not(greenhub_loom))]
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
    #[cfg(not(greenhub_loom))]
    return crate::greenlet::current::thread();
    #[cfg(greenhub_loom)]
    {
        loom::thread_local!(static THREAD: Arc<ThreadSelf> = ThreadSelf::new());
        THREAD.with(Arc::clone)
    }
}

/// Blocks the calling OS thread until its wait `epoch` ends.
pub(crate) fn park(epoch: u32, deadline: Option<Instant>, interrupts: Interrupts) -> Ended {
    let thread = current();
    #[cfg(not(greenhub_loom))]
    let interrupted_at = match interrupts {
        Interrupts::Kept => None,
        _ if cfg!(panic = "abort") || std::thread::panicking() => None,
        _ => thread.masks.earliest_instant(),
    };
    #[cfg(greenhub_loom)]
    let interrupted_at = {
        let _nothing_interrupts_a_model_yet = interrupts;
        None
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
