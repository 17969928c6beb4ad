//! greenhub: green threads on all cores.
#![cfg_attr(greenhub_loom, allow(dead_code, unused_imports))]

pub mod channel;
mod facade;
pub mod sync;
mod wait;
