//! Stacks: where greenlets keep their frames while they run, and while they do not.
//!
//! A stack is a *slot* of a *region*, a large mapping of address space in which memory comes page by page as it is
//! touched. What makes a million of them possible:
//!
//! - Guards that take no mapping of their own ([`guard`]), so that the kernel's limit on mappings does not matter.
//! - Nothing is written to the low pages of a stack, and what the runtime itself needs (the owner's word) lies in the
//!   page at the top ([`layout`]): a parked greenlet costs the one page that its frames are in.
//! - Unused stacks are kept by each hub ([`cache`]), then by the runtime ([`pool`], [`depot`]), and lose their memory when they
//!   are not needed.
//!
//! A stack that overflows ends the process with the name of the greenlet ([`overflow`]).
//!
//! ```text
//!  take ◄── cache (one hub) ◄──batches──► depot (one runtime) ◄── slots cut from regions
//!  give ──►     last in, first out            warm, cold           reserved by doubling
//! ```
//!
//! Who may touch what: a cache belongs to its hub; the depot is behind a lock; a slot belongs to whoever holds it, and
//! there is one holder at any time. The exception is the owner's word, which the fault handler reads too.

mod cache;
mod depot;
mod error;
mod fresh;
mod guard;
mod layout;
pub(crate) mod overflow;
mod pool;
mod region;
mod size;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trim_tests;

pub(crate) use cache::StackCache;
pub(crate) use error::NoStack;
pub(crate) use overflow::table::WRITER as OVERFLOW_TABLE;

pub(crate) use pool::{StackConfig, StackPool};

pub(crate) use size::StackSize;

use crate::sanitize;
use corosensei::stack::StackPointer;
use region::Slot;
use std::mem::ManuallyDrop;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

/// A stack, owned. To be given back to a [`StackCache`]; dropping it sends it back to its pool the long way.
pub(crate) struct Stack {
    slot: ManuallyDrop<Slot>,
}

impl Stack {
    #[inline]
    fn new(slot: Slot) -> Stack {
        let (lowest, size) = slot.usable();
        // SAFETY: the memory of a slot is its holder's.
        unsafe { sanitize::revive_stack(lowest, size) };
        Stack { slot: ManuallyDrop::new(slot) }
    }

    #[inline]
    fn into_slot(self) -> Slot {
        let mut this = ManuallyDrop::new(self);
        this.retire();
        // SAFETY: `this` is neither dropped nor used again, so the slot is read out once.
        unsafe { ManuallyDrop::take(&mut this.slot) }
    }

    /// The lowest address that frames may use, and how many bytes there are from it up.
    #[cfg(all(target_arch = "x86_64", unix, not(greenhub_portable_switch)))]
    #[inline]
    pub(crate) fn usable(&self) -> (usize, usize) {
        self.slot.usable()
    }

    /// Nobody touches it until it is some greenlet's again.
    #[inline]
    fn retire(&self) {
        let (lowest, size) = self.slot.usable();
        // SAFETY: the memory of a slot is its holder's, and a stack given back holds no frames.
        unsafe { sanitize::retire_stack(lowest, size) };
    }

    /// The size class of this stack.
    #[cfg(test)]
    pub(crate) fn size(&self) -> StackSize {
        self.slot.size
    }

    /// Names the greenlet that runs here, for the report of an overflow. The pointer is handed to the callback given
    /// to [`overflow::install`], and must be good for it until the owner is cleared.
    #[inline]
    pub(crate) fn set_owner(&self, owner: *mut ()) {
        // Release pairs with the Acquire in the fault handler: what the owner points to is complete.
        self.slot.owner().store(owner, Ordering::Release);
    }

    /// Forgets the owner. To be called before the owner is freed and before the stack is given back.
    #[inline]
    pub(crate) fn clear_owner(&self) {
        // Relaxed: the handler reads this word on the thread that runs on this stack, and nobody does now.
        self.slot.owner().store(std::ptr::null_mut(), Ordering::Relaxed);
    }

    /// Where the stack begins to grow down.
    #[cfg(all(target_arch = "x86_64", unix, not(greenhub_portable_switch)))]
    #[inline]
    pub(crate) fn top(&self) -> *mut u64 {
        self.slot.top()
    }

    /// The owner, or null.
    #[inline]
    pub(crate) fn owner(&self) -> *mut () {
        self.slot.owner().load(Ordering::Relaxed)
    }
}

// SAFETY: the slot is guarded (or the configuration's author vouches for it), at least 16 KiB large less what the
// header and the colour take, and nobody else uses it while this value lives. Base and limit are aligned: the base to
// 16 bytes by the layout, the limit to a page.
unsafe impl corosensei::stack::Stack for Stack {
    #[inline]
    fn base(&self) -> StackPointer {
        self.slot.base()
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        self.slot.limit()
    }
}

/// Finds out about the system what all stacks need to know, once, under a lock that a fork waits for.
pub(crate) fn explore_system() {
    page_size();
    region::under_valgrind();
    if !guard::marks_work() {
        guard::max_map_count();
    }
}

/// The size of a page of memory.
fn page_size() -> usize {
    static PAGE_SIZE: OnceLock<usize> = OnceLock::new();
    *PAGE_SIZE.get_or_init(|| {
        // SAFETY: asks only.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
    })
}
