//! loom's atomics and fence. loom ignores the strength of a `SeqCst` access but models the fence, so protocols that need
//! a total order use `fence(SeqCst)` (invariant 7).

use crate::model::check::step;
use loom::sync::atomic as l;
pub(crate) use loom::sync::atomic::Ordering;

#[track_caller]
pub(crate) fn fence(order: Ordering) {
    step(|| l::fence(order));
}

macro_rules! atomics {
    ($($name:ident $(<$t:ident>)?, $value:ty;)*) => {$(
        #[derive(Debug)]
        pub(crate) struct $name $(<$t>)? (l::$name $(<$t>)?);

        impl $(<$t>)? $name $(<$t>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                Self(l::$name::new(value))
            }
            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                step(|| self.0.load(order))
            }
            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                step(|| self.0.store(value, order));
            }
            #[track_caller]
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                step(|| self.0.swap(value, order))
            }
            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step(|| self.0.compare_exchange(current, new, success, failure))
            }
            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step(|| self.0.compare_exchange_weak(current, new, success, failure))
            }
        }
    )*};
}

atomics! {
    AtomicBool, bool;
    AtomicU8, u8;
    AtomicU16, u16;
    AtomicU32, u32;
    AtomicU64, u64;
    AtomicUsize, usize;
    AtomicPtr<T>, *mut T;
}

macro_rules! arithmetic {
    ($($name:ident, $value:ty;)*) => {$(
        impl $name {
            #[track_caller]
            pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                step(|| self.0.fetch_add(value, order))
            }
            #[track_caller]
            pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                step(|| self.0.fetch_sub(value, order))
            }
            #[track_caller]
            pub(crate) fn fetch_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                step(|| self.0.fetch_update(set_order, fetch_order, f))
            }
            #[track_caller]
            pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                step(|| self.0.fetch_or(value, order))
            }
            #[track_caller]
            pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                step(|| self.0.fetch_and(value, order))
            }
        }
    )*};
}

arithmetic! {
    AtomicU32, u32;
    AtomicU64, u64;
    AtomicUsize, usize;
}

impl Default for AtomicU64 {
    fn default() -> Self {
        Self::new(0)
    }
}
