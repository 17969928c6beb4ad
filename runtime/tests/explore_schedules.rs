//! The schedules of an exploration: which there are, what passes in them, what they keep apart, and that each comes again
//! for the same seed.

mod common;

use common::child;
use common::explored::{STRATEGIES, finds, passes};
use greenhub::explore::{Builder, Failure, Problem, Strategy};
use greenhub::sync::{Event, Mutex, Semaphore};
use greenhub::{channel, time};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Most of the crate in one program that is right.
fn busy_program() {
    let (jobs, to_do) = channel::bounded(2);
    let (report, done) = channel::unbounded();
    let sum = Arc::new(Mutex::new(0));
    let permits = Semaphore::new(1);
    greenhub::scope(|scope| {
        for _ in 0..2 {
            let (to_do, report, sum, permits) = (to_do.clone(), report.clone(), sum.clone(), &permits);
            scope.spawn(move || {
                for n in to_do {
                    let _one_at_a_time = permits.acquire();
                    greenhub::sleep(Duration::from_millis(n));
                    *sum.lock() += n;
                    report.send(n).unwrap();
                }
            });
        }
        drop((to_do, report));
        (1..=3).for_each(|n| jobs.send(n).unwrap());
        drop(jobs);
        let mut all: Vec<_> = done.iter().collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    });
    assert_eq!(*sum.lock(), 6);
    let victim = greenhub::spawn(greenhub::park);
    let later = greenhub::spawn_later(Duration::from_millis(3), || 3);
    victim.kill();
    assert!(victim.join().unwrap_err().is_killed());
    assert_eq!(later.join().unwrap(), 3);
}

#[test]
fn a_program_that_is_right_passes() {
    let explored = passes(busy_program);
    assert_eq!(explored.iterations, 500);
}

#[test]
fn the_same_first_seed_makes_the_same_choices_throughout() {
    let run = |first| Builder::new().first_seed(first).iterations(200).check(busy_program).unwrap();
    let (one, again, other) = (run(7), run(7), run(8));
    assert_eq!(one, again);
    assert_ne!(one.fingerprint, other.fingerprint);
}

#[test]
fn every_order_of_three_greenlets_is_met() {
    static ORDERS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    for strategy in STRATEGIES {
        ORDERS.lock().clear();
        let program = || {
            let order = Arc::new(Mutex::new(String::new()));
            greenhub::scope(|scope| {
                for name in ["a", "b", "c"] {
                    let order = &order;
                    scope.spawn(move || order.lock().push_str(name));
                }
            });
            ORDERS.lock().push(order.lock().clone());
        };
        Builder::new().strategy(strategy).first_seed(1).iterations(300).run(program);
        let mut orders = std::mem::take(&mut *ORDERS.lock());
        orders.sort_unstable();
        orders.dedup();
        assert_eq!(orders, ["abc", "acb", "bac", "bca", "cab", "cba"], "{strategy:?}");
    }
}

#[test]
fn greenlets_of_one_hub_take_turns_at_suspensions_only() {
    passes(|| {
        let shared = Rc::new(RefCell::new(0));
        let lock = Arc::new(Mutex::new(()));
        let children: Vec<_> = (0..3)
            .map(|_| {
                let (shared, lock) = (shared.clone(), lock.clone());
                greenhub::spawn_local(move || {
                    let before = *shared.borrow();
                    let other = greenhub::current();
                    other.unpark(); // no suspension
                    *shared.borrow_mut() = before + 1;
                    drop(lock.lock());
                })
            })
            .collect();
        children.into_iter().for_each(|each| each.join().unwrap());
        assert_eq!(*shared.borrow(), 3);
    });
}

#[test]
fn what_may_not_switch_is_left_alone() {
    passes(|| {
        let (inside, event) = (Arc::new(AtomicBool::new(false)), Arc::new(Event::new()));
        let (seen, set) = (inside.clone(), event.clone());
        let other = greenhub::spawn(move || {
            set.set();
            assert!(!seen.load(Ordering::SeqCst));
        });
        greenhub::no_switch(|| {
            inside.store(true, Ordering::SeqCst);
            event.is_set();
            inside.store(false, Ordering::SeqCst);
        });
        other.join().unwrap();
    });
}

#[test]
fn a_timeout_is_explored_both_ways_and_time_keeps_its_order() {
    static FIRED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    passes(|| {
        let start = time::now();
        let hour = Duration::from_secs(3600);
        let long = greenhub::spawn(move || {
            greenhub::sleep(2 * hour);
            time::now()
        });
        let busy = || (0..10).for_each(|_| greenhub::yield_now());
        let fired = greenhub::timeout(hour, busy).is_err();
        FIRED[usize::from(fired)].fetch_add(1, Ordering::Relaxed);
        greenhub::sleep_until(start + hour);
        assert!(time::now() >= start + hour);
        assert!(long.join().unwrap() >= start + 2 * hour);
    });
    assert!(FIRED.iter().all(|count| count.load(Ordering::Relaxed) > 100), "{FIRED:?}");
}

#[test]
fn a_joiner_whose_child_has_yet_to_start_can_time_out() {
    static ENDED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    passes(|| {
        let child = greenhub::spawn(|| ());
        let ended = greenhub::timeout(Duration::from_secs(1), || child.join().unwrap()).is_ok();
        ENDED[usize::from(ended)].fetch_add(1, Ordering::Relaxed);
    });
    assert!(ENDED.iter().all(|count| count.load(Ordering::Relaxed) > 20), "{ENDED:?}");
}

#[test]
fn without_races_time_passes_only_when_everybody_waits() {
    let program = || {
        let busy = || (0..20).for_each(|_| greenhub::yield_now());
        assert!(greenhub::timeout(Duration::from_nanos(1), busy).is_ok());
        let asleep = || greenhub::sleep(Duration::from_secs(2));
        assert!(greenhub::timeout(Duration::from_secs(1), asleep).is_err());
    };
    Builder::new().time_races(false).iterations(200).run(program);
    assert!(Builder::new().check(program).is_err());
}

#[test]
fn what_waits_for_the_world_outside_says_that_it_may_not() {
    let unblocks = || greenhub::unblock(|| ());
    let accepts = || {
        let listener = greenhub::net::TcpListener::bind("127.0.0.1:0").unwrap();
        drop(listener.accept());
    };
    let of_unblock = Builder::new().check(unblocks).unwrap_err();
    let of_accept = Builder::new().check(accepts).unwrap_err();
    for failure in [of_unblock, of_accept] {
        assert_eq!(failure.problem(), Problem::Panic);
        assert!(failure.message().contains("world outside"), "{failure}");
    }
    greenhub::run(|| greenhub::unblock(|| ())); // elsewhere it may
}

#[test]
fn daemons_are_killed_if_that_is_asked_for() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    let program = || {
        let daemon = || {
            let _counted = Counted;
            loop {
                greenhub::sleep(Duration::from_secs(1));
            }
        };
        let handle = greenhub::spawn(daemon);
        assert!(!handle.is_finished());
    };
    let explored = Builder::new().kill_leftovers(true).iterations(100).check(program).unwrap();
    assert_eq!(explored.iterations, 100);
    // One that is killed before it has started never makes what it would drop.
    assert!((1..=100).contains(&DROPPED.load(Ordering::Relaxed)));
    let failure = Builder::new().steps(2000).check(program).unwrap_err();
    assert_eq!(failure.problem(), Problem::TooLong);
}

#[test]
fn in_a_greenlet_explore_says_that_it_may_not_be_there() {
    let inside = || greenhub::run(|| greenhub::explore(|| ()));
    assert!(catch_unwind(AssertUnwindSafe(inside)).is_err());
}

#[test]
fn explorations_beside_each_other_and_beside_a_runtime_do_not_meddle() {
    let beside = std::thread::spawn(|| {
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            let start = time::now();
            greenhub::run(|| greenhub::sleep(Duration::from_millis(1)));
            assert!(start.elapsed() >= Duration::from_millis(1));
        }
    });
    let explorations: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(|| Builder::new().first_seed(3).iterations(300).check(busy_program).unwrap())
        })
        .collect();
    let explored: Vec<_> = explorations.into_iter().map(|each| each.join().unwrap()).collect();
    assert_eq!(explored[0], explored[1]);
    beside.join().unwrap();
}

#[test]
fn greenlet_locals_and_stacks_do_not_leak_from_schedule_to_schedule() {
    greenhub::greenlet_local! {
        static SEEN: Cell<bool> = Cell::new(false);
    }
    passes(|| {
        assert!(!SEEN.with(|seen| seen.replace(true)));
        greenhub::spawn(|| assert!(!SEEN.with(|seen| seen.replace(true)))).join().unwrap();
    });
}

/// Fails on some schedules only, and says on which it is.
fn race() {
    let order = Arc::new(Mutex::new(Vec::new()));
    greenhub::scope(|scope| {
        for n in 0..4 {
            let order = &order;
            scope.spawn(move || order.lock().push(n));
        }
    });
    let order = order.lock();
    assert!(!order.is_sorted_by(|a, b| a > b), "the order was {order:?}");
}

#[test]
fn a_seed_in_the_environment_gives_the_same_schedule_in_another_process() {
    const NAME: &str = "a_seed_in_the_environment_gives_the_same_schedule_in_another_process";
    if child::is_child(NAME) {
        // Whatever the test has asked for, it is this one schedule.
        let failure = Builder::new().iterations(7).strategy(Strategy::Random).check(race).unwrap_err();
        print!("\nREPORT {}\n{}\n", failure.iteration(), schedule(&failure));
        return;
    }
    let failure = finds(Problem::Panic, race);
    let seed = failure.seed().to_string();
    assert!(failure.to_string().contains(&format!("GREENHUB_REPLAY={seed} ")), "{failure}");
    let output = child::succeed(NAME, |child| {
        child.env("GREENHUB_REPLAY", &seed);
    });
    let printed = child::text(&output.stdout);
    let report = printed.split_once("REPORT ").expect("the child reports").1;
    assert!(report.starts_with(&format!("0\n{}\n", schedule(&failure))), "{failure}\n\n{report}");
}

fn schedule(failure: &Failure) -> String {
    let steps: Vec<_> = failure.schedule().collect();
    format!("{:016x}: {}", failure.fingerprint(), steps.join(", "))
}

#[test]
fn the_environment_says_how_many_schedules_unless_the_program_does() {
    const NAME: &str = "the_environment_says_how_many_schedules_unless_the_program_does";
    if child::is_child(NAME) {
        assert_eq!(Builder::new().check(|| ()).unwrap().iterations, 17);
        assert_eq!(Builder::new().iterations(3).check(|| ()).unwrap().iterations, 3);
        return;
    }
    child::succeed(NAME, |child| {
        child.env("GREENHUB_EXPLORE_ITERATIONS", "17");
    });
}

#[test]
fn nonsense_in_the_environment_is_a_clear_error() {
    const NAME: &str = "nonsense_in_the_environment_is_a_clear_error";
    if child::is_child(NAME) {
        return greenhub::explore(|| ());
    }
    let wrong = [
        (
            "GREENHUB_REPLAY",
            "yesterday",
            "GREENHUB_REPLAY=\"yesterday\" means nothing: say the seed that a failure printed",
        ),
        (
            "GREENHUB_EXPLORE_ITERATIONS",
            "many",
            "GREENHUB_EXPLORE_ITERATIONS=\"many\" means nothing: say a number",
        ),
        (
            "GREENHUB_EXPLORE_ITERATIONS",
            "0",
            "GREENHUB_EXPLORE_ITERATIONS=0: say a number of schedules, 1 or more",
        ),
    ];
    for (name, value, message) in wrong {
        let output = child::run(NAME, |child| {
            child.env(name, value);
        });
        let printed = child::text(&output.stderr) + &child::text(&output.stdout);
        assert!(!output.status.success() && printed.contains(message), "{name}={value}:\n{printed}");
    }
}
