//! Hunts work that is lost or done twice when hubs take it from each other: compute-bound greenlets, all spawned on
//! one hub, from short queues to long ones. Half of the rounds join them, and half do not: whoever joins one that has
//! not started runs it himself, wherever it lies, and so would find what a thief has lost.

use greenhub::runtime::current_hub;
use greenhub::sync::WaitGroup;
use greenhub::{join_all, spawn, yield_now};
use greenhub_stress::{Chance, Ledger, Stress, die, expect_nothing_left, progress, sum};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

fn main() {
    let mut stress = Stress::start("steal");
    let runtime = stress.runtime();
    let away = Arc::new(AtomicU64::new(0));
    let mut work = 0;
    while let Some(chance) = stress.next_round() {
        work += runtime.run(|| round(chance, &away));
    }
    // What a round waits for is told before the last of its greenlets is counted as finished.
    expect_nothing_left(&runtime);
    let metrics = runtime.metrics();
    let (spawned, finished) = (sum(&metrics, |hub| hub.spawned), sum(&metrics, |hub| hub.finished));
    let spawned = spawned + metrics.spawned_outside;
    if spawned != finished {
        die(&format!("{spawned} greenlets were spawned, {finished} finished: {metrics:#?}"));
    }
    let away = away.load(Relaxed);
    if stress.hubs() > 1 && away == 0 {
        die(&format!("no hub took anything from another: {metrics:#?}"));
    }
    let taken = sum(&metrics, |hub| hub.taken_unstarted + hub.taken_started);
    stress.finish(runtime, &format!("{work} pieces of work, {away} ended on another hub, {taken} taken"));
}

fn round(mut chance: Chance, away: &Arc<AtomicU64>) -> usize {
    let count = match chance.below(3) {
        0 => chance.between(1, 10),
        1 => chance.between(10, 200),
        _ => chance.between(200, 4000),
    };
    let steps = chance.below(if count > 200 { 5_000 } else { 100_000 });
    let nested = chance.one_in(3);
    let yields = chance.below(3);
    let (run, closures) = (Ledger::new("a run", count), Ledger::new("a closure's drop", count));
    let detached = chance.one_in(2);
    let all = WaitGroup::new();
    let hub = current_hub();
    let started = Instant::now();
    let handles: Vec<_> = (0..count)
        .map(|number| {
            let (run, closure, away) = (run.clone(), closures.witness(number), away.clone());
            let one = all.clone();
            let handle = spawn(move || {
                let _one = one;
                // Dropped before `_one`, so that whoever has waited for all finds all dropped.
                let closure = closure;
                run.mark(closure.thing());
                for _ in 0..yields {
                    yield_now();
                }
                let result = if nested {
                    let half = spawn(move || work(number as u64, steps / 2));
                    let whole = work(number as u64, steps);
                    assert_eq!(half.join().expect("it ends"), work(number as u64, steps / 2));
                    whole
                } else {
                    work(number as u64, steps)
                };
                if current_hub() != hub {
                    away.fetch_add(1, Relaxed);
                }
                progress();
                if detached {
                    assert_eq!(result, work(number as u64, steps), "wrong work");
                }
                result
            });
            if detached {
                drop(handle);
                None
            } else {
                Some(handle)
            }
        })
        .collect();
    if detached {
        all.wait();
    }
    let handles = handles.into_iter().flatten();
    for (number, result) in join_all(handles).into_iter().enumerate() {
        assert_eq!(
            result.expect("it ends"),
            work(number as u64, steps),
            "wrong work after {:?}",
            started.elapsed()
        );
    }
    run.expect_all();
    closures.expect_all();
    count
}

/// Something to compute, of so many steps.
#[inline(never)]
fn work(seed: u64, steps: u64) -> u64 {
    (0..steps).fold(seed, |value, step| value.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ step)
}
