//! Hunts greenlets that are lost or run twice when there is no stack for them (the runtime's own limit, or a system
//! that refuses memory), and frames that are damaged deep down on stacks that move between hubs.

use greenhub::runtime::Runtime;
use greenhub::{Builder, JoinHandle, sleep, spawn, yield_now};
use greenhub_stress::{
    Chance, Ledger, Limit, Stress, Witness, address_space, die, expect_nothing_left, progress, watch,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// What must be left of a stack at its deepest: enough to suspend, to unwind and to run destructors. Frames that were not
/// optimised are larger.
const MARGIN: usize = if cfg!(debug_assertions) { 32 << 10 } else { 12 << 10 };

/// What happened in all rounds.
#[derive(Default)]
struct Counts {
    limited: u64,
    refused: u64,
    dives: u64,
    frames: AtomicU64,
}

fn main() {
    let mut stress = Stress::start("stacks");
    let runtime = stress.runtime();
    let mut counts = Counts::default();
    while let Some(chance) = stress.next_round() {
        match stress.rounds() % 4 {
            0 => counts.limited += limited(&stress, chance),
            1 => counts.refused += refused(&stress, chance),
            _ => counts.dives += dives(&runtime, chance, &counts.frames),
        }
        watch(&runtime);
    }
    let done = format!(
        "{} greenlets shared few stacks, {} were refused one by the system, {} dives of {} frames",
        counts.limited,
        counts.refused,
        counts.dives,
        counts.frames.load(SeqCst)
    );
    stress.finish(runtime, &done);
}

/// Ends a round's own runtime.
fn end(runtime: Arc<Runtime>) {
    expect_nothing_left(&runtime);
    let runtime = Arc::into_inner(runtime).expect("nobody else has it");
    if !runtime.shutdown_timeout(std::time::Duration::from_secs(10)) {
        die("a runtime did not end in time");
    }
}

/// How the greenlets of one round ended; each must have run, or been killed, or been told why not.
#[derive(Clone)]
struct Ends {
    ran: Ledger,
    dropped: Ledger,
    /// Who is between its first and its last line, and so on a stack.
    inside: Arc<AtomicU64>,
    most: u64,
}

impl Ends {
    fn new(count: usize, most: u64) -> Self {
        let (ran, dropped) = (Ledger::new("a run", count), Ledger::new("a closure's drop", count));
        Ends { ran, dropped, inside: Arc::default(), most }
    }

    /// A greenlet that lives for a moment.
    fn spawn(&self, runtime: &Runtime, number: usize, mut chance: Chance) -> JoinHandle<usize> {
        let (ends, witness) = (self.clone(), self.dropped.witness(number));
        runtime.spawn(move || moment(&ends, &witness, &mut chance))
    }
}

fn moment(ends: &Ends, witness: &Witness, chance: &mut Chance) -> usize {
    struct OnStack<'a>(&'a AtomicU64);
    impl Drop for OnStack<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    let inside = ends.inside.fetch_add(1, SeqCst) + 1;
    let _on_stack = OnStack(&ends.inside);
    assert!(inside <= ends.most, "{inside} greenlets on {} stacks", ends.most);
    ends.ran.mark(witness.thing());
    match chance.below(4) {
        0 => {}
        1 => sleep(chance.micros(200)),
        2 => (0..chance.below(8)).for_each(|_| yield_now()),
        _ => {
            // Detached ones may wait for a stack as long as they like; a joined one could wait for its joiner's.
            drop(spawn(yield_now));
        }
    }
    progress();
    witness.thing()
}

/// Fewer stacks than greenlets: they wait for one, and all get their turn or their kill.
fn limited(stress: &Stress, mut chance: Chance) -> u64 {
    let stacks = chance.between(1, 20);
    let runtime = Arc::new(stress.builder().max_stacks(stacks).build().expect("a runtime starts"));
    watch(&runtime);
    let count = chance.between(1, 400);
    let kills = chance.below(4);
    let ends = Ends::new(count, stacks as u64);
    let handles: Vec<_> = (0..count).map(|number| ends.spawn(&runtime, number, chance.split())).collect();
    let mut killed = 0;
    for (number, handle) in handles.into_iter().enumerate() {
        if chance.below(16) < kills {
            handle.kill();
        }
        match handle.join() {
            Ok(value) => assert!(value == number && ends.ran.has(number), "a result of one that never ran"),
            Err(error) if error.is_killed() => killed += 1,
            Err(error) => die(&format!("{number} of {count} on {stacks} stacks: {error}")),
        }
        assert!(ends.dropped.has(number), "join returned before the closure was gone");
    }
    assert!(kills > 0 || killed == 0, "killed by nobody");
    ends.dropped.expect_all();
    expect_nothing_left(&runtime);
    let made = runtime.metrics().stacks_cached;
    // One that a hub is about to give back is counted as free before others can have it.
    assert!(made <= stacks + stress.hubs(), "{made} stacks were made although {stacks} are the most");
    end(runtime);
    count as u64
}

/// The system refuses memory: who can wait for a stack waits, and who cannot is told why.
fn refused(stress: &Stress, mut chance: Chance) -> u64 {
    const LARGE: usize = 1 << 30;
    /// What is left to everybody else: the heap, and this round's ledgers.
    const ROOM: usize = 160 << 20;
    let runtime = Arc::new(stress.builder().build().expect("a runtime starts"));
    watch(&runtime);
    let count = chance.between(1, 300);
    let ends = Ends::new(count, u64::MAX);
    let limit = Limit::address_space();
    limit.lower((address_space() + ROOM) as u64);
    // None of these can ever have a stack.
    let told = Ledger::new("a refused greenlet's drop", 4);
    for number in 0..4 {
        let witness = told.witness(number);
        let large = Builder::new().stack_size(LARGE);
        let error = runtime.run(move || {
            let handle = large.spawn(move || drop(witness)).expect("the size is a possible one");
            handle.join()
        });
        match error {
            Err(error) if !error.is_killed() && !error.is_panic() => {
                assert!(error.to_string().contains("stack"), "{error}");
            }
            // It could wait for the stack of its spawner, which it had when that one had ended.
            other => die(&format!("a greenlet with a stack that cannot be had ended as {other:?}")),
        }
        assert!(told.has(number), "join returned before the closure was gone");
    }
    // These share what there is.
    let handles: Vec<_> = (0..count).map(|number| ends.spawn(&runtime, number, chance.split())).collect();
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().expect("it ran"), number);
    }
    limit.restore();
    ends.ran.expect_all();
    ends.dropped.expect_all();
    told.expect_all();
    // What was refused before can be had now.
    let large = Builder::new().stack_size(LARGE);
    let value = runtime.run(move || large.spawn(|| 7).expect("it is spawned").join().expect("it runs"));
    assert_eq!(value, 7);
    end(runtime);
    4 + count as u64
}

/// Recursion to near the guard, with suspensions and kills on the way.
fn dives(runtime: &Runtime, mut chance: Chance, frames: &AtomicU64) -> u64 {
    let count = chance.between(1, 60);
    let handles: Vec<_> = (0..count)
        .map(|number| {
            // At least twice the margin.
            let size = (64 << 10) << chance.below(4);
            let (own, killed) = (chance.split(), chance.one_in(4));
            let seen = Arc::new(Seen::default());
            let see = seen.clone();
            let builder = Builder::new().stack_size(size);
            let handle = runtime.run(move || {
                let dive = move || {
                    let here = 0_u8;
                    let lowest = (&raw const here).addr() - (size - MARGIN);
                    let mut diver = Diver { chance: own, lowest, seen: &see };
                    let tag = number as u64;
                    for _ in 0..3 {
                        diver.down(tag, killed);
                    }
                    tag
                };
                builder.spawn(dive).expect("it is spawned")
            });
            (handle, seen, killed)
        })
        .collect();
    let dives = handles.len() as u64;
    for (number, (handle, seen, killed)) in handles.into_iter().enumerate() {
        if killed {
            // It waits for this at the bottom, if nothing came sooner.
            handle.kill();
            let error = handle.join().expect_err("it waits for its kill");
            assert!(error.is_killed(), "{error}");
        } else {
            assert_eq!(handle.join().expect("a diver comes up"), number as u64);
        }
        let (begun, ended) = (seen.begun.load(SeqCst), seen.ended.load(SeqCst));
        assert_eq!(begun, ended, "frames were lost");
        frames.fetch_add(ended, SeqCst);
        progress();
    }
    dives
}

struct Diver<'a> {
    chance: Chance,
    /// Not below this.
    lowest: usize,
    seen: &'a Seen,
}

/// One diver's frames.
#[derive(Default)]
struct Seen {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// What a frame must find again when control comes back to it.
struct Frame<'a> {
    words: [u64; 32],
    tag: u64,
    seen: &'a Seen,
}

impl Frame<'_> {
    fn check(&self) {
        let (tag, words) = std::hint::black_box((self.tag, &self.words));
        let right = words.iter().enumerate().all(|(place, &word)| word == tag.wrapping_mul(place as u64 + 1));
        if !right {
            die(&format!("a frame was written over: {tag:#x} {words:x?}"));
        }
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        self.check();
        self.seen.ended.fetch_add(1, SeqCst);
    }
}

impl Diver<'_> {
    #[inline(never)]
    fn down(&mut self, tag: u64, killed: bool) {
        let tag = tag.wrapping_mul(31).wrapping_add(self.chance.number() | 1);
        let words = std::array::from_fn(|place| tag.wrapping_mul(place as u64 + 1));
        let frame = std::hint::black_box(Frame { words, tag, seen: self.seen });
        self.seen.begun.fetch_add(1, SeqCst);
        if (&raw const frame).addr() > self.lowest {
            if self.chance.one_in(64) {
                yield_now();
            }
            frame.check();
            self.down(tag, killed);
        } else if killed {
            // Unwinds from the deepest point.
            greenhub::park();
        } else {
            match self.chance.below(3) {
                0 => yield_now(),
                1 => sleep(self.chance.micros(200)),
                _ => spawn(yield_now).join().expect("it ends"),
            }
        }
        frame.check();
    }
}
