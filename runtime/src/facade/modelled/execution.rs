//! One execution of a model: the loom objects of everything that has a `const` constructor.
//!
//! loom objects live for one execution, and an atomic or a cell may be used only after it was made. A `static` has been
//! there from the start. So the root makes a supply of atomics and cells before anything else happens, and each
//! `const`-constructed object takes one at its first use, whoever uses it first. If the supply runs short the whole check
//! begins again with a larger one.

use super::locks::Gate;
use loom::cell::UnsafeCell;
use loom::sync::atomic as l;
use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// How many of each kind are made at the start of an execution.
pub(crate) type Supply = [usize; KINDS];

/// How many kinds there are, and how many of each a check begins with.
pub(crate) const KINDS: usize = 13;
pub(crate) const FIRST_SUPPLY: Supply = [4; KINDS];

/// The objects of one kind.
pub(super) struct Stock<T> {
    kind: usize,
    made: Vec<Box<T>>,
    used: usize,
}

impl<T> Stock<T> {
    fn new(kind: usize, supply: &Supply, make: impl Fn() -> T) -> Self {
        Self { kind, made: (0..supply[kind]).map(|_| Box::new(make())).collect(), used: 0 }
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Result<*const T, Short> {
        let next = self.made.get(self.used).ok_or(Short(self.kind))?;
        self.used += 1;
        Ok(std::ptr::from_ref(&**next))
    }
}

/// There is none left of this kind.
pub(crate) struct Short(pub(crate) usize);

macro_rules! stocks {
    ($($field:ident: $type:ty = $kind:literal, $make:expr;)*) => {
        /// What belongs to one execution.
        pub(super) struct Execution {
            $(pub(super) $field: Stock<$type>,)*
            /// Locks and mailboxes.
            gates: Vec<Box<Gate>>,
            kept: Vec<Box<dyn std::any::Any>>,
            freed: Vec<(*mut u8, Layout)>,
        }

        impl Execution {
            fn new(supply: &Supply) -> Self {
                Self { $($field: Stock::new($kind, supply, || $make),)* gates: Vec::new(), kept: Vec::new(), freed: Vec::new() }
            }
        }
    };
}

stocks! {
    bools: l::AtomicBool = 0, l::AtomicBool::new(false);
    u8s: l::AtomicU8 = 1, l::AtomicU8::new(0);
    u16s: l::AtomicU16 = 2, l::AtomicU16::new(0);
    u32s: l::AtomicU32 = 3, l::AtomicU32::new(0);
    u64s: l::AtomicU64 = 4, l::AtomicU64::new(0);
    usizes: l::AtomicUsize = 5, l::AtomicUsize::new(0);
    i8s: l::AtomicI8 = 6, l::AtomicI8::new(0);
    i16s: l::AtomicI16 = 7, l::AtomicI16::new(0);
    i32s: l::AtomicI32 = 8, l::AtomicI32::new(0);
    i64s: l::AtomicI64 = 9, l::AtomicI64::new(0);
    isizes: l::AtomicIsize = 10, l::AtomicIsize::new(0);
    pointers: l::AtomicPtr<()> = 11, l::AtomicPtr::new(std::ptr::null_mut());
    cells: UnsafeCell<()> = 12, UnsafeCell::new(());
}

thread_local! {
    /// The number of the execution that this OS thread is in, or 0.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
    static CURRENT: RefCell<Option<Box<Execution>>> = const { RefCell::new(None) };
}

impl Drop for Execution {
    fn drop(&mut self) {
        for (block, layout) in self.freed.drain(..) {
            // SAFETY: given to `quarantine` for this, and nobody is left who could use it.
            unsafe { std::alloc::dealloc(block, layout) };
        }
    }
}

/// Begins an execution. To be called by the root before anything else.
pub(crate) fn begin(supply: &Supply) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // The last one's memory goes here, where nobody is left to use it.
    CURRENT.take();
    let execution = Box::new(Execution::new(supply));
    CURRENT.set(Some(execution));
    NUMBER.set(NEXT.fetch_add(1, Ordering::Relaxed));
}

/// Ends it: to be called by the root when all other threads have ended.
pub(crate) fn end() {
    // Gates are channels of loom's, which must be empty when loom looks for leaks; dropping one empties it. Not under the
    // borrow: it is a step of the model.
    let gates = CURRENT
        .with_borrow_mut(|current| current.as_mut().map(|execution| std::mem::take(&mut execution.gates)));
    drop(gates);
}

/// Keeps a value until the next execution begins.
pub(crate) fn keep<T: 'static>(value: Box<T>) -> &'static T {
    // SAFETY: the box goes on to own the value, which stays where it is. Callers are part of the execution, and nothing of
    // it is left when the next begins.
    let reference = unsafe { &*std::ptr::from_ref::<T>(&value) };
    CURRENT.with_borrow_mut(|current| current.as_mut().expect("in an execution").kept.push(value));
    reference
}

/// After the last execution of a check.
pub(crate) fn leave() {
    NUMBER.set(0);
    CURRENT.take();
}

/// Keeps a block of memory until the execution has ended.
///
/// # Safety
///
/// As `std::alloc::dealloc`.
pub(crate) unsafe fn quarantine(block: *mut u8, layout: Layout) {
    CURRENT.with_borrow_mut(|current| match current {
        Some(execution) => execution.freed.push((block, layout)),
        // SAFETY: the caller's promise.
        None => unsafe { std::alloc::dealloc(block, layout) },
    });
}

impl Execution {
    /// A new gate.
    pub(super) fn gate(&mut self) -> Result<*const Gate, Short> {
        self.gates.push(Box::new(Gate::new()));
        Ok(std::ptr::from_ref(&**self.gates.last().expect("just pushed")))
    }
}

/// The loom object of something with a `const` constructor: found at its first use in each execution.
pub(super) struct Slot<T> {
    execution: AtomicU64,
    object: AtomicPtr<T>,
}

impl<T> Slot<T> {
    pub(super) const fn new() -> Self {
        Self { execution: AtomicU64::new(0), object: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Whether it has been used in this execution.
    pub(super) fn in_use(&self) -> bool {
        self.execution.load(Ordering::Relaxed) == NUMBER.get()
    }

    /// The object. Relaxed throughout: all threads of a model share one OS thread.
    pub(super) fn get(&self, find: impl FnOnce(&mut Execution) -> Result<*const T, Short>) -> &T {
        let number = NUMBER.get();
        if self.execution.load(Ordering::Relaxed) != number || number == 0 {
            let found = CURRENT.with_borrow_mut(|current| {
                let Some(execution) = current else {
                    panic!(
                        "greenhub: with `--cfg greenhub_loom` locks, channels and atomics of this crate work inside \
                         `greenhub::model` only"
                    );
                };
                find(execution)
            });
            match found {
                Ok(object) => self.object.store(object.cast_mut(), Ordering::Relaxed),
                Err(short) => crate::model::check::begin_again(short),
            }
            self.execution.store(number, Ordering::Relaxed);
        }
        // SAFETY: the object was made in this execution, and lives until the next begins.
        unsafe { &*self.object.load(Ordering::Relaxed) }
    }
}
