//! The protocol of the blocking pool: jobs, idle threads, and who must come for which.
//!
//! One short lock guards everything. A thread is *running* a job, *idle* (asleep on its own bed, listed), or *coming*
//! (started or woken, and bound to look at the jobs before it does anything else). A push that finds more jobs than
//! threads coming calls one more: the thread that fell asleep last, else a new one, else none, the limit being
//! reached.
//!
//! # Why no job is forgotten
//!
//! A thread goes idle, or ends, only under the lock and only after it saw that there are no jobs. So while a job
//! waits, some thread is running or coming, and each of those looks again. The three who could get in between all
//! need the lock too:
//!
//! - a *push* while a thread goes idle comes either before it looks, and is seen, or after it is listed, and
//!   wakes it;
//! - a *push* while an idle thread gives up comes either before it has the lock back, and the thread finds itself
//!   woken, or after it has gone from the list, and calls another;
//! - a *close* takes the jobs and the idle threads together, and every later push is refused.
//!
//! A thread is started under the lock, for otherwise a second push could count on a thread that then fails to start.
//! That costs others the tens of microseconds a thread takes, seldom.
//!
//! Nothing of a job runs under the lock, its destructor included.

use super::pool::PoolCounts;
use crate::facade::atomic::{AtomicBool, Ordering};
use crate::facade::instant_now;
use crate::facade::{Arc, Condvar, Mutex, MutexGuard};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use crate::facade::thread;

/// What the pool runs. Dropped unrun, it must tell whoever waits for it.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Why the pool did not take or did not run a job.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The pool is shut down.
    ShutDown,
    /// No thread is alive and none could be started.
    NoThread(io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::ShutDown => formatter.write_str("the blocking pool is shut down"),
            Refusal::NoThread(error) => {
                write!(formatter, "the blocking pool has no thread and could start none: {error}")
            }
        }
    }
}

/// What the pool's handle and its threads share.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Signalled when the last thread has ended.
    empty: Condvar,
    max_threads: usize,
    /// How long a thread stays idle. `Duration::MAX` is for ever.
    idle: Duration,
    /// Makes every start of a thread fail.
    #[cfg(test)]
    pub(super) no_threads: AtomicBool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The beds of the idle threads, the last to fall asleep at the end.
    idle: Vec<Arc<Bed>>,
    /// Threads that will look at the jobs before they do anything else.
    coming: usize,
    running: usize,
    /// All threads: idle, coming, running.
    threads: usize,
    /// The next thread's number.
    number: usize,
    closed: bool,
    handles: Vec<(usize, thread::JoinHandle<()>)>,
    /// Handles of threads that have given up, to be joined by the next that does, or at shutdown.
    ended: Vec<thread::JoinHandle<()>>,
}

/// Where one thread sleeps.
struct Bed {
    /// Written and read only under the lock, which is what orders it (hence `Relaxed` throughout).
    woken: AtomicBool,
    bell: Condvar,
}

impl Queue {
    pub(super) fn new(max_threads: usize, idle: Duration) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            empty: Condvar::new(),
            max_threads,
            idle,
            #[cfg(test)]
            no_threads: AtomicBool::new(false),
        })
    }

    /// Takes `job`, and sees to it that a thread comes for it. A refused job is dropped, after the lock is released.
    pub(super) fn push(queue: &Arc<Self>, job: Job) -> Result<(), Refusal> {
        let mut state = queue.state.lock();
        if state.closed {
            drop(state);
            drop(job);
            return Err(Refusal::ShutDown);
        }
        let mut bed = None;
        if state.jobs.len() >= state.coming {
            bed = state.wake_last();
            if bed.is_none() && state.threads < queue.max_threads {
                // A failure with threads alive is no more than the limit reached early: they are all running or
                // coming, so they will look again. The next push tries again.
                if let Err(error) = Self::start_thread(queue, &mut state)
                    && state.threads == 0
                {
                    drop(state);
                    drop(job);
                    return Err(Refusal::NoThread(error));
                }
            }
        }
        state.jobs.push_back(job);
        drop(state);
        if let Some(bed) = bed {
            bed.bell.notify_one();
        }
        Ok(())
    }

    /// Refuses all further jobs, drops those not begun, and bids the threads end. Does not wait for them.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let jobs = mem::take(&mut state.jobs);
        let beds: Vec<_> = std::iter::from_fn(|| state.wake_last()).collect();
        drop(state);
        for bed in beds {
            bed.bell.notify_one();
        }
        for job in jobs {
            contain(|| drop(job));
        }
    }

    /// Waits until the pool, which is closed, has no thread left, or until `deadline`. Returns whether it has none.
    pub(super) fn wait_until_empty(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while state.threads > 0 {
            match deadline {
                None => self.empty.wait(&mut state),
                Some(at) => {
                    let _timed_out = self.empty.wait_until(&mut state, at);
                    if state.threads > 0 && (cfg!(greenhub_loom) || instant_now() >= at) {
                        return false;
                    }
                }
            }
        }
        let mut handles = mem::take(&mut state.ended);
        handles.extend(state.handles.drain(..).map(|(_, handle)| handle));
        drop(state);
        join(handles);
        true
    }

    pub(super) fn counts(&self) -> PoolCounts {
        let state = self.state.lock();
        PoolCounts {
            threads: state.threads,
            idle: state.idle.len(),
            queued: state.jobs.len(),
            running: state.running,
        }
    }

    /// Starts a thread, which counts as coming, or changes nothing.
    fn start_thread(queue: &Arc<Self>, state: &mut State) -> io::Result<()> {
        #[cfg(test)]
        if queue.no_threads.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let number = state.number;
        let queue = Arc::clone(queue);
        let handle = thread::Builder::new()
            .name(format!("greenhub-blocking-{number}"))
            .spawn(move || queue.work(number))?;
        state.handles.push((number, handle));
        state.number += 1;
        state.threads += 1;
        state.coming += 1;
        Ok(())
    }

    /// The life of thread `number`.
    fn work(&self, number: usize) {
        let bed = Arc::new(Bed { woken: AtomicBool::new(false), bell: Condvar::new() });
        let mut state = self.state.lock();
        loop {
            // Started or woken, and here now.
            state.coming -= 1;
            while let Some(job) = state.jobs.pop_front() {
                state.running += 1;
                drop(state);
                contain(job);
                state = self.state.lock();
                state.running -= 1;
            }
            if state.closed || !self.sleep(&mut state, &bed) {
                break;
            }
        }
        self.end(state, number);
    }

    /// Sleeps until woken (true), or until the time to be idle is over (false): then nobody counts on this thread.
    fn sleep(&self, state: &mut MutexGuard<'_, State>, bed: &Arc<Bed>) -> bool {
        bed.woken.store(false, Ordering::Relaxed);
        state.idle.push(Arc::clone(bed));
        let deadline = instant_now().checked_add(self.idle);
        while !bed.woken.load(Ordering::Relaxed) {
            let Some(at) = deadline else {
                bed.bell.wait(state);
                continue;
            };
            let _timed_out = bed.bell.wait_until(state, at);
            let over = cfg!(greenhub_loom) || instant_now() >= at;
            if over && !bed.woken.load(Ordering::Relaxed) {
                state.idle.retain(|other| !Arc::ptr_eq(other, bed));
                return false;
            }
        }
        true
    }

    /// The last a thread does. At shutdown its handle is left for the one who waits.
    fn end(&self, mut state: MutexGuard<'_, State>, number: usize) {
        let mut earlier = Vec::new();
        if !state.closed {
            earlier = mem::take(&mut state.ended);
            if let Some(place) = state.handles.iter().position(|(other, _)| *other == number) {
                let (_, own) = state.handles.swap_remove(place);
                state.ended.push(own);
            }
        }
        state.threads -= 1;
        if state.threads == 0 {
            self.empty.notify_all();
        }
        drop(state);
        join(earlier);
    }
}

impl State {
    /// Makes the thread that fell asleep last one that is coming. Its bell is yet to be rung.
    fn wake_last(&mut self) -> Option<Arc<Bed>> {
        let bed = self.idle.pop()?;
        bed.woken.store(true, Ordering::Relaxed);
        self.coming += 1;
        Some(bed)
    }
}

/// Runs `f` so that a panic in it ends here: it has been reported by the panic hook, and a job that must hand it on
/// has caught it before.
pub(super) fn contain(f: impl FnOnce()) {
    let forget = |payload: Box<dyn Any + Send>| mem::forget(payload);
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // A payload may panic when dropped, and so may that panic's payload.
        catch_unwind(AssertUnwindSafe(|| drop(payload))).unwrap_or_else(forget);
    }
}

/// Joins threads that are past their last look at the lock. Their closure does not unwind, so neither does this.
fn join(handles: Vec<thread::JoinHandle<()>>) {
    for handle in handles {
        let ended = handle.join();
        debug_assert!(ended.is_ok(), "a thread of the blocking pool panicked outside a job");
    }
}
