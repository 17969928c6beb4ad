//! Timers: what a hub needs to know which of its greenlets' deadlines have passed.

mod wheel;

pub(crate) use wheel::{TimerNode, Wheel};
