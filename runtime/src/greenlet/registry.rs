//! The registry: every greenlet that has not ended, for reports and for shutdown.
//!
//! One shard a hub, so that spawning touches no line that hubs share: an array of pointers in chunks that never move.
//! The hub that spawns stores the header into a free slot (a plain store); whichever hub the greenlet ends on clears
//! the slot, and waits if somebody reads that shard just then.
//!
//! Ends are many and readers few, so the fence between the two is lopsided: who clears a slot and looks for readers pays
//! for none, and a reader, who announces itself and then looks into the slots, makes all threads pass one.

use super::header::{Header, Ref};
use crate::cache_padded::CachePadded;
use crate::facade::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::facade::{Mutex, UnsafeCell, lopsided_fence, spin_loop, thread};
use std::ptr::{self, NonNull};

#[cfg(all(test, greenhub_loom))]
mod model;

/// How often to look again before giving up the rest of the time slice.
const LOOKS: usize = 64;
const CHUNK: usize = crate::facade::in_models(2, 256);

/// A greenlet's place in the registry.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    cell: NonNull<AtomicPtr<Header>>,
    shard: NonNull<Shard>,
}

/// The greenlets spawned by one hub, or from outside. What everybody reads, what its owner writes and what others write
/// lie on cache lines of their own.
pub(crate) struct Shard {
    chunks: Mutex<Vec<Box<[AtomicPtr<Header>]>>>,
    /// Whoever holds the lock of `chunks` is getting references out of one of them.
    reading: AtomicBool,
    /// Free slots, the owner's alone.
    free: CachePadded<UnsafeCell<Vec<NonNull<AtomicPtr<Header>>>>>,
    returned: CachePadded<Returned>,
}

/// Slots freed by others than the owner.
struct Returned {
    slots: Mutex<Vec<NonNull<AtomicPtr<Header>>>>,
    count: AtomicUsize,
}

// SAFETY: `free` is touched by the shard's owner only (`insert` and `remove` ask for it); the rest is locks and
// atomics, and the pointers lead into `chunks`, which lives as long as the shard and never moves.
unsafe impl Send for Shard {}
// SAFETY: as above.
unsafe impl Sync for Shard {}

impl Shard {
    crate::facade::const_fn! {
        /// A shard that lists nobody.
        pub(crate) fn new() -> Self {
            Self {
                chunks: Mutex::new(Vec::new()),
                reading: AtomicBool::new(false),
                free: CachePadded::new(UnsafeCell::new(Vec::new())),
                returned: CachePadded::new(Returned {
                    slots: Mutex::new(Vec::new()),
                    count: AtomicUsize::new(0),
                }),
            }
        }
    }

    /// Lists a new greenlet.
    ///
    /// # Safety
    ///
    /// The caller is the shard's owner (its hub's thread, or the holder of the lock around it), and no other thread
    /// can see the greenlet yet.
    #[inline]
    pub(crate) unsafe fn insert(&self, header: NonNull<Header>) {
        // SAFETY: the owner's alone; the borrow ends before anything else is called.
        let cell = self.free.with_mut(|free| unsafe { (*free).pop() }).unwrap_or_else(|| self.more());
        // SAFETY: the caller's greenlet, alive and seen by nobody else.
        unsafe { header.as_ref() }.registry_slot.set(Some(Slot { cell, shard: NonNull::from(self) }));
        // Release: the header is made; pairs with the Acquire of a reader.
        // SAFETY: cells live as long as the shard.
        unsafe { cell.as_ref() }.store(header.as_ptr(), Ordering::Release);
    }

    #[cold]
    fn more(&self) -> NonNull<AtomicPtr<Header>> {
        self.free.with_mut(|free| {
            // SAFETY: only `insert` calls this, so we are the owner and no other borrow is alive.
            let free = unsafe { &mut *free };
            let returned = &self.returned;
            if returned.count.load(Ordering::Relaxed) != 0 {
                let mut slots = returned.slots.lock();
                returned.count.store(0, Ordering::Relaxed);
                free.append(&mut slots);
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
            self.read(chunk, into);
        }
    }

    /// The first greenlet listed just now for which `wanted` says so.
    pub(crate) fn find(&self, wanted: &mut impl FnMut(&Header) -> bool) -> Option<Ref> {
        let chunks = self.chunks.lock();
        let mut listed = Vec::new();
        chunks.iter().find_map(|chunk| {
            self.read(chunk, &mut listed);
            listed.drain(..).find(|greenlet| wanted(greenlet))
        })
    }

    /// Gets references to what a chunk lists. Under the lock of `chunks`.
    fn read(&self, chunk: &[AtomicPtr<Header>], into: &mut Vec<Ref>) {
        // Ends wait meanwhile, so nothing but this happens in between.
        into.reserve(chunk.len());
        self.reading.store(true, Ordering::Relaxed);
        // Pairs with the light fence in `remove`: of its clearing and our look one comes second.
        lopsided_fence::heavy();
        for cell in chunk {
            // Acquire: pairs with the Release in `insert`.
            if let Some(header) = NonNull::new(cell.load(Ordering::Acquire)) {
                // SAFETY: its life had not let go when the slot was not cleared yet, and whoever clears it now waits
                // for us before it does.
                into.push(unsafe { Ref::share(header) });
            }
        }
        // Release: our references are made before those who wait go on; pairs with the Acquire in `remove`.
        self.reading.store(false, Ordering::Release);
    }
}

/// Strikes an ending greenlet off.
///
/// # Safety
///
/// Called once, by the hub the greenlet ends on, before its life lets go. `own` is that hub's own shard.
pub(crate) unsafe fn remove(header: &Header, own: &Shard) {
    let Some(slot) = header.registry_slot.take() else { return };
    // SAFETY: shards live as long as their runtime, whose hubs alone call this.
    let (cell, shard) = unsafe { (slot.cell.as_ref(), slot.shard.as_ref()) };
    // Relaxed: nobody follows a null.
    cell.store(ptr::null_mut(), Ordering::Relaxed);
    // Pairs with the heavy fence in `read`.
    lopsided_fence::light();
    // Acquire: pairs with the Release of a reader that has finished.
    let mut looks = 0;
    while shard.reading.load(Ordering::Acquire) {
        // The reader may have lost its core in the middle of a chunk.
        looks += 1;
        if looks < LOOKS { spin_loop() } else { thread::yield_now() }
    }
    if ptr::eq(shard, own) {
        // SAFETY: the caller is the owner of `own`.
        own.free.with_mut(|free| unsafe { (*free).push(slot.cell) });
    } else {
        let mut slots = shard.returned.slots.lock();
        slots.push(slot.cell);
        shard.returned.count.store(slots.len(), Ordering::Relaxed);
    }
}
