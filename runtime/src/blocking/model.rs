//! The blocking pool under loom: every job that is pushed is run, or dropped, or refused, exactly once, at a shutdown
//! too, and its caller finds out; no more threads than allowed, and no job waits beside an idle one.
//!
//! `Queue::push`, `work`, `sleep`, `end`, `close` and `wait_until_empty` of `blocking/queue.rs`, and what stands on it in
//! `pool.rs` and `unblock.rs`, run as they ship; a pool thread is a loom thread.
//!
//! An idle time of zero makes every idle thread give up at once, `Duration::MAX` makes it sleep until woken (time
//! does not pass under loom), so each model takes one of the two. Jobs assert nothing: the pool would contain it.

use super::pool::PoolCounts;
use super::queue::{Job, Refusal};
use super::unblock::{CallerSide, Slot, try_unblock_on, unblock_on};
use super::*;
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::{Arc, Condvar, Mutex};
use loom::thread;
use std::time::Duration;

/// How the jobs ended, to be waited for.
#[derive(Default)]
struct Ends {
    counts: Mutex<(usize, usize)>,
    changed: Condvar,
}

/// One job's end: run or dropped unrun.
struct Token {
    ends: Arc<Ends>,
    run: bool,
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut counts = self.ends.counts.lock();
        if self.run {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
        drop(counts);
        self.ends.changed.notify_one();
    }
}

impl Ends {
    fn job(ends: &Arc<Self>) -> Job {
        let token = Token { ends: Arc::clone(ends), run: false };
        Box::new(move || {
            // The whole token, not only its flag.
            let mut token = token;
            token.run = true;
        })
    }

    /// Waits until `run` jobs have run. loom reports a deadlock if one was forgotten.
    fn wait_for(&self, run: usize) {
        let mut counts = self.counts.lock();
        while counts.0 < run {
            self.changed.wait(&mut counts);
        }
    }
}

fn check(preemptions: usize, f: impl Fn() + Sync + Send + 'static) {
    crate::model::explore_within(preemptions, f);
}

fn pushed_by_two(max_threads: usize, idle: Duration) {
    let pool = Arc::new(BlockingPool::new(max_threads, idle));
    let ends = Arc::new(Ends::default());
    let other = {
        let (pool, ends) = (Arc::clone(&pool), Arc::clone(&ends));
        thread::spawn(move || assert!(pool.execute(Ends::job(&ends)).is_ok()))
    };
    assert!(pool.execute(Ends::job(&ends)).is_ok());
    other.join().unwrap();
    ends.wait_for(2);
    assert!(pool.counts().threads <= max_threads);
    pool.shutdown_and_wait();
    assert_eq!(pool.counts(), PoolCounts::default());
    assert_eq!(*ends.counts.lock(), (2, 0));
}

#[test]
fn model_two_pushes_to_one_sleeping_thread() {
    check(3, || pushed_by_two(1, Duration::MAX));
}

#[test]
fn model_two_pushes_to_two_sleeping_threads() {
    // Three preemptions are more than 200,000 interleavings.
    check(2, || pushed_by_two(2, Duration::MAX));
}

#[test]
fn model_two_pushes_to_a_thread_that_gives_up() {
    check(3, || pushed_by_two(1, Duration::ZERO));
}

/// Each later push comes when the thread is done, asleep, giving up or gone.
#[test]
fn model_a_push_after_the_last_job() {
    for idle in [Duration::ZERO, Duration::MAX] {
        check(3, move || {
            let pool = BlockingPool::new(1, idle);
            let ends = Arc::new(Ends::default());
            for number in 1..=3 {
                assert!(pool.execute(Ends::job(&ends)).is_ok());
                ends.wait_for(number);
            }
            pool.shutdown_and_wait();
            assert_eq!(pool.counts(), PoolCounts::default());
        });
    }
}

#[test]
fn model_a_push_during_shutdown_is_run_dropped_or_refused() {
    for idle in [Duration::ZERO, Duration::MAX] {
        check(3, move || {
            let pool = Arc::new(BlockingPool::new(1, idle));
            let ends = Arc::new(Ends::default());
            assert!(pool.execute(Ends::job(&ends)).is_ok());
            let other = {
                let (pool, ends) = (Arc::clone(&pool), Arc::clone(&ends));
                thread::spawn(move || match pool.execute(Ends::job(&ends)) {
                    Ok(()) => false,
                    Err(refused) => matches!(refused, Refusal::ShutDown),
                })
            };
            pool.shutdown_and_wait();
            assert_eq!(pool.counts(), PoolCounts::default());
            let refused = other.join().unwrap();
            let (run, dropped) = *ends.counts.lock();
            assert_eq!(run + dropped, 2, "a job is forgotten");
            assert!(!refused || dropped >= 1);
        });
    }
}

/// A caller that unwinds abandons its job before, while or after it runs.
#[test]
fn model_an_abandoned_job_is_dropped_once_run_or_not() {
    check(3, || {
        let ends = Arc::new(Ends::default());
        let token = Token { ends: Arc::clone(&ends), run: false };
        let (slot, job) = Slot::new(move || {
            let mut token = token;
            token.run = true;
            token
        });
        let running = thread::spawn(move || job.run());
        drop(CallerSide(&slot));
        running.join().unwrap();
        let (run, dropped) = *ends.counts.lock();
        assert_eq!(run + dropped, 1);
    });
}

/// The caller waits through the crate's own parking; the pool may shut down before, during or after.
#[test]
fn model_unblock_against_shutdown() {
    check(3, || {
        let pool = Arc::new(BlockingPool::new(1, Duration::MAX));
        let closing = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.close())
        };
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let result = try_unblock_on(&pool, move || counter.fetch_add(1, Ordering::Relaxed));
        // Relaxed: what the job did is visible to its caller through the slot's lock.
        let runs = runs.load(Ordering::Relaxed);
        match result {
            Ok(before) => assert_eq!((before, runs), (0, 1)),
            Err(_) => assert_eq!(runs, 0),
        }
        closing.join().unwrap();
        pool.shutdown_and_wait();
    });
}
