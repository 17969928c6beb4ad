//! Where slabs lie: address space, which gets memory where it is touched.
//!
//! It is mapped in runs, each twice as long as the last, and stays mapped: a slab that is not needed gives its memory back
//! to the system, but for a page, and keeps its place. The global allocator may not do as much: glibc's arenas shrink from
//! their ends only, and kept nearly all of it.

use super::slab::SLAB;
use std::ptr::{self, NonNull};

/// How many slabs the first run has: 1 MiB.
const FIRST_RUN: usize = 16;
/// No run has more: 64 MiB.
const LONGEST_RUN: usize = 1024;

pub(super) struct Space {
    /// Where the next slab is to lie.
    next: *mut u8,
    /// How many more there is room for.
    left: usize,
    /// How many the next run is to have.
    run: usize,
    /// How many were cut.
    #[cfg(test)]
    pub(super) cut: usize,
}

impl Space {
    pub(super) const fn new() -> Self {
        Self {
            next: ptr::null_mut(),
            left: 0,
            run: FIRST_RUN,
            #[cfg(test)]
            cut: 0,
        }
    }

    /// The place of a new slab, aligned as one; `None` if the system gives none.
    pub(super) fn cut(&mut self) -> Option<NonNull<u8>> {
        if self.left == 0 {
            self.map_run()?;
        }
        let place = NonNull::new(self.next)?;
        self.next = self.next.wrapping_add(SLAB);
        self.left -= 1;
        #[cfg(test)]
        {
            self.cut += 1;
        }
        Some(place)
    }

    /// Maps a run of the wanted length, or of what the system grants, by halving, down to one slab.
    #[cold]
    fn map_run(&mut self) -> Option<()> {
        let start = loop {
            // One more, for the way to the first.
            match map((self.run + 1) * SLAB) {
                Some(start) => break start,
                None if self.run == 1 => return None,
                None => self.run /= 2,
            }
        };
        let way = start.addr().get().next_multiple_of(SLAB) - start.addr().get();
        self.next = start.as_ptr().wrapping_add(way);
        self.left = self.run;
        self.run = LONGEST_RUN.min(self.run * 2);
        Some(())
    }
}

/// Maps `length` bytes of address space, readable and writable.
fn map(length: usize) -> Option<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the system's choice touches nothing that exists.
    let start =
        unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_PRIVATE | libc::MAP_ANON, -1, 0) };
    if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()) }
}

/// Gives the memory of a slab back to the system, except for its first page.
///
/// # Safety
///
/// It was cut from a space, nobody else uses it, and what it holds behind its first page is nothing to anybody.
pub(super) unsafe fn release(slab: NonNull<u8>) {
    // SAFETY: asks only.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(SLAB);
    if page < SLAB {
        // SAFETY: the caller's promise; in the slab, and on a page boundary. The result says nothing to act on: locked
        // memory refuses, and keeps what it has.
        let _advice =
            unsafe { libc::madvise(slab.as_ptr().add(page).cast(), SLAB - page, libc::MADV_DONTNEED) };
    }
}
