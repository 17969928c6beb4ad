//! greenhub: green threads on all cores.
#![cfg_attr(greenhub_loom, allow(dead_code, unused_imports))]

mod blocking;
mod facade;
mod greenlet;
mod hub;
mod ids;
mod monitor;
mod reactor;
pub mod runtime;
#[cfg(not(greenhub_loom))]
mod stack;
pub mod time;
mod timer;
mod wait;

pub use greenlet::block_on::block_on;
pub use greenlet::builder::Builder;
pub use greenlet::handle::{Greenlet, GreenletId, current};
pub use greenlet::join::{JoinError, JoinHandle, join_all};
pub use greenlet::kill::kill_all;
pub use greenlet::link::LinkId;
pub use greenlet::local::LocalKey;
pub use greenlet::on_error::on_error;
pub use greenlet::park::{park, park_timeout, yield_now};
pub use greenlet::scope::{Scope, ScopedJoinHandle, scope};
pub use greenlet::spawn::{spawn, spawn_later, spawn_local};
pub use greenlet::timeout::{no_switch, shield, timeout};
pub use greenlet::unwind::{panicking, resume_unwind};
pub use runtime::run;
pub use std::thread::available_parallelism;
pub use time::{sleep, sleep_until};
