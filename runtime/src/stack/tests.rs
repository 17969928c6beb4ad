//! The pool as its users see it, and what the kernel says about it.

use super::depot::TRIM_INTERVAL;
use super::guard::GuardPolicy;
use super::pool::StackCounts;
use super::region::leaked_regions;
use super::*;
use corosensei::stack::Stack as _;
use corosensei::{Coroutine, CoroutineResult};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Instant;

/// Set in a child process: which part of a test it plays.
const CHILD: &str = "GREENHUB_STACK_TEST_CHILD";

/// Runs `test` (its path below this crate) again in a process of its own, which finds `part` as [`child_part`].
pub(super) fn run_child(test: &str, part: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, part)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The part this process plays, if it is a child.
pub(super) fn child_part() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs `test` in a process of its own and expects it to pass there.
fn expect_child_to_pass(test: &str, variables: &[(&str, &str)]) {
    let output = run_child(test, "the test itself", variables);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"), "{test} did not run");
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn new_cache(config: StackConfig) -> StackCache {
    StackCache::new(StackPool::new(config).unwrap())
}

pub(super) fn small() -> StackSize {
    StackSize::new(64 * 1024).unwrap()
}

pub(super) fn touch(stack: &Stack) {
    let top = std::ptr::with_exposed_provenance_mut::<u8>(stack.base().get() - 1);
    // SAFETY: the byte below the base belongs to the stack, which nobody else uses.
    unsafe { top.write_volatile(1) };
}

/// The lines of the process's memory map, as address ranges.
fn mappings() -> Vec<std::ops::Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let hex = |digits| usize::from_str_radix(digits, 16).unwrap();
    let ranges = maps.lines().map(|line| line.split(' ').next().unwrap().split_once('-').unwrap());
    ranges.map(|(start, end)| hex(start)..hex(end)).collect()
}

fn is_mapped(address: usize) -> bool {
    mappings().iter().any(|range| range.contains(&address))
}

/// How many pages of the stack, above its guard, are in memory.
pub(super) fn resident_pages(stack: &Stack) -> usize {
    let low = stack.limit().get() + layout::GUARD_PAGES * page_size();
    let mut pages = vec![0u8; stack.size().bytes() / page_size()];
    // SAFETY: asks only; the vector has a byte for each page of the range.
    let asked =
        unsafe { libc::mincore(low as *mut libc::c_void, stack.size().bytes(), pages.as_mut_ptr().cast()) };
    assert_eq!(asked, 0);
    pages.iter().filter(|&&page| page & 1 == 1).count()
}

#[test]
fn the_stack_given_last_is_taken_first() {
    let mut cache = new_cache(StackConfig::default());
    let stacks: Vec<Stack> = (0..10).map(|_| cache.take(small()).unwrap()).collect();
    let given: Vec<_> = stacks.iter().map(|stack| stack.base()).collect();
    stacks.into_iter().for_each(|stack| cache.give(stack));
    let taken: Vec<Stack> = (0..10).map(|_| cache.take(small()).unwrap()).collect();
    assert!(taken.iter().map(|stack| stack.base()).eq(given.into_iter().rev()));
}

#[test]
fn stacks_of_several_sizes_do_not_mix_or_overlap() {
    let mut cache = new_cache(StackConfig::default());
    let mut stacks = Vec::new();
    for round in 0..3 {
        for bytes in [16 << 10, 64 << 10, 256 << 10, 1 << 20, 64 << 20, 1 << 30] {
            let size = StackSize::new(bytes).unwrap();
            let stack = cache.take(size).unwrap();
            assert_eq!(stack.size(), size);
            assert!(stack.base().get() - stack.limit().get() > bytes - 1024, "round {round}");
            touch(&stack);
            stacks.push(stack);
        }
    }
    let mut ranges: Vec<_> = stacks.iter().map(|stack| (stack.limit(), stack.base())).collect();
    ranges.sort();
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
}

#[test]
fn counts_follow_every_stack() {
    let mut cache = new_cache(StackConfig::default());
    let pool = Arc::clone(cache.pool());
    assert_eq!(pool.counts(), StackCounts { in_use: 0, cached: 0 });
    let mut stacks: Vec<Stack> = (0..300).map(|_| cache.take(small()).unwrap()).collect();
    let early = pool.counts().cached;
    assert!(early <= 300 / 8, "{early} of 300 stacks were made too early");
    let counts = |in_use, cached| {
        assert_eq!(pool.counts(), StackCounts { in_use, cached: cached + early });
    };
    counts(300, 0);
    drop(stacks.split_off(290));
    counts(290, 10);
    let mut other = StackCache::new(Arc::clone(&pool));
    // Given where they were not taken, as started greenlets that were stolen do.
    stacks.into_iter().for_each(|stack| other.give(stack));
    counts(0, 300);
    let one = cache.take(small()).unwrap();
    counts(1, 299);
    drop(other);
    counts(1, 299);
    cache.give(one);
    drop(cache);
    counts(0, 300);
}

#[test]
fn no_stack_is_handed_out_twice() {
    let pool = StackPool::new(StackConfig::default()).unwrap();
    std::thread::scope(|scope| {
        for id in 1..=4usize {
            let mut cache = StackCache::new(Arc::clone(&pool));
            scope.spawn(move || {
                let me = std::ptr::without_provenance_mut::<()>(id);
                let mut held = Vec::new();
                for round in 0..200 {
                    while held.len() < 40 + 37 * (round + id) % 200 {
                        let stack = cache.take(small()).unwrap();
                        assert!(stack.owner().is_null(), "someone else has it");
                        stack.set_owner(me);
                        held.push(stack);
                    }
                    for stack in held.drain(held.len() / 4..) {
                        assert_eq!(stack.owner(), me);
                        stack.clear_owner();
                        cache.give(stack);
                    }
                    if round % 50 == 0 {
                        let _more = cache.trim_at(Instant::now() + TRIM_INTERVAL * (round as u32 + 1));
                    }
                }
                held.iter().for_each(Stack::clear_owner);
            });
        }
    });
    assert_eq!(pool.counts().in_use, 0);
}

#[test]
fn at_the_configured_limit_a_stack_given_back_serves_another_hub() {
    let mut first = new_cache(StackConfig { max_stacks: Some(2), ..StackConfig::default() });
    let mut second = StackCache::new(Arc::clone(first.pool()));
    let (one, two) = (first.take(small()).unwrap(), first.take(StackSize::DEFAULT).unwrap());
    first.give(one);
    // Of another size than the one given back: the limit is on stacks in use.
    let three = second.take(StackSize::DEFAULT).unwrap();
    let refused = second.take(small()).err().expect("the limit holds");
    assert_eq!(refused.to_string(), "all 2 stacks that this runtime may have are in use");
    assert!(first.pool().is_short());
    first.give(two);
    second.give(three);
    let _four = second.take(small()).unwrap();
    assert!(!first.pool().is_short());
}

#[test]
fn when_stacks_run_short_hubs_give_up_what_they_keep() {
    const NAME: &str = "stack::tests::when_stacks_run_short_hubs_give_up_what_they_keep";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[("GREENHUB_TEST_MAX_MAP_COUNT", "1064")]);
    }
    let mut first = new_cache(StackConfig { guards: GuardPolicy::Mprotect, ..StackConfig::default() });
    let mut second = StackCache::new(Arc::clone(first.pool()));
    let mut stacks: Vec<Stack> = (0..20).map(|_| first.take(small()).unwrap()).collect();
    stacks.drain(10..).for_each(|stack| first.give(stack));
    assert!(second.take(small()).is_err(), "the first hub keeps ten");
    first.give(stacks.pop().unwrap());
    stacks.extend((0..11).map(|_| second.take(small()).unwrap()));
    stacks.drain(..5).for_each(|stack| first.give(stack));
    assert!(second.take(small()).is_err(), "the first hub keeps five");
    first.trim();
    stacks.extend((0..5).map(|_| second.take(small()).unwrap()));
}

#[test]
fn a_limit_of_no_stacks_is_refused() {
    let error = StackPool::new(StackConfig { max_stacks: Some(0), ..StackConfig::default() }).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_parked_coroutine_touches_the_top_page_only() {
    let mut cache = new_cache(StackConfig::default());
    // More than there are colours.
    for slot in 0..32 {
        let stack = cache.take(StackSize::DEFAULT).unwrap();
        assert_eq!(resident_pages(&stack), 0, "a stack that nobody used yet");
        let mut coroutine =
            Coroutine::<(), (), (), Stack>::with_stack(stack, |yielder, ()| yielder.suspend(()));
        coroutine.resume(());
        assert!(matches!(coroutine.resume(()), CoroutineResult::Return(())));
        let stack = coroutine.into_stack();
        assert_eq!(resident_pages(&stack), 1, "slot {slot}");
        // Kept, so that the next one has another colour.
        std::mem::forget(stack);
    }
}

#[test]
fn a_hundred_thousand_stacks_take_few_mappings() {
    const NAME: &str = "stack::tests::a_hundred_thousand_stacks_take_few_mappings";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[]);
    }
    if !guard::marks_work() {
        println!("not on this kernel");
        return;
    }
    let before = mappings().len();
    let mut cache = new_cache(StackConfig::default());
    let stacks: Vec<Stack> = (0..100_000).map(|_| cache.take(StackSize::DEFAULT).unwrap()).collect();
    stacks.iter().for_each(touch);
    let more = mappings().len() - before;
    assert!(more < 100, "{more} more mappings");
}

#[test]
fn with_protected_guards_the_limit_on_mappings_is_a_clear_error() {
    const NAME: &str = "stack::tests::with_protected_guards_the_limit_on_mappings_is_a_clear_error";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[("GREENHUB_TEST_MAX_MAP_COUNT", "2024")]);
    }
    let config = StackConfig { guards: GuardPolicy::Mprotect, ..StackConfig::default() };
    let before = mappings().len();
    let mut cache = new_cache(config);
    let stacks: Vec<Stack> = std::iter::from_fn(|| cache.take(small()).ok()).collect();
    assert_eq!(stacks.len(), 500, "1024 mappings are left to others, two of the rest for each stack");
    stacks.iter().for_each(touch);
    assert!(mappings().len() - before >= 1000);
    let refused = cache.take(small()).err().unwrap().to_string();
    assert!(refused.contains("nearly used the 2024 that vm.max_map_count allows"), "{refused}");

    // Who allows it gets unguarded ones.
    let mut lax = new_cache(StackConfig { unguarded: true, ..config });
    (0..1000).for_each(|_| std::mem::forget(lax.take(small()).unwrap()));

    // And once they are gone their mappings serve again.
    drop((stacks, cache));
    let mut again = new_cache(config);
    again.take(small()).unwrap();
}

#[test]
fn the_real_limit_on_mappings_is_not_run_into() {
    const NAME: &str = "stack::tests::the_real_limit_on_mappings_is_not_run_into";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[]);
    }
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 200_000 {
        println!("too high a limit to try");
        return;
    }
    let mut cache = new_cache(StackConfig { guards: GuardPolicy::Mprotect, ..StackConfig::default() });
    let stacks: Vec<Stack> = std::iter::from_fn(|| cache.take(small()).ok()).collect();
    assert!(stacks.len() > limit / 3, "only {} stacks", stacks.len());
    // The rest of the process goes on.
    std::thread::spawn(|| vec![1u8; 64 << 20].len()).join().unwrap();
}

#[test]
fn without_address_space_smaller_regions_are_tried_and_then_it_is_said() {
    const NAME: &str = "stack::tests::without_address_space_smaller_regions_are_tried_and_then_it_is_said";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[]);
    }
    let present: usize = mappings().iter().map(|range| range.len()).sum();
    let limit = (present + (40 << 20)) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: passes a whole `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let mut cache = new_cache(StackConfig::default());
    let size = StackSize::new(1 << 20).unwrap();
    let mut stacks = Vec::with_capacity(100);
    let refused = loop {
        match cache.take(size) {
            Ok(stack) => stacks.push(stack),
            Err(refused) => break refused,
        }
    };
    assert!((20..40).contains(&stacks.len()), "{} stacks in 40 MiB", stacks.len());
    assert!(refused.to_string().contains("the system refused memory for one more stack"), "{refused}");
    // Freeing one is enough to go on.
    cache.give(stacks.pop().unwrap());
    cache.take(size).unwrap();
}

#[test]
fn a_pool_unmaps_what_is_home_and_leaves_what_is_not() {
    const NAME: &str = "stack::tests::a_pool_unmaps_what_is_home_and_leaves_what_is_not";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[]);
    }
    let mut cache = new_cache(StackConfig::default());
    let (home, out) = (cache.take(small()).unwrap(), cache.take(StackSize::DEFAULT).unwrap());
    let also_out = cache.take(StackSize::DEFAULT).unwrap();
    let (home_at, out_at) = (home.base().get(), out.base().get());
    cache.give(home);
    assert!(is_mapped(home_at));
    drop(cache);
    assert!(!is_mapped(home_at), "all stacks of this region were home");
    assert!(is_mapped(out_at), "two stacks of this region are in use");
    assert_eq!(leaked_regions(), 1);
    touch(&out);
    drop(out);
    assert!(is_mapped(out_at), "one stack of this region is in use");
    drop(also_out);
    assert!(!is_mapped(out_at));
    assert_eq!(leaked_regions(), 0);
}

#[test]
fn runtimes_that_come_and_go_leave_no_mapping() {
    const NAME: &str = "stack::tests::runtimes_that_come_and_go_leave_no_mapping";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[]);
    }
    let come_and_go = || {
        let mut cache = new_cache(StackConfig::default());
        let stacks: Vec<Stack> = (0..1000).map(|_| cache.take(small()).unwrap()).collect();
        stacks.into_iter().for_each(|stack| cache.give(stack));
    };
    come_and_go();
    let space = || mappings().iter().map(|range| range.len()).sum::<usize>();
    let before = space();
    (0..200).for_each(|_| come_and_go());
    assert!(space() < before + (16 << 20));
    assert_eq!(leaked_regions(), 0);
}
#[test]
fn locked_memory_gets_protected_guards() {
    const NAME: &str = "stack::tests::locked_memory_gets_protected_guards";
    if child_part().is_none() {
        return expect_child_to_pass(NAME, &[]);
    }
    // The probe sees memory that is not locked yet.
    let _probed = guard::marks_work();
    // SAFETY: locks what this process maps from now on.
    if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
        println!("not allowed here");
        return;
    }
    let before = mappings().len();
    let mut cache = new_cache(StackConfig::default());
    let stacks: Vec<Stack> = (0..50).map(|_| cache.take(small()).unwrap()).collect();
    assert!(mappings().len() - before >= 100);
    stacks.iter().for_each(touch);
}
