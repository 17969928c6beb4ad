//! [`BlockingPool`]: the handle through which a runtime owns its blocking threads.

use super::queue::{Job, Queue, Refusal};
use crate::facade::Arc;
use std::time::{Duration, Instant};

/// A bounded set of OS threads that run jobs in the order they came. See the module's page.
///
/// Dropping it is a [`close`](BlockingPool::close): jobs not begun are dropped, and the threads end by themselves.
pub(crate) struct BlockingPool {
    queue: Arc<Queue>,
}

/// How many of each there are, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolCounts {
    /// Threads alive.
    pub(crate) threads: usize,
    /// Threads asleep.
    pub(crate) idle: usize,
    /// Jobs not begun, those abandoned by their waiters included.
    pub(crate) queued: usize,
    /// Jobs begun and not ended.
    pub(crate) running: usize,
}

impl BlockingPool {
    /// How many threads a pool may have unless told otherwise.
    pub(crate) const MAX_THREADS: usize = 512;
    /// How long a thread stays idle unless told otherwise.
    pub(crate) const IDLE: Duration = Duration::from_secs(10);

    /// A pool without threads: they are made on demand.
    ///
    /// # Panics
    ///
    /// If `max_threads` is 0.
    pub(crate) fn new(max_threads: usize, idle: Duration) -> Self {
        assert!(max_threads > 0, "a blocking pool needs at least one thread");
        Self { queue: Queue::new(max_threads, idle) }
    }

    /// Runs `job` on one of the pool's threads, as soon as one is free. A panic in it ends there.
    ///
    /// # Errors
    ///
    /// After a shutdown, or if no thread is alive and the system refuses to start one: the job is then dropped unrun,
    /// before this returns. (If it refuses while threads are alive, the job waits for one of them.)
    pub(crate) fn execute(&self, job: Job) -> Result<(), Refusal> {
        Queue::push(&self.queue, job)
    }

    /// Refuses all further jobs, drops those not begun, and bids the threads end, without waiting for them.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// [Closes](Self::close) the pool, then blocks the calling OS thread until all of the pool's threads have ended,
    /// or until `deadline`. Returns whether they have; if not, they end with the jobs they are running, and the call
    /// may be repeated. Not to be called from a job of this pool, which would wait for itself.
    pub(crate) fn shutdown(&self, deadline: Instant) -> bool {
        self.close();
        self.queue.wait_until_empty(Some(deadline))
    }

    /// As [`shutdown`](Self::shutdown), for as long as it takes.
    #[cfg(all(test, greenhub_loom))]
    pub(super) fn shutdown_and_wait(&self) {
        self.close();
        assert!(self.queue.wait_until_empty(None));
    }

    /// Lets no thread be started, or lets them again.
    #[cfg(test)]
    pub(super) fn set_no_threads(&self, no_threads: bool) {
        self.queue.no_threads.store(no_threads, crate::facade::atomic::Ordering::Relaxed);
    }

    /// What the pool holds now.
    pub(crate) fn counts(&self) -> PoolCounts {
        self.queue.counts()
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.close();
    }
}
