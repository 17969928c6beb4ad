//! Deadlocks: who is named, what is done, and how often it is said.

use greenhub::runtime::{Builder, Deadlock, DeadlockReport, Runtime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn reporting(hubs: usize, reaction: Deadlock) -> (Runtime, Receiver<DeadlockReport>) {
    let (sender, reports) = channel();
    let runtime = Builder::new()
        .hubs(hubs)
        .deadlock(reaction)
        .on_deadlock(move |report| drop(sender.send(report.clone())))
        .build()
        .unwrap();
    (runtime, reports)
}

fn named(name: &str, f: impl FnOnce() + Send + 'static) -> greenhub::JoinHandle<()> {
    greenhub::Builder::new().name(name.into()).spawn(f).unwrap()
}

/// Two greenlets that join each other, and one that waits for nobody.
fn join_in_a_circle() {
    let slots = Arc::new((Mutex::new(None), Mutex::new(None)));
    let take = |slot: &Mutex<Option<greenhub::JoinHandle<()>>>| loop {
        let handle = slot.lock().unwrap().take();
        match handle {
            Some(handle) => break handle,
            None => greenhub::yield_now(),
        }
    };
    let (for_left, for_right) = (slots.clone(), slots.clone());
    let left = named("left", move || drop(take(&for_left.0).join()));
    let right = named("right", move || drop(take(&for_right.1).join()));
    *slots.0.lock().unwrap() = Some(right);
    *slots.1.lock().unwrap() = Some(left);
    greenhub::park();
}

fn panics_with(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("nothing panicked");
    *payload.downcast::<String>().expect("the payload is a text")
}

fn a_circle_is_named_and_run_panics(hubs: usize) {
    let (runtime, reports) = reporting(hubs, Deadlock::Panic);
    let text = panics_with(|| runtime.run(join_in_a_circle));
    let report = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!(report.greenlets.len(), 3, "{report}");
    assert!(report.greenlets[0].run && report.greenlets[0].waits_in == "park", "{report}");
    assert!(report.idle_for >= Duration::from_secs(1), "{report}");
    let mut circle: Vec<_> = report.circle().into_iter().filter_map(|each| each.greenlet.name()).collect();
    circle.sort_unstable();
    assert_eq!(circle, ["left", "right"], "{report}");
    for each in report.circle() {
        assert_eq!(each.waits_in, "JoinHandle::join");
        assert!(each.spawned_at.file().ends_with("monitor_deadlock.rs"));
    }
    for part in
        ["deadlock", "'left'", "'right'", "JoinHandle::join", ", for greenlet", "in a circle", "OS thread"]
    {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
    // It goes on with whoever is not in the circle.
    assert_eq!(runtime.run(|| 42), 42);
    assert!(runtime.shutdown_timeout(PATIENCE));
}

#[test]
fn a_circle_is_named_and_run_panics_on_1_hub() {
    a_circle_is_named_and_run_panics(1);
}

#[test]
fn a_circle_is_named_and_run_panics_on_2_hubs() {
    a_circle_is_named_and_run_panics(2);
}

#[test]
fn a_circle_is_named_and_run_panics_in_migrate_mode() {
    // SAFETY: nothing in this test's greenlets keeps a thread's own data across a suspension.
    let builder = unsafe { Builder::new().hubs(2).migrate_started() };
    let runtime = builder.deadlock(Deadlock::Panic).build().unwrap();
    assert!(panics_with(|| runtime.run(join_in_a_circle)).contains("in a circle"));
}

/// The lock changes hands while somebody waits for it: the report names who holds it now, not who held it when the wait
/// began.
#[test]
fn locks_name_their_present_holder() {
    use greenhub::sync::Mutex;
    let (runtime, reports) = reporting(1, Deadlock::Panic);
    let deadlocked = || {
        runtime.run(|| {
            let lock = Arc::new(Mutex::new(()));
            let held = lock.lock();
            let (for_heir, for_waiter) = (lock.clone(), lock.clone());
            let heir = named("heir", move || {
                let _held = for_heir.lock();
                greenhub::park();
            });
            let waiter = named("waiter", move || drop(for_waiter.lock()));
            // Both wait; the first in line gets it.
            greenhub::yield_now();
            drop(held);
            waiter.join().unwrap();
            heir.join().unwrap();
        });
    };
    panics_with(deadlocked);
    let report = reports.recv_timeout(PATIENCE).unwrap();
    let with_name = |name| report.greenlets.iter().find(|each| each.greenlet.name() == Some(name)).unwrap();
    assert_eq!(with_name("heir").waits_in, "park", "{report}");
    assert_eq!(with_name("waiter").held_by, Some(with_name("heir").greenlet.id()), "{report}");
    assert!(report.to_string().contains("waits in Mutex::lock"), "{report}");
    assert!(report.to_string().contains(", held by greenlet 'heir'"), "{report}");
}

#[test]
fn a_lock_taken_twice_is_held_by_itself() {
    let (runtime, _reports) = reporting(1, Deadlock::Panic);
    let text = panics_with(|| {
        runtime.run(|| {
            let lock = greenhub::sync::Mutex::new(());
            let _first = lock.lock();
            let _second = lock.lock();
        });
    });
    assert!(text.contains("held by itself"), "{text}");
}

#[test]
fn every_deadlocked_run_of_a_runtime_panics() {
    let (runtime, reports) = reporting(2, Deadlock::Panic);
    for _ in 0..2 {
        assert!(panics_with(|| runtime.run(greenhub::park)).contains("waits in park"));
        reports.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn a_timer_taken_back_is_no_timer() {
    let (runtime, _reports) = reporting(1, Deadlock::Panic);
    let deadlocked = || {
        runtime.run(|| {
            greenhub::timeout(Duration::from_secs(3600), greenhub::yield_now).unwrap();
            greenhub::park();
        });
    };
    assert!(panics_with(deadlocked).contains("waits in park"));
}

#[test]
fn a_deadlock_that_an_os_thread_ends_is_reported_once() {
    let (runtime, reports) = reporting(2, Deadlock::Report);
    let greenlet = Mutex::new(None);
    std::thread::scope(|threads| {
        let running = threads.spawn(|| {
            runtime.run(|| {
                *greenlet.lock().unwrap() = Some(greenhub::current());
                greenhub::park();
                greenhub::park();
            });
        });
        let report = reports.recv_timeout(PATIENCE).unwrap();
        assert_eq!(report.greenlets.len(), 1);
        let greenlet = greenlet.lock().unwrap().clone().unwrap();
        greenlet.unpark();
        assert!(reports.recv_timeout(Duration::from_millis(2500)).is_err(), "reported again");
        greenlet.unpark();
        running.join().unwrap();
    });
}

#[test]
fn a_deadlock_is_ignored_where_that_is_wanted() {
    let (runtime, reports) = reporting(1, Deadlock::Ignore);
    let handle = Mutex::new(None);
    std::thread::scope(|threads| {
        let running = threads.spawn(|| {
            runtime.run(|| {
                *handle.lock().unwrap() = Some(greenhub::current());
                greenhub::park();
            });
        });
        assert!(reports.recv_timeout(Duration::from_millis(2000)).is_err());
        handle.lock().unwrap().clone().unwrap().unpark();
        running.join().unwrap();
    });
}

#[test]
fn greenlets_without_a_run_may_wait_for_ever() {
    let (runtime, reports) = reporting(1, Deadlock::Report);
    let waiting = runtime.spawn(greenhub::park);
    assert!(reports.recv_timeout(Duration::from_millis(2000)).is_err());
    waiting.greenlet().unpark();
    waiting.join().unwrap();
}
