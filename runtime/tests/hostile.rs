//! Users who do what nobody expects: nothing may be lost, left behind or used after its end by it.

mod common;

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

fn runtime(hubs: usize) -> greenhub::runtime::Runtime {
    greenhub::runtime::Builder::new().hubs(hubs).build().unwrap()
}

#[test]
fn a_scope_whose_spawn_is_refused_does_not_wait_for_it() {
    let _alone = common::alone();
    let runtime = runtime(2);
    let refused = Arc::new(AtomicBool::new(false));
    let seen = refused.clone();
    drop(runtime.spawn(move || {
        greenhub::shield(|| {
            while !greenhub::scope(|s| s.spawn(|| ()).join().is_err()) {
                greenhub::sleep(Duration::from_millis(1));
            }
        });
        seen.store(true, SeqCst);
    }));
    greenhub::sleep(Duration::from_millis(5));
    assert!(runtime.shutdown_timeout(Duration::from_secs(5)), "the scope waits for a child that never was");
    assert!(refused.load(SeqCst));
}

#[test]
fn a_shutdown_is_not_interrupted() {
    let _alone = common::alone();
    let outer = runtime(1);
    outer.run(|| {
        let inner = runtime(1);
        let started = Arc::new(AtomicBool::new(false));
        let starts = started.clone();
        drop(inner.spawn(move || {
            starts.store(true, SeqCst);
            std::thread::sleep(Duration::from_millis(100));
        }));
        while !started.load(SeqCst) {
            greenhub::yield_now();
        }
        let ended =
            greenhub::timeout(Duration::from_millis(10), || inner.shutdown_timeout(Duration::from_secs(5)));
        assert_eq!(ended, Ok(true));
    });
    assert!(outer.shutdown_timeout(Duration::from_secs(5)));
}

#[test]
fn a_shutdown_where_it_must_not_wait_panics_and_goes_on_in_the_background() {
    let _alone = common::alone();
    let outer = runtime(1);
    outer.run(|| {
        let inner = runtime(1);
        let handle = inner.spawn(greenhub::park);
        let refused = catch_unwind(AssertUnwindSafe(|| {
            greenhub::no_switch(|| inner.shutdown_timeout(Duration::from_secs(5)))
        }));
        assert!(refused.is_err());
        assert!(handle.join().unwrap_err().is_killed());
    });
    assert!(outer.shutdown_timeout(Duration::from_secs(5)));
}

#[test]
fn a_waker_that_panics_ends_no_hub() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a waker panics, as this test wants it to");
        }
    }
    let _alone = common::alone();
    let runtime = runtime(1);
    let mut handle = runtime.spawn(greenhub::park);
    let waker = Waker::from(Arc::new(Bad));
    assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    handle.greenlet().unpark();
    while !handle.is_finished() {
        std::thread::yield_now();
    }
    assert!(matches!(
        Pin::new(&mut handle).poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(()))
    ));
    assert_eq!(runtime.run(|| 7), 7);
    assert!(runtime.shutdown_timeout(Duration::from_secs(5)));
}

#[test]
fn a_thread_whose_locals_are_gone_can_still_wait() {
    struct Late(Option<greenhub::JoinHandle<()>>, Arc<AtomicBool>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.take().unwrap().join().unwrap();
            self.1.store(true, SeqCst);
        }
    }
    thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
    let _alone = common::alone();
    let runtime = Arc::new(runtime(1));
    let joined = Arc::new(AtomicBool::new(false));
    let (inside, seen) = (runtime.clone(), joined.clone());
    std::thread::spawn(move || {
        // Locals go in the reverse order of their first use: this one after the runtime's own.
        LATE.with_borrow_mut(|late| {
            let slow = inside.spawn(|| greenhub::sleep(Duration::from_millis(50)));
            *late = Some(Late(Some(slow), seen));
        });
        inside.run(|| ());
    })
    .join()
    .unwrap();
    assert!(joined.load(SeqCst));
    assert!(Arc::into_inner(runtime).unwrap().shutdown_timeout(Duration::from_secs(5)));
}

#[test]
fn a_kill_is_not_lost_in_the_destructor_of_a_result() {
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            greenhub::sleep(Duration::from_millis(20));
        }
    }
    let _alone = common::alone();
    let runtime = runtime(1);
    let victim = runtime.spawn(|| {
        let handle = greenhub::spawn(|| Slow);
        while !handle.is_finished() {
            greenhub::yield_now();
        }
        drop(handle);
        greenhub::sleep(Duration::from_secs(60));
    });
    greenhub::sleep(Duration::from_millis(5));
    victim.kill();
    assert!(victim.join_timeout(Duration::from_secs(5)), "the kill was lost");
    assert!(victim.join().unwrap_err().is_killed());
    assert!(runtime.shutdown_timeout(Duration::from_secs(5)));
}

#[test]
fn a_payload_that_panics_when_dropped_ends_no_hub() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a payload's destructor panics, as this test wants it to");
        }
    }
    let _alone = common::alone();
    let runtime = runtime(1);
    let unseen = catch_unwind(AssertUnwindSafe(|| {
        runtime.run(|| {
            greenhub::scope(|s| {
                drop(s.spawn(|| std::panic::resume_unwind(Box::new(Bad))));
            });
        });
    }));
    assert!(unseen.is_err());
    assert_eq!(runtime.run(|| 7), 7);
    assert!(runtime.shutdown_timeout(Duration::from_secs(5)));
}

/// An old handler's destructor is code like any other.
#[test]
fn a_handler_may_be_replaced_by_its_own_destructor() {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            greenhub::on_error(|_, _| {});
        }
    }
    const NAME: &str = "a_handler_may_be_replaced_by_its_own_destructor";
    if common::child::is_child(NAME) {
        let again = Again;
        greenhub::on_error(move |_, _| _ = &again);
        greenhub::on_error(|_, _| {});
        return;
    }
    common::child::succeed(NAME, |_| {});
}
