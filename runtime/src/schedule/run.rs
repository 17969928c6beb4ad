//! Running a scenario under many schedules.

use super::world::{PROGRESS, Told, World};
use super::{mio, report_and_exit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many scenarios there are, to give each its part of the time.
const SCENARIOS: u32 = 30;

/// One execution at a time: they share what the process has once.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Panics of the execution that is going on.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

/// Runs `scenario` under many schedules, and prints how many. The name is for reports.
pub(crate) fn explore(name: &'static str, scenario: fn()) {
    let _one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    prepare();
    if let Some(seed) = number("SCHEDULE_SEED") {
        let steps = execute(name, scenario, seed);
        println!("{name}: seed {seed} passed, {} steps", steps.len());
        return;
    }
    let limit = Duration::from_secs(number("SCHEDULE_SECONDS").unwrap_or(60)) / SCENARIOS;
    // Another part of the search every time. The low bits count.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let first = (since.as_nanos() as u64 & 0xFFFF_FFFF) << 20;
    let start = Instant::now();
    let (mut count, mut steps) = (0u64, 0);
    while start.elapsed() < limit || count < 10 {
        let seed = first + count;
        let taken = execute(name, scenario, seed);
        if count < 3 {
            compare(name, seed, &taken, &execute(name, scenario, seed));
        }
        count += 1;
        steps += taken.len();
    }
    println!("{name}: {count} schedules, {steps} steps, {:.1} s", start.elapsed().as_secs_f64());
}

/// A seed that does not lead to the same schedule again is worth nothing.
fn compare(name: &str, seed: u64, one: &[Told], other: &[Told]) {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    if same == one.len().max(other.len()) {
        return;
    }
    let mut report = format!("\nschedule: {name}: seed {seed} leads to two schedules:\n");
    one[same.saturating_sub(10)..same].iter().for_each(|told| report += &format!("  both: {told}\n"));
    one[same..].iter().take(3).for_each(|told| report += &format!("   one: {told}\n"));
    other[same..].iter().take(3).for_each(|told| report += &format!(" other: {told}\n"));
    report_and_exit(&report)
}

fn execute(name: &'static str, scenario: fn(), seed: u64) -> Vec<Told> {
    PANICS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    mio::clear();
    let how = format!("{name} fails with SCHEDULE_SEED={seed}");
    note(&how);
    let world = World::enter(how, seed);
    if catch_unwind(AssertUnwindSafe(scenario)).is_err() {
        world.fail("the scenario panicked");
    }
    if !panics().is_empty() {
        world.fail("something panicked");
    }
    world.leave()
}

/// What a crash says: the signal handler can do no more than write it.
static NOTE: [AtomicU8; 160] = [const { AtomicU8::new(0) }; 160];

fn note(how: &str) {
    let text = format!("\nschedule: {how}: a crash\n");
    let bytes = text.bytes().chain(std::iter::repeat(0));
    NOTE.iter().zip(bytes).for_each(|(to, byte)| to.store(byte, Ordering::Relaxed));
}

extern "C" fn crashed(signal: libc::c_int) {
    let text: [u8; NOTE.len()] = std::array::from_fn(|at| NOTE[at].load(Ordering::Relaxed));
    let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    // SAFETY: both calls are made for signal handlers; the buffer is valid for its length.
    unsafe {
        libc::write(2, text.as_ptr().cast(), length);
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// What the panics of this execution said.
pub(super) fn panics() -> String {
    PANICS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).join("\n")
}

/// Threads on one core, where handing over costs least; once a process: panics kept for the report, a word with a crash, a
/// watchdog.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL] {
            // SAFETY: the handler does only what a handler may. The runtime's own, for stack overflows, comes before it.
            unsafe { libc::signal(signal, crashed as *const () as libc::sighandler_t) };
        }
        std::panic::set_hook(Box::new(|info| {
            let message = info.to_string();
            PANICS.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(message);
        }));
        std::thread::spawn(|| {
            let mut before = 0;
            loop {
                std::thread::sleep(Duration::from_secs(30));
                let now = PROGRESS.load(Ordering::Relaxed);
                if now == before && ONE_AT_A_TIME.try_lock().is_err() {
                    report_and_exit(
                        "\nschedule: a thread blocks outside of the schedule, or loops without a step\n",
                    );
                }
                before = now;
            }
        });
    });
    // A test is a thread of its own, so each is bound anew. What cannot be bound is slower, no more.
    if let Some(core) = core_affinity::get_core_ids().and_then(|cores| cores.last().copied()) {
        let _bound = core_affinity::set_for_current(core);
    }
}
