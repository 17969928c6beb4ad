//! The pool with real threads: limits, idle threads, shutdown, and what `unblock` hands back.

use super::pool::PoolCounts;
use super::queue::Refusal;
use super::unblock::{CallerSide, Slot, try_unblock_on, unblock_on};
use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const FOREVER: Duration = Duration::MAX;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn execute(pool: &BlockingPool, f: impl FnOnce() + Send + 'static) {
    assert!(pool.execute(Box::new(f)).is_ok(), "the pool refused a job");
}

/// Starts a job that runs until the sender is dropped, and returns once it is running.
fn occupy(pool: &BlockingPool) -> Sender<()> {
    let (release, released): (Sender<()>, Receiver<()>) = channel();
    let (begun, has_begun) = channel();
    execute(pool, move || {
        begun.send(()).expect("the test waits for this");
        released.recv().expect_err("nothing is ever sent");
    });
    has_begun.recv().expect("the job begins");
    release
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = soon();
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn threads_are_made_up_to_the_limit_and_the_rest_queues() {
    let pool = BlockingPool::new(3, FOREVER);
    let held: Vec<_> = (0..3).map(|_| occupy(&pool)).collect();
    let (done, ended) = channel();
    for number in 0..100 {
        let done = done.clone();
        execute(&pool, move || done.send(number).expect("the test waits for this"));
    }
    assert_eq!(pool.counts(), PoolCounts { threads: 3, idle: 0, queued: 100, running: 3 });
    drop(held);
    let mut numbers: Vec<i32> = ended.iter().take(100).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    eventually("all threads idle", || pool.counts().idle == 3);
    assert!(pool.shutdown(soon()));
    assert_eq!(pool.counts(), PoolCounts::default());
}

#[test]
fn jobs_on_one_thread_run_in_the_order_they_came() {
    let pool = BlockingPool::new(1, FOREVER);
    let held = occupy(&pool);
    let (done, ended) = channel();
    for number in 0..50 {
        let done = done.clone();
        execute(&pool, move || done.send(number).expect("the test waits for this"));
    }
    drop(held);
    assert!(ended.iter().take(50).eq(0..50));
}

#[test]
fn the_thread_used_last_is_used_first_and_the_others_end() {
    let pool = BlockingPool::new(4, Duration::from_millis(300));
    drop((0..4).map(|_| occupy(&pool)).collect::<Vec<_>>());
    eventually("all threads idle", || pool.counts().idle == 4);
    let mut names = Vec::new();
    eventually("three of four threads ended", || {
        names.push(unblock_on(&pool, || thread::current().name().map(str::to_owned)));
        pool.counts().threads == 1
    });
    names.dedup();
    assert_eq!(names.len(), 1, "one thread could do it all: {names:?}");
    assert!(names[0].as_deref().is_some_and(|name| name.starts_with("greenhub-blocking-")));
    eventually("the last thread ended", || pool.counts().threads == 0);
    assert_eq!(unblock_on(&pool, || 7), 7, "an empty pool starts anew");
}

#[test]
fn a_panicking_job_costs_neither_its_thread_nor_the_count() {
    /// Panics when dropped, with what panics when dropped. Without size, so that the last, which the pool gives up
    /// on, is no leak.
    struct Outer;
    struct Inner;
    impl Drop for Outer {
        fn drop(&mut self) {
            resume_unwind(Box::new(Inner));
        }
    }
    impl Drop for Inner {
        fn drop(&mut self) {
            resume_unwind(Box::new(()));
        }
    }
    let pool = BlockingPool::new(1, FOREVER);
    execute(&pool, || resume_unwind(Box::new(())));
    execute(&pool, || resume_unwind(Box::new(Inner)));
    execute(&pool, || resume_unwind(Box::new(Outer)));
    assert_eq!(unblock_on(&pool, || 1), 1);
    eventually("the thread idle", || {
        pool.counts() == PoolCounts { threads: 1, idle: 1, queued: 0, running: 0 }
    });
    assert!(pool.shutdown(soon()));
}

#[test]
fn shutdown_drops_what_has_not_begun_and_waits_for_what_has() {
    let pool = BlockingPool::new(1, FOREVER);
    let held = occupy(&pool);
    let witness = Arc::new(());
    let queued = Arc::clone(&witness);
    execute(&pool, move || unreachable!("{queued:?}"));
    assert!(!pool.shutdown(Instant::now() + Duration::from_millis(20)), "a job is running");
    assert_eq!(Arc::strong_count(&witness), 1, "the queued job is dropped at once");
    let late = Arc::clone(&witness);
    let refused =
        pool.execute(Box::new(move || unreachable!("{late:?}"))).expect_err("the pool is shut down");
    assert_eq!(Arc::strong_count(&witness), 1, "the refused job is dropped at once");
    assert!(matches!(refused, Refusal::ShutDown));
    drop(held);
    assert!(pool.shutdown(soon()));
    assert!(pool.shutdown(Instant::now()), "nothing is left to wait for");
}

#[test]
fn unblock_hands_on_values_and_panics() {
    let pool = BlockingPool::new(2, FOREVER);
    let here = thread::current().id();
    assert_ne!(unblock_on(&pool, || thread::current().id()), here);
    let panicking = || unblock_on(&pool, || resume_unwind(Box::new("payload")));
    let payload = catch_unwind(AssertUnwindSafe(panicking)).expect_err("the panic goes on in the caller");
    assert_eq!(payload.downcast_ref(), Some(&"payload"));
}

#[test]
fn unblock_finds_out_that_the_pool_was_shut_down() {
    let pool = BlockingPool::new(1, FOREVER);
    let held = occupy(&pool);
    let witness = Arc::new(());
    let unrun = || {
        let inside = Arc::clone(&witness);
        move || unreachable!("{inside:?}")
    };
    thread::scope(|scope| {
        let f = unrun();
        let waiting = scope.spawn(|| try_unblock_on::<_, ()>(&pool, f));
        eventually("the job queued", || pool.counts().queued == 1);
        pool.close();
        let refusal = waiting.join().expect("no panic").expect_err("not run");
        assert!(matches!(refusal, Refusal::ShutDown));
    });
    let refusal = try_unblock_on::<_, ()>(&pool, unrun()).expect_err("refused");
    assert!(matches!(refusal, Refusal::ShutDown));
    let f = unrun();
    let message = catch_unwind(AssertUnwindSafe(|| unblock_on::<_, ()>(&pool, f))).expect_err("refused");
    assert_eq!(Arc::strong_count(&witness), 1, "what does not run is dropped");
    let message = message.downcast_ref::<String>().expect("a message");
    assert_eq!(message, "unblock: the blocking pool is shut down");
    drop(held);
    assert!(pool.shutdown(soon()));
}

#[test]
fn without_a_thread_a_job_is_refused_and_with_one_it_waits() {
    let pool = BlockingPool::new(2, FOREVER);
    pool.set_no_threads(true);
    let witness = Arc::new(());
    let inside = Arc::clone(&witness);
    let refusal = try_unblock_on::<_, ()>(&pool, move || unreachable!("{inside:?}")).expect_err("no thread");
    assert!(matches!(refusal, Refusal::NoThread(_)));
    assert_eq!(Arc::strong_count(&witness), 1, "what does not run is dropped");
    assert_eq!(pool.counts(), PoolCounts::default());
    pool.set_no_threads(false);
    let held = occupy(&pool);
    pool.set_no_threads(true);
    let (done, ended) = channel();
    execute(&pool, move || done.send(()).expect("the test waits for this"));
    assert_eq!(pool.counts(), PoolCounts { threads: 1, idle: 0, queued: 1, running: 1 });
    drop(held);
    ended.recv().expect("run by the thread there is");
}

#[test]
fn an_abandoned_closure_is_dropped_at_once_and_a_late_result_by_its_job() {
    let witness = Arc::new(());
    let captured = Arc::clone(&witness);
    let (slot, job) = Slot::new(move || unreachable!("{captured:?}"));
    drop(CallerSide::<_, ()>(&slot));
    assert_eq!(Arc::strong_count(&witness), 1);
    job.run();

    let captured = Arc::clone(&witness);
    let (begun, has_begun) = channel();
    let (release, released) = channel::<()>();
    let (slot, job) = Slot::new(move || {
        begun.send(()).expect("the test waits for this");
        released.recv().expect_err("nothing is ever sent");
        captured
    });
    let running = thread::spawn(move || job.run());
    has_begun.recv().expect("the job begins");
    drop(CallerSide(&slot));
    drop(release);
    running.join().expect("no panic");
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn many_callers_share_few_threads_whatever_ends_meanwhile() {
    let pool = BlockingPool::new(4, Duration::from_micros(50));
    let start = Barrier::new(8);
    let sums: Vec<usize> = thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (0..1000)
                        .map(|number| {
                            if number % 16 == 0 {
                                thread::sleep(Duration::from_micros(60));
                            }
                            unblock_on(&pool, move || number)
                        })
                        .sum()
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("no panic")).collect()
    });
    assert_eq!(sums, vec![499_500; 8]);
    assert!(pool.shutdown(soon()));
    assert_eq!(pool.counts(), PoolCounts::default());
}
