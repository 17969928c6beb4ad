//! Where slabs are: mappings of their own, so that their memory goes back to the system when they do. An allocator keeps it:
//! glibc's gave none back while a runtime was idle, of a million greenlets' headers.

use super::slab::SPAN;
use std::io;
use std::ptr::NonNull;

/// Memory for a slab, aligned as slabs are. `None` if there is none to be had.
#[cfg(unix)]
pub(super) fn map() -> Option<NonNull<u8>> {
    // One after the other they lie side by side, each below the last, and so are aligned as the first is.
    let one = map_anywhere(SPAN)?;
    if one.addr().get().is_multiple_of(SPAN) {
        return Some(one);
    }
    // SAFETY: just mapped, and of no use.
    unsafe { unmap_range(one, SPAN) };
    let two = map_anywhere(2 * SPAN)?;
    let lead = two.addr().get().next_multiple_of(SPAN) - two.addr().get();
    // SAFETY: just mapped; what is not of the aligned span within is of no use.
    unsafe {
        unmap_range(two, lead);
        unmap_range(two.add(lead + SPAN), SPAN - lead);
        Some(two.add(lead))
    }
}

/// Gives back what [`map`] gave.
///
/// # Safety
///
/// Nothing refers to it any more.
#[cfg(unix)]
pub(super) unsafe fn unmap(slab: NonNull<u8>) {
    // SAFETY: the caller's promise.
    unsafe { unmap_range(slab, SPAN) };
}

#[cfg(unix)]
fn map_anywhere(length: usize) -> Option<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the system's choice touches nothing that exists.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0)
    };
    if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) }
}

/// # Safety
///
/// Whole pages of mappings of ours (or none), that nothing refers to any more.
#[cfg(unix)]
unsafe fn unmap_range(start: NonNull<u8>, length: usize) {
    if length == 0 {
        return;
    }
    // SAFETY: the caller's promise. It fails only where the process may have no more mappings and this would split one; then
    // the memory is lost, and nothing else.
    let result = unsafe { libc::munmap(start.as_ptr().cast(), length) };
    debug_assert_eq!(result, 0, "unmapping a slab: {}", io::Error::last_os_error());
}

/// Elsewhere slabs are the allocator's.
#[cfg(not(unix))]
pub(super) fn map() -> Option<NonNull<u8>> {
    // SAFETY: a slab is not empty.
    NonNull::new(unsafe { std::alloc::alloc(super::slab::SLAB_LAYOUT) })
}

/// Gives back what [`map`] gave.
///
/// # Safety
///
/// Nothing refers to it any more.
#[cfg(not(unix))]
pub(super) unsafe fn unmap(slab: NonNull<u8>) {
    // SAFETY: allocated with this layout, and the caller's promise.
    unsafe { std::alloc::dealloc(slab.as_ptr(), super::slab::SLAB_LAYOUT) };
}
