//! Runtimes: how they start, end, count, and live beside each other.

mod common;

use common::child;
use common::{ALL, Place, SEVERAL_HUBS, Witness, everywhere, left, on, roam, stay, sum};
use greenhub::runtime::Builder;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const SECONDS: Duration = Duration::from_secs(20);

/// How many greenlets where the request says a million: fewer without optimisation.
const fn a_million_or(fewer: usize) -> usize {
    if cfg!(debug_assertions) { fewer } else { 1_000_000 }
}

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
fn shutdown_kills_what_is_left_and_runs_its_destructors() {
    let _alone = common::alone();
    for place in ALL {
        let before = left::Resources::now();
        let runtime = place.builder().build().unwrap();
        let seen = Arc::new(common::Seen::default());
        let handles: Vec<_> = (0..400)
            .map(|n| {
                let witness = Witness::of(&seen);
                runtime.spawn(move || {
                    let _witness = witness;
                    match n % 5 {
                        0 => greenhub::park(),
                        1 => greenhub::sleep(Duration::from_secs(60)),
                        2 => greenhub::block_on(std::future::pending::<()>()),
                        3 => drop(greenhub::spawn(greenhub::park).join()),
                        _ => loop {
                            greenhub::yield_now();
                        },
                    }
                })
            })
            .collect();
        let late = Witness::of(&seen);
        let unstarted =
            runtime.run(move || greenhub::spawn_later(Duration::from_secs(600), move || drop(late)));
        common::settle();
        assert!(runtime.shutdown_timeout(SECONDS), "on {place:?}");
        assert_eq!(seen.drops(), 401);
        for (n, handle) in handles.into_iter().enumerate() {
            // Who joins a child that was killed first may return before its own kill comes.
            assert!(handle.join().map_or_else(|error| error.is_killed(), |()| n % 5 == 3));
        }
        assert!(unstarted.join().unwrap_err().is_killed());
        left::expect_as_before(&before, place);
    }
}

#[test]
fn shutdown_lets_destructors_wait() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(10));
            self.0.fetch_add(1, SeqCst);
        }
    }
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let dropped = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let slow = Slow(dropped.clone());
            drop(runtime.spawn(move || {
                let _slow = slow;
                greenhub::park();
            }));
        }
        common::settle();
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(dropped.load(SeqCst), 10);
    }
}

#[test]
fn shutdown_asks_again_who_swallowed_the_first_kill() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let swallowed = Arc::new(AtomicUsize::new(0));
        let begun = Arc::new(AtomicBool::new(false));
        let (count, began) = (swallowed.clone(), begun.clone());
        drop(runtime.spawn(move || {
            began.store(true, SeqCst);
            for _ in 0..3 {
                assert!(catch_unwind(AssertUnwindSafe(greenhub::park)).is_err());
                count.fetch_add(1, SeqCst);
            }
            greenhub::park();
        }));
        common::eventually("it began", || begun.load(SeqCst));
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(swallowed.load(SeqCst), 3);
    }
}

#[test]
fn shutdown_says_so_when_something_does_not_end() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let (release, running) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let handle = runtime.spawn({
            let (release, running) = (release.clone(), running.clone());
            move || {
                running.store(true, SeqCst);
                while !release.load(SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        common::eventually("it runs", || running.load(SeqCst));
        let start = Instant::now();
        assert!(
            !runtime.shutdown_timeout(Duration::from_millis(30)),
            "a greenlet that never suspends has ended?"
        );
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(start.elapsed() < Duration::from_secs(10));
        // It ends at last, and with it its hub.
        release.store(true, SeqCst);
        common::eventually("it ended", || handle.is_finished());
        handle.join().unwrap();
    }
}

#[test]
fn a_spawn_after_shutdown_joins_as_killed() {
    let _alone = common::alone();
    for place in ALL {
        let runtime = place.builder().build().unwrap();
        let results: Arc<std::sync::Mutex<Vec<bool>>> = Arc::default();
        struct SpawnsInDrop(Arc<std::sync::Mutex<Vec<bool>>>);
        impl Drop for SpawnsInDrop {
            fn drop(&mut self) {
                let (captured, seen) = Witness::new();
                let handle = greenhub::spawn(move || drop(captured));
                let killed = handle.join().is_err_and(|error| error.is_killed());
                let later = greenhub::spawn_later(Duration::from_secs(60), || ()).join();
                let local = greenhub::spawn_local(|| ()).join();
                let all = killed && later.is_err() && local.is_err() && seen.drops() == 1;
                self.0.lock().unwrap().push(all);
            }
        }
        let spawns = SpawnsInDrop(results.clone());
        drop(runtime.spawn(move || {
            let _spawns = spawns;
            greenhub::park();
        }));
        common::settle();
        assert!(runtime.shutdown_timeout(SECONDS));
        assert_eq!(*results.lock().unwrap(), [true], "on {place:?}");
    }
}

#[test]
fn threads_that_spawn_while_the_runtime_ends_get_a_result_or_a_kill() {
    let _alone = common::alone();
    for round in 0..20 {
        let place = ALL[round % ALL.len()];
        let runtime = Arc::new(place.builder().build().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let handles: Vec<_> = std::thread::scope(|threads| {
            let spawners: Vec<_> = (0..2)
                .map(|_| {
                    let (runtime, stop) = (runtime.clone(), stop.clone());
                    threads.spawn(move || {
                        let mut handles = Vec::new();
                        while !stop.load(SeqCst) && handles.len() < 5000 {
                            handles.push(runtime.spawn(greenhub::yield_now));
                        }
                        handles
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(2));
            stop.store(true, SeqCst);
            spawners.into_iter().flat_map(|spawner| spawner.join().unwrap()).collect()
        });
        let runtime = Arc::into_inner(runtime).unwrap();
        assert!(runtime.shutdown_timeout(SECONDS));
        for handle in handles {
            if let Err(error) = handle.join() {
                assert!(error.is_killed());
            }
        }
    }
}

#[test]
fn a_runtime_that_is_shut_down_from_within_says_why_not_and_ends_in_the_background() {
    let _alone = common::alone();
    for place in ALL {
        for by_drop in [false, true] {
            let before = left::Resources::now();
            let runtime = Arc::new(place.builder().build().unwrap());
            let inside = runtime.clone();
            let refused = Arc::new(AtomicBool::new(false));
            let flag = refused.clone();
            let greenlet = runtime.spawn(move || {
                while Arc::strong_count(&inside) > 1 {
                    greenhub::sleep(Duration::from_micros(100));
                }
                let runtime = Arc::into_inner(inside).unwrap();
                if by_drop {
                    drop(runtime);
                } else {
                    let caught = catch_unwind(AssertUnwindSafe(|| runtime.shutdown_timeout(SECONDS)));
                    let text = *caught.unwrap_err().downcast::<&'static str>().unwrap();
                    flag.store(text.contains("own greenlets"), SeqCst);
                }
                greenhub::park();
            });
            common::quietly(|| {
                drop(runtime);
                assert!(greenlet.join().unwrap_err().is_killed());
            });
            assert!(refused.load(SeqCst) || by_drop);
            left::expect_as_before(&before, place);
        }
    }
}

#[test]
fn a_runtime_that_is_shut_down_in_no_switch_says_why_not_and_ends_in_the_background() {
    everywhere(|world| {
        // The first greenlet reserves stacks.
        world.run(|| ());
        for by_drop in [false, true] {
            let before = left::Resources::now();
            let other = stay(2).builder().build().unwrap();
            let parked = other.spawn(greenhub::park);
            let (caught, _) = common::quietly(|| {
                world.run(|| {
                    catch_unwind(AssertUnwindSafe(|| {
                        greenhub::no_switch(|| {
                            if by_drop {
                                drop(other);
                            } else {
                                _ = other.shutdown_timeout(SECONDS);
                            }
                        });
                    }))
                    .is_err()
                })
            });
            assert_eq!(caught, !by_drop);
            assert!(parked.join().unwrap_err().is_killed());
            left::expect_as_before(&before, stay(2));
        }
    });
}

#[test]
fn metrics_add_up() {
    everywhere(|world| {
        const EACH: u64 = 500;
        world.run(|| {
            for _ in 0..EACH {
                drop(greenhub::spawn(greenhub::yield_now));
            }
            let handles: Vec<_> = (0..EACH).map(|_| greenhub::spawn(greenhub::yield_now)).collect();
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
        for _ in 0..10 {
            world.runtime.spawn(|| greenhub::sleep(Duration::from_micros(100))).join().unwrap();
        }
        common::eventually("all have ended", || world.runtime.metrics().live == 0);
        let metrics = world.runtime.metrics();
        assert_eq!(metrics.hubs.len(), world.place.hubs);
        assert_eq!(metrics.spawned_outside, 11);
        assert_eq!(sum(&metrics, |hub| hub.spawned), 2 * EACH);
        assert_eq!(sum(&metrics, |hub| hub.started), 2 * EACH + 11);
        assert_eq!(sum(&metrics, |hub| hub.finished), 2 * EACH + 11);
        let switches = sum(&metrics, |hub| hub.switches);
        assert!(
            switches > 2 * (2 * EACH + 10),
            "each but that of `run` ran at least twice, but there were {switches} switches: {metrics:#?}"
        );
        assert!(sum(&metrics, |hub| hub.parks) >= 10);
        if world.place.hubs == 1 {
            assert_eq!(sum(&metrics, |hub| hub.taken_unstarted + hub.taken_started + hub.wakes_sent), 0);
        }
        if !world.place.migrate {
            assert_eq!(sum(&metrics, |hub| hub.taken_started), 0);
        }
    });
}

#[test]
fn metrics_show_what_lives_and_waits() {
    everywhere(|world| {
        let parked: Vec<_> = (0..30).map(|_| world.runtime.spawn(greenhub::park)).collect();
        let sleeping: Vec<_> =
            (0..20).map(|_| world.runtime.spawn(|| greenhub::sleep(Duration::from_secs(60)))).collect();
        let later = world.run(|| greenhub::spawn_later(Duration::from_secs(60), || ()));
        common::eventually("all wait", || {
            let metrics = world.runtime.metrics();
            metrics.live == 51 && metrics.stacks_in_use == 50 && sum(&metrics, |hub| hub.live_started) == 50
        });
        let metrics = world.runtime.metrics();
        assert_eq!(sum(&metrics, |hub| hub.timers), 21);
        if !world.place.migrate {
            assert_eq!(sum(&metrics, |hub| hub.waiting_outside), 20);
        }
        greenhub::kill_all(parked.iter().chain(&sleeping).map(greenhub::JoinHandle::greenlet));
        later.kill();
        parked.into_iter().chain(sleeping).for_each(|handle| assert!(handle.join().unwrap_err().is_killed()));
        assert!(later.join().unwrap_err().is_killed());
        common::eventually("the stacks are cached", || world.runtime.metrics().stacks_cached >= 50);
    });
}

#[test]
fn an_idle_runtime_uses_no_cpu() {
    on(&ALL, |world| {
        // After some work, and with greenlets that wait.
        let parked: Vec<_> = (0..50).map(|_| world.runtime.spawn(greenhub::park)).collect();
        let sleeping = world.runtime.spawn(|| greenhub::sleep(Duration::from_secs(60)));
        world.run(|| (0..500).for_each(|_| greenhub::spawn(|| ()).join().unwrap()));
        std::thread::sleep(Duration::from_millis(100));
        let before = common::cpu_time();
        std::thread::sleep(Duration::from_millis(700));
        let used = common::cpu_time() - before;
        assert!(
            used < Duration::from_millis(10),
            "{used:?} of CPU time in 700 ms of doing nothing on {:?}",
            world.place
        );
        sleeping.kill();
        parked.iter().for_each(greenhub::JoinHandle::kill);
        drop(sleeping.join());
        parked.into_iter().for_each(|handle| drop(handle.join()));
    });
}

#[test]
fn hundreds_of_hubs_start_work_idle_and_end() {
    let _alone = common::alone();
    for place in [stay(130), roam(130), stay(300), roam(300)] {
        let before = left::Resources::now();
        let runtime = place.builder().build().unwrap();
        let count = a_million_or(20_000);
        let total = runtime.run(|| {
            let spawners: Vec<_> = (0..20)
                .map(|_| {
                    greenhub::spawn(move || {
                        let handles: Vec<_> = (0..count / 20).map(|_| greenhub::spawn(|| 1_usize)).collect();
                        handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
                    })
                })
                .collect();
            spawners.into_iter().map(|spawner| spawner.join().unwrap()).sum::<usize>()
        });
        assert_eq!(total, count);
        std::thread::sleep(Duration::from_millis(200));
        let used = common::cpu_time();
        std::thread::sleep(Duration::from_millis(500));
        let used = common::cpu_time() - used;
        assert!(
            used < Duration::from_millis(20),
            "{place:?}: {used:?} of CPU time in 500 ms of doing nothing"
        );
        assert!(runtime.shutdown_timeout(SECONDS));
        left::expect_as_before(&before, place);
    }
}

#[test]
fn bad_settings_are_clear_errors() {
    let _alone = common::alone();
    let refused = |builder: Builder, word: &str| {
        let error = builder.build().expect_err("these settings make no runtime");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    refused(Builder::new().hubs(0), "hub");
    refused(Builder::new().hubs(1_000_000), "4096");
    refused(Builder::new().hubs(usize::MAX), "hubs");
    refused(Builder::new().hubs(1).stack_size(usize::MAX), "stack");
    refused(Builder::new().hubs(1).stack_size(1 << 45), "stack");
    refused(Builder::new().hubs(1).max_stacks(0), "stack");
    refused(Builder::new().hubs(1).blocking_threads(0), "thread");
}

#[test]
fn a_wrong_variable_is_a_clear_error() {
    const NAME: &str = "a_wrong_variable_is_a_clear_error";
    if child::is_child(NAME) {
        let error = Builder::new().build().expect_err("the variable is wrong");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("GREENHUB_HUBS"), "{error}");
        let error = greenhub::Builder::new().spawn(|| ()).expect_err("no default runtime");
        assert!(error.to_string().contains("GREENHUB_HUBS"), "{error}");
        assert_eq!(Builder::new().hubs(1).build().unwrap().metrics().hubs.len(), 1, "what is said counts");
        greenhub::run(|| ());
        return;
    }
    for wrong in ["0", "-1", "many", "", "1.5", "99999999999999999999", "100000"] {
        let output = child::run(NAME, |command| _ = command.env("GREENHUB_HUBS", wrong));
        assert!(!output.status.success());
        let text = child::text(&output.stderr);
        assert!(text.contains("the default runtime does not start"), "with {wrong:?}: {text}");
        assert!(text.contains("GREENHUB_HUBS"), "with {wrong:?}: {text}");
    }
}

#[test]
fn the_variable_sets_the_number_of_hubs() {
    const NAME: &str = "the_variable_sets_the_number_of_hubs";
    if child::is_child(NAME) {
        assert_eq!(Builder::new().build().unwrap().metrics().hubs.len(), 3);
        assert_eq!(Builder::new().hubs(2).build().unwrap().metrics().hubs.len(), 2);
        return;
    }
    child::succeed(NAME, |command| _ = command.env("GREENHUB_HUBS", " 3 "));
}

#[test]
fn an_exhausted_limit_is_an_error_and_leaves_nothing() {
    const NAME: &str = "an_exhausted_limit_is_an_error_and_leaves_nothing";
    if child::is_child(NAME) {
        let _alone = common::alone();
        let before = left::Resources::now();
        let limit = libc::rlimit { rlim_cur: 60, rlim_max: 60 };
        // SAFETY: lowers a limit of this process, a child made for it.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        let error = Builder::new().hubs(500).build().expect_err("500 hubs need more than 60 descriptors");
        assert_eq!(error.raw_os_error().or(Some(libc::EMFILE)), Some(libc::EMFILE), "{error}");
        assert!(!error.to_string().is_empty());
        left::expect_as_before(&before, stay(500));
        let runtime = Builder::new().hubs(2).build().unwrap();
        assert_eq!(runtime.run(|| greenhub::spawn(|| 4).join().unwrap()), 4);
        return;
    }
    child::succeed(NAME, |_| {});
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

/// The affinity of each hub's OS thread.
fn affinities(hubs: usize) -> Vec<BTreeSet<usize>> {
    let mut found = vec![BTreeSet::new(); hubs];
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else { continue };
        let Some(Ok(hub)) = name.trim().strip_prefix("greenhub-hub-").map(str::parse::<usize>) else {
            continue;
        };
        let thread: i32 = task.file_name().to_string_lossy().parse().unwrap();
        found[hub] = affinity_of(thread);
    }
    found
}

fn affinity_of(thread: i32) -> BTreeSet<usize> {
    // SAFETY: all zeros is an empty set, and the call writes no more than it is told the size of.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), &raw mut set), 0);
        set
    };
    // SAFETY: the numbers are below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

#[test]
fn pinned_hubs_are_each_on_one_core_of_those_allowed() {
    let _alone = common::alone();
    let allowed = affinity_of(0);
    for hubs in [1, 2, allowed.len(), allowed.len() * 2 + 1] {
        let runtime = Builder::new().hubs(hubs).pin_hubs(true).build().unwrap();
        let all_on_one = || {
            let now = affinities(hubs);
            now.iter().all(|cores| cores.len() == 1 && cores.is_subset(&allowed))
                && now.iter().flatten().collect::<BTreeSet<_>>().len() == hubs.min(allowed.len())
        };
        assert!(common::within(SECONDS, all_on_one), "{hubs} hubs: {:?}", affinities(hubs));
        assert_eq!(runtime.run(|| greenhub::spawn(|| 2).join().unwrap()), 2);
        assert!(runtime.shutdown_timeout(SECONDS));
    }
    let free = Builder::new().hubs(2).build().unwrap();
    // A thread that has been joined is still listed until the kernel is done with it.
    let unpinned = || affinities(2).iter().all(|cores| *cores == allowed);
    assert!(common::within(SECONDS, unpinned), "hubs that were not to be pinned are: {:?}", affinities(2));
    assert!(free.shutdown_timeout(SECONDS));
}

#[test]
fn pinning_stays_within_a_mask_of_one_core() {
    let _alone = common::alone();
    let narrow = std::thread::spawn(|| {
        let core = *affinity_of(0).last().unwrap();
        // SAFETY: all zeros is an empty set; the number is below the set's size; the call reads what it is told.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(core, &mut set);
            assert_eq!(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set), 0);
        }
        let runtime = Builder::new().hubs(3).pin_hubs(true).build().unwrap();
        let all_there = || affinities(3).iter().all(|cores| cores.iter().eq([&core]));
        assert!(common::within(SECONDS, all_there), "{:?} instead of core {core}", affinities(3));
        assert_eq!(runtime.run(|| greenhub::spawn(|| 2).join().unwrap()), 2);
        assert!(runtime.shutdown_timeout(SECONDS));
    });
    narrow.join().unwrap();
}

#[test]
fn a_child_of_fork_made_on_a_plain_thread_starts_anew() {
    const NAME: &str = "a_child_of_fork_made_on_a_plain_thread_starts_anew";
    if child::is_child(NAME) {
        assert_eq!(greenhub::run(|| greenhub::spawn(|| 1).join().unwrap()), 1);
        // SAFETY: the child uses nothing but what is tested here, and ends by `_exit`.
        let status = unsafe {
            let pid = libc::fork();
            if pid == 0 {
                let value = greenhub::run(|| greenhub::spawn(|| 2).join().unwrap());
                libc::_exit(if value == 2 { 0 } else { 1 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            status
        };
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the forked child ended with {status:#x}"
        );
        // The parent goes on.
        assert_eq!(greenhub::run(|| greenhub::spawn(|| 3).join().unwrap()), 3);
        return;
    }
    child::succeed(NAME, |_| {});
}

#[test]
fn a_child_of_fork_made_in_a_greenlet_runs_on_as_a_plain_thread() {
    const NAME: &str = "a_child_of_fork_made_in_a_greenlet_runs_on_as_a_plain_thread";
    if child::is_child(NAME) {
        let status = greenhub::run(|| {
            // SAFETY: as above.
            let fork = || unsafe { libc::fork() };
            let pid = greenhub::shield(|| greenhub::no_switch(fork));
            if pid == 0 {
                greenhub::sleep(Duration::from_millis(1));
                let plain = greenhub::runtime::current_hub().is_none();
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(if plain { 0 } else { 1 }) };
            }
            greenhub::unblock(move || {
                let mut status = 0;
                // SAFETY: `status` is writable.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                status
            })
        });
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the forked child ended with {status:#x}"
        );
        return;
    }
    child::succeed(NAME, |_| {});
}

#[test]
fn a_child_of_fork_whose_greenlet_panics_ends_as_one_that_returns() {
    const NAME: &str = "a_child_of_fork_whose_greenlet_panics_ends_as_one_that_returns";
    if child::is_child(NAME) {
        let status = greenhub::run(|| {
            // SAFETY: as above.
            let pid = unsafe { libc::fork() };
            assert!(pid != 0, "the child gives up");
            greenhub::unblock(move || {
                let mut status = 0;
                // SAFETY: `status` is writable.
                assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
                status
            })
        });
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 70,
            "the forked child ended with {status:#x}"
        );
        return;
    }
    child::succeed(NAME, |_| {});
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

#[test]
fn unblock_runs_elsewhere_and_holds_up_no_hub() {
    everywhere(|world| {
        world.run(|| {
            let here = common::os_thread();
            let handles: Vec<_> = (0..8)
                .map(|n| {
                    greenhub::spawn(move || {
                        greenhub::unblock(move || {
                            std::thread::sleep(Duration::from_millis(20));
                            (n, common::os_thread())
                        })
                    })
                })
                .collect();
            // Meanwhile the hubs are free.
            let mut turns = 0;
            while !handles.iter().all(greenhub::JoinHandle::is_finished) {
                greenhub::sleep(Duration::from_micros(500));
                turns += 1;
            }
            assert!(turns >= 3, "the hub was held up: {turns} turns");
            for (n, handle) in handles.into_iter().enumerate() {
                let (number, thread) = handle.join().unwrap();
                assert_eq!(number, n);
                assert_ne!(thread, here);
            }
        });
    });
}

#[test]
fn a_panic_in_unblock_is_the_caller_s() {
    everywhere(|world| {
        let (error, _) = common::quietly(|| {
            world.runtime.spawn(|| greenhub::unblock(|| std::panic::panic_any(9_u8))).join().unwrap_err()
        });
        assert_eq!(*error.into_panic().downcast::<u8>().unwrap(), 9);
    });
}

#[test]
fn work_spreads_over_all_hubs() {
    on(&SEVERAL_HUBS, |world| {
        let hubs = world.run(|| {
            let handles: Vec<_> = (0..64)
                .map(|_| {
                    greenhub::spawn(|| {
                        common::compute(Duration::from_millis(2));
                        greenhub::runtime::current_hub().unwrap()
                    })
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect::<BTreeSet<_>>()
        });
        assert_eq!(hubs.len(), world.place.hubs, "only {hubs:?} did anything");
    });
}
