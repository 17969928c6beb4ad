//! Stacks: an overflow is explained, and greenlet trees keep few of them alive.

mod common;

use common::child;
use common::{ALL, ONE_HUB, inside_on, on, where_load_counts};
use greenhub::channel;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How many greenlets where the request says a million: fewer without optimisation.
const fn a_million_or(fewer: usize) -> usize {
    if cfg!(debug_assertions) { fewer } else { 1_000_000 }
}

#[expect(unconditional_recursion, reason = "to overflow the stack is the purpose")]
#[inline(never)]
fn endless(depth: u64) -> u64 {
    let page = std::hint::black_box([depth; 64]);
    endless(depth + 1) + page[7]
}

fn expect_report(name: &str, words: &[&str]) {
    let output = child::run(name, |_| {});
    let text = child::text(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "it ended with {}: {text}", output.status);
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

#[test]
fn a_stack_overflow_names_greenlet_place_and_size() {
    const NAME: &str = "a_stack_overflow_names_greenlet_place_and_size";
    if child::is_child(NAME) {
        greenhub::run(|| {
            let builder = greenhub::Builder::new().name("deep".into()).stack_size(64 << 10);
            let handle = builder.spawn(|| endless(0)).unwrap();
            handle.join().unwrap()
        });
        return;
    }
    expect_report(NAME, &["'deep'", "stacks.rs:", "64 KiB", "overflow", "stack_size"]);
}

#[test]
fn a_stack_overflow_of_a_nameless_greenlet_gives_its_number_and_place() {
    const NAME: &str = "a_stack_overflow_of_a_nameless_greenlet_gives_its_number_and_place";
    if child::is_child(NAME) {
        greenhub::spawn(|| {
            greenhub::sleep(Duration::from_millis(1));
            endless(0)
        })
        .join()
        .unwrap();
        return;
    }
    let size = if cfg!(debug_assertions) { "1024 KiB" } else { "256 KiB" };
    expect_report(NAME, &["greenlet #", "stacks.rs:", size, "overflow"]);
}

#[test]
fn a_stack_overflow_after_moving_between_hubs_is_reported_too() {
    const NAME: &str = "a_stack_overflow_after_moving_between_hubs_is_reported_too";
    if child::is_child(NAME) {
        let runtime = common::roam(4).builder().build().unwrap();
        runtime.run(|| {
            let others: Vec<_> =
                (0..8).map(|_| greenhub::spawn(|| (0..100).for_each(|_| greenhub::yield_now()))).collect();
            others.into_iter().for_each(|other| other.join().unwrap());
            (0..50).for_each(|_| greenhub::sleep(Duration::from_micros(100)));
            greenhub::Builder::new()
                .name("mover".into())
                .spawn(|| {
                    (0..50).for_each(|_| greenhub::sleep(Duration::from_micros(100)));
                    endless(0)
                })
                .unwrap()
                .join()
                .unwrap()
        });
        return;
    }
    expect_report(NAME, &["'mover'", "overflow"]);
}

#[test]
fn the_stack_overflow_of_a_plain_thread_is_std_s_to_report() {
    const NAME: &str = "the_stack_overflow_of_a_plain_thread_is_std_s_to_report";
    if child::is_child(NAME) {
        greenhub::run(|| ());
        let thread = std::thread::Builder::new().name("plain".into()).spawn(|| endless(0)).unwrap();
        thread.join().unwrap();
        return;
    }
    expect_report(NAME, &["plain", "has overflowed its stack"]);
}

#[test]
fn a_wild_pointer_is_no_stack_overflow() {
    const NAME: &str = "a_wild_pointer_is_no_stack_overflow";
    if child::is_child(NAME) {
        greenhub::run(|| {
            // SAFETY: none; this process is to crash here.
            unsafe { std::ptr::without_provenance_mut::<u8>(16).write_volatile(1) };
        });
        return;
    }
    let output = child::run(NAME, |_| {});
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
    assert!(!child::text(&output.stderr).contains("overflow"));
}

#[test]
fn a_stack_of_a_size_the_system_refuses_is_an_error_beside_stacks_of_other_sizes() {
    const NAME: &str = "a_stack_of_a_size_the_system_refuses_is_an_error_beside_stacks_of_other_sizes";
    if child::is_child(NAME) {
        let runtime = greenhub::runtime::Builder::new().hubs(1).build().unwrap();
        // What the runtime itself needs is there before memory is short.
        runtime.run(|| ());
        let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
        // SAFETY: lowers a limit of this process, a child made for it.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
        // Joined by a greenlet, which has a stack meanwhile, of the size that could be had.
        let errors = runtime.run(|| {
            let large = || greenhub::Builder::new().stack_size(1 << 30).spawn(|| ()).unwrap();
            (0..4).map(|_| large().join()).collect::<Vec<_>>()
        });
        for error in errors {
            let error = error.expect_err("so much address space may not be had");
            assert!(!error.is_killed() && error.to_string().contains("stack"), "{error}");
        }
        return;
    }
    child::succeed(NAME, |_| {});
}

/// The most stacks that were in use while `work` ran on a runtime, as seen from within by `look`.
static MOST: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Counts a greenlet's stack as in use while it lives.
struct OnStack;

impl OnStack {
    fn new() -> OnStack {
        MOST.fetch_max(LIVE.fetch_add(1, SeqCst) + 1, SeqCst);
        OnStack
    }
}

impl Drop for OnStack {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, SeqCst);
    }
}

#[test]
fn fork_join_recursion_keeps_live_stacks_in_the_tens() {
    fn sum(from: u64, to: u64) -> u64 {
        if to - from == 1 {
            return from;
        }
        let middle = from + (to - from) / 2;
        let left = greenhub::spawn(move || {
            let _stack = OnStack::new();
            sum(from, middle)
        });
        let right = sum(middle, to);
        left.join().unwrap() + right
    }
    on(&where_load_counts(&ALL), |world| {
        let leaves = a_million_or(50_000) as u64;
        MOST.store(0, SeqCst);
        assert_eq!(world.run(|| sum(0, leaves)), leaves * (leaves - 1) / 2);
        // A chain of joins as deep as the tree, for each hub that took part.
        let most = MOST.load(SeqCst);
        assert!(most < 100 * world.place.hubs, "{most} live stacks on {:?}", world.place);
    });
}

#[test]
fn a_tree_over_channels_keeps_live_stacks_in_the_thousands() {
    fn tree(count: usize, done: channel::Sender<usize>) {
        let _stack = OnStack::new();
        if count == 1 {
            return done.send(1).unwrap();
        }
        let (send, receive) = channel::bounded(2);
        let left = send.clone();
        drop(greenhub::spawn(move || tree(count / 2, left)));
        drop(greenhub::spawn(move || tree(count - count / 2, send)));
        let sum = receive.recv().unwrap() + receive.recv().unwrap();
        done.send(sum).unwrap();
    }
    on(&where_load_counts(&ALL), |world| {
        let count = a_million_or(30_000);
        MOST.store(0, SeqCst);
        let total = world.run(|| {
            let (send, receive) = channel::bounded(1);
            drop(greenhub::spawn(move || tree(count, send)));
            receive.recv().unwrap()
        });
        assert_eq!(total, count);
        let most = MOST.load(SeqCst);
        // What bounds them is each hub's preference for its newest, so the bound is one for each hub: the parents of the
        // thousand unstarted ones that came first, and a path to one leaf at a time.
        assert!(most <= 1_500 * world.place.hubs, "{most} live stacks on {:?}", world.place);
    });
}

#[test]
fn greenlets_that_are_spawned_and_joined_one_by_one_share_one_stack() {
    inside_on(&ONE_HUB, || {
        MOST.store(0, SeqCst);
        let handles: Vec<_> = (0..20_000)
            .map(|_| {
                greenhub::spawn(|| {
                    let _stack = OnStack::new();
                })
            })
            .collect();
        handles.into_iter().for_each(|handle| handle.join().unwrap());
        assert_eq!(MOST.load(SeqCst), 1);
    });
}

#[test]
fn a_hundred_thousand_parked_greenlets_come_and_go() {
    let count = if cfg!(debug_assertions) { 20_000 } else { 200_000 };
    on(&[common::stay(2), common::roam(2)], |world| {
        let handles: Vec<_> = (0..count).map(|_| world.runtime.spawn(greenhub::park)).collect();
        common::eventually("all are parked", || world.runtime.metrics().stacks_in_use == count);
        assert_eq!(world.runtime.metrics().live, count as u64);
        handles.iter().for_each(|handle| handle.greenlet().unpark());
        handles.into_iter().for_each(|handle| handle.join().unwrap());
    });
}

#[test]
fn after_a_burst_the_memory_of_its_stacks_is_given_back() {
    const NAME: &str = "after_a_burst_the_memory_of_its_stacks_is_given_back";
    const EACH: usize = 3_000;
    fn resident() -> usize {
        let sizes = std::fs::read_to_string("/proc/self/statm").unwrap();
        sizes.split(' ').nth(1).unwrap().parse().unwrap()
    }
    if child::is_child(NAME) {
        let runtimes = ALL.map(|place| place.builder().build().unwrap());
        let mut most = 0;
        for runtime in &runtimes {
            let handles: Vec<_> = (0..EACH).map(|_| runtime.spawn(greenhub::park)).collect();
            common::eventually("all are parked", || runtime.metrics().stacks_in_use == EACH);
            most = most.max(resident());
            handles.iter().for_each(|handle| handle.greenlet().unpark());
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        }
        // Nothing but the hubs themselves could wake them now. A page a stack, and some may be kept.
        common::eventually("the memory has been given back", || {
            resident() + ALL.len() * EACH * 9 / 10 <= most
        });
        drop(runtimes);
        // A hub that computes gives nothing back, and the others sleep, if there are any.
        for place in [common::stay(1), common::stay(2), common::roam(2)] {
            place.builder().build().unwrap().run(|| {
                let handles: Vec<_> = (0..EACH).map(|_| greenhub::spawn_local(greenhub::park)).collect();
                greenhub::yield_now();
                handles.iter().for_each(|handle| handle.greenlet().unpark());
                handles.into_iter().for_each(|handle| handle.join().unwrap());
                let (most, begun) = (resident(), Instant::now());
                while resident() + EACH * 8 / 10 > most {
                    assert!(begun.elapsed() < Duration::from_secs(10), "nobody gave it back on {place:?}");
                    let looked = Instant::now();
                    while looked.elapsed() < Duration::from_millis(20) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        return;
    }
    child::succeed(NAME, |_| {});
}
