//! Users' programs under `greenhub::model`: what it proves, what it finds, and how it says so.
//!
//! Runs with `RUSTFLAGS="--cfg greenhub_loom"` only; `.ci/loom.sh` runs it. The five tests named `model_of_*` name no
//! private item, and each catches a bug planted in the library: see `.ci/mutants`.
#![cfg(greenhub_loom)]

use greenhub::sync::{Mutex, Semaphore};
use greenhub::{Builder, channel, model};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// The report of a model that must fail.
fn report(f: impl Fn() + Send + Sync + 'static) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| model(f))).expect_err("the model must fail");
    payload.downcast_ref::<String>().expect("a report is a string").clone()
}

fn named<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> greenhub::JoinHandle<T> {
    Builder::new().name(name.into()).spawn(f).unwrap()
}

#[test]
fn model_of_two_greenlets_and_a_mutex() {
    model(|| {
        let count = Arc::new(Mutex::new(0));
        let other = {
            let count = count.clone();
            greenhub::spawn(move || *count.lock() += 1)
        };
        *count.lock() += 1;
        other.join().unwrap();
        assert_eq!(*count.lock(), 2);
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
    println!("{report}");
    assert!(report.contains("deadlock"));
    assert!(report.contains("'one'") && report.contains("'two'") && report.contains("waits in Mutex::lock"));
}
