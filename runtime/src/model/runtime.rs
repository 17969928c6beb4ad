//! The runtime of a model: there is none. All greenlets come from the root.

use super::gate::Gate;
use crate::greenlet::header::{Kind, Life};
use crate::greenlet::spawn::{Order, spawn_with};
use crate::greenlet::unwind;
use crate::hub::mailbox::Mailbox;
use std::convert::Infallible;
use std::panic::Location;
use std::sync::Arc;

/// A runtime that greenlets are spawned into from outside: in a model nobody is outside.
pub(crate) struct Shared {
    never: Infallible,
    pub(crate) gate: Gate,
}

/// What others see of a hub.
pub(crate) struct HubShared {
    pub(crate) mailbox: &'static Mailbox,
}

impl Shared {
    pub(crate) fn check_process(&self) {
        match self.never {}
    }
    pub(crate) fn place_from_outside(&self) -> usize {
        match self.never {}
    }
    pub(crate) fn hub(&self, _index: usize) -> &HubShared {
        match self.never {}
    }
    pub(crate) fn start_later(&self, _hub: usize, _life: Life, _at: u64) {
        match self.never {}
    }
    pub(crate) fn announce(&self, _hub: usize) {
        match self.never {}
    }
}

/// # Panics
///
/// Always: it is called outside of a model.
pub(crate) fn default_runtime() -> &'static Arc<Shared> {
    panic!("with `--cfg greenhub_loom` greenlets run inside `greenhub::model` only")
}

/// As [`default_runtime`].
pub(crate) fn try_default_runtime() -> std::io::Result<&'static Arc<Shared>> {
    Ok(default_runtime())
}

/// In a greenlet, `run` is spawn and join.
///
/// # Panics
///
/// If `f` panics, or is killed.
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    crate::greenlet::scope::check_may_wait();
    // SAFETY: whatever `f` and `T` borrow outlives this call, and this call outlives the greenlet: `join_to_the_end` does
    // not return or unwind before it is done (invariant 9).
    let handle = unsafe { spawn_with(Order::new(Kind::Free, Location::caller()), f) };
    match handle.join_to_the_end() {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(payload) => unwind::resume_unwind(payload),
            Err(error) => panic!("greenhub::run: {error}"),
        },
    }
}
