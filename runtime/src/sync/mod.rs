//! Locks, semaphores and events for greenlets and OS threads alike.
//!
//! What `std::sync` has is here in `parking_lot`'s shape, what gevent adds to it under gevent's name. Every item may be
//! used from greenlets on any hub and from plain OS threads at the same time; waiting parks the greenlet (or the
//! thread), never the hub. There is no poisoning: a panic unlocks and the data is as the panic left it.
//!
//! | item | what waits |
//! |---|---|
//! | [`Mutex`], [`ReentrantMutex`] | for the one lock |
//! | [`RwLock`] | readers for the writer, a writer for everybody |
//! | [`Condvar`] | with a mutex let go, until notified |
//! | [`Semaphore`] | for permits |
//! | [`Event`] | until set |
//! | [`Barrier`] | until all have come |
//! | [`WaitGroup`] | until all have gone |
//!
//! Every wait is a suspension point: a kill or an enclosing timeout ends it by unwinding, and whoever unwinds has
//! taken nothing. What was handed over before the kill came is kept, and the kill waits for the next suspension point.

pub mod atomic;
mod barrier;
mod condvar;
mod event;
mod mutex;
mod raw_mutex;
mod raw_rwlock;
mod reentrant_mutex;
mod rwlock;
mod semaphore;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{MappedMutexGuard, Mutex, MutexGuard};
pub use raw_mutex::RawMutex;
pub use raw_rwlock::RawRwLock;
pub use reentrant_mutex::{
    CurrentId, MappedReentrantMutexGuard, RawReentrantMutex, ReentrantMutex, ReentrantMutexGuard,
};
pub use rwlock::{MappedRwLockReadGuard, MappedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use wait_group::WaitGroup;

#[cfg(all(test, not(greenhub_loom)))]
mod kill_tests;
#[cfg(all(test, greenhub_loom))]
mod model;
#[cfg(all(test, not(greenhub_loom)))]
mod random_tests;
