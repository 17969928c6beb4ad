//! What is checked: each scenario on one to three hubs, in every mode, in as many schedules as there is time for.
//!
//! In all of them: a deadlock, a hub that sleeps over work, a greenlet that runs twice, a debug assertion, a runtime
//! that does not shut down within 20 s of its clock, and greenlets, stacks, timers or registrations left afterwards
//! are failures.

mod blocked;
mod joining;
mod killing;
mod objects;
mod outside;
mod shutting;
mod spawning;
mod waking;
mod world;
