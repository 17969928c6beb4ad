//! Hunts what only shows with a great many greenlets: a million live ones at once, each with a stack, waiting in
//! various ways, woken or killed by several at a time. Each wakes once, and nothing but the others' memory decides how
//! many there can be: if there is not enough of it, it says so and makes fewer.

use clap::Args;
use greenhub::runtime::Runtime;
use greenhub::sync::{Event, Semaphore};
use greenhub::{JoinHandle, channel, park, sleep, spawn};
use greenhub_stress::{Chance, Ledger, Resources, Stress, available_memory, die, progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[derive(Args)]
struct More {
    /// How many live greenlets [default: a million, or 30,000 without optimisation].
    #[arg(long)]
    greenlets: Option<usize>,
}

/// A page, a header, its page table's part, and what this program keeps for it; with some air.
const BYTES_EACH: usize = 6 << 10;
/// Where a guard takes two mappings, so many greenlets fit into the default limit on them.
const MOST_WITH_MAPPED_GUARDS: usize = 30_000;
/// Far longer than a round.
const FOR_EVER: Duration = Duration::from_secs(100_000);

/// What the greenlets of one round wait for.
struct Gate {
    event: Event,
    send: channel::Sender<usize>,
    receive: channel::Receiver<usize>,
    semaphore: Semaphore,
    /// Greenlets about to wait.
    waiting: AtomicUsize,
    woken: Ledger,
}

fn main() {
    let (mut stress, more) = Stress::start_with::<More>("million");
    let wanted = more.greenlets.unwrap_or(if cfg!(debug_assertions) { 30_000 } else { 1_000_000 });
    let count = affordable(wanted);
    let runtime = stress.runtime();
    let (mut most, mut slowest, mut killed) = (0, Duration::ZERO, 0);
    while let Some(chance) = stress.next_round() {
        let from = Instant::now();
        let (memory, dead) = round(&runtime, chance, count);
        most = most.max(memory);
        killed += dead;
        slowest = slowest.max(from.elapsed());
    }
    let done = format!(
        "{count} live greenlets at once, {:.2} KiB each with all that is kept for them, {killed} of all killed, the \
         slowest round {slowest:.1?}",
        most as f64 / 1024.0 / count as f64
    );
    stress.finish(runtime, &done);
}

/// How many there can be.
fn affordable(wanted: usize) -> usize {
    let memory = available_memory() / 10 * 8 / BYTES_EACH;
    let guards = if guards_take_no_mapping() { usize::MAX } else { MOST_WITH_MAPPED_GUARDS };
    let count = wanted.min(memory).min(guards);
    if count < wanted {
        let why = if memory < guards {
            format!("{} MiB of memory are available", available_memory() >> 20)
        } else {
            "this kernel's guard pages take mappings, of which a process may have few".into()
        };
        println!("SKIPPED: not {wanted} greenlets but {count}, since {why}");
    }
    if count == 0 {
        die("not one greenlet fits into memory");
    }
    count
}

/// Whether the kernel can guard a page without splitting its mapping (Linux 6.13).
fn guards_take_no_mapping() -> bool {
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    // SAFETY: maps a page of its own, advises on it, and unmaps it.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        let can = libc::madvise(page, 4096, MADV_GUARD_INSTALL) == 0;
        assert_eq!(libc::munmap(page, 4096), 0);
        can
    }
}

/// Gives the memory that the greenlets took, and how many were killed.
fn round(runtime: &Arc<Runtime>, mut chance: Chance, count: usize) -> (usize, usize) {
    let before = Resources::now().memory;
    let (send, receive) = channel::unbounded();
    let gate = Arc::new(Gate {
        event: Event::new(),
        send,
        receive,
        semaphore: Semaphore::new(0),
        waiting: AtomicUsize::new(0),
        woken: Ledger::new("a wake", count),
    });
    let from_inside = chance.one_in(2);
    let handles: Vec<JoinHandle<usize>> = if from_inside {
        let gate = gate.clone();
        runtime.run(move || (0..count).map(|number| ticking(number, || spawn(body(number, &gate)))).collect())
    } else {
        (0..count).map(|number| ticking(number, || runtime.spawn(body(number, &gate)))).collect()
    };
    // Until all have a stack and are about to wait.
    while gate.waiting.load(SeqCst) < count {
        let metrics = runtime.metrics();
        if metrics.live < count as u64 {
            die(&format!("{} live greenlets of {count}, and nobody has woken one", metrics.live));
        }
        progress();
        std::thread::sleep(Duration::from_millis(1));
    }
    let metrics = runtime.metrics();
    if metrics.live != count as u64 || metrics.stacks_in_use < count {
        die(&format!("{count} greenlets wait, but {} live on {}", metrics.live, metrics.stacks_in_use));
    }
    let memory = Resources::now().memory.saturating_sub(before);
    wake(runtime, &mut chance, &gate, &handles);
    let mut killed = 0;
    for (number, handle) in handles.into_iter().enumerate() {
        ticking(number, || match handle.join() {
            Ok(value) => assert!(value == number && gate.woken.has(number), "{number} gave {value}"),
            Err(error) if error.is_killed() && number % KINDS >= KILLED => killed += 1,
            Err(error) => die(&format!("{number} ended otherwise: {error}")),
        });
    }
    let expected = (0..count).filter(|number| number % KINDS < KILLED).count();
    if gate.woken.total() != expected {
        die(&format!("{} greenlets were woken instead of {expected}", gate.woken.total()));
    }
    assert_eq!(killed, count - expected, "not all were killed that were to be");
    assert!(gate.receive.is_empty() && gate.semaphore.available_permits() == 0, "something was woken twice");
    (memory, killed)
}

/// Lets the watchdog know every so often.
fn ticking<T>(number: usize, f: impl FnOnce() -> T) -> T {
    if number.is_multiple_of(1024) {
        progress();
    }
    f()
}

const KINDS: usize = 6;
/// Kinds from here up are killed.
const KILLED: usize = 4;

fn body(number: usize, gate: &Arc<Gate>) -> impl FnOnce() -> usize + Send + 'static {
    let gate = gate.clone();
    move || {
        gate.waiting.fetch_add(1, SeqCst);
        match number % KINDS {
            0 => park(),
            1 => gate.event.wait(),
            2 => _ = gate.receive.recv().expect("the gate keeps a sender"),
            3 => gate.semaphore.acquire().forget(),
            4 => sleep(FOR_EVER),
            _ => park(),
        }
        gate.woken.mark(number);
        if number.is_multiple_of(1024) {
            progress();
        }
        number
    }
}

/// Wakes or kills all, from greenlets and OS threads at once.
fn wake(runtime: &Runtime, chance: &mut Chance, gate: &Arc<Gate>, handles: &[JoinHandle<usize>]) {
    let count = handles.len();
    let of_kind = |kind: usize| (0..count).filter(|number| number % KINDS == kind).count();
    let parked: Vec<_> = handles.iter().step_by(KINDS).map(|handle| handle.greenlet().clone()).collect();
    let doomed: Vec<_> = handles
        .iter()
        .enumerate()
        .filter(|(number, _)| number % KINDS >= KILLED)
        .map(|(_, handle)| handle.greenlet().clone())
        .collect();
    let messages = of_kind(2);
    let permits = of_kind(3);
    let mut wakers: Vec<Box<dyn FnOnce() + Send>> = vec![
        Box::new(move || {
            parked.iter().enumerate().for_each(|(number, parked)| ticking(number, || parked.unpark()));
        }),
        Box::new(move || {
            doomed.iter().enumerate().for_each(|(number, doomed)| ticking(number, || doomed.kill()));
        }),
        Box::new({
            let gate = gate.clone();
            move || gate.event.set()
        }),
        Box::new({
            let gate = gate.clone();
            move || {
                for number in 0..messages {
                    ticking(number, || gate.send.send(number).expect("there are receivers"));
                }
            }
        }),
        Box::new({
            let gate = gate.clone();
            move || gate.semaphore.add_permits(permits)
        }),
    ];
    let (mut threads, mut greenlets) = (Vec::new(), Vec::new());
    while !wakers.is_empty() {
        let waker = wakers.swap_remove(chance.between(0, wakers.len()));
        if chance.one_in(2) {
            threads.push(std::thread::spawn(waker));
        } else {
            greenlets.push(runtime.spawn(waker));
        }
    }
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
    greenlets.into_iter().for_each(|greenlet| greenlet.join().expect("a greenlet ends"));
}
