//! What slots need that were just cut: a guard each, and soon their top page.
//!
//! One by one these are a system call and a page fault for each stack, and in a burst of new greenlets most of what it costs.
//! So a depot that has cut many slots already cuts several more at once, and the kernel is asked for all of them in two
//! calls of process_madvise(2). (Two hubs that each ask for one guard after the other also wait for each other, as each call
//! takes the process's lock on its mappings.) 100,000 greenlets that sleep, on two hubs: 365 to 300 ms.
//!
//! For the calling process itself process_madvise takes this advice from Linux 6.13 on, and a name for it that needs no
//! descriptor since shortly after that. Wherever it says no, slots are guarded one by one, and pages come when they are touched.

use super::error::NoStack;
use super::guard::GuardPolicy;
use super::region::Slot;
#[cfg(target_os = "linux")]
use super::{guard, layout::GUARD_PAGES, page_size, region};

/// How many slots are prepared at once at most.
pub(super) const MOST: usize = 32;

/// How many to cut where so many were cut before: what is made too early is an eighth of all at most.
pub(super) fn how_many(cut_before: usize, most: usize) -> usize {
    (cut_before / 8).clamp(1, most.clamp(1, MOST))
}

/// Guards slots that were just cut. Where that fails, says how many have their guard, from the first on.
pub(super) fn prepare(slots: &[Slot], policy: GuardPolicy, unguarded: bool) -> Result<(), (usize, NoStack)> {
    let marked = if slots.len() > 1 && policy == GuardPolicy::Best { mark_guards(slots) } else { 0 };
    for (index, slot) in slots.iter().enumerate().skip(marked) {
        slot.install_guard(policy, unguarded).map_err(|error| (index, error))?;
    }
    if marked > 0 {
        populate_tops(slots);
    }
    Ok(())
}

/// Guards those of the slots, from the first on, that the system takes in one call. Gives how many.
#[cfg(target_os = "linux")]
fn mark_guards(slots: &[Slot]) -> usize {
    // Valgrind knows no such call, and is to be told of each stack.
    if !guard::marks_work() || region::under_valgrind() {
        return 0;
    }
    // SAFETY: guards lie at the slots' low ends, inside mappings of the pool's, where no frame is ever kept; nobody else has
    // the slots yet.
    unsafe { advise_each(slots, |slot| slot.limit().get(), GUARD_PAGES, guard::MADV_GUARD_INSTALL) }
}

/// Has the kernel back the page in which each stack's first frames will lie. What it does not back now comes with a fault.
#[cfg(target_os = "linux")]
fn populate_tops(slots: &[Slot]) {
    let top_page = |slot: &Slot| slot.base().get() & !(page_size() - 1);
    // SAFETY: the top pages are the slots' own; this changes nothing in them.
    let _backed = unsafe { advise_each(slots, top_page, 1, libc::MADV_POPULATE_WRITE) };
}

/// Gives the same advice about some `pages` of each slot, beginning with the one at an address of it. Gives for how many of the
/// slots, from the first on, it was taken.
///
/// # Safety
///
/// As madvise(2) for each of them: the pages are the caller's, and the advice changes nothing that is in use.
#[cfg(target_os = "linux")]
unsafe fn advise_each(
    slots: &[Slot],
    start: impl Fn(&Slot) -> usize,
    pages: usize,
    advice: libc::c_int,
) -> usize {
    /// The calling thread's process, where a descriptor is asked for. Not yet in libc.
    const PIDFD_SELF_THREAD: libc::c_long = -10000;
    let bytes = pages * page_size();
    let range =
        |slot: &Slot| libc::iovec { iov_base: std::ptr::without_provenance_mut(start(slot)), iov_len: bytes };
    let mut ranges = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MOST];
    let count = slots.len().min(MOST);
    for (place, slot) in ranges.iter_mut().zip(slots) {
        *place = range(slot);
    }
    // All five arguments are passed as whole words, as the kernel reads them.
    // SAFETY: the ranges are readable, and what the call does to the pages is the caller's promise.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF_THREAD,
            ranges.as_ptr(),
            count as libc::c_ulong,
            libc::c_long::from(advice),
            0 as libc::c_ulong,
        )
    };
    // It stops at the first range that is refused, and counts the bytes before it; an error is a refusal of the first.
    usize::try_from(advised).unwrap_or(0) / bytes
}

/// Other systems have no such call.
#[cfg(not(target_os = "linux"))]
fn mark_guards(_slots: &[Slot]) -> usize {
    0
}

/// Never reached: no guards were marked.
#[cfg(not(target_os = "linux"))]
fn populate_tops(_slots: &[Slot]) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::tests::{new_cache, resident_pages, small};
    use crate::stack::trim_tests::has_guard;
    use crate::stack::{Stack, StackConfig};

    #[test]
    fn each_of_many_has_a_guard_and_no_memory_but_its_top_page() {
        let mut cache = new_cache(StackConfig::default());
        let stacks: Vec<Stack> = (0..1000).map(|_| cache.take(small()).unwrap()).collect();
        assert!(stacks.iter().all(has_guard));
        assert!(stacks.iter().all(|stack| resident_pages(stack) <= 1));
    }

    #[test]
    fn few_are_cut_one_by_one_and_of_many_never_more_than_an_eighth_too_early() {
        assert_eq!([0, 1, 8, 15].map(|before| how_many(before, MOST)), [1; 4]);
        assert_eq!([16, 80, 256, 1 << 20].map(|before| how_many(before, MOST)), [2, 10, MOST, MOST]);
        assert_eq!([0, 1 << 20].map(|before| how_many(before, 1)), [1; 2]);
    }
}
