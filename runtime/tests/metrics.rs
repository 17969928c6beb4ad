//! What hubs count and use: their metrics, their load, and nothing while they are idle.

mod common;

use common::{ALL, SEVERAL_HUBS, everywhere, left, on, roam, stay, sum};
use std::collections::BTreeSet;
use std::time::Duration;

const SECONDS: Duration = Duration::from_secs(20);

/// How many greenlets where the request says a million: fewer without optimisation.
const fn a_million_or(fewer: usize) -> usize {
    if cfg!(debug_assertions) { fewer } else { 1_000_000 }
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
