//! What watches plain memory under loom.

use super::execution::Slot;
use crate::model::check::step;
use crate::model::seat;
use loom::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// Watches the accesses to a value that lies beside it; see [`crate::cell`].
pub(crate) struct Watch(Slot<UnsafeCell<()>>);

impl Watch {
    pub(crate) const fn new() -> Self {
        Self(Slot::new())
    }

    fn cell(&self) -> &UnsafeCell<()> {
        self.0.get(|execution| execution.cells.take())
    }

    #[track_caller]
    pub(crate) fn read<R>(&self, f: impl FnOnce() -> R) -> R {
        crate::model::trace::note_of_user("reads a cell", std::ptr::from_ref(self).cast());
        step(|| self.cell().with(|_| ()));
        let result = f();
        // The end of the access is another look: nobody else may have come in between.
        step(|| self.cell().with(|_| ()));
        result
    }

    #[track_caller]
    pub(crate) fn write<R>(&self, f: impl FnOnce() -> R) -> R {
        crate::model::trace::note_of_user("writes a cell", std::ptr::from_ref(self).cast());
        step(|| self.cell().with_mut(|_| ()));
        let result = f();
        step(|| self.cell().with_mut(|_| ()));
        result
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

/// loom's cell.
#[derive(Debug)]
pub(crate) struct Watched<T>(UnsafeCell<T>);

impl<T> Watched<T> {
    #[track_caller]
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }
    #[track_caller]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        step(|| self.0.with(f))
    }
    #[track_caller]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        step(|| self.0.with_mut(f))
    }
    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

/// Tells whether what it is part of is used only while it is alive: each use reads a cell that the end writes, so that
/// loom sees a use that is not ordered before the end.
pub(crate) struct Lifeline(UnsafeCell<bool>);

impl Lifeline {
    pub(crate) fn new() -> Self {
        Self(UnsafeCell::new(true))
    }

    /// A use by somebody who believes that it is alive.
    pub(crate) fn in_use(&self) {
        // SAFETY: loom checks what this asserts.
        step(|| self.0.with(|alive| assert!(unsafe { *alive }, "a block was used after its end")));
    }

    /// Whether its end has not come.
    pub(crate) fn is_alive(&self) -> bool {
        // SAFETY: loom checks that nobody writes it meanwhile.
        step(|| self.0.with(|alive| unsafe { *alive }))
    }

    /// The end.
    pub(crate) fn end(&self) {
        // SAFETY: as above.
        step(|| self.0.with_mut(|alive| unsafe { *alive = false }));
    }
}

/// A pointer of the running greenlet's own. Found by the stack it runs on, so that it can be read also where loom
/// itself is at work, in the panic hook.
pub(crate) struct SeatPointer<T>(PhantomData<fn() -> T>);

impl<T> SeatPointer<T> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }

    pub(crate) fn get(&self) -> Option<NonNull<T>> {
        seat::pointer().map(NonNull::cast)
    }

    pub(crate) fn set(&self, pointer: Option<NonNull<T>>) {
        seat::set_pointer(pointer.map(NonNull::cast));
    }
}

/// As std's; its accesses are watched, for a cell that an `unsafe impl Sync` makes shared.
#[derive(Debug, Default)]
pub struct Cell<T>(crate::cell::UnsafeCell<T>);

#[allow(missing_docs, reason = "std's methods, under std's names")]
impl<T> Cell<T> {
    pub const fn new(value: T) -> Self {
        Self(crate::cell::UnsafeCell::new(value))
    }

    #[track_caller]
    pub fn set(&self, value: T) {
        drop(self.replace(value));
    }

    #[track_caller]
    pub fn replace(&self, value: T) -> T {
        // SAFETY: a `Cell` is not `Sync`, and no reference into it outlives a call.
        self.0.with_mut(|inside| unsafe { std::mem::replace(&mut *inside, value) })
    }

    #[track_caller]
    pub fn take(&self) -> T
    where
        T: Default,
    {
        self.replace(T::default())
    }

    #[track_caller]
    pub fn get(&self) -> T
    where
        T: Copy,
    {
        // SAFETY: as above.
        self.0.with(|inside| unsafe { *inside })
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}
