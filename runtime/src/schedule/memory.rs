//! Memory for headers and channels, of which a schedule sees every use after its end.
//!
//! A block that is given back is filled with a pattern and kept aside until the execution is over. Who reads it finds
//! nonsense, which the [`Lifeline`] inside it tells at once, and who writes to it leaves a trace that is found then. So does a
//! store that was on its way when somebody else gave the block back: of those, only the giver's own have arrived.

use super::{atomic, world};
use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

pub(crate) use std::alloc::alloc;

/// What every byte of a block is that was given back.
const PATTERN: u8 = 0xDD;

struct Aside {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: memory that nobody refers to any more.
unsafe impl Send for Aside {}

/// Those of the execution that is going on.
static ASIDE: Mutex<Vec<Aside>> = Mutex::new(Vec::new());

/// # Safety
///
/// As [`std::alloc::dealloc`].
pub(crate) unsafe fn dealloc(block: *mut u8, layout: Layout) {
    if !world::is_controlled() {
        // SAFETY: the caller's promise.
        return unsafe { std::alloc::dealloc(block, layout) };
    }
    atomic::drain();
    // SAFETY: the caller's promise: nobody else uses it.
    unsafe { block.write_bytes(PATTERN, layout.size()) };
    let start = NonNull::new(block).expect("a block is not null");
    ASIDE.lock().unwrap_or_else(PoisonError::into_inner).push(Aside { start, layout });
}

/// Gives what was kept aside back to the allocator; an execution is over. Says what is wrong if anything has been written
/// there.
pub(super) fn give_back() -> Result<(), String> {
    let aside = std::mem::take(&mut *ASIDE.lock().unwrap_or_else(PoisonError::into_inner));
    let mut found = Ok(());
    for Aside { start, layout } in aside {
        // SAFETY: it was filled when it was kept aside, and nobody else refers to it.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), layout.size()) };
        if let Some(at) = bytes.iter().position(|byte| *byte != PATTERN) {
            found = Err(format!("byte {at} of a block of {} was written after its end", layout.size()));
        }
        // SAFETY: allocated with this layout, and given back once, here.
        unsafe { std::alloc::dealloc(start.as_ptr(), layout) };
    }
    found
}

/// Tells whether what it is part of is used only while it is alive.
#[derive(Debug)]
pub(crate) struct Lifeline(AtomicU32);

/// What a living block's says. No pattern and no chance does.
const ALIVE: u32 = 0x600D_11FE;

impl Lifeline {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(ALIVE))
    }

    /// A use by somebody who believes that it is alive.
    #[track_caller]
    pub(crate) fn in_use(&self) {
        if self.0.load(Ordering::Relaxed) != ALIVE {
            world::fail("a block was used after its end");
        }
    }

    /// The end.
    #[track_caller]
    pub(crate) fn end(&self) {
        self.in_use();
        self.0.store(0, Ordering::Relaxed);
    }
}
