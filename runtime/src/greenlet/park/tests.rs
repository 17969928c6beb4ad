use crate::testing::{in_greenlets, on_one_hub};
use crate::{shield, sleep, spawn, timeout, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(5);

#[test]
fn a_timeout_ends_a_loop_of_shorter_waits() {
    in_greenlets(|| {
        let until = Instant::now() + Duration::from_secs(5);
        let ended = timeout(SOON, || {
            while Instant::now() < until {
                sleep(Duration::from_nanos(1));
            }
        });
        assert!(ended.is_err());
        let (_sender, receiver) = crate::channel::bounded::<()>(0);
        let ended = timeout(SOON, || {
            while Instant::now() < until {
                assert!(receiver.recv_timeout(Duration::from_nanos(1)).is_err());
            }
        });
        assert!(ended.is_err());
    });
}

#[test]
fn what_expired_inside_shield_is_delivered_by_the_first_yield_after_it() {
    in_greenlets(|| {
        let mut went_on = false;
        let ended = timeout(SOON, || {
            shield(|| sleep(SOON * 2));
            yield_now();
            went_on = true;
        });
        assert!(ended.is_err() && !went_on);
    });
}

/// Sleeps when dropped, after it has let an enclosing timeout expire; tells whether it slept long enough.
struct SleepsInDrop(Arc<AtomicBool>);

impl Drop for SleepsInDrop {
    fn drop(&mut self) {
        let until = Instant::now() + SOON * 3;
        while Instant::now() < until {
            yield_now();
        }
        let started = Instant::now();
        sleep(SOON * 2);
        self.0.store(started.elapsed() >= SOON * 2, Ordering::Relaxed);
    }
}

#[test]
fn a_sleep_while_unwinding_is_not_cut_short_by_an_expired_timeout() {
    on_one_hub(|| {
        let slept = Arc::new(AtomicBool::new(false));
        let sleeper = SleepsInDrop(slept.clone());
        let ended = spawn(move || {
            timeout(SOON, || {
                let _sleeper = sleeper;
                crate::resume_unwind(Box::new(()));
            })
        });
        assert!(ended.join().is_err());
        assert!(slept.load(Ordering::Relaxed));
    });
}
