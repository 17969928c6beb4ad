//! What models leave out: the naps.

use super::ShortLock;
use std::time::{Duration, Instant};

/// The processor time that this thread has used.
fn used() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("less than a second"))
}

#[test]
fn who_waits_long_sleeps_meanwhile() {
    const HELD: Duration = Duration::from_millis(200);
    let lock = ShortLock::new();
    lock.acquire();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (begin, before) = (Instant::now(), used());
            lock.acquire();
            (begin.elapsed(), used() - before)
        });
        std::thread::sleep(HELD);
        lock.release();
        let (waited, worked) = waiter.join().expect("it waits");
        assert!(worked < waited / 4, "it worked for {worked:?} of the {waited:?} that it waited");
    });
    assert!(!lock.try_acquire(), "it was not taken");
}
