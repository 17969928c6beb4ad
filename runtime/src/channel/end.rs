//! A channel's memory: one block, which goes when both sides have left.
//!
//! The block is [`Shared`], followed by the slots of the ring if they are few; else the ring has slots of its own. It is
//! kept by counting, but not like an `Arc`: senders and receivers are counted apart, since the last of either side closes
//! the channel. Having done that, it *leaves*, and the second of the two to leave gives the block back.

use super::ring::Ring;
use super::shared::Shared;
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::greenlet::memory;
use std::alloc::Layout;
use std::ops::Deref;
use std::ptr::NonNull;

/// A block with slots in it is no larger.
const LARGEST: usize = 1024;
/// Messages that want more are not in the block, whose memory would then be neither kept nor reused.
const ALIGN: usize = 16;
/// Buffers up to this many messages are allocated whole at the start; larger ones grow to their size as they fill.
const ALLOCATED_WHOLE: usize = 1024;
/// More ends than this can only come of forgetting them, and the count must not begin again at zero.
const MOST_ENDS: usize = isize::MAX as usize;

/// The hold that a sender or receiver has on the block: it is one of those counted, and the block is there.
pub(super) struct End<T>(NonNull<Shared<T>>);

// SAFETY: what ends share is behind a lock or atomic, and messages go from thread to thread, hence `T: Send`.
unsafe impl<T: Send> Send for End<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for End<T> {}

impl<T> Deref for End<T> {
    type Target = Shared<T>;

    #[inline(always)]
    fn deref(&self) -> &Shared<T> {
        // SAFETY: counted, and not gone (`leave_as_sender`, `leave_as_receiver`), so its side has not left the block.
        unsafe { self.0.as_ref() }
    }
}

/// The block with the slots of a channel of `capacity`, and how far in they begin, if that is where they are.
fn with_slots<T>(capacity: Option<usize>) -> Option<(Layout, usize)> {
    let slots = Layout::array::<T>(capacity?).ok()?;
    let (block, start) = Layout::new::<Shared<T>>().extend(slots).ok()?;
    let inside = slots.size() != 0 && slots.align() <= ALIGN && block.size() <= LARGEST;
    inside.then_some((block, start))
}

/// Whether the ring's slots are in the block.
pub(super) fn lends_slots<T>(capacity: Option<usize>) -> bool {
    with_slots::<T>(capacity).is_some()
}

impl<T> End<T> {
    /// The sender's and the receiver's end of a new channel.
    ///
    /// # Panics
    ///
    /// If no memory can hold a buffer that is allocated whole.
    pub(super) fn pair(capacity: Option<usize>) -> (End<T>, End<T>) {
        let block = match with_slots::<T>(capacity) {
            Some((layout, start)) => {
                let block = memory::take(layout).cast::<Shared<T>>();
                let size = capacity.unwrap_or(0) as u32;
                // SAFETY: the slots are in the block from `start` on, for as long as it is there, and nobody's yet. There
                // are at most `LARGEST` of them, since each takes a byte or more.
                let ring = unsafe { Ring::lent(block.byte_add(start).cast(), size) };
                // SAFETY: new, and large enough.
                unsafe { block.write(Shared::new(capacity, ring)) };
                block
            }
            None => {
                let size = capacity.filter(|&capacity| capacity <= ALLOCATED_WHOLE).unwrap_or(0) as u32;
                let ring = Ring::new(size).expect("greenhub: no memory can hold a buffer of this capacity");
                let block = memory::take(Layout::new::<Shared<T>>()).cast::<Shared<T>>();
                // SAFETY: as above.
                unsafe { block.write(Shared::new(capacity, ring)) };
                block
            }
        };
        (End(block), End(block))
    }

    /// One sender more.
    pub(super) fn another_sender(&self) -> End<T> {
        self.another(&self.senders)
    }

    /// One receiver more.
    pub(super) fn another_receiver(&self) -> End<T> {
        self.another(&self.receivers)
    }

    fn another(&self, count: &AtomicUsize) -> End<T> {
        // Relaxed: the caller holds an end of the same side, so the count cannot reach zero meanwhile.
        if count.fetch_add(1, Ordering::Relaxed) > MOST_ENDS {
            std::process::abort();
        }
        End(self.0)
    }

    /// One sender less; the last one closes the channel. What is in the buffer may still be received.
    ///
    /// # Safety
    ///
    /// A sender's end, and the last that is done with it.
    pub(super) unsafe fn leave_as_sender(&self) {
        // AcqRel: the last to leave sees what the others did; each pairs with the last.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _leaves = LastOfItsSide(self.0);
            self.close_sending();
        }
    }

    /// One receiver less; the last one closes the channel and drops what is in the buffer.
    ///
    /// # Safety
    ///
    /// A receiver's end, and the last that is done with it.
    pub(super) unsafe fn leave_as_receiver(&self) {
        // AcqRel: as above.
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _leaves = LastOfItsSide(self.0);
            let undelivered = self.close_receiving();
            // Without the lock: dropping a message runs the user's code. Should that panic, the side leaves all the same.
            drop(undelivered);
        }
    }
}

/// The last sender or the last receiver, which leaves the block when this is dropped, done with all that it had to do.
struct LastOfItsSide<T>(NonNull<Shared<T>>);

impl<T> Drop for LastOfItsSide<T> {
    fn drop(&mut self) {
        // SAFETY: only the second to leave gives the block back, and this one has not left yet.
        let shared = unsafe { self.0.as_ref() };
        shared.alive.in_use();
        // AcqRel: the first releases what its side did, the second acquires it, before the block is another's. The first
        // must not touch the block from here on.
        if shared.one_side_left.swap(true, Ordering::AcqRel) {
            // SAFETY: both sides have left.
            unsafe { free(self.0) };
        }
    }
}

/// Gives the block back.
///
/// # Safety
///
/// Once, and nobody uses it any more.
unsafe fn free<T>(block: NonNull<Shared<T>>) {
    // SAFETY: it is still there.
    let shared = unsafe { block.as_ref() };
    shared.alive.in_use();
    shared.alive.end();
    let layout = with_slots::<T>(shared.capacity()).map_or(Layout::new::<Shared<T>>(), |(layout, _)| layout);
    // SAFETY: taken with this layout in `pair`, and the caller's promise. The last receiver has taken the messages, and slots
    // outside of the block.
    unsafe {
        block.drop_in_place();
        memory::give(block.cast(), layout);
    }
}

#[cfg(all(test, not(greenhub_loom)))]
mod tests;
