//! Users' programs under `greenhub::model`: what it proves, what it finds, and how it says so.
//!
//! Runs with `RUSTFLAGS="--cfg greenhub_loom"` only; `.ci/models.sh` runs it.
#![cfg(greenhub_loom)]

#[path = "../src/model/user_models.rs"]
mod user_models;

use greenhub::cell::UnsafeCell;
use greenhub::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use greenhub::sync::{Barrier, Condvar, Event, Mutex, RwLock, WaitGroup};
use greenhub::{
    Builder, JoinHandle, channel, model, park, park_timeout, scope, sleep, spawn, timeout, yield_now,
};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::Mutex as StdMutex;
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);

/// The report of a model that must fail.
fn report(f: impl Fn() + Send + Sync + 'static) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| model(f))).expect_err("the model must fail");
    payload.downcast_ref::<String>().expect("a report is a string").clone()
}

/// Everything that `f` gives in some interleaving.
fn outcomes<T: Ord + Send + 'static>(f: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T> {
    let seen = Arc::new(StdMutex::new(BTreeSet::new()));
    let into = seen.clone();
    model(move || {
        let outcome = f();
        into.lock().unwrap().insert(outcome);
    });
    let mut seen = seen.lock().unwrap();
    std::mem::take(&mut *seen)
}

fn named<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().name(name.into()).spawn(f).unwrap()
}

fn contains_all(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "{part:?} is not in\n{report}");
    }
}

#[test]
fn model_of_two_greenlets_and_a_mutex() {
    model(|| {
        let count = Arc::new(Mutex::new(0));
        let other = {
            let count = count.clone();
            spawn(move || *count.lock() += 1)
        };
        *count.lock() += 1;
        other.join().unwrap();
        assert_eq!(*count.lock(), 2);
    });
}

#[test]
fn statics_are_new_in_every_execution() {
    static LOCK: Mutex<()> = Mutex::new(());
    static SET: Event = Event::new();
    static COUNT: AtomicUsize = AtomicUsize::new(7);
    model(|| {
        assert!(!SET.is_set());
        assert_eq!(COUNT.load(Ordering::Relaxed), 7);
        let other = spawn(|| {
            let _guard = LOCK.lock();
            COUNT.fetch_add(1, Ordering::Relaxed);
            SET.set();
        });
        SET.wait();
        drop(LOCK.lock());
        other.join().unwrap();
        assert_eq!(COUNT.load(Ordering::Relaxed), 8);
    });
}

#[test]
fn many_primitives_in_one_model() {
    model(|| {
        let locks: Vec<_> = (0..40).map(Mutex::new).collect();
        assert_eq!(locks.iter().map(|lock| *lock.lock()).sum::<i32>(), 780);
    });
}

#[test]
fn a_deadlock_names_both_greenlets() {
    let report = report(|| {
        let (a, b) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let (a2, b2) = (a.clone(), b.clone());
        let one = named("one", move || {
            let _a = a.lock();
            drop(b.lock());
        });
        let two = named("two", move || {
            let _b = b2.lock();
            drop(a2.lock());
        });
        one.join().unwrap();
        two.join().unwrap();
    });
    contains_all(
        &report,
        &[
            "deadlock",
            "greenlet 'one' (#2",
            "greenlet 'two' (#3",
            "which 'one' holds",
            "which 'two' holds",
            "schedule:",
        ],
    );
}

#[test]
fn a_lost_wake_up_is_found() {
    let report = report(|| {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let waiter = {
            let shared = shared.clone();
            named("waiter", move || {
                // The bug: looked and waited under two locks.
                let ready = *shared.0.lock();
                if !ready {
                    shared.1.wait(&mut shared.0.lock());
                }
            })
        };
        *shared.0.lock() = true;
        shared.1.notify_one();
        waiter.join().unwrap();
    });
    contains_all(&report, &["deadlock", "greenlet 'waiter'", "waits in Condvar::wait"]);
}

#[test]
fn a_leaked_greenlet_is_found() {
    let report = report(|| drop(named("forgotten", park)));
    contains_all(&report, &["leaked greenlet", "greenlet 'forgotten'", "waits in park"]);
}

#[test]
fn a_data_race_is_found_and_its_repair_proved() {
    struct Slot {
        ready: AtomicBool,
        value: UnsafeCell<u32>,
    }
    // SAFETY: `value` is written before `ready` is set and read after.
    unsafe impl Sync for Slot {}

    fn hand_over(publish: Ordering) {
        let slot = Arc::new(Slot { ready: AtomicBool::new(false), value: UnsafeCell::new(0) });
        let writer = {
            let slot = slot.clone();
            named("writer", move || {
                // SAFETY: not ready yet.
                slot.value.with_mut(|value| unsafe { *value = 42 });
                slot.ready.store(true, publish);
            })
        };
        if slot.ready.load(Ordering::Acquire) {
            // SAFETY: ready.
            assert_eq!(slot.value.with(|value| unsafe { *value }), 42);
        }
        writer.join().unwrap();
    }
    let report = report(|| hand_over(Ordering::Relaxed));
    contains_all(&report, &["data race", "'writer'  writes a cell", "reads a cell", "tests/model.rs"]);
    model(|| hand_over(Ordering::Release));
}

#[test]
fn a_panic_of_the_root_is_reported() {
    let report = report(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let other = {
            let count = count.clone();
            named("adder", move || {
                let seen = count.load(Ordering::Relaxed);
                count.store(seen + 1, Ordering::Relaxed);
            })
        };
        let seen = count.load(Ordering::Relaxed);
        count.store(seen + 1, Ordering::Relaxed);
        other.join().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2, "an addition got lost");
    });
    contains_all(&report, &["an addition got lost", "'adder'", "AtomicUsize::store"]);
}

#[test]
fn a_panic_nobody_joins_is_reported() {
    let report = report(|| drop(named("careless", || panic!("nobody hears this"))));
    contains_all(&report, &["'careless'", "nobody joined it: nobody hears this"]);
}

#[test]
fn a_panic_that_is_joined_is_no_failure() {
    model(|| {
        let error = spawn(|| panic!("expected")).join().unwrap_err();
        assert!(error.is_panic());
    });
}

#[test]
fn a_fifth_greenlet_is_refused_with_a_way_out() {
    let report =
        report(|| (0..5).map(|n| spawn(move || n)).for_each(|handle| assert!(handle.join().unwrap() < 5)));
    contains_all(&report, &["at most 4", "greenhub::explore", "tests/model.rs"]);
}

#[test]
fn a_loop_that_never_suspends_is_reported() {
    let report = report(|| {
        let never = AtomicBool::new(false);
        while !never.load(Ordering::Relaxed) {}
    });
    contains_all(&report, &["steps in one execution", "root"]);
}

#[test]
fn a_timeout_fires_and_does_not() {
    let seen = outcomes(|| {
        let (sender, receiver) = channel::bounded(1);
        let giver = spawn(move || sender.send(1).is_ok());
        let outcome = timeout(SOON, || receiver.recv());
        giver.join().unwrap();
        outcome.is_ok()
    });
    assert_eq!(seen, BTreeSet::from([false, true]));
}

#[test]
fn a_sleep_ends_before_and_after() {
    let seen = outcomes(|| {
        let done = Arc::new(AtomicBool::new(false));
        let other = {
            let done = done.clone();
            spawn(move || done.store(true, Ordering::Relaxed))
        };
        sleep(SOON);
        let seen = done.load(Ordering::Relaxed);
        other.join().unwrap();
        seen
    });
    assert_eq!(seen, BTreeSet::from([false, true]));
}

#[test]
fn a_timeout_ends_a_loop_that_gives_way() {
    model(|| {
        assert!(
            timeout(SOON, || loop {
                yield_now()
            })
            .is_err()
        )
    });
}

#[test]
fn an_unpark_is_kept_and_a_park_timeout_ends() {
    model(|| {
        let parked = spawn(|| {
            park();
            park_timeout(SOON);
        });
        parked.greenlet().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn a_kill_comes_before_the_start_in_between_or_too_late() {
    let seen = outcomes(|| {
        let (sender, receiver) = channel::unbounded();
        let victim = spawn(move || {
            sender.send(1).unwrap();
            yield_now();
            sender.send(2).unwrap();
        });
        victim.kill();
        let killed = victim.join().is_err();
        (receiver.iter().count(), killed)
    });
    assert_eq!(seen, BTreeSet::from([(0, true), (1, true), (2, false)]));
}

#[test]
fn a_killed_greenlet_lets_go_of_what_it_holds() {
    model(|| {
        let mutex = Arc::new(Mutex::new(()));
        let holder = {
            let mutex = mutex.clone();
            spawn(move || {
                let _guard = mutex.lock();
                park();
            })
        };
        holder.kill();
        drop(mutex.lock());
        assert!(holder.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_start_may_be_put_off_and_a_kill_comes_before_it() {
    let seen = outcomes(|| {
        let later = greenhub::spawn_later(SOON, || ());
        later.kill();
        later.join().is_ok()
    });
    assert!(seen.contains(&false));
    model(|| assert_eq!(greenhub::spawn_later(SOON, || 7).join().unwrap(), 7));
}

#[test]
fn the_other_primitives_work_too() {
    model(|| {
        let lock = Arc::new(RwLock::new(0));
        let group = WaitGroup::new();
        let writer = {
            let (lock, group) = (lock.clone(), group.clone());
            spawn(move || {
                *lock.write() += 1;
                drop(group);
            })
        };
        let seen = *lock.read();
        assert!(seen <= 1);
        group.wait();
        assert_eq!(*lock.read(), 1);
        writer.join().unwrap();
    });
    model(|| {
        let barrier = Arc::new(Barrier::new(2));
        let other = {
            let barrier = barrier.clone();
            spawn(move || barrier.wait().is_leader())
        };
        let here = barrier.wait().is_leader();
        assert_ne!(here, other.join().unwrap());
    });
    model(|| assert_eq!(greenhub::block_on(spawn(|| 3)).unwrap(), 3));
    model(|| assert_eq!(greenhub::run(|| greenhub::run(|| 3)), 3));
}

#[test]
fn a_killed_scope_kills_its_greenlets() {
    model(|| {
        let owner = spawn(|| {
            scope(|s| {
                s.spawn(park);
            });
        });
        owner.kill();
        assert!(owner.join().unwrap_err().is_killed());
    });
}
