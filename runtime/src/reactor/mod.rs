//! The reactor: what tells greenlets that a descriptor is ready.
//!
//! Each hub owns one [`Reactor`]: a `mio::Poll` (one epoll), a slab of the
//! [sources](source::Source) registered with it, and a waker. The hub polls it between greenlets and sleeps in it;
//! nobody shares an epoll, so nobody wakes a herd.
//!
//! - A net object owns a [`Registration`]. It registers with a hub's reactor, its [`home`], the first time a call on it would
//!   block, there where the caller is, and moves when its callers turn out to live elsewhere.
//! - Polling finds what became ready, looks the tokens up in the reactor's [`table`], under its lock, and notes in each source what it is and
//!   whom that wakes. Once the lock is free, they go to their queues. No user code runs in here.
//! - The `Poll` sits behind a lock ([`shared_poll`]) that is held while polling and never while a greenlet runs. So when a
//!   greenlet keeps its hub from polling, another hub or the monitor may [`try_poll`](Reactor::try_poll) in its place.
//! - [`close`](Reactor::close) ends it: everyone is woken, finds the reactor closed, and registers anew elsewhere. A
//!   socket outlives its runtime.
//!
//! Plain OS threads have no reactor; they wait in poll(2) (`thread_wait`).

#[cfg(not(greenhub_loom))]
pub(crate) mod caller;
mod home;
#[cfg(not(greenhub_loom))]
mod poller;
#[cfg(not(greenhub_loom))]
mod registration;
mod shared_poll;
mod slab;
mod source;
mod table;
#[cfg(all(test, not(greenhub_loom)))]
pub(crate) mod testing;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;
#[cfg(not(greenhub_loom))]
mod thread_wait;

#[cfg(not(greenhub_loom))]
pub(crate) use poller::Reactor;
#[cfg(not(greenhub_loom))]
pub(crate) use registration::{Patience, Registration};
pub(crate) use source::Direction;
#[cfg(not(greenhub_loom))]
pub(crate) use thread_wait::{is_ready_now, is_shut_for_reading};
