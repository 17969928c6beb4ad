//! An idle process uses no CPU. Alone in its process, since the whole process is measured.

use greenhub::runtime::Builder;
use std::time::Duration;

/// What the process has used so far.
fn cpu_time() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `usage` has room for what is written; it is initialised if the call succeeds.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let time = |t: libc::timeval| {
        Duration::from_micros(u64::try_from(t.tv_sec * 1_000_000 + t.tv_usec).expect("time is not negative"))
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[test]
fn an_idle_process_uses_no_cpu() {
    let runtime = Builder::new().hubs(4).build().unwrap();
    // Something is there that waits: a sleeper, and a greenlet that only an OS thread could wake.
    let parked = runtime.spawn(greenhub::park);
    let sleeper = std::thread::scope(|threads| {
        let running = threads.spawn(|| runtime.run(|| greenhub::sleep(Duration::from_secs(4))));
        std::thread::sleep(Duration::from_millis(500));
        let before = cpu_time();
        std::thread::sleep(Duration::from_secs(3));
        let used = cpu_time() - before;
        assert!(used < Duration::from_millis(10), "an idle process used {used:?} in 3 s");
        running.join()
    });
    sleeper.unwrap();
    parked.greenlet().unpark();
    parked.join().unwrap();
}
