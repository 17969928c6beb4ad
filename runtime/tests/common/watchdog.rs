//! The watchdog: a test that hangs ends the program, with what is known of it.

use greenhub::runtime::Runtime;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long one test may take in one place.
const LIMIT: Duration = Duration::from_secs(60);

struct Watch {
    number: u64,
    what: String,
    until: Instant,
    runtime: Weak<Runtime>,
}

static WATCHED: Mutex<Vec<Watch>> = Mutex::new(Vec::new());

/// While this lives its test is watched.
pub(crate) struct Watched(u64);

/// Watches a test on a runtime.
pub(crate) fn watch(what: String, runtime: &Arc<Runtime>) -> Watched {
    add(what, LIMIT, Arc::downgrade(runtime))
}

/// Watches a test as a whole.
pub(crate) fn watch_alone(what: String) -> Watched {
    add(what, LIMIT * 4, Weak::new())
}

fn add(what: String, limit: Duration, runtime: Weak<Runtime>) -> Watched {
    static START: Once = Once::new();
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    START.call_once(|| {
        let thread = std::thread::Builder::new().name("watchdog".into());
        drop(thread.spawn(look_out).expect("a thread for the watchdog"));
    });
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    list().push(Watch { number, what, until: Instant::now() + limit, runtime });
    Watched(number)
}

impl Drop for Watched {
    fn drop(&mut self) {
        list().retain(|watch| watch.number != self.0);
    }
}

fn list() -> std::sync::MutexGuard<'static, Vec<Watch>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look_out() {
    loop {
        std::thread::sleep(Duration::from_millis(200));
        if let Some(watch) = list().iter().find(|watch| Instant::now() > watch.until) {
            report(watch);
            if std::env::var_os("GREENHUB_TEST_HANG").is_some() {
                say(format_args!("process {} waits for a debugger", std::process::id()));
                std::thread::sleep(Duration::from_secs(100_000));
            }
            std::process::abort();
        }
    }
}

fn report(watch: &Watch) {
    say(format_args!("\nwatchdog: {} hangs", watch.what));
    if let Some(runtime) = watch.runtime.upgrade() {
        say(format_args!("{:#?}", runtime.metrics()));
    }
    say(format_args!("{}", greenhub::runtime::dump()));
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let state = read("status").lines().find(|line| line.starts_with("State")).map(str::to_owned);
        say(format_args!("{:?} {} {:?} in {}", task.file_name(), read("comm").trim(), state, read("wchan")));
    }
}

/// Writes to standard error itself, which the test harness would otherwise keep to itself until the test has ended.
fn say(what: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // Nothing is left to be done about a standard error that is closed.
    let _written = writeln!(std::io::stderr(), "{what}");
}
