//! Futures: `block_on` from greenlets and threads, and join handles as futures.

mod common;

use common::{Witness, everywhere, inside, quietly};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A future that a call from anywhere completes.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(Option<u32>, Vec<Waker>)>>);

impl Gate {
    fn open(&self, value: u32) {
        let wakers = {
            let mut state = self.0.lock().unwrap();
            state.0 = Some(value);
            std::mem::take(&mut state.1)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Future for Gate {
    type Output = u32;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        let mut state = self.0.lock().unwrap();
        match state.0 {
            Some(value) => Poll::Ready(value),
            None => {
                state.1.push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn a_future_that_is_ready_is_not_waited_for() {
    everywhere(|world| {
        assert_eq!(world.run(|| greenhub::block_on(async { 5 })), 5);
        assert_eq!(greenhub::block_on(async { 6 }), 6);
    });
}

#[test]
fn wakers_work_from_threads_and_greenlets_for_threads_and_greenlets() {
    everywhere(|world| {
        for (from_thread, to_thread) in [(false, false), (false, true), (true, false), (true, true)] {
            let gate = Gate::default();
            let opener = gate.clone();
            let open = move || {
                greenhub::sleep(Duration::from_millis(1));
                opener.open(7);
            };
            let open: Box<dyn FnOnce() + Send> = if from_thread {
                let thread = std::thread::spawn(open);
                Box::new(move || thread.join().unwrap())
            } else {
                let greenlet = world.runtime.spawn(open);
                Box::new(move || greenlet.join().unwrap())
            };
            let value = if to_thread {
                greenhub::block_on(gate)
            } else {
                world.run(move || greenhub::block_on(gate))
            };
            assert_eq!(value, 7);
            open();
        }
    });
}

#[test]
fn a_wake_during_the_poll_is_not_lost() {
    inside(|| {
        let mut polls = 0;
        greenhub::block_on(poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls < 100 { Poll::Pending } else { Poll::Ready(()) }
        }));
        assert_eq!(polls, 100);
    });
}

#[test]
fn wakes_and_polls_race_without_loss() {
    everywhere(|world| {
        for _ in 0..200 {
            let gate = Gate::default();
            let opener = gate.clone();
            let blocked = world.runtime.spawn(move || greenhub::block_on(gate));
            opener.open(3);
            assert_eq!(blocked.join().unwrap(), 3);
        }
    });
}

#[test]
fn a_join_handle_is_a_future() {
    everywhere(|world| {
        world.run(|| {
            let handle = greenhub::spawn(|| {
                greenhub::sleep(Duration::from_millis(2));
                11
            });
            assert_eq!(greenhub::block_on(handle).unwrap(), 11);
            let (error, _) =
                quietly(|| greenhub::block_on(greenhub::spawn(|| panic!("expected"))).unwrap_err());
            assert!(error.is_panic());
            let killed = greenhub::spawn(greenhub::park);
            killed.kill();
            assert!(greenhub::block_on(killed).unwrap_err().is_killed());
        });
        assert_eq!(greenhub::block_on(world.runtime.spawn(|| 12)).unwrap(), 12);
        let two = async {
            let one = world.runtime.spawn(|| 1).await.unwrap();
            let two = world.runtime.spawn(|| 2).await.unwrap();
            one + two
        };
        assert_eq!(greenhub::block_on(two), 3);
    });
}

#[test]
fn a_join_handle_may_be_polled_by_one_and_joined_by_another() {
    inside(|| {
        let mut handle = greenhub::spawn(greenhub::park);
        let woken = Arc::new(AtomicBool::new(false));
        struct Flag(Arc<AtomicBool>);
        impl std::task::Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, SeqCst);
            }
        }
        let waker = Waker::from(Arc::new(Flag(woken.clone())));
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(!woken.load(SeqCst));
        handle.greenlet().unpark();
        assert!(handle.join_timeout(Duration::from_secs(20)));
        common::eventually("the waker is called", || woken.load(SeqCst));
        handle.join().unwrap();
    });
}

#[test]
fn block_on_nests_and_does_not_need_send() {
    inside(|| {
        let local = std::rc::Rc::new(3);
        let value = greenhub::block_on(async {
            let inner = greenhub::block_on(async { *local });
            greenhub::yield_now();
            inner + *local
        });
        assert_eq!(value, 6);
    });
}

#[test]
fn a_timeout_drops_the_future() {
    everywhere(|world| {
        let test = || {
            let (witness, seen) = Witness::new();
            let ended = greenhub::timeout(Duration::from_millis(2), || {
                greenhub::block_on(async move {
                    let _witness = witness;
                    std::future::pending::<()>().await;
                });
            });
            assert!(ended.is_err());
            assert_eq!(seen.drops(), 1);
        };
        test();
        world.run(test);
    });
}

#[test]
fn a_panic_in_a_future_is_the_caller_s() {
    inside(|| {
        let (error, _) =
            quietly(|| greenhub::spawn(|| greenhub::block_on(async { panic!("expected") })).join());
        assert!(error.unwrap_err().is_panic());
    });
}

#[test]
fn many_greenlets_block_on_many_futures() {
    inside(|| {
        let gates: Vec<Gate> = (0..500).map(|_| Gate::default()).collect();
        let sum = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = gates
            .iter()
            .map(|gate| {
                let (gate, sum) = (gate.clone(), sum.clone());
                greenhub::spawn(move || sum.fetch_add(greenhub::block_on(gate) as usize, SeqCst))
            })
            .collect();
        greenhub::yield_now();
        let start = Instant::now();
        for (n, gate) in gates.iter().enumerate() {
            gate.open(n as u32);
        }
        handles.into_iter().for_each(|handle| _ = handle.join().unwrap());
        assert_eq!(sum.load(SeqCst), 499 * 500 / 2);
        assert!(start.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn a_late_waker_does_no_harm() {
    everywhere(|world| {
        let kept = Arc::new(Mutex::new(None::<Waker>));
        let slot = kept.clone();
        world.run(move || {
            let mut polled = false;
            greenhub::block_on(poll_fn(|context| {
                *slot.lock().unwrap() = Some(context.waker().clone());
                context.waker().wake_by_ref();
                if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
            }));
        });
        let waker = kept.lock().unwrap().take().unwrap();
        waker.wake_by_ref();
        waker.wake();
    });
}

#[test]
fn a_waker_that_would_block_the_hub_panics_and_the_hub_goes_on() {
    /// Whose `wake` sleeps.
    struct Sleeper(AtomicUsize);
    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
            greenhub::sleep(Duration::from_secs(3600));
        }
    }
    common::on(&[common::stay(1)], |world| {
        common::quietly(|| {
            let sleeper = Arc::new(Sleeper(AtomicUsize::new(0)));
            let mut handle = world.runtime.spawn(|| greenhub::sleep(Duration::from_millis(5)));
            let waker = Waker::from(sleeper.clone());
            assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
            common::eventually("it has ended", || handle.is_finished() && sleeper.0.load(SeqCst) == 1);
            handle.join().unwrap();
            assert_eq!(world.run(|| greenhub::spawn(|| 7).join().unwrap()), 7);
        });
    });
}
