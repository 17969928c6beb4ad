//! The registry: every greenlet that has not ended, for reports and for shutdown.
//!
//! One shard a hub, so that spawning touches no line that hubs share: an array of pointers in chunks that never move.
//! The hub that spawns stores the header into a free slot (a plain store); whichever hub the greenlet ends on clears
//! the slot. A reader locks a slot by its lowest bit for the few instructions it takes to get a reference, and the
//! clearing waits for that.

use super::header::{Header, Ref};
use crate::facade::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::facade::{Mutex, UnsafeCell, spin_loop};
use std::ptr::{self, NonNull};

#[cfg(all(test, greenhub_loom))]
mod model;

const CHUNK: usize = crate::facade::in_models(2, 256);
const READING: usize = 1;

/// A greenlet's place in the registry.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    cell: NonNull<AtomicPtr<Header>>,
    shard: NonNull<Shard>,
}

/// The greenlets spawned by one hub.
pub(crate) struct Shard {
    chunks: Mutex<Vec<Box<[AtomicPtr<Header>]>>>,
    /// Free slots, the owner's alone.
    free: UnsafeCell<Vec<NonNull<AtomicPtr<Header>>>>,
    /// Slots freed by others.
    returned: Mutex<Vec<NonNull<AtomicPtr<Header>>>>,
    returned_count: AtomicUsize,
}

// SAFETY: `free` is touched by the shard's owner only (`insert` and `remove` ask for it); the rest is locks and
// atomics, and the pointers lead into `chunks`, which lives as long as the shard and never moves.
unsafe impl Send for Shard {}
// SAFETY: as above.
unsafe impl Sync for Shard {}

impl Shard {
    /// A shard that lists nobody.
    pub(crate) fn new() -> Self {
        Self {
            chunks: Mutex::new(Vec::new()),
            free: UnsafeCell::new(Vec::new()),
            returned: Mutex::new(Vec::new()),
            returned_count: AtomicUsize::new(0),
        }
    }

    /// Lists a new greenlet.
    ///
    /// # Safety
    ///
    /// The caller is the shard's owner (its hub's thread, or the holder of the lock around it), and no other thread
    /// can see the greenlet yet.
    #[inline]
    pub(crate) unsafe fn insert(&self, header: &Ref) {
        // SAFETY: the owner's alone; the borrow ends before anything else is called.
        let cell = self.free.with_mut(|free| unsafe { (*free).pop() }).unwrap_or_else(|| self.more());
        header.registry_slot.set(Some(Slot { cell, shard: NonNull::from(self) }));
        // Release: the header is made; pairs with the Acquire of a reader.
        // SAFETY: cells live as long as the shard.
        unsafe { cell.as_ref() }.store(header.as_ptr().as_ptr(), Ordering::Release);
    }

    #[cold]
    fn more(&self) -> NonNull<AtomicPtr<Header>> {
        self.free.with_mut(|free| {
            // SAFETY: only `insert` calls this, so we are the owner and no other borrow is alive.
            let free = unsafe { &mut *free };
            if self.returned_count.load(Ordering::Relaxed) != 0 {
                let mut returned = self.returned.lock();
                self.returned_count.store(0, Ordering::Relaxed);
                free.append(&mut returned);
            } else {
                let chunk: Box<[AtomicPtr<Header>]> =
                    (0..CHUNK).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
                free.extend(chunk.iter().rev().map(NonNull::from));
                self.chunks.lock().push(chunk);
            }
            free.pop().expect("just filled")
        })
    }

    /// Every greenlet listed just now.
    pub(crate) fn snapshot(&self, into: &mut Vec<Ref>) {
        for chunk in self.chunks.lock().iter() {
            for cell in chunk {
                into.extend(read(cell));
            }
        }
    }

    /// The first greenlet listed just now for which `wanted` says so.
    pub(crate) fn find(&self, wanted: &mut impl FnMut(&Header) -> bool) -> Option<Ref> {
        let chunks = self.chunks.lock();
        chunks.iter().flatten().filter_map(read).find(|greenlet| wanted(greenlet))
    }
}

/// Gets a reference to what a cell lists.
fn read(cell: &AtomicPtr<Header>) -> Option<Ref> {
    loop {
        let header = cell.load(Ordering::Relaxed);
        if header.is_null() {
            return None;
        }
        if header.addr() & READING != 0 {
            spin_loop();
            continue;
        }
        // Acquire: pairs with the Release in `insert`.
        if cell
            .compare_exchange(header, header.map_addr(|a| a | READING), Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            // SAFETY: a listed greenlet has not given up its life reference, and does not before it has cleared the
            // cell, which waits for us.
            let reference = unsafe { Ref::share(NonNull::new_unchecked(header)) };
            // Release: our use of the header comes before its end; pairs with the Acquire in `remove`.
            cell.store(header, Ordering::Release);
            return Some(reference);
        }
    }
}

/// Strikes an ending greenlet off.
///
/// # Safety
///
/// Called once, by the hub the greenlet ends on, while the life reference is held. `own` is that hub's own shard.
pub(crate) unsafe fn remove(header: &Header, own: &Shard) {
    let Some(slot) = header.registry_slot.take() else { return };
    // SAFETY: shards live as long as their runtime, whose hubs alone call this.
    let (cell, shard) = unsafe { (slot.cell.as_ref(), slot.shard.as_ref()) };
    let listed = ptr::from_ref(header).cast_mut();
    // Acquire: pairs with the Release of a reader.
    while cell.compare_exchange_weak(listed, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed).is_err() {
        spin_loop();
    }
    if ptr::eq(shard, own) {
        // SAFETY: the caller is the owner of `own`.
        own.free.with_mut(|free| unsafe { (*free).push(slot.cell) });
    } else {
        let mut returned = shard.returned.lock();
        returned.push(slot.cell);
        shard.returned_count.store(returned.len(), Ordering::Relaxed);
    }
}
