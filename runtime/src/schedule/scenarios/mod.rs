//! What is checked: each scenario on one to three hubs, in every mode, in as many schedules as there is time for.
//!
//! Failures in all of them: a deadlock; a hub that sleeps over work, or work beside a sleeping hub that nobody watches;
//! a greenlet that runs twice; a header, channel or deque buffer that is used after its end (`memory`); a debug assertion,
//! a panic, a crash; a runtime that does not shut down within 5 s of its clock; greenlets, stacks, timers or registrations
//! that are left afterwards.

mod blocked;
mod joining;
mod killing;
mod objects;
mod outside;
mod shutting;
mod spawning;
mod waking;
mod world;
