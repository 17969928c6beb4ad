//! greenhub: green threads on all cores.
#![cfg_attr(greenhub_loom, allow(dead_code, unused_imports))]

mod facade;
#[cfg(not(greenhub_loom))]
pub mod net;
mod reactor;
mod wait;
