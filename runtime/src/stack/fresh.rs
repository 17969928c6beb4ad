//! Guards for slots that were just cut, several at a time.
//!
//! One by one they are a system call each, and two hubs that ask at the same time wait for each other, as each call takes
//! the process's lock on its mappings. So a depot that has cut many slots already cuts several more at once, and asks for
//! all their guards in one call of process_madvise(2).
//!
//! For the calling process itself that takes this advice from Linux 6.13 on, and a name for it that needs no descriptor since
//! shortly after. Wherever it says no, slots are guarded one by one.
//!
//! To have the kernel back the top page of each in one more call was tried: it gained nothing on two hubs.

use super::error::NoStack;
use super::guard::{self, GuardPolicy};
use super::region::Slot;
#[cfg(target_os = "linux")]
use super::{layout::GUARD_PAGES, page_size, region};

/// How many slots are cut at once at most.
const MOST: usize = 32;

/// How many to cut where so many were cut before: what is made too early is an eighth of all at most. Where each guard is a
/// call of its own nothing is gained by it, and as guards are scarce there, nothing is made too early.
pub(super) fn how_many(cut_before: usize, most: usize, policy: GuardPolicy) -> usize {
    let most = if policy == GuardPolicy::Best && guard::marks_work() { most.clamp(1, MOST) } else { 1 };
    (cut_before / 8).clamp(1, most)
}

/// Guards slots that were just cut. Where that fails, says how many have their guard, from the first on.
pub(super) fn guard_all(
    slots: &[Slot],
    policy: GuardPolicy,
    unguarded: bool,
) -> Result<(), (usize, NoStack)> {
    let marked = if slots.len() > 1 { mark_at_once(slots) } else { 0 };
    for (index, slot) in slots.iter().enumerate().skip(marked) {
        slot.install_guard(policy, unguarded).map_err(|error| (index, error))?;
    }
    Ok(())
}

/// Guards those of the slots, from the first on, that the system takes in one call. Gives how many.
#[cfg(target_os = "linux")]
fn mark_at_once(slots: &[Slot]) -> usize {
    /// The calling thread's process, where a descriptor is asked for. Not yet in libc.
    const PIDFD_SELF_THREAD: libc::c_long = -10000;
    const NO_FLAGS: libc::c_ulong = 0;
    // Valgrind knows no such call, and is to be told of each stack.
    if region::under_valgrind() {
        return 0;
    }
    let bytes = GUARD_PAGES * page_size();
    let mut ranges = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: bytes }; MOST];
    let count = slots.len().min(MOST);
    for (range, slot) in ranges.iter_mut().zip(slots) {
        range.iov_base = std::ptr::without_provenance_mut(slot.limit().get());
    }
    // All five arguments are passed as whole words, as the kernel reads them.
    // SAFETY: guards lie at the slots' low ends, inside mappings of the pool's, where no frame is ever kept; nobody else has
    // the slots yet. The call reads `count` of the ranges.
    let advised = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            PIDFD_SELF_THREAD,
            ranges.as_ptr(),
            count as libc::c_ulong,
            libc::c_long::from(guard::MADV_GUARD_INSTALL),
            NO_FLAGS,
        )
    };
    // It stops at the first range that is refused, and counts the bytes before it; an error is a refusal of the first.
    usize::try_from(advised).unwrap_or(0) / bytes
}

/// Other systems have no such call.
#[cfg(not(target_os = "linux"))]
fn mark_at_once(_slots: &[Slot]) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::tests::{new_cache, resident_pages, small};
    use crate::stack::trim_tests::has_guard;
    use crate::stack::{Stack, StackConfig};

    #[test]
    fn each_of_many_has_a_guard_and_no_memory() {
        let mut cache = new_cache(StackConfig::default());
        let stacks: Vec<Stack> = (0..1000).map(|_| cache.take(small()).unwrap()).collect();
        assert!(stacks.iter().all(has_guard));
        assert!(stacks.iter().all(|stack| resident_pages(stack) == 0));
    }

    #[test]
    fn few_are_cut_one_by_one_and_of_many_never_more_than_an_eighth_too_early() {
        let how_many = |before, most| how_many(before, most, GuardPolicy::Best);
        assert_eq!([0, 1, 8, 15].map(|before| how_many(before, MOST)), [1; 4]);
        assert_eq!([0, 1 << 20].map(|before| how_many(before, 1)), [1; 2]);
        if guard::marks_work() {
            assert_eq!([16, 80, 256, 1 << 20].map(|before| how_many(before, MOST)), [2, 10, MOST, MOST]);
        }
    }

    #[test]
    fn where_each_guard_takes_mappings_none_is_made_too_early() {
        assert_eq!(how_many(1 << 20, MOST, GuardPolicy::Mprotect), 1);
    }
}
