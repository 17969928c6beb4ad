//! The std/loom switch: everything a protocol is built from, under one name in both worlds.
//!
//! The modules that models run (state word, header, join, kill, park, wait list, locks, channels, and what stands on
//! them) take their atomics, cells, short locks, clock and thread-locals from here and from nowhere else. In an ordinary
//! build these are std's and parking_lot's at no cost (`ordinary`); with `--cfg greenhub_loom` they are loom's
//! (`modelled`), so that a model runs the very code that ships. The cfg is the crate's own, so that no dependency is
//! flipped with it.
//!
//! Atomics come in two kinds. [`atomic`] are those that are made while the program runs: under loom their first use must
//! come after their making, which loom checks. [`const_atomic`] have a `const` constructor, for what users may put into a
//! `static`; under loom they count as made before the model began.

#[cfg(greenhub_loom)]
mod modelled;
#[cfg(not(greenhub_loom))]
mod ordinary;

#[cfg(greenhub_loom)]
pub use modelled::Cell;
#[cfg(greenhub_loom)]
pub(crate) use modelled::*;
#[cfg(not(greenhub_loom))]
pub use ordinary::Cell;
#[cfg(not(greenhub_loom))]
pub(crate) use ordinary::*;

/// Where the lock of wait lists, channels and biased state words is. `ShortMutex`, that of lists and channels, is an ordinary one
/// under loom, where this has its own models, and a schedule's in a schedule.
mod short_lock;
pub(crate) use short_lock::{ShortLock, ThreadMark};

/// Declares a constructor that is `const` with std's atomics and an ordinary function with loom's.
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident : $ty:ty),* $(,)?) -> $ret:ty $body:block) => {
        #[cfg(not(greenhub_loom))]
        $(#[$meta])*
        $vis const fn $name($($arg: $ty),*) -> $ret $body
        #[cfg(greenhub_loom)]
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_fn;
