//! [`Region`]: a run of stack slots in one mapping, and [`Slot`], the right to one of them.
//!
//! A region is address space: readable and writable from the start, but backed by memory only where a stack has
//! touched it, a page at a time (`MADV_NOHUGEPAGE`: with huge pages the first touch could commit 2 MiB, which is
//! eight stacks). Slots are cut from it in order and guarded when they are cut.
//!
//! A region lives until its pool is gone *and* every slot cut from it is home: the pool hands the slots that are
//! still out to the region ([`Region::abandon`]) and each slot dropped later counts down. A stack that is
//! never dropped, because a greenlet was leaked on it at shutdown, so keeps its region mapped. Tests count those.

use super::error::NoStack;
use super::guard::{self, Guard, GuardPolicy};
use super::layout::SlotLayout;
use super::overflow::table::{self, Listing};
use super::pool::StackPool;
use super::{StackSize, page_size};
use crate::sanitize;
use corosensei::stack::valgrind::ValgrindStackRegistration;
use parking_lot::Mutex;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicIsize, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{OnceLock, Weak};

/// Regions that outlive their pool, because stacks in them are still in use.
#[cfg(test)]
static LEAKED: AtomicUsize = AtomicUsize::new(0);

/// How many regions of pools that are gone are still mapped, because stacks in them are in use or were leaked.
#[cfg(test)]
pub(crate) fn leaked_regions() -> usize {
    // Relaxed, here and where it is written: a count; nothing is read on its strength.
    LEAKED.load(Ordering::Relaxed)
}

/// A run of slots of one class in one mapping.
pub(super) struct Region {
    start: NonNull<u8>,
    slots: usize,
    size: StackSize,
    layout: SlotLayout,
    /// Where a slot dropped outside any cache goes home.
    pool: Weak<StackPool>,
    /// Slots still out when the pool went (added once) minus those dropped without a pool (one each): zero after
    /// either step means that the region is to be freed. Below zero only between such a drop and the pool's step.
    abandoned: AtomicIsize,
    mprotect_guards: AtomicUsize,
    /// Its line in the fault handler's table; none if the table was full.
    listing: Option<Listing>,
    valgrind: Mutex<Vec<ValgrindStackRegistration>>,
}

// SAFETY: the pointer is to a mapping that belongs to no thread; all else is `Send` and `Sync` or behind a lock (a
// valgrind registration is a number).
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// One slot of a region: plain numbers, kept small because caches copy them about. Whoever holds a `Slot` is the only
/// one to hold it; it is not dropped but passed on, from the depot to a cache to a [`Stack`](super::Stack) and back.
pub(super) struct Slot {
    pub(super) region: NonNull<Region>,
    /// Where the stack begins to grow down, reckoned once: each start and end of a greenlet asks for it.
    base: NonNull<u8>,
    index: u32,
    pub(super) size: StackSize,
}

// SAFETY: a slot is memory that belongs to no thread, and its region is `Sync`.
unsafe impl Send for Slot {}

impl Region {
    /// Reserves `slots` slots, or as many as the system grants, by halving, down to one.
    pub(super) fn reserve(
        size: StackSize,
        mut slots: usize,
        pool: Weak<StackPool>,
    ) -> Result<NonNull<Region>, NoStack> {
        let layout = SlotLayout::new(size);
        let start = loop {
            match map(slots * layout.stride) {
                Ok(start) => break start,
                Err(error) if slots == 1 => return Err(NoStack::refused(error)),
                // Strict overcommit or a limit on address space: a smaller slab may still fit.
                Err(_) => slots /= 2,
            }
        };
        // Exposed for the fault handler, which has addresses only.
        let listing = table::list(start.as_ptr().expose_provenance(), slots, size, layout);
        Ok(NonNull::from(Box::leak(Box::new(Region {
            start,
            slots,
            size,
            layout,
            pool,
            abandoned: AtomicIsize::new(0),
            mprotect_guards: AtomicUsize::new(0),
            listing,
            valgrind: Mutex::new(Vec::new()),
        }))))
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn pool(&self) -> &Weak<StackPool> {
        &self.pool
    }

    /// Gives the memory between two addresses back to the system.
    ///
    /// # Safety
    ///
    /// They lie in the region, on page boundaries, and nobody else uses what is between them, nor relies on what it holds.
    unsafe fn release(&self, low: usize, high: usize) {
        let start = self.start.as_ptr().with_addr(low);
        // SAFETY: the caller's promise.
        // The result says nothing to act on: locked memory refuses, and keeps what it has.
        let _advice = unsafe { libc::madvise(start.cast(), high - low, libc::MADV_DONTNEED) };
    }

    /// The slot `index`, not guarded yet.
    ///
    /// # Safety
    ///
    /// The caller must be the region's pool, and must not have cut this slot before.
    pub(super) unsafe fn cut(region: NonNull<Region>, index: usize) -> Slot {
        // SAFETY: the pool keeps the region alive.
        let this = unsafe { region.as_ref() };
        debug_assert!(index < this.slots);
        let base = this.layout.base(this.start.addr().get(), index);
        // SAFETY: an address inside a mapping, none of which is at address zero.
        let base = this.start.with_addr(unsafe { NonZeroUsize::new_unchecked(base) });
        // Lossless: a region has at most 64 Ki slots.
        Slot { region, base, index: index as u32, size: this.size }
    }

    /// Frees the region, or leaves it to the `out` slots that are not home.
    ///
    /// # Safety
    ///
    /// To be called once, by the region's pool when it is dropped, with the number of slots cut and not returned;
    /// the returned ones are not used again.
    pub(super) unsafe fn abandon(region: NonNull<Region>, out: usize) {
        let out = out as isize;
        #[cfg(test)]
        if out > 0 {
            LEAKED.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: each slot that is out keeps the region alive until it is counted, and the last is not counted
        // before this addition.
        let before = unsafe { region.as_ref() }.abandoned.fetch_add(out, Ordering::AcqRel);
        if before + out == 0 {
            #[cfg(test)]
            if out > 0 {
                LEAKED.fetch_sub(1, Ordering::Relaxed);
            }
            // SAFETY: every slot is home or was counted; nobody is left to touch the region.
            unsafe { Region::free(region) };
        }
    }

    /// # Safety
    ///
    /// Nobody may hold a slot of the region, or touch the region, any more.
    unsafe fn free(region: NonNull<Region>) {
        // SAFETY: `reserve` made it with `Box`, and the caller is the last to use it.
        let region = unsafe { Box::from_raw(region.as_ptr()) };
        // Out of the table first, so that the handler finds no slot in memory that may be someone else's by then.
        drop(region.listing);
        region.valgrind.into_inner().clear();
        guard::forget_mprotect_guards(region.mprotect_guards.into_inner());
        let length = region.slots * region.layout.stride;
        // SAFETY: the mapping is ours and nobody holds a slot of it.
        unsafe {
            sanitize::forget_region(region.start.addr().get(), length);
            unmap(region.start, length);
        }
    }
}

impl Slot {
    fn region(&self) -> &Region {
        // SAFETY: a region lives as long as any slot cut from it is not home.
        unsafe { self.region.as_ref() }
    }

    /// Where the stack begins to grow down; the header lies here.
    #[inline]
    pub(super) fn base(&self) -> NonZeroUsize {
        self.base.addr()
    }

    /// The lowest address, where the guard begins.
    #[inline]
    pub(super) fn limit(&self) -> NonZeroUsize {
        let region = self.region();
        let limit = region.layout.limit(region.start.addr().get(), self.index as usize);
        // SAFETY: an address inside a mapping, none of which is at address zero.
        unsafe { NonZeroUsize::new_unchecked(limit) }
    }

    /// Where frames may lie: the address above the guard, and the bytes from there to the base.
    #[inline]
    pub(super) fn usable(&self) -> (usize, usize) {
        let lowest = self.limit().get() + self.region().layout.guard;
        (lowest, self.base().get() - lowest)
    }

    /// The pool this slot came from.
    pub(super) fn pool(&self) -> &Weak<StackPool> {
        self.region().pool()
    }

    /// Guards a slot that was just cut.
    pub(super) fn install_guard(&self, policy: GuardPolicy, unguarded: bool) -> Result<(), NoStack> {
        let region = self.region();
        let start = region.start.with_addr(self.limit());
        // SAFETY: the guard lies at the slot's low end, inside the region's mapping; nothing was ever stored there,
        // as a stack uses what is above it.
        let installed = unsafe { guard::install(start, region.layout.guard, policy, unguarded)? };
        if installed == Guard::Mprotect {
            // Relaxed: read only when the region is freed, after everyone let go of it.
            region.mprotect_guards.fetch_add(1, Ordering::Relaxed);
        }
        if under_valgrind() {
            let lowest = start.as_ptr().wrapping_byte_add(region.layout.guard);
            let registration = ValgrindStackRegistration::new(lowest, region.layout.usable());
            region.valgrind.lock().push(registration);
        }
        Ok(())
    }

    /// As [`Slot::base`], to write there.
    #[cfg(all(target_arch = "x86_64", unix, not(greenhub_portable_switch)))]
    #[inline]
    pub(super) fn top(&self) -> *mut u64 {
        self.base.as_ptr().cast()
    }

    /// The word in which the hub names the greenlet that runs here.
    #[inline]
    pub(super) fn owner(&self) -> &AtomicPtr<()> {
        let header = self.base.cast::<AtomicPtr<()>>();
        // SAFETY: the header lies at the base, inside the mapping, aligned to 16 bytes, above all frames; it starts
        // as zero, which is null, and is only ever used as this atomic. The slot keeps the region mapped.
        unsafe { header.as_ref() }
    }

    /// Gives the memory of an unused slot back to the system, but for its top page, the one page that the next
    /// greenlet is sure to touch. The guard stays.
    pub(super) fn release_lower_pages(&self) {
        let (lowest, _) = self.usable();
        let top_page = self.base().get() & !(page_size() - 1);
        // SAFETY: the slot's own memory, and no frames are in it.
        unsafe { self.region().release(lowest, top_page) };
    }

    /// Gives all memory of unused slots back to the system, of those side by side at once. Guards stay, also those that
    /// lie between: the kernel keeps their marks (`MADV_DONTNEED` in madvise(2)), and protected pages have no memory.
    pub(super) fn release_memory_of(slots: &mut [Slot]) {
        slots.sort_unstable_by_key(|slot| (slot.region, slot.index));
        let side_by_side = |a: &Slot, b: &Slot| a.region == b.region && a.index + 1 == b.index;
        for run in slots.chunk_by(side_by_side) {
            let (first, last) = (&run[0], &run[run.len() - 1]);
            let region = first.region();
            // SAFETY: from the first slot to the last all are the caller's, and hold no frames. The owner words may fall back
            // to null with their pages, as unused slots have no owner.
            unsafe { region.release(first.usable().0, last.limit().get() + region.layout.stride) };
        }
    }

    /// Ends a slot whose pool is gone, and with the last such slot the region.
    pub(super) fn abandon(self) {
        let region = self.region;
        // AcqRel: what was done on this stack happens before the unmapping by whoever counts last.
        // SAFETY: this slot keeps its region alive until it is counted here.
        let before = unsafe { region.as_ref() }.abandoned.fetch_sub(1, Ordering::AcqRel);
        if before == 1 {
            #[cfg(test)]
            LEAKED.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: above zero means that the pool has added its count, so this was the last slot.
            unsafe { Region::free(region) };
        }
    }
}

/// Whether valgrind runs this process; it announces itself to the program loader.
pub(super) fn under_valgrind() -> bool {
    static UNDER_VALGRIND: OnceLock<bool> = OnceLock::new();
    *UNDER_VALGRIND.get_or_init(|| {
        std::env::var_os("LD_PRELOAD").is_some_and(|list| list.to_string_lossy().contains("vgpreload"))
    })
}

/// Maps `length` bytes of address space, readable and writable, without committing memory to them.
pub(super) fn map(length: usize) -> io::Result<NonNull<u8>> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    #[cfg(target_os = "openbsd")]
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_STACK;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let start =
        unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: the range is the mapping just made. The advice is refused where the kernel has no huge pages at all,
    // and then it is not needed.
    let _advice = unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Unmaps what [`map`] mapped.
///
/// # Safety
///
/// `start` and `length` must be those of a whole mapping from [`map`] that nobody uses any more.
pub(super) unsafe fn unmap(start: NonNull<u8>, length: usize) {
    // SAFETY: the caller's promise. It fails only where the process may have no more mappings and this would split
    // one; the address space is lost then, and nothing else.
    let result = unsafe { libc::munmap(start.as_ptr().cast(), length) };
    debug_assert_eq!(result, 0, "unmapping a stack region: {}", io::Error::last_os_error());
}
