//! Guards: the pages below a stack on which an overflow faults instead of writing into the next stack.
//!
//! Linux 6.13 and later mark pages inside a mapping (`MADV_GUARD_INSTALL`), at no mapping each, so that the number of
//! guarded stacks has no limit but memory. Elsewhere, and on locked memory, which refuses the mark, a guard is made
//! with `mprotect`, which splits the mapping around it: two more mappings a stack, of which the kernel allows 65,530
//! by default. We stop at a distance from that limit, because whatever else the process maps (threads, libraries,
//! large allocations) would fail next, and in worse places.

use super::error::NoStack;
use std::io;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How a pool guards its stacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum GuardPolicy {
    /// Without a mapping where the kernel can, else with `mprotect`.
    #[default]
    Best,
    /// With `mprotect` always: what older kernels get, for tests on newer ones.
    #[cfg(test)]
    Mprotect,
}

/// The mark: from Linux 6.13 on; not yet in libc.
#[cfg(target_os = "linux")]
pub(super) const MADV_GUARD_INSTALL: libc::c_int = 102;

/// What now guards a stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Guard {
    /// A mark inside the mapping; goes with the mapping.
    Mark,
    /// A protected page; its two mappings are to be given back with [`forget_mprotect_guards`].
    Mprotect,
    /// Nothing, as the configuration allowed when nothing better was to be had.
    None,
}

/// `mprotect` guards in the whole process, over all runtimes.
static MPROTECT_GUARDS: AtomicUsize = AtomicUsize::new(0);

/// Guards the `length` bytes at `start`.
///
/// # Safety
///
/// The bytes must be whole pages inside a mapping that the caller owns, and nothing may be stored in them.
pub(super) unsafe fn install(
    start: NonNull<u8>,
    length: usize,
    policy: GuardPolicy,
    unguarded: bool,
) -> Result<Guard, NoStack> {
    if policy == GuardPolicy::Best && marks_work() {
        // SAFETY: handed on to the caller.
        match unsafe { mark(start, length) } {
            Ok(()) => return Ok(Guard::Mark),
            // Locked since the probe (`mlockall`): such memory takes no marks.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(NoStack::refused(error)),
        }
    }
    let most = max_map_count();
    // Relaxed: a count; nothing is published with it.
    if MPROTECT_GUARDS.fetch_add(1, Relaxed) < most_mprotect_guards(most) {
        // SAFETY: the caller owns these pages and stores nothing in them.
        if unsafe { libc::mprotect(start.as_ptr().cast(), length, libc::PROT_NONE) } == 0 {
            return Ok(Guard::Mprotect);
        }
    }
    MPROTECT_GUARDS.fetch_sub(1, Relaxed);
    if unguarded { Ok(Guard::None) } else { Err(NoStack::maps(most)) }
}

/// Gives back what `count` guards of a region that is now unmapped took of the process's mappings.
pub(super) fn forget_mprotect_guards(count: usize) {
    MPROTECT_GUARDS.fetch_sub(count, Relaxed);
}

/// How many guards fit while a sixteenth of the mappings, but at least 1024, is left to everyone else.
fn most_mprotect_guards(max_map_count: usize) -> usize {
    max_map_count.saturating_sub((max_map_count / 16).max(1024)) / 2
}

/// The number of mappings a process may have.
pub(super) fn max_map_count() -> usize {
    static MAX_MAP_COUNT: OnceLock<usize> = OnceLock::new();
    *MAX_MAP_COUNT.get_or_init(|| {
        // The variable is for tests: a limit that can be reached, without asking for root.
        #[cfg(test)]
        if let Ok(value) = std::env::var("GREENHUB_TEST_MAX_MAP_COUNT") {
            return value.parse().expect("a number");
        }
        let unreadable = if cfg!(target_os = "linux") { 65_530 } else { usize::MAX };
        std::fs::read_to_string("/proc/sys/vm/max_map_count")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(unreadable)
    })
}

/// Whether the kernel takes marks, tried once on a page of our own.
#[cfg(target_os = "linux")]
pub(super) fn marks_work() -> bool {
    static WORK: OnceLock<bool> = OnceLock::new();
    *WORK.get_or_init(|| {
        let size = super::page_size();
        let Ok(page) = super::region::map(size) else { return false };
        // SAFETY: the page was just mapped, nothing refers to it, and nothing will once it is unmapped.
        unsafe {
            let works = mark(page, size).is_ok();
            super::region::unmap(page, size);
            works
        }
    })
}

/// Other systems know no marks.
#[cfg(not(target_os = "linux"))]
pub(super) fn marks_work() -> bool {
    false
}

/// Marks pages so that touching them faults.
///
/// # Safety
///
/// As [`install`].
#[cfg(target_os = "linux")]
unsafe fn mark(start: NonNull<u8>, length: usize) -> io::Result<()> {
    loop {
        // SAFETY: the caller owns these pages and stores nothing in them.
        if unsafe { libc::madvise(start.as_ptr().cast(), length, MADV_GUARD_INSTALL) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        // The kernel gives up when page tables change under it or a signal is due; both pass.
        if !matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) {
            return Err(error);
        }
    }
}

/// Never reached: [`marks_work`] is false here.
#[cfg(not(target_os = "linux"))]
unsafe fn mark(_start: NonNull<u8>, _length: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
