//! greenhub: green threads on all cores.
#![cfg_attr(greenhub_loom, allow(dead_code, unused_imports))]

mod blocking;
mod facade;
mod timer;
mod wait;
