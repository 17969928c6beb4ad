//! Hunts lost, doubled and mixed up results: trees, batches, one by one, scopes, later, local, detached, from
//! outside, all at once. Every closure runs once, every result reaches its handle, and nothing else.

use greenhub::runtime::{Runtime, current_hub};
use greenhub::sync::WaitGroup;
use greenhub::{Builder, JoinHandle, join_all, resume_unwind, scope, spawn, spawn_later, spawn_local};
use greenhub_stress::{Chance, Ledger, Stress, progress, sum};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let mut stress = Stress::start("spawn");
    let runtime = stress.runtime();
    let mut done = 0;
    while let Some(mut chance) = stress.next_round() {
        let outside = outside(&runtime, chance.split());
        done += runtime.run(|| {
            let jobs = (0..chance.between(1, 8)).map(|_| {
                let chance = chance.split();
                spawn(|| job(chance))
            });
            jobs.collect::<Vec<_>>().into_iter().map(|job| job.join().expect("a job ends")).sum::<usize>()
        });
        done += outside.join().expect("a thread ends");
    }
    let metrics = runtime.metrics();
    let spawned = sum(&metrics, |hub| hub.spawned) + metrics.spawned_outside;
    stress.finish(runtime, &format!("{done} results, {spawned} greenlets"));
}

fn job(mut chance: Chance) -> usize {
    progress();
    match chance.below(9) {
        0 => tree(chance),
        1 => batch(chance),
        2 => one_by_one(chance),
        3 => scopes(chance),
        4 => later(chance),
        5 => local(chance),
        6 => detached(chance),
        7 => panics(chance),
        _ => built(chance),
    }
}

fn tree(mut chance: Chance) -> usize {
    fn grow(ledger: &Ledger, node: usize, fan: usize, nodes: usize) -> usize {
        ledger.mark(node);
        let children = (node * fan + 1..=node * fan + fan).filter(|&child| child < nodes);
        let children: Vec<JoinHandle<usize>> = children
            .map(|child| {
                let ledger = ledger.clone();
                spawn(move || grow(&ledger, child, fan, nodes))
            })
            .collect();
        node + children.into_iter().rev().map(|child| child.join().expect("a child ends")).sum::<usize>()
    }
    let (fan, nodes) = (chance.between(1, 6), chance.between(1, 1000));
    // A chain is as deep as it is long.
    let nodes = if fan == 1 { nodes.min(200) } else { nodes };
    let ledger = Ledger::new("node", nodes);
    assert_eq!(grow(&ledger, 0, fan, nodes), nodes * (nodes - 1) / 2);
    ledger.expect_all();
    nodes
}

fn batch(mut chance: Chance) -> usize {
    let count = chance.between(1, 3000);
    let yields = chance.one_in(2);
    let ledger = Ledger::new("one of a batch", count);
    let handles = (0..count).map(|number| {
        let ledger = ledger.clone();
        spawn(move || {
            if yields {
                greenhub::yield_now();
            }
            ledger.mark(number);
            number
        })
    });
    let results = join_all(handles.collect::<Vec<_>>());
    for (number, result) in results.into_iter().enumerate() {
        assert_eq!(result.expect("it ends"), number, "a result reached another's handle");
    }
    ledger.expect_all();
    count
}

fn one_by_one(mut chance: Chance) -> usize {
    let count = chance.between(1, 2000);
    let mut runs = 0;
    for number in 0..count {
        let boxed = Box::new(number);
        let result = spawn(move || (*boxed, Box::new(number))).join().expect("it ends");
        assert_eq!(result, (number, Box::new(number)));
        runs += 1;
    }
    runs
}

fn scopes(mut chance: Chance) -> usize {
    let mut cells = vec![0; chance.between(1, 300)];
    let length = cells.len();
    let piece = chance.between(1, 20);
    scope(|outer| {
        for (number, cells) in cells.chunks_mut(piece).enumerate() {
            let joined = chance.one_in(2);
            let child = outer.spawn(move || {
                scope(|inner| {
                    for cell in cells.iter_mut() {
                        inner.spawn(move || {
                            greenhub::yield_now();
                            *cell += 1;
                        });
                    }
                });
                assert!(cells.iter().all(|&cell| cell == 1), "a scope ended before its children");
                number
            });
            if joined {
                assert_eq!(child.join().expect("it ends"), number);
            }
        }
    });
    assert!(cells.iter().all(|&cell| cell == 1), "a scope ended before its children");
    length
}

fn later(mut chance: Chance) -> usize {
    let count = chance.between(1, 200);
    let ledger = Ledger::new("a later one", count);
    let handles = (0..count).map(|number| {
        let (delay, from, ledger) = (chance.micros(5000), Instant::now(), ledger.clone());
        spawn_later(delay, move || {
            assert!(from.elapsed() >= delay, "began early");
            ledger.mark(number);
            number
        })
    });
    for (number, handle) in handles.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(handle.join().expect("it ends"), number);
    }
    ledger.expect_all();
    count
}

fn local(mut chance: Chance) -> usize {
    let count = chance.between(1, 200);
    // What is not `Send` lives in local greenlets only.
    let owner = spawn_local(move || {
        let hub = current_hub();
        let total = Rc::new(Cell::new(0));
        let children: Vec<_> = (0..count)
            .map(|number| {
                let total = total.clone();
                spawn_local(move || {
                    greenhub::yield_now();
                    assert_eq!(current_hub(), hub, "a local greenlet moved");
                    let before = total.get();
                    // No suspension: nobody may come between.
                    total.set(before + number);
                    (number, Rc::downgrade(&total))
                })
            })
            .collect();
        for (number, child) in children.into_iter().enumerate() {
            assert_eq!(child.join().expect("it ends").0, number);
        }
        assert_eq!(Rc::strong_count(&total), 1);
        total.get()
    });
    assert_eq!(owner.join().expect("it ends"), count * (count - 1) / 2);
    count
}

fn detached(mut chance: Chance) -> usize {
    let count = chance.between(1, 500);
    let (closures, results) = (Ledger::new("a closure's drop", count), Ledger::new("a result's drop", count));
    let all = WaitGroup::new();
    for number in 0..count {
        let (closure, result, one) = (closures.witness(number), results.witness(number), all.clone());
        drop(spawn(move || {
            let _one = one;
            drop(closure);
            result
        }));
    }
    all.wait();
    closures.expect_all();
    // A detached result is dropped when its greenlet finishes, a moment after the closure's own values.
    assert!(greenhub_stress::within(std::time::Duration::from_secs(5), || results.total() == count));
    count
}

fn panics(mut chance: Chance) -> usize {
    let count = chance.between(1, 100);
    let drops = Ledger::new("a drop", count);
    let handles = (0..count).map(|number| {
        let witness = drops.witness(number);
        spawn(move || {
            let _witness = witness;
            if number % 3 == 0 {
                greenhub::yield_now();
            }
            if number % 2 == 0 {
                resume_unwind(Box::new(number));
            }
            number
        })
    });
    for (number, result) in join_all(handles.collect::<Vec<_>>()).into_iter().enumerate() {
        match result {
            Ok(value) => assert!(value == number && number % 2 == 1),
            Err(error) => {
                assert!(error.is_panic() && number % 2 == 0);
                assert_eq!(error.into_panic().downcast_ref::<usize>(), Some(&number));
            }
        }
    }
    drops.expect_all();
    count
}

fn built(mut chance: Chance) -> usize {
    let count = chance.between(1, 100);
    let handles = (0..count).map(|number| {
        let mut builder = Builder::new().name(format!("built {number}"));
        if chance.one_in(2) {
            builder = builder.stack_size(64 << chance.below(6) << 10);
        }
        let pinned = chance.one_in(2);
        if pinned {
            builder = builder.pinned();
        }
        let handle = builder.spawn(move || {
            let hub = current_hub();
            greenhub::yield_now();
            assert!(!pinned || current_hub() == hub, "a pinned greenlet moved");
            greenhub::current().name() == Some(&format!("built {number}"))
        });
        handle.expect("it is spawned")
    });
    assert!(join_all(handles.collect::<Vec<_>>()).into_iter().all(|named| named.expect("it ends")));
    count
}

/// The same from a plain OS thread.
fn outside(runtime: &Arc<Runtime>, mut chance: Chance) -> std::thread::JoinHandle<usize> {
    let runtime = runtime.clone();
    std::thread::spawn(move || {
        let count = chance.between(1, 500);
        let ledger = Ledger::new("one from outside", count);
        let handles: Vec<_> = (0..count)
            .map(|number| {
                let ledger = ledger.clone();
                runtime.spawn(move || {
                    ledger.mark(number);
                    number
                })
            })
            .collect();
        for (number, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().expect("it ends"), number);
        }
        ledger.expect_all();
        count
    })
}
