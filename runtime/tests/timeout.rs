//! Timeouts and shields: what interrupts whom, and when.

mod common;

use common::{Witness, everywhere, inside, quietly};
use greenhub::{shield, sleep, timeout, yield_now};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Runs `test` in greenlets everywhere, and on a plain thread.
fn on_both(test: impl Fn() + Send + Sync) {
    inside(&test);
    let _alone = common::alone();
    std::thread::scope(|threads| threads.spawn(&test).join().unwrap());
}

#[test]
fn a_timeout_ends_a_wait_and_is_never_early() {
    on_both(|| {
        let start = Instant::now();
        let (local, seen) = Witness::new();
        let ended = timeout(ms(4), || {
            let _local = local;
            sleep(LONG);
        });
        assert!(ended.is_err());
        assert!(start.elapsed() >= ms(4) && start.elapsed() < LONG / 2, "after {:?}", start.elapsed());
        assert_eq!(seen.drops(), 1);
        // Nothing of it is left.
        sleep(ms(6));
        assert_eq!(timeout(LONG, || 5), Ok(5));
    });
}

#[test]
fn a_result_wins_however_late_it_is() {
    on_both(|| {
        let late = timeout(ms(1), || {
            common::compute(ms(4));
            "late"
        });
        assert_eq!(late, Ok("late"));
        // And does not come back to haunt the next wait.
        sleep(ms(2));
        yield_now();
    });
}

#[test]
fn a_zero_timeout_ends_the_first_wait_and_no_earlier() {
    on_both(|| {
        let mut began = false;
        let ended = timeout(Duration::ZERO, || {
            began = true;
            sleep(LONG);
        });
        assert!(ended.is_err() && began);
        assert_eq!(timeout(Duration::ZERO, || 3), Ok(3));
    });
}

#[test]
fn huge_timeouts_are_as_none() {
    on_both(|| {
        for huge in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 40)] {
            let value = timeout(huge, || {
                sleep(ms(1));
                7
            });
            assert_eq!(value, Ok(7));
            // An inner one still works.
            assert!(timeout(huge, || timeout(ms(1), || sleep(LONG))).unwrap().is_err());
        }
    });
}

#[test]
fn the_inner_timeout_catches_its_own_end_only() {
    on_both(|| {
        let outer = timeout(LONG, || {
            assert!(timeout(ms(2), || sleep(LONG)).is_err());
            "on it goes"
        });
        assert_eq!(outer, Ok("on it goes"));
    });
}

#[test]
fn an_outer_timeout_passes_through_the_inner_one() {
    on_both(|| {
        let mut inner_returned = false;
        let outer = timeout(ms(2), || {
            let _inner = timeout(LONG, || sleep(LONG));
            inner_returned = true;
        });
        assert!(outer.is_err());
        assert!(!inner_returned, "the inner timeout caught what was not its own");
    });
}

#[test]
fn of_three_nested_timeouts_the_one_that_expires_catches() {
    on_both(|| {
        for expiring in 0..3 {
            let limit = |level| if level == expiring { ms(2) } else { LONG };
            let mut reached = Vec::new();
            let outer = timeout(limit(0), || {
                let middle = timeout(limit(1), || {
                    let inner = timeout(limit(2), || sleep(LONG));
                    reached.push((2, inner.is_err()));
                });
                reached.push((1, middle.is_err()));
            });
            reached.push((0, outer.is_err()));
            let expected: Vec<_> = (0..=expiring).rev().map(|level| (level, level == expiring)).collect();
            assert_eq!(reached, expected);
        }
    });
}

#[test]
fn of_two_expired_timeouts_the_one_that_expired_first_goes_first() {
    on_both(|| {
        let outer = timeout(ms(1), || {
            let inner = timeout(ms(3), || {
                common::compute(ms(5));
                sleep(LONG);
            });
            unreachable!("the inner one gave {inner:?}, though the outer one expired before it");
        });
        assert!(outer.is_err());
    });
}

#[test]
fn a_yield_loop_is_timed_out() {
    inside(|| {
        let turns = Cell::new(0_u64);
        let ended = timeout(ms(3), || {
            loop {
                yield_now();
                turns.set(turns.get() + 1);
            }
        });
        assert!(ended.is_err());
        assert!(turns.get() > 0);
        // With others that yield on the same hub.
        let others: Vec<_> = (0..4).map(|_| greenhub::spawn(|| (0..500).for_each(|_| yield_now()))).collect();
        let ended = timeout(ms(3), || {
            loop {
                yield_now();
            }
        });
        assert!(ended.is_err());
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_timeout_ends_every_kind_of_wait() {
    use greenhub::net::{TcpListener, TcpStream, UdpSocket};
    use greenhub::{channel, sync};
    use std::io::Read;
    on_both(|| {
        assert!(timeout(ms(2), || sleep(Duration::MAX)).is_err());
        let target = Arc::new(greenhub::spawn(|| sleep(LONG)));
        assert!(timeout(ms(2), || target.join_timeout(LONG)).is_err());
        target.kill();
        assert!(timeout(ms(2), || greenhub::block_on(std::future::pending::<()>())).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(timeout(ms(2), || listener.accept()).is_err());
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(timeout(ms(2), || stream.read(&mut [0; 8])).is_err());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(timeout(ms(2), || socket.recv(&mut [0; 8])).is_err());
        let (sender, receiver) = channel::bounded::<u8>(0);
        assert!(timeout(ms(2), || receiver.recv()).is_err());
        assert!(timeout(ms(2), || sender.send(1)).is_err());
        let semaphore = sync::Semaphore::new(0);
        assert!(timeout(ms(2), || drop(semaphore.acquire())).is_err());
        assert!(Arc::into_inner(target).unwrap().join().unwrap_err().is_killed());
    });
}

#[test]
fn a_timeout_ends_park_and_unblock_in_a_greenlet() {
    inside(|| {
        // The job ends once the timeout has.
        let (end, ended) = std::sync::mpsc::channel::<()>();
        assert!(timeout(ms(2), || greenhub::unblock(move || ended.recv())).is_err());
        drop(end);
        assert!(timeout(ms(2), greenhub::park).is_err());
        assert!(timeout(ms(2), || greenhub::park_timeout(LONG)).is_err());
        greenhub::current().unpark();
        assert_eq!(timeout(LONG, greenhub::park), Ok(()));
    });
}

#[test]
fn the_shorter_of_a_call_s_own_limit_and_the_timeout_wins() {
    on_both(|| {
        let handle = greenhub::spawn(greenhub::park);
        assert_eq!(timeout(LONG, || handle.join_timeout(ms(2))), Ok(false));
        assert!(timeout(ms(2), || handle.join_timeout(LONG)).is_err());
        handle.greenlet().unpark();
        handle.join().unwrap();
    });
}

#[test]
fn inside_shield_outer_timeouts_wait_and_inner_ones_work() {
    on_both(|| {
        let mut steps = Vec::new();
        let ended = timeout(ms(2), || {
            shield(|| {
                sleep(ms(5));
                steps.push("slept");
                assert!(timeout(ms(2), || sleep(LONG)).is_err());
                steps.push("inner");
                shield(|| sleep(ms(1)));
                sleep(ms(1));
                steps.push("nested");
            });
            steps.push("after");
            sleep(LONG);
            steps.push("never");
        });
        assert!(ended.is_err());
        assert_eq!(steps, ["slept", "inner", "nested", "after"]);
    });
}

#[test]
fn a_timeout_set_inside_shield_is_not_shielded_by_it_but_by_an_inner_one() {
    on_both(|| {
        let mut steps = 0;
        let ended = shield(|| {
            timeout(ms(2), || {
                shield(|| sleep(ms(5)));
                steps += 1;
                sleep(LONG);
                steps += 1;
            })
        });
        assert!(ended.is_err());
        assert_eq!(steps, 1);
    });
}

#[test]
fn a_shield_that_panics_ends_all_the_same() {
    inside(|| {
        quietly(|| {
            let ended = timeout(ms(3), || {
                assert!(catch_unwind(|| shield(|| panic!("expected"))).is_err());
                sleep(LONG);
            });
            assert!(ended.is_err());
        });
    });
}

#[test]
fn a_timeout_that_expires_while_unwinding_lets_the_destructors_finish() {
    struct Slow(Arc<AtomicUsize>);
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(ms(5));
            self.0.fetch_add(1, SeqCst);
        }
    }
    on_both(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let slow = [Slow(dropped.clone()), Slow(dropped.clone())];
        let ended = timeout(ms(8), || {
            timeout(ms(1), || {
                let _slow = slow;
                sleep(LONG);
            })
        });
        // The outer one expired while the inner one's unwinding slept; the inner one has its result by then.
        assert_eq!(dropped.load(SeqCst), 2);
        assert!(ended.is_ok_and(|inner| inner.is_err()));
    });
}

#[test]
fn a_panic_goes_through_a_timeout_as_it_is() {
    on_both(|| {
        let (caught, printed) = quietly(|| catch_unwind(|| timeout(LONG, || std::panic::panic_any(77_u8))));
        assert_eq!(printed, 1);
        assert_eq!(*caught.unwrap_err().downcast::<u8>().unwrap(), 77);
        sleep(ms(1));
    });
}

#[test]
fn a_swallowed_timeout_is_over() {
    on_both(|| {
        let ended = timeout(ms(2), || {
            assert!(catch_unwind(AssertUnwindSafe(|| sleep(LONG))).is_err());
            "swallowed"
        });
        assert_eq!(ended, Ok("swallowed"));
    });
}

#[test]
fn a_kill_goes_through_timeouts() {
    inside(|| {
        let handle = greenhub::spawn(|| {
            let _ended = timeout(LONG, || timeout(LONG, greenhub::park));
            unreachable!("a timeout caught a kill");
        });
        sleep(ms(1));
        handle.kill();
        assert!(handle.join().unwrap_err().is_killed());
    });
}

#[test]
fn a_timeout_prints_nothing() {
    on_both(|| {
        let (ended, printed) = quietly(|| timeout(ms(1), || sleep(LONG)));
        assert!(ended.is_err());
        assert_eq!(printed, 0);
    });
}

#[test]
fn timeouts_of_greenlets_on_one_hub_do_not_mix() {
    inside(|| {
        let handles: Vec<_> = (0..100_u64)
            .map(|n| {
                greenhub::spawn(move || {
                    let limit = Duration::from_micros(500 + 37 * n);
                    let start = Instant::now();
                    let ended = if n % 2 == 0 {
                        timeout(limit, || sleep(LONG)).is_err()
                    } else {
                        timeout(LONG, || sleep(limit)).is_ok()
                    };
                    assert!(ended);
                    assert!(start.elapsed() >= limit);
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn timeouts_that_never_fire_leave_nothing_behind() {
    everywhere(|world| {
        world.run(|| {
            for _ in 0..2000 {
                assert_eq!(timeout(LONG, yield_now), Ok(()));
            }
        });
        // The harness sees to it that no timer is left.
    });
}

#[test]
fn an_elapsed_limit_reads_well_and_becomes_an_io_error() {
    inside(|| {
        let elapsed = timeout(ms(1), || sleep(LONG)).unwrap_err();
        assert!(elapsed.to_string().contains("time"));
        let error: std::io::Error = elapsed.into();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    });
}

#[test]
fn no_switch_panics_at_a_suspension_and_then_all_is_well() {
    inside(|| {
        let attempts: [fn(); 6] = [
            yield_now,
            || sleep(ms(1)),
            greenhub::park,
            || drop(greenhub::spawn(|| sleep(ms(20))).join()),
            || greenhub::scope(|s| _ = s.spawn(|| sleep(ms(20)))),
            || greenhub::block_on(std::future::pending::<()>()),
        ];
        for attempt in attempts {
            let (caught, _) = quietly(|| catch_unwind(|| greenhub::no_switch(attempt)));
            let payload = caught.expect_err("it suspended inside `no_switch`");
            let message = payload.downcast_ref::<String>().expect("a message");
            assert!(message.contains("no_switch"), "{message}");
            yield_now();
            sleep(Duration::from_micros(100));
        }
        assert_eq!(greenhub::no_switch(|| 6 * 7), 42);
    });
}

#[test]
fn a_scope_or_run_inside_no_switch_never_leaves_a_borrower_behind() {
    inside(|| {
        for with_run in [false, true] {
            let mut numbers = vec![0; 64];
            let running = Arc::new(AtomicUsize::new(0));
            let count = running.clone();
            let touch = || {
                count.fetch_add(1, SeqCst);
                sleep(ms(3));
                numbers.iter_mut().for_each(|n| *n += 1);
                count.fetch_sub(1, SeqCst);
            };
            let (caught, _) = quietly(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    greenhub::no_switch(|| {
                        if with_run { greenhub::run(touch) } else { greenhub::scope(|s| _ = s.spawn(touch)) }
                    });
                }))
            });
            assert!(caught.is_err());
            // If one still runs it has nothing to stand on; that it has not even started proves nothing, so wait.
            std::mem::forget(numbers);
            for _ in 0..5 {
                yield_now();
                assert_eq!(running.load(SeqCst), 0, "a greenlet runs on what it was lent");
                common::compute(Duration::from_micros(200));
            }
        }
    });
}

#[test]
fn sleeping_is_never_early() {
    on_both(|| {
        for micros in [1, 10, 50, 100, 333, 999, 1000, 1001, 2500, 4097] {
            for _ in 0..10 {
                let wanted = Duration::from_micros(micros);
                let start = Instant::now();
                sleep(wanted);
                assert!(start.elapsed() >= wanted, "{:?} instead of {wanted:?}", start.elapsed());
                let until = Instant::now() + wanted;
                greenhub::sleep_until(until);
                assert!(Instant::now() >= until);
            }
        }
        sleep(Duration::ZERO);
        greenhub::sleep_until(Instant::now() - ms(1));
    });
}

#[test]
fn thousands_of_sleepers_and_none_wakes_early() {
    inside(|| {
        let handles: Vec<_> = (0..5000_u64)
            .map(|n| {
                greenhub::spawn(move || {
                    let wanted = Duration::from_micros(n * 7919 % 20_000);
                    let start = Instant::now();
                    sleep(wanted);
                    assert!(start.elapsed() >= wanted);
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}
