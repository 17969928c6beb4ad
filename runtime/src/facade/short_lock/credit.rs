//! How many biases may be given though so many were revoked.
//!
//! A revocation interrupts every core on which a thread of the process runs, so a program whose objects keep going from hub to
//! hub just when their locks have become biased must come to have fewer biased locks. Every lock that might be biased earns the
//! process one credit, every revocation costs [`COST`], and without credit no lock is biased: in the long run one is revoked
//! for every so many locks that have been taken some 256 times, or greenlets that have parked so often.

use crate::facade::in_models;
use std::sync::atomic::{AtomicI32, Ordering};

const COST: i32 = 16;

/// What is earned beyond is lost, and so is what is spent beyond as much debt: neither a long past of the one kind nor of the
/// other counts for ever.
const MOST: i32 = if cfg!(test) { 1 << 24 } else { 4096 };

static CREDIT: AtomicI32 = AtomicI32::new(MOST);

/// Whether a lock may be biased.
#[cold]
pub(super) fn earn() -> bool {
    // A model, or a schedule, does the same each time.
    in_models(true, cfg!(greenhub_schedule)) || change(1) > 0
}

/// A bias is revoked.
pub(super) fn spend() {
    change(-COST);
}

/// The credit that there was.
fn change(by: i32) -> i32 {
    // Relaxed: a count.
    let changed = CREDIT
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| Some((credit + by).clamp(-MOST, MOST)));
    changed.unwrap_or_else(|credit| credit)
}
