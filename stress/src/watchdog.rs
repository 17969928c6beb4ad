//! The end with a reason: a panic nobody meant, or no progress for too long.

use greenhub::runtime::Runtime;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long nothing may progress.
const LIMIT: Duration = Duration::from_secs(20);

static PROGRESS: AtomicU64 = AtomicU64::new(0);
static WATCHED: Mutex<Weak<Runtime>> = Mutex::new(Weak::new());
static EXPECTED: OnceLock<&str> = OnceLock::new();
static COMMAND: OnceLock<String> = OnceLock::new();

/// Panics that say this are meant; the program catches them.
pub fn expect_panic(text: &'static str) {
    EXPECTED.set(text).expect("one such text a program");
}

/// Something got on.
pub fn progress() {
    // Relaxed: it only has to differ, at some time.
    PROGRESS.fetch_add(1, Relaxed);
}

/// Has this runtime's greenlets listed at a bad end.
pub fn watch(runtime: &Arc<Runtime>) {
    *WATCHED.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(runtime);
}

/// Says why, how to run it again, and what the runtimes know; then aborts, so that a debugger finds all as it was. With
/// `GREENHUB_STRESS_WAIT` set it waits for that debugger instead.
pub fn die(why: &str) -> ! {
    static DYING: AtomicBool = AtomicBool::new(false);
    if DYING.swap(true, SeqCst) {
        // Somebody else is at it, and will end the program.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    say(&format!("FAILED: {why}\nagain: {}", COMMAND.get().map_or("", String::as_str)));
    let watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
    if let Some(runtime) = watched {
        say(&format!("{:#?}\n{}", runtime.metrics(), runtime.dump()));
        // Dropping it here could end it.
        std::mem::forget(runtime);
    }
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        say(&format!("{:?} {} in {}", task.file_name(), read("comm").trim(), read("wchan")));
    }
    if std::env::var_os("GREENHUB_STRESS_WAIT").is_some() {
        say(&format!("process {} waits for a debugger", std::process::id()));
        std::thread::sleep(Duration::from_secs(100_000));
    }
    std::process::abort();
}

fn say(what: &str) {
    // Nothing is left to be done about a standard error that is closed.
    let _written = writeln!(std::io::stderr(), "{what}");
}

/// Makes every panic's message fatal, errors nobody joins too, and starts the thread that looks for progress and for
/// deadlocks of the runtime's own locks.
pub(crate) fn start(command: String) {
    COMMAND.set(command).expect("one start a process");
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("");
        if EXPECTED.get().is_none_or(|expected| !text.contains(expected)) {
            die(&format!("{info}"));
        }
    }));
    greenhub::on_error(|greenlet, payload| {
        let text = payload.downcast_ref::<&str>().copied().unwrap_or("");
        die(&format!("{greenlet:?} panicked and nobody joined it: {text}"));
    });
    let thread = std::thread::Builder::new().name("watchdog".into());
    drop(thread.spawn(look_out).expect("a thread for the watchdog"));
}

fn look_out() {
    let mut seen = (PROGRESS.load(Relaxed), Instant::now());
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let deadlocks = parking_lot::deadlock::check_deadlock();
        if let Some(threads) = deadlocks.first() {
            let traces: Vec<_> = threads.iter().map(|thread| format!("{:#?}", thread.backtrace())).collect();
            die(&format!("a deadlock inside the runtime:\n{}", traces.join("\n")));
        }
        let now = PROGRESS.load(Relaxed);
        if now != seen.0 {
            seen = (now, Instant::now());
        } else if seen.1.elapsed() > LIMIT {
            die(&format!("nothing got on for {LIMIT:?}"));
        }
    }
}
