//! greenhub: green threads on all cores.
#![cfg_attr(greenhub_loom, allow(dead_code, unused_imports))]

mod blocking;
mod facade;
mod greenlet;
mod hub;
mod monitor;
mod reactor;
mod wait;

#[cfg(not(greenhub_loom))]
mod ids;
#[cfg(not(greenhub_loom))]
pub mod net;
#[cfg(not(greenhub_loom))]
pub mod runtime;
#[cfg(not(greenhub_loom))]
mod stack;
#[cfg(not(greenhub_loom))]
pub mod time;
#[cfg(not(greenhub_loom))]
mod timer;

#[cfg(not(greenhub_loom))]
mod names {
    pub use crate::greenlet::block_on::block_on;
    pub use crate::greenlet::builder::Builder;
    pub use crate::greenlet::handle::{Greenlet, GreenletId, current};
    pub use crate::greenlet::join::{JoinError, JoinHandle, join_all};
    pub use crate::greenlet::kill::kill_all;
    pub use crate::greenlet::link::LinkId;
    pub use crate::greenlet::local::LocalKey;
    pub use crate::greenlet::on_error::on_error;
    pub use crate::greenlet::park::{park, park_timeout, yield_now};
    pub use crate::greenlet::scope::{Scope, ScopedJoinHandle, scope};
    pub use crate::greenlet::spawn::{spawn, spawn_later, spawn_local};
    pub use crate::greenlet::timeout::{no_switch, shield, timeout};
    pub use crate::greenlet::unwind::{panicking, resume_unwind};
    pub use crate::runtime::run;
    pub use crate::time::{sleep, sleep_until};
    pub use std::thread::available_parallelism;
}
#[cfg(not(greenhub_loom))]
pub use names::*;
