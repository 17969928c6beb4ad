//! Greenlet-locals: one value a greenlet, made at first use, dropped when the greenlet ends.

use super::current;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A greenlet-local variable; declare it with [`greenlet_local!`](crate::greenlet_local).
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

/// The locals of one greenlet, or of one OS thread.
pub(crate) struct Locals {
    /// Few greenlets have any, and those have few: a list is enough.
    #[expect(
        clippy::box_collection,
        reason = "one word in every greenlet's header, most of which have no locals"
    )]
    values: Cell<Option<Box<Vec<Local>>>>,
}

struct Local {
    key: usize,
    value: Rc<dyn Any>,
}

thread_local! {
    static OF_THREAD: RefCell<Vec<Local>> = const { RefCell::new(Vec::new()) };
}

impl Locals {
    pub(crate) const fn new() -> Self {
        Self { values: Cell::new(None) }
    }

    fn get(&self, key: usize) -> Option<Rc<dyn Any>> {
        let values = self.values.take()?;
        let found = values.iter().find(|local| local.key == key).map(|local| local.value.clone());
        self.values.set(Some(values));
        found
    }

    fn insert(&self, key: usize, value: Rc<dyn Any>) {
        let mut values = self.values.take().unwrap_or_default();
        values.push(Local { key, value });
        self.values.set(Some(values));
    }

    /// Drops all values, last made first, and those that their destructors make in turn, as std does with
    /// thread-locals.
    pub(crate) fn clear(&self) {
        while let Some(mut values) = self.values.take() {
            let last = values.pop();
            if !values.is_empty() {
                self.values.set(Some(values));
            }
            drop(last);
        }
    }
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(init: fn() -> T) -> Self {
        Self { init }
    }

    /// Calls `f` with this greenlet's value, made now if need be. `f` may suspend; the value stays the greenlet's
    /// own, on whichever hub it runs.
    ///
    /// # Panics
    ///
    /// On a plain OS thread whose locals are already being destroyed.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        // A key is a static with a function pointer in it, so its address is its own.
        let key = std::ptr::from_ref(self).addr();
        let found = match current::greenlet() {
            Some(greenlet) => greenlet.locals.get(key),
            None => OF_THREAD.with_borrow(|locals| {
                locals.iter().find(|local| local.key == key).map(|local| local.value.clone())
            }),
        };
        let value = found.unwrap_or_else(|| {
            let value: Rc<dyn Any> = Rc::new((self.init)());
            match current::greenlet() {
                Some(greenlet) => greenlet.locals.insert(key, value.clone()),
                None => OF_THREAD.with_borrow_mut(|locals| locals.push(Local { key, value: value.clone() })),
            }
            value
        });
        f(value.downcast_ref::<T>().expect("a key's values have the key's type"))
    }
}

impl<T: Clone + 'static> LocalKey<Cell<T>> {
    /// Sets the value.
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }
}

impl<T: Copy + 'static> LocalKey<Cell<T>> {
    /// A copy of the value.
    pub fn get(&'static self) -> T {
        self.with(Cell::get)
    }
}

impl<T> std::fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Declares variables of which every greenlet (and every plain OS thread) has its own, as `thread_local!` does for
/// threads. A greenlet keeps its value wherever it runs.
///
/// ```
/// use std::cell::Cell;
///
/// greenhub::greenlet_local! {
///     static DEPTH: Cell<u32> = Cell::new(0);
/// }
///
/// greenhub::run(|| {
///     DEPTH.set(7);
///     assert_eq!(greenhub::spawn(|| DEPTH.get()).join().unwrap(), 0);
///     assert_eq!(DEPTH.get(), 7);
/// });
/// ```
#[macro_export]
macro_rules! greenlet_local {
    ($($(#[$meta:meta])* $vis:vis static $name:ident : $ty:ty = $init:expr);* $(;)?) => {
        $($(#[$meta])* $vis static $name: $crate::LocalKey<$ty> = {
            fn init() -> $ty { $init }
            $crate::LocalKey::new(init)
        };)*
    };
}
