//! Green threads on all cores: plain blocking code, in greenlets, on one event loop per OS thread.
//!
//! A *greenlet* is a function with a stack of its own that gives way when it has to wait. You write straight-line code
//! (`read`, `write_all`, `sleep`, `lock`, `join`) and run a hundred thousand of it at once; nothing is `async`, and any
//! function may block at any depth. A *hub* is an OS thread with its own event loop, timers and queues, one a core.
//! Greenlets that have not started are taken over by idle hubs, so the work spreads by itself.
//!
//! ```
//! use greenhub::{channel, sync::Mutex};
//! use std::sync::Arc;
//!
//! let total = Arc::new(Mutex::new(0));
//! let (send, receive) = channel::bounded(16);
//! greenhub::run({
//!     let total = total.clone();
//!     move || {
//!         for worker in 0..4 {
//!             let (receive, total) = (receive.clone(), total.clone());
//!             drop(greenhub::Builder::new().name(format!("worker {worker}")).spawn(move || {
//!                 receive.iter().for_each(|n: u64| *total.lock() += n);
//!             }));
//!         }
//!         (1..=100).for_each(|n| send.send(n).unwrap());
//!     }
//! });
//! ```
//!
//! The crate root mirrors `std::thread`, so `use greenhub as thread;` ports threaded code; [`net`], [`sync`] and
//! [`channel`] mirror std, parking_lot and crossbeam-channel. All of it works from greenlets on any hub *and* from
//! plain OS threads.
//!
//! # What you must know first
//!
//! By default a greenlet starts on any hub and then stays there for life, so `Send` and `Sync` mean what they always
//! mean and no `unsafe` is asked of you. One assumption of ordinary code does not hold, as with every coroutine that
//! shares an OS thread with others: **that calls on one thread nest.** Code that runs inside a `thread_local!`
//! initialiser, inside a scoped thread-local's block, or inside a global allocator must not suspend, because another
//! greenlet of the same hub may enter the same place meanwhile. Wrap such code in [`no_switch`], which panics on a
//! suspension inside.
//!
//! And as everywhere: what blocks the OS thread (`std::thread::sleep`, a contended `std::sync::Mutex`, `std::net`)
//! stops the whole hub. Use this crate's forms, or [`unblock`]. The runtime reports a hub that is stuck.
//!
//! The [`guide`] goes on from here.
#![cfg_attr(greenhub_loom, allow(dead_code, unused_imports))]

mod blocking;
mod cache_padded;
pub mod cell;
pub mod channel;
#[cfg(not(greenhub_loom))]
pub mod explore;
#[cfg(greenhub_loom)]
#[path = "model/explorations.rs"]
mod explore;
mod facade;
mod greenlet;
#[cfg(not(greenhub_loom))]
pub mod guide;
#[cfg(not(greenhub_loom))]
mod hub;
mod ids;
#[cfg(greenhub_loom)]
mod model;
mod monitor;
#[cfg(not(greenhub_loom))]
pub mod net;
mod reactor;
#[cfg(not(greenhub_loom))]
pub mod runtime;
#[cfg(not(greenhub_loom))]
mod sanitize;
#[cfg(greenhub_loom)]
#[path = "sanitize/disabled.rs"]
mod sanitize;
#[cfg(greenhub_schedule)]
mod schedule;
#[cfg(not(greenhub_loom))]
mod stack;
pub mod sync;
#[cfg(all(test, not(greenhub_loom)))]
mod testing;
pub mod time;
mod timer;
mod wait;

/// In a model each greenlet has a hub of its own; what hubs share are their protocols.
#[cfg(greenhub_loom)]
mod hub {
    #[cfg(test)]
    mod deque;
    pub(crate) mod idle;
    pub(crate) mod inbox;
    #[path = "../model/mailbox.rs"]
    pub(crate) mod mailbox;
    pub(crate) mod metrics;
    #[path = "../model/hub.rs"]
    mod modelled;
    pub(crate) mod offer;
    pub(crate) mod policy;
    pub(crate) mod queue;
    pub(crate) use modelled::*;
}

/// In a model there is no runtime beside the model.
#[cfg(greenhub_loom)]
mod runtime {
    #[path = "../model/fork.rs"]
    pub(crate) mod fork;
    pub(crate) mod gate;
    #[path = "../model/runtime.rs"]
    mod modelled;
    pub use modelled::run;
    pub(crate) use modelled::{Shared, default_runtime, try_default_runtime};
}

/// In a model greenlets have their stacks from their seats; a builder may still ask for a size.
#[cfg(greenhub_loom)]
mod stack {
    mod size;
    pub(crate) use size::StackSize;

    fn page_size() -> usize {
        4096
    }
}

#[cfg(not(greenhub_loom))]
pub use crate::blocking::unblock;
#[cfg(not(greenhub_loom))]
pub use crate::explore::explore;
pub use crate::greenlet::block_on::block_on;
pub use crate::greenlet::builder::Builder;
pub use crate::greenlet::handle::{Greenlet, GreenletId, current};
pub use crate::greenlet::join::{JoinHandle, join_all};
pub use crate::greenlet::join_error::JoinError;
pub use crate::greenlet::kill::kill_all;
pub use crate::greenlet::link::LinkId;
pub use crate::greenlet::local::LocalKey;
pub use crate::greenlet::on_error::on_error;
pub use crate::greenlet::park::{park, park_timeout, yield_now};
pub use crate::greenlet::scope::{Scope, ScopedJoinHandle, scope};
pub use crate::greenlet::spawn::{spawn, spawn_later, spawn_local};
pub use crate::greenlet::timeout::{no_switch, shield, timeout};
pub use crate::greenlet::unwind::{catch_unwind, panicking, resume_unwind};
#[cfg(greenhub_loom)]
pub use crate::model::model;
pub use crate::runtime::run;
pub use crate::time::{sleep, sleep_until};
pub use std::thread::available_parallelism;

/// For code that is compiled inside the crate and outside of it.
#[cfg(all(test, greenhub_loom))]
extern crate self as greenhub;
