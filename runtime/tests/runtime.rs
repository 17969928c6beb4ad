//! Runtimes: how they start, and live beside each other and beside other programs' parts.

mod common;

use common::child;
use common::{ALL, Place, everywhere, left, stay};
use greenhub::runtime::Builder;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const SECONDS: Duration = Duration::from_secs(20);

#[test]
fn many_runtimes_come_and_go_without_a_trace() {
    let _alone = common::alone();
    let cycle = |place: Place| {
        let runtime = place.builder().build().unwrap();
        let value = runtime.run(|| {
            greenhub::timeout(Duration::from_secs(9), || greenhub::sleep(Duration::from_micros(100)))
                .unwrap();
            greenhub::unblock(|| ());
            let handles: Vec<_> = (0..20).map(|n| greenhub::spawn(move || n)).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).sum::<i32>()
        });
        assert_eq!(value, 190);
        if place.hubs == 2 {
            drop(runtime);
        } else {
            assert!(runtime.shutdown_timeout(SECONDS));
        }
    };
    // Allocator arenas and thread stacks that the system keeps come in the first rounds.
    (0..10).for_each(|_| ALL.into_iter().for_each(cycle));
    let before = left::Resources::now();
    let mappings = left::mappings();
    for _ in 0..15 {
        ALL.into_iter().for_each(cycle);
    }
    left::expect_as_before(&before, stay(1));
    let grown = left::mappings().saturating_sub(mappings);
    assert!(grown <= 20, "90 runtimes left {grown} mappings behind");
}

#[test]
fn runtimes_live_side_by_side_and_end_in_any_order() {
    let _alone = common::alone();
    let runtimes: Vec<_> = ALL.map(|place| place.builder().build().unwrap()).into();
    let sums: Vec<u64> = runtimes.iter().map(|runtime| runtime.run(|| (0..100).sum())).collect();
    assert!(sums.iter().all(|&sum| sum == 4950));
    let mut runtimes: Vec<_> = runtimes.into_iter().map(Some).collect();
    for index in [3, 0, 5, 1, 4, 2] {
        let parked = runtimes[index].as_ref().unwrap().spawn(greenhub::park);
        assert!(runtimes[index].take().unwrap().shutdown_timeout(SECONDS));
        assert!(parked.join().unwrap_err().is_killed());
    }
}

#[test]
fn the_default_runtime_serves_use_before_run() {
    const NAME: &str = "the_default_runtime_serves_use_before_run";
    if child::is_child(NAME) {
        assert_eq!(greenhub::spawn(|| 3).join().unwrap(), 3);
        assert_eq!(greenhub::spawn_later(Duration::from_millis(1), || 4).join().unwrap(), 4);
        assert_eq!(greenhub::run(|| greenhub::run(|| 5)), 5, "nested, `run` is spawn and join");
        assert_eq!(std::thread::spawn(|| greenhub::run(|| 6)).join().unwrap(), 6);
        let borrowed = [1, 2, 3];
        assert_eq!(greenhub::run(|| borrowed.iter().sum::<i32>()), 6);
        let caught = catch_unwind(|| greenhub::spawn_local(|| ()));
        let payload = caught.expect_err("a plain thread has no hub");
        let text = payload.downcast_ref::<&str>().expect("a message");
        assert!(text.contains("plain OS thread") && text.contains("greenhub::run"), "{text}");
        return;
    }
    child::succeed(NAME, |command| _ = command.env("GREENHUB_HUBS", "2"));
}

#[test]
fn a_program_may_end_while_greenlets_run() {
    const NAME: &str = "a_program_may_end_while_greenlets_run";
    if child::is_child(NAME) {
        for _ in 0..100 {
            drop(greenhub::spawn(|| {
                loop {
                    greenhub::spawn(|| ()).join().unwrap();
                    greenhub::sleep(Duration::from_micros(50));
                }
            }));
        }
        greenhub::sleep(Duration::from_millis(5));
        std::process::exit(7);
    }
    for _ in 0..3 {
        assert_eq!(child::run(NAME, |_| {}).status.code(), Some(7));
    }
}

#[test]
fn run_works_inside_run_and_across_runtimes() {
    everywhere(|world| {
        let other = Builder::new().hubs(1).build().unwrap();
        let mut trace = Vec::new();
        world.run(|| {
            trace.push(1);
            greenhub::run(|| {
                trace.push(2);
                other.run(|| trace.push(3));
                trace.push(4);
            });
        });
        assert_eq!(trace, [1, 2, 3, 4]);
        assert!(other.shutdown_timeout(SECONDS));
    });
}

#[test]
fn greenlets_and_tokio_live_in_one_program() {
    everywhere(|world| {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        // `run` and joins inside tokio block its thread, as any blocking call does; handles can be awaited.
        let value = tokio.block_on(async {
            let inner = world.run(|| greenhub::spawn(|| 1).join().unwrap());
            tokio::time::sleep(Duration::from_millis(1)).await;
            inner + world.runtime.spawn(|| 2).await.unwrap()
        });
        assert_eq!(value, 3);
        // tokio's futures inside a greenlet, driven by its runtime on a thread of its own.
        let handle = tokio.handle().clone();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let driver = std::thread::spawn(move || {
            tokio.block_on(async {
                while !stopped.load(SeqCst) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        });
        let value = world.run(|| {
            let task = handle.spawn(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                5
            });
            greenhub::block_on(task).unwrap()
        });
        assert_eq!(value, 5);
        stop.store(true, SeqCst);
        driver.join().unwrap();
    });
}

#[test]
fn printing_from_greenlets_works() {
    const NAME: &str = "printing_from_greenlets_works";
    if child::is_child(NAME) {
        greenhub::run(|| {
            let handles: Vec<_> = (0..200)
                .map(|n| {
                    greenhub::spawn(move || {
                        println!("line {n} begins");
                        greenhub::yield_now();
                        println!("line {n} ends");
                    })
                })
                .collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
        return;
    }
    let output = child::succeed(NAME, |_| {});
    let text = child::text(&output.stdout);
    for n in 0..200 {
        assert_eq!(text.matches(&format!("line {n} begins\n")).count(), 1);
        assert_eq!(text.matches(&format!("line {n} ends\n")).count(), 1);
    }
}
