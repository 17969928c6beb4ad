//! Atomics with a `const` constructor: std's interface over a loom atomic found at first use.
//!
//! Every loom atomic in stock begins as zero. One that was constructed with another value keeps the difference: what
//! loom sees is `value - first`, which additions and exchanges do not mind.

use super::execution::Slot;
use crate::model::check::step;
use crate::model::trace::note_of_user;
use loom::sync::atomic as l;
pub use loom::sync::atomic::Ordering;
use std::fmt;

macro_rules! integers {
    ($($name:ident, $int:ty, $stock:ident;)*) => {$(
        /// As std's; loom sees every access.
        pub struct $name {
            slot: Slot<l::$name>,
            first: $int,
        }

        #[allow(missing_docs, reason = "std's methods, under std's names")]
        impl $name {
            pub const fn new(value: $int) -> Self {
                Self { slot: Slot::new(), first: value }
            }
            fn raw(&self) -> &l::$name {
                self.slot.get(|execution| execution.$stock.take())
            }
            fn address(&self) -> *const () {
                std::ptr::from_ref(self).cast()
            }
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::load"), self.address());
                step(|| self.raw().load(order)).wrapping_add(self.first)
            }
            #[track_caller]
            pub fn store(&self, value: $int, order: Ordering) {
                note_of_user(concat!(stringify!($name), "::store"), self.address());
                step(|| self.raw().store(value.wrapping_sub(self.first), order));
            }
            #[track_caller]
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::swap"), self.address());
                step(|| self.raw().swap(value.wrapping_sub(self.first), order)).wrapping_add(self.first)
            }
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                note_of_user(concat!(stringify!($name), "::compare_exchange"), self.address());
                let (current, new) = (current.wrapping_sub(self.first), new.wrapping_sub(self.first));
                let result = step(|| self.raw().compare_exchange(current, new, success, failure));
                result.map(|value| value.wrapping_add(self.first)).map_err(|value| value.wrapping_add(self.first))
            }
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.compare_exchange(current, new, success, failure)
            }
            #[track_caller]
            pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::fetch_add"), self.address());
                step(|| self.raw().fetch_add(value, order)).wrapping_add(self.first)
            }
            #[track_caller]
            pub fn fetch_sub(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::fetch_sub"), self.address());
                step(|| self.raw().fetch_sub(value, order)).wrapping_add(self.first)
            }
            #[track_caller]
            fn replace(&self, order: Ordering, with: impl Fn($int) -> $int) -> $int {
                let mut now = step(|| self.raw().load(Ordering::Relaxed));
                loop {
                    let next = with(now.wrapping_add(self.first)).wrapping_sub(self.first);
                    match step(|| self.raw().compare_exchange(now, next, order, Ordering::Relaxed)) {
                        Ok(before) => return before.wrapping_add(self.first),
                        Err(seen) => now = seen,
                    }
                }
            }
            #[track_caller]
            pub fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::fetch_and"), self.address());
                if self.first == 0 { step(|| self.raw().fetch_and(value, order)) } else { self.replace(order, |now| now & value) }
            }
            #[track_caller]
            pub fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::fetch_or"), self.address());
                if self.first == 0 { step(|| self.raw().fetch_or(value, order)) } else { self.replace(order, |now| now | value) }
            }
            #[track_caller]
            pub fn fetch_xor(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::fetch_xor"), self.address());
                if self.first == 0 { step(|| self.raw().fetch_xor(value, order)) } else { self.replace(order, |now| now ^ value) }
            }
            #[track_caller]
            pub fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::fetch_max"), self.address());
                self.replace(order, |now| now.max(value))
            }
            #[track_caller]
            pub fn fetch_min(&self, value: $int, order: Ordering) -> $int {
                note_of_user(concat!(stringify!($name), "::fetch_min"), self.address());
                self.replace(order, |now| now.min(value))
            }
            #[track_caller]
            pub fn fetch_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: impl FnMut($int) -> Option<$int>,
            ) -> Result<$int, $int> {
                let mut now = self.load(fetch_order);
                while let Some(next) = f(now) {
                    match self.compare_exchange(now, next, set_order, fetch_order) {
                        Ok(before) => return Ok(before),
                        Err(seen) => now = seen,
                    }
                }
                Err(now)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self::new(value)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

integers! {
    AtomicU8, u8, u8s;
    AtomicU16, u16, u16s;
    AtomicU32, u32, u32s;
    AtomicU64, u64, u64s;
    AtomicUsize, usize, usizes;
    AtomicI8, i8, i8s;
    AtomicI16, i16, i16s;
    AtomicI32, i32, i32s;
    AtomicI64, i64, i64s;
    AtomicIsize, isize, isizes;
}

/// As std's; loom sees every access. What loom sees is whether the value differs from the first one.
pub struct AtomicBool {
    slot: Slot<l::AtomicBool>,
    first: bool,
}

#[allow(missing_docs, reason = "std's methods, under std's names")]
impl AtomicBool {
    pub const fn new(value: bool) -> Self {
        Self { slot: Slot::new(), first: value }
    }
    fn raw(&self) -> &l::AtomicBool {
        self.slot.get(|execution| execution.bools.take())
    }
    fn address(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }
    #[track_caller]
    pub fn load(&self, order: Ordering) -> bool {
        note_of_user("AtomicBool::load", self.address());
        step(|| self.raw().load(order)) ^ self.first
    }
    #[track_caller]
    pub fn store(&self, value: bool, order: Ordering) {
        note_of_user("AtomicBool::store", self.address());
        step(|| self.raw().store(value ^ self.first, order));
    }
    #[track_caller]
    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        note_of_user("AtomicBool::swap", self.address());
        step(|| self.raw().swap(value ^ self.first, order)) ^ self.first
    }
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: bool,
        new: bool,
        success: Ordering,
        failure: Ordering,
    ) -> Result<bool, bool> {
        note_of_user("AtomicBool::compare_exchange", self.address());
        let result =
            step(|| self.raw().compare_exchange(current ^ self.first, new ^ self.first, success, failure));
        result.map(|value| value ^ self.first).map_err(|value| value ^ self.first)
    }
    #[track_caller]
    pub fn compare_exchange_weak(
        &self,
        current: bool,
        new: bool,
        success: Ordering,
        failure: Ordering,
    ) -> Result<bool, bool> {
        self.compare_exchange(current, new, success, failure)
    }
    #[track_caller]
    pub fn fetch_and(&self, value: bool, order: Ordering) -> bool {
        self.replace(order, |now| now & value)
    }
    #[track_caller]
    pub fn fetch_or(&self, value: bool, order: Ordering) -> bool {
        self.replace(order, |now| now | value)
    }
    #[track_caller]
    pub fn fetch_xor(&self, value: bool, order: Ordering) -> bool {
        self.replace(order, |now| now ^ value)
    }
    #[track_caller]
    pub fn fetch_not(&self, order: Ordering) -> bool {
        self.replace(order, |now| !now)
    }
    #[track_caller]
    fn replace(&self, order: Ordering, with: impl Fn(bool) -> bool) -> bool {
        let mut now = self.load(Ordering::Relaxed);
        loop {
            match self.compare_exchange(now, with(now), order, Ordering::Relaxed) {
                Ok(before) => return before,
                Err(seen) => now = seen,
            }
        }
    }
}

impl Default for AtomicBool {
    fn default() -> Self {
        Self::new(false)
    }
}

impl From<bool> for AtomicBool {
    fn from(value: bool) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for AtomicBool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtomicBool")
    }
}

/// As std's; loom sees every access. What loom sees is null for the first value, and a mark for null.
pub struct AtomicPtr<T> {
    slot: Slot<l::AtomicPtr<()>>,
    first: *mut T,
}

// SAFETY: as std's: the pointer is only stored.
unsafe impl<T> Send for AtomicPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for AtomicPtr<T> {}

static NULL: u8 = 0;

#[allow(missing_docs, reason = "std's methods, under std's names")]
impl<T> AtomicPtr<T> {
    pub const fn new(value: *mut T) -> Self {
        Self { slot: Slot::new(), first: value }
    }
    fn raw(&self) -> &l::AtomicPtr<()> {
        self.slot.get(|execution| execution.pointers.take())
    }
    fn address(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }
    fn inside(&self, value: *mut T) -> *mut () {
        if value == self.first {
            std::ptr::null_mut()
        } else if value.is_null() {
            std::ptr::from_ref(&NULL).cast_mut().cast()
        } else {
            value.cast()
        }
    }
    fn outside(&self, value: *mut ()) -> *mut T {
        if value.is_null() {
            self.first
        } else if value.cast_const() == std::ptr::from_ref(&NULL).cast() {
            std::ptr::null_mut()
        } else {
            value.cast()
        }
    }
    #[track_caller]
    pub fn load(&self, order: Ordering) -> *mut T {
        note_of_user("AtomicPtr::load", self.address());
        self.outside(step(|| self.raw().load(order)))
    }
    #[track_caller]
    pub fn store(&self, value: *mut T, order: Ordering) {
        note_of_user("AtomicPtr::store", self.address());
        step(|| self.raw().store(self.inside(value), order));
    }
    #[track_caller]
    pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        note_of_user("AtomicPtr::swap", self.address());
        self.outside(step(|| self.raw().swap(self.inside(value), order)))
    }
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        note_of_user("AtomicPtr::compare_exchange", self.address());
        let result =
            step(|| self.raw().compare_exchange(self.inside(current), self.inside(new), success, failure));
        result.map(|value| self.outside(value)).map_err(|value| self.outside(value))
    }
    #[track_caller]
    pub fn compare_exchange_weak(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.compare_exchange(current, new, success, failure)
    }
}

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(std::ptr::null_mut())
    }
}

impl<T> fmt::Debug for AtomicPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtomicPtr")
    }
}

/// As std's.
#[track_caller]
pub fn fence(order: Ordering) {
    step(|| l::fence(order));
}
