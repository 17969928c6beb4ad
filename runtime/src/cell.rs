//! Cells whose accesses a model watches.
//!
//! In an ordinary build [`Cell`] is std's, and [`UnsafeCell`] is std's with a closure for each access. In
//! `greenhub::model` (with `--cfg greenhub_loom`) an access that is not ordered before or after one of another greenlet,
//! with a write among the two, is a data race, and reported.

use crate::facade::Watch;

pub use crate::facade::Cell;

/// The core of shared mutable data, accessed through closures so that a model sees where each access begins and ends.
///
/// ```
/// use greenhub::cell::UnsafeCell;
///
/// let cell = UnsafeCell::new(1);
/// // SAFETY: nobody else has it.
/// cell.with_mut(|value| unsafe { *value += 1 });
/// assert_eq!(cell.into_inner(), 2);
/// ```
#[derive(Debug, Default)]
pub struct UnsafeCell<T> {
    watch: Watch,
    value: std::cell::UnsafeCell<T>,
}

impl<T> UnsafeCell<T> {
    /// A cell around `value`.
    pub const fn new(value: T) -> Self {
        Self { watch: Watch::new(), value: std::cell::UnsafeCell::new(value) }
    }

    /// Reads: the pointer is good for as long as `f` runs, while nobody writes.
    #[inline]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        self.watch.read(|| f(self.value.get()))
    }

    /// Writes: the pointer is good for as long as `f` runs, while nobody else reads or writes.
    #[inline]
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        self.watch.write(|| f(self.value.get()))
    }

    /// The value, without a look: `&mut self` proves that nobody else can reach it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}
