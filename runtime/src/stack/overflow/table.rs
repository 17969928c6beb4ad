//! Which addresses are greenlet stacks: a table that a signal handler can read.
//!
//! A handler may interrupt any instruction, so it can take no lock and follow no pointer that somebody may free.
//! Regions therefore list themselves in a fixed array of atomics, each line under a version number that is odd
//! while the line is written: a reader that sees it odd or changed has read a mixture and skips the line. The line a
//! handler is after cannot change under it: the faulting greenlet runs on a slot of that region, which keeps it.
//!
//! A region that finds the table full works all the same, except that an overflow in it is an unexplained
//! SIGSEGV. Regions double in size up to 64 Ki slots, so that 1024 lines name some sixty million stacks.

use crate::runtime::fork::ProcessLock;
use crate::stack::StackSize;
use crate::stack::layout::SlotLayout;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

const LINES: usize = 1024;

static TABLE: [Line; LINES] = [const { Line::new() }; LINES];

/// One past the last line ever used, so that the handler need not read all.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Held to write the table; the handler does without.
pub(crate) static WRITER: ProcessLock<()> = ProcessLock::new(());

struct Line {
    version: AtomicUsize,
    /// The region's first address, or 0 for an unused line.
    start: AtomicUsize,
    slots: AtomicUsize,
    size: AtomicUsize,
    guard: AtomicUsize,
}

/// A region's line in the table; dropping it erases the line.
pub(in crate::stack) struct Listing(usize);

/// The slot an address lies in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// The lowest address of the slot, where its guard begins.
    pub(super) limit: usize,
    /// Where the guard ends.
    pub(super) guard_end: usize,
    /// Where the next slot begins.
    pub(super) top: usize,
    /// Where the owner's word lies.
    pub(super) header: usize,
    /// The size of the stack in bytes.
    pub(super) size: usize,
}

/// Lists a region; `None` if the table is full.
pub(in crate::stack) fn list(
    start: usize,
    slots: usize,
    size: StackSize,
    layout: SlotLayout,
) -> Option<Listing> {
    let _writer = WRITER.lock();
    let index = TABLE.iter().position(|line| line.start.load(Relaxed) == 0)?;
    TABLE[index].write([start, slots, size.bytes(), layout.guard]);
    // Release pairs with the Acquire in `find`, so that a handler that sees the count sees the line.
    USED.fetch_max(index + 1, Release);
    Some(Listing(index))
}

impl Drop for Listing {
    fn drop(&mut self) {
        let _writer = WRITER.lock();
        TABLE[self.0].write([0; 4]);
    }
}

/// The slot `address` lies in, if it is in a listed region. Async-signal-safe.
pub(super) fn find(address: usize) -> Option<Found> {
    TABLE[..USED.load(Acquire)].iter().find_map(|line| {
        let [start, slots, size, guard] = line.read()?;
        let layout = SlotLayout { guard, stride: guard + size };
        let index = address.checked_sub(start)? / layout.stride.max(1);
        if start == 0 || index >= slots {
            return None;
        }
        let limit = layout.limit(start, index);
        Some(Found {
            limit,
            guard_end: limit + guard,
            top: layout.limit(start, index + 1),
            header: layout.base(start, index),
            size,
        })
    })
}

impl Line {
    const fn new() -> Line {
        Line {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            slots: AtomicUsize::new(0),
            size: AtomicUsize::new(0),
            guard: AtomicUsize::new(0),
        }
    }

    fn fields(&self) -> [&AtomicUsize; 4] {
        [&self.start, &self.slots, &self.size, &self.guard]
    }

    /// Only under [`WRITER`].
    fn write(&self, values: [usize; 4]) {
        let version = self.version.load(Relaxed);
        self.version.store(version + 1, Relaxed);
        // Pairs with the Acquire fence in `read`: who sees any of the new values sees the odd version as well.
        fence(Release);
        for (field, value) in self.fields().into_iter().zip(values) {
            field.store(value, Relaxed);
        }
        // Pairs with the Acquire load in `read`: who sees this version sees all of the new values.
        self.version.store(version + 2, Release);
    }

    fn read(&self) -> Option<[usize; 4]> {
        let version = self.version.load(Acquire);
        let values = self.fields().map(|field| field.load(Relaxed));
        // Pairs with the Release fence in `write`.
        fence(Acquire);
        (version.is_multiple_of(2) && self.version.load(Relaxed) == version).then_some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_slot_and_not_after_unlisting() {
        let size = StackSize::new(64 * 1024).unwrap();
        let layout = SlotLayout::new(size);
        // An address no mapping can have.
        let start = usize::MAX / 2 + 1;
        let listing = list(start, 3, size, layout).expect("a free line");
        let second = start + layout.stride;
        let found = find(second).expect("the second slot's first byte");
        assert_eq!((found.limit, found.top, found.size), (second, second + layout.stride, 64 * 1024));
        assert_eq!(found.guard_end, second + layout.guard);
        assert_eq!(found.header, layout.base(start, 1));
        assert_eq!(find(found.top - 1), Some(found));
        assert_eq!(find(start - 1), None);
        assert_eq!(find(start + 3 * layout.stride), None);
        drop(listing);
        assert_eq!(find(second), None);
    }
}
