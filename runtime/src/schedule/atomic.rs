//! Atomics whose every operation is a step of the schedule.
//!
//! They are std's inside, always `SeqCst`, since one thread runs at a time; what the orderings asked for allow is shown
//! by the [store buffer](super::buffer).

use super::world;
use std::ptr;
pub(crate) use std::sync::atomic::Ordering;

/// Lets the calling thread's stores be seen.
pub(super) fn drain() {
    if let Some(buffer) = world::buffer() {
        buffer.drain();
    }
}

/// As std's.
#[track_caller]
pub(crate) fn fence(order: Ordering) {
    if order == Ordering::SeqCst {
        world::step();
        drain();
    }
}

/// The side of a lopsided fence that is passed often: only the compiler is held back.
#[track_caller]
pub(crate) fn light_fence() {
    world::step();
}

/// The side that pays: every thread's stores come to be seen.
#[track_caller]
pub(crate) fn heavy_fence() {
    world::step();
    world::drain_all();
}

/// Memory that held an atomic becomes something else: no store to it may be on its way.
fn forget() {
    world::drain_all();
}

macro_rules! atomic {
    ($name:ident $(<$param:ident>)?, $inner:ty, $value:ty, $to:expr, $from:expr) => {
        /// As std's.
        #[repr(transparent)]
        pub(crate) struct $name $(<$param>)? ($inner);

        #[allow(dead_code)] // not every type is used for everything
        impl $(<$param>)? $name $(<$param>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(<$inner>::new(value))
            }
            fn address(&self) -> usize {
                ptr::from_ref(self).expose_provenance()
            }
            fn write(address: usize, value: u64) {
                let inner = ptr::with_exposed_provenance::<$inner>(address);
                let from: fn(u64) -> $value = $from;
                // SAFETY: the address is that of an atomic of this type, and it is alive: `forget` lets no store be
                // made to one that is dropped.
                unsafe { &*inner }.store(from(value), Ordering::SeqCst);
            }
            #[track_caller]
            pub(crate) fn load(&self, _: Ordering) -> $value {
                world::step();
                let kept = world::buffer().and_then(|buffer| buffer.seen(self.address()));
                let from: fn(u64) -> $value = $from;
                kept.map_or_else(|| self.0.load(Ordering::SeqCst), from)
            }
            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                world::step();
                let to: fn($value) -> u64 = $to;
                match world::buffer() {
                    Some(buffer) if order != Ordering::SeqCst => {
                        buffer.store(self.address(), to(value), Self::write);
                    }
                    _ => {
                        drain();
                        self.0.store(value, Ordering::SeqCst);
                    }
                }
            }
            #[track_caller]
            pub(crate) fn swap(&self, value: $value, _: Ordering) -> $value {
                self.whole().swap(value, Ordering::SeqCst)
            }
            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                _: Ordering,
                _: Ordering,
            ) -> Result<$value, $value> {
                self.whole().compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
            }
            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                _: Ordering,
                _: Ordering,
            ) -> Result<$value, $value> {
                self.whole().compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
            }
            /// The atomic for one read-modify-write.
            #[track_caller]
            fn whole(&self) -> &$inner {
                world::step();
                drain();
                &self.0
            }
        }

        impl $(<$param>)? Drop for $name $(<$param>)? {
            fn drop(&mut self) {
                forget();
            }
        }

        impl $(<$param>)? std::fmt::Debug for $name $(<$param>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! arithmetic {
    ($name:ident, $value:ty; $($method:ident)*) => {
        impl $name {
            $(#[track_caller]
            #[allow(dead_code)] // as above
            pub(crate) fn $method(&self, value: $value, _: Ordering) -> $value {
                self.whole().$method(value, Ordering::SeqCst)
            })*
        }
        impl Default for $name {
            fn default() -> Self {
                Self::new(Default::default())
            }
        }
    };
}

atomic!(AtomicBool, std::sync::atomic::AtomicBool, bool, u64::from, |value| value != 0);
atomic!(AtomicU8, std::sync::atomic::AtomicU8, u8, u64::from, |value| value as u8);
atomic!(AtomicU16, std::sync::atomic::AtomicU16, u16, u64::from, |value| value as u16);
atomic!(AtomicU32, std::sync::atomic::AtomicU32, u32, u64::from, |value| value as u32);
atomic!(AtomicU64, std::sync::atomic::AtomicU64, u64, |value| value, |value| value);
atomic!(AtomicUsize, std::sync::atomic::AtomicUsize, usize, |value| value as u64, |value| value as usize);
atomic!(
    AtomicPtr<T>,
    std::sync::atomic::AtomicPtr<T>,
    *mut T,
    |value| value.expose_provenance() as u64,
    |value| ptr::with_exposed_provenance_mut(value as usize)
);

arithmetic!(AtomicBool, bool; fetch_or fetch_and);
arithmetic!(AtomicU8, u8; fetch_add fetch_sub fetch_or fetch_and);
arithmetic!(AtomicU16, u16;);
arithmetic!(AtomicU32, u32; fetch_add fetch_sub fetch_or fetch_xor fetch_and);
arithmetic!(AtomicU64, u64; fetch_add fetch_sub fetch_or fetch_and);
arithmetic!(AtomicUsize, usize; fetch_add fetch_sub fetch_or fetch_and);

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(ptr::null_mut())
    }
}
