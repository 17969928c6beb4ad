//! What the system asks for a stack: a guard, and the page that is touched.

use crate::peer::{Figures, Sample, bytes_each};
use crate::setting::time;
use std::io;
use std::ptr;

/// From one stack to the next: 256 KiB and the guard.
const STRIDE: usize = 260 << 10;
const PAGE: usize = 4096;

/// Installs a guard that takes no mapping of its own; Linux 6.13 and later.
const MADV_GUARD_INSTALL: i32 = 102;

/// Room for so many stacks, reserved and no more.
pub(crate) struct Region {
    start: *mut u8,
    used: usize,
    room: usize,
}

impl Region {
    pub(crate) fn new(room: usize) -> io::Result<Self> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: asks for new memory at a place of the system's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), room * STRIDE, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the range is the mapping just made. It is advice: where it is not taken, pages are only larger.
        unsafe { libc::madvise(start, room * STRIDE, libc::MADV_NOHUGEPAGE) };
        Ok(Self { start: start.cast(), used: 0, room })
    }

    /// Guards the next stack and touches its top page. Gives its top, which is the next page's start; it must not be used
    /// after the region's end.
    pub(crate) fn next(&mut self) -> io::Result<*mut u8> {
        assert!(self.used < self.room, "the region is full");
        // SAFETY: by the check above, within the mapping.
        let guard = unsafe { self.start.add(self.used * STRIDE) };
        self.used += 1;
        // SAFETY: the page is within the mapping, and nothing has been written there.
        if unsafe { libc::madvise(guard.cast(), PAGE, MADV_GUARD_INSTALL) } != 0 {
            // SAFETY: as above.
            if unsafe { libc::mprotect(guard.cast(), PAGE, libc::PROT_NONE) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the last byte of this stack, within the mapping and outside the guard.
        unsafe {
            guard.add(STRIDE - 1).write_volatile(1);
            Ok(guard.add(STRIDE))
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and what `next` gave out is used no longer than it.
        let unmapped = unsafe { libc::munmap(self.start.cast(), self.room * STRIDE) };
        debug_assert_eq!(unmapped, 0, "a mapping can be unmapped");
    }
}

/// As many as tasks sleep.
pub(super) fn touch(sample: &Sample) -> io::Result<Figures> {
    let mut region = Region::new(sample.size as usize)?;
    let mut failed = Ok(());
    let figures =
        Sample::once(|| time(|| failed = (0..sample.size).try_for_each(|_| region.next().map(drop))));
    failed.map(|()| figures)
}

/// What they take of memory.
pub(super) fn parked(sample: &Sample) -> io::Result<Figures> {
    let mut region = Region::new(sample.size as usize + 100)?;
    let mut failed = Ok(());
    let figures = bytes_each(sample.size, |count| {
        if failed.is_ok() {
            failed = (0..count).try_for_each(|_| region.next().map(drop));
        }
    });
    failed.and(figures)
}
