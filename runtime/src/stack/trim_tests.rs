//! What becomes of the memory of unused stacks.

use super::depot::TRIM_INTERVAL;
use super::tests::{new_cache, resident_pages, small, touch};
use super::*;
use corosensei::stack::Stack as _;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Whether the kernel refuses to read where the stack's guard should be.
pub(super) fn has_guard(stack: &Stack) -> bool {
    let (_reader, writer) = UnixStream::pair().unwrap();
    // SAFETY: the kernel looks at the byte for us, and says so if it must not be looked at.
    let written = unsafe { libc::write(writer.as_raw_fd(), stack.limit().get() as *const libc::c_void, 1) };
    written == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

#[test]
fn trimming_takes_the_memory_of_stacks_not_needed_and_keeps_their_top_page() {
    let mut cache = new_cache(StackConfig::default());
    let stacks: Vec<Stack> = (0..3).map(|_| cache.take(small()).unwrap()).collect();
    for stack in &stacks {
        let low = stack.limit().get() + layout::GUARD_PAGES * page_size();
        let bytes = stack.base().get() - low;
        // SAFETY: the stack's own memory, above its guard and below its base.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(low).write_bytes(1, bytes) };
        assert_eq!(resident_pages(stack), small().bytes() / page_size());
    }
    stacks.into_iter().rev().for_each(|stack| cache.give(stack));
    let start = Instant::now();
    // The first trim begins to watch.
    cache.trim_at(start + TRIM_INTERVAL);
    let hot = cache.take(small()).unwrap();
    assert_eq!(resident_pages(&hot), small().bytes() / page_size());
    cache.give(hot);
    cache.trim_at(start + TRIM_INTERVAL * 2);
    let mut pages = Vec::new();
    let stacks: Vec<Stack> = (0..3).map(|_| cache.take(small()).unwrap()).collect();
    stacks.iter().for_each(|stack| pages.push(resident_pages(stack)));
    assert_eq!(pages, [small().bytes() / page_size(), 1, 1]);
}

#[test]
fn a_burst_gives_its_memory_back() {
    let mut cache = new_cache(StackConfig::default());
    let stacks: Vec<Stack> = (0..1000).map(|_| cache.take(small()).unwrap()).collect();
    stacks.iter().for_each(touch);
    stacks.into_iter().for_each(|stack| cache.give(stack));
    let start = Instant::now();
    // The first trim begins to watch, and wants to be called again.
    assert_eq!(cache.trim_at(start + TRIM_INTERVAL), Some(TRIM_INTERVAL));
    while let Some(wait) = cache.trim_at(start + TRIM_INTERVAL * 2) {
        assert_eq!(wait, Duration::ZERO);
    }
    let stacks: Vec<Stack> = (0..1000).map(|_| cache.take(small()).unwrap()).collect();
    let resident: usize = stacks.iter().map(resident_pages).sum();
    // What the cache kept, with their top pages.
    assert!(resident <= 64, "{resident} pages of 1000 unused stacks are still in memory");
    assert!(stacks.iter().all(has_guard), "a guard went with the memory beside it");
}

#[test]
fn what_is_taken_once_more_before_its_memory_goes_keeps_it() {
    let mut cache = new_cache(StackConfig::default());
    let burst = |cache: &mut StackCache| {
        let stacks: Vec<Stack> = (0..20_000).map(|_| cache.take(small()).unwrap()).collect();
        let resident: usize = stacks.iter().map(resident_pages).sum();
        stacks.iter().for_each(touch);
        stacks.into_iter().for_each(|stack| cache.give(stack));
        resident
    };
    burst(&mut cache);
    let start = Instant::now();
    assert!(cache.trim_at(start + TRIM_INTERVAL).is_some());
    assert_eq!(
        cache.trim_at(start + TRIM_INTERVAL * 2),
        Some(Duration::ZERO),
        "there is more than fits into one"
    );
    let left = burst(&mut cache);
    assert!(left > 10_000, "a single trim took {}", 20_000 - left);
    assert_ne!(cache.trim_at(start + TRIM_INTERVAL * 2), Some(Duration::ZERO));
    assert_eq!(burst(&mut cache), 20_000);
}

#[test]
fn stacks_that_come_and_go_keep_their_memory() {
    let mut cache = new_cache(StackConfig::default());
    let start = Instant::now();
    for round in 1..5 {
        let stacks: Vec<Stack> = (0..1000).map(|_| cache.take(small()).unwrap()).collect();
        let resident: usize = stacks.iter().map(resident_pages).sum();
        assert_eq!(resident, if round == 1 { 0 } else { 1000 });
        stacks.iter().for_each(touch);
        stacks.into_iter().for_each(|stack| cache.give(stack));
        let _again = cache.trim_at(start + TRIM_INTERVAL * round);
    }
}
