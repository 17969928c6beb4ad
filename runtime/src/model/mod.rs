//! Models: every interleaving of a few greenlets over the very code that ships, found by loom.
//!
//! * [`model`]: of users' programs. Greenlets, locks, channels, joins and kills are the shipping source; in place of
//!   hubs, switch and reactor each greenlet has a loom thread ([`seat`], `hub`, `switch`), so that loom decides who goes
//!   on.
//! * `explore`: of single protocols, in tests named `model_*` beside their modules, on bare loom threads.
//! * [`check`]: how either is run, and how it ends. [`trace`]: what a failure reports.

pub(crate) mod check;
#[cfg(test)]
mod explore;
pub(crate) mod seat;
pub(crate) mod trace;
mod user;
#[cfg(test)]
mod user_models;

#[cfg(test)]
pub(crate) use explore::{explore, explore_within};
pub use user::model;
