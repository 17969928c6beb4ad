//! The unwinding that a kill begins: when it is kept for later, how often it comes, and what it drops where.

mod common;

use common::{Witness, everywhere, inside, os_thread};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn a_kill_inside_shield_is_kept_until_after_it() {
    inside(|| {
        let stage = Arc::new(AtomicUsize::new(0));
        let killed = Arc::new(AtomicBool::new(false));
        let (seen, flag) = (stage.clone(), killed.clone());
        let handle = greenhub::spawn(move || {
            greenhub::shield(|| {
                seen.store(1, SeqCst);
                while !flag.load(SeqCst) {
                    greenhub::sleep(Duration::from_millis(1));
                }
                greenhub::yield_now();
                greenhub::shield(|| greenhub::sleep(Duration::from_millis(1)));
                greenhub::spawn(greenhub::yield_now).join().unwrap();
                seen.store(2, SeqCst);
            });
            seen.store(3, SeqCst);
            greenhub::yield_now();
            seen.store(4, SeqCst);
        });
        common::eventually("it is in its shield", || stage.load(SeqCst) == 1);
        handle.kill();
        killed.store(true, SeqCst);
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(stage.load(SeqCst), 3);
    });
}

#[test]
fn killing_oneself_inside_shield_waits_for_its_end() {
    inside(|| {
        let reached = Arc::new(AtomicBool::new(false));
        let flag = reached.clone();
        let handle = greenhub::spawn(move || {
            greenhub::shield(|| {
                greenhub::current().kill();
                flag.store(true, SeqCst);
            });
            greenhub::yield_now();
            unreachable!("killed after the shield");
        });
        assert!(handle.join().unwrap_err().is_killed());
        assert!(reached.load(SeqCst));
    });
}

#[test]
fn a_kill_while_unwinding_is_kept_and_the_destructors_run_to_their_end() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            greenhub::sleep(Duration::from_millis(4));
            self.0.fetch_add(1, SeqCst);
        }
    }
    inside(|| {
        let steps = Arc::new(AtomicUsize::new(0));
        let slow = [Slow(steps.clone()), Slow(steps.clone())];
        let handle = common::spawn_begun(move || {
            let _slow = slow;
            greenhub::park();
        });
        handle.kill();
        common::eventually("it unwinds", || steps.load(SeqCst) > 0);
        handle.kill();
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(steps.load(SeqCst), 4);
    });
}

#[test]
fn a_swallowed_kill_is_over_and_the_greenlet_goes_on() {
    inside(|| {
        let handle = common::spawn_begun(|| {
            let swallowed = catch_unwind(AssertUnwindSafe(greenhub::park));
            assert!(swallowed.is_err());
            greenhub::sleep(Duration::from_millis(1));
            greenhub::yield_now();
            "still here"
        });
        handle.kill();
        assert_eq!(handle.join().unwrap(), "still here");
    });
}

#[test]
fn after_a_swallowed_kill_a_second_one_works() {
    inside(|| {
        let caught = Arc::new(AtomicUsize::new(0));
        let count = caught.clone();
        let handle = common::spawn_begun(move || {
            for _ in 0..2 {
                assert!(catch_unwind(AssertUnwindSafe(greenhub::park)).is_err());
                count.fetch_add(1, SeqCst);
            }
            greenhub::park();
        });
        for n in 1..=2 {
            handle.kill();
            common::eventually("it swallows", || caught.load(SeqCst) == n);
        }
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn two_kills_at_once_are_one() {
    everywhere(|world| {
        for _ in 0..50 {
            let (local, seen) = Witness::new();
            let handle = world.runtime.spawn(move || {
                let _local = local;
                greenhub::park();
            });
            std::thread::scope(|threads| {
                threads.spawn(|| handle.kill());
                threads.spawn(|| handle.kill());
                handle.kill();
            });
            assert!(handle.join().unwrap_err().is_killed());
            assert_eq!(seen.drops(), 1);
        }
    });
}

#[test]
fn a_destructor_of_a_killed_greenlet_may_spawn_join_and_catch() {
    struct Busy(Arc<AtomicUsize>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let n = greenhub::spawn(|| 5).join().unwrap();
            let sum = greenhub::scope(|s| s.spawn(|| 2).join().unwrap() + s.spawn(|| 3).join().unwrap());
            self.0.store(n + sum, SeqCst);
        }
    }
    inside(|| {
        let result = Arc::new(AtomicUsize::new(0));
        let busy = Busy(result.clone());
        let handle = common::spawn_begun(move || {
            let _busy = busy;
            greenhub::park();
        });
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(result.load(SeqCst), 10);
    });
}

#[test]
fn what_is_not_send_is_dropped_on_its_hub_when_killed_from_elsewhere() {
    struct Local(Witness, Rc<()>);
    everywhere(|world| {
        let (unstarted, seen_unstarted) = Witness::new();
        let (waiting, seen_waiting) = Witness::new();
        let ((one, other), home) = world.run(move || {
            let waiting = Local(waiting, Rc::new(()));
            let waiting = greenhub::spawn_local(move || {
                let _local = waiting;
                greenhub::park();
            });
            greenhub::yield_now();
            greenhub::yield_now();
            let unstarted = Local(unstarted, Rc::new(()));
            let unstarted = greenhub::spawn_local(move || {
                let Local(_witness, _rc) = unstarted;
                greenhub::park();
            });
            let greenlets = (waiting.greenlet().clone(), unstarted.greenlet().clone());
            drop((waiting, unstarted));
            (greenlets, os_thread())
        });
        one.kill();
        other.kill();
        common::eventually("both ended", || one.is_finished() && other.is_finished());
        assert_eq!((seen_waiting.drops(), seen_unstarted.drops()), (1, 1));
        assert_eq!((seen_waiting.thread(), seen_unstarted.thread()), (home, home));
    });
}

#[test]
fn the_future_in_a_killed_block_on_is_dropped() {
    struct Pending(#[allow(dead_code)] Witness);
    impl std::future::Future for Pending {
        type Output = ();
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
            std::task::Poll::Pending
        }
    }
    inside(|| {
        let (witness, seen) = Witness::new();
        let handle = greenhub::spawn(move || greenhub::block_on(Pending(witness)));
        greenhub::sleep(Duration::from_millis(1));
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(seen.drops(), 1);
    });
}

#[test]
fn a_second_kill_lets_the_destructors_of_a_closure_that_never_ran_finish() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            greenhub::sleep(Duration::from_millis(4));
            self.0.fetch_add(1, SeqCst);
        }
    }
    inside(|| {
        let steps = Arc::new(AtomicUsize::new(0));
        let slow = Slow(steps.clone());
        let handle = greenhub::spawn_local(move || drop(slow));
        handle.kill();
        common::eventually("its closure is being dropped", || steps.load(SeqCst) > 0);
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
        assert_eq!(steps.load(SeqCst), 2);
    });
}
