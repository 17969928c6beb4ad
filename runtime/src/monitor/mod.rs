//! The monitor.

use crate::runtime::Shared;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What the monitor reports, and when.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) blocked_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { blocked_after: Duration::from_millis(100) }
    }
}

/// One runtime's monitor.
pub(crate) struct Monitor {}

impl Monitor {
    pub(crate) fn new(_settings: Settings, _hubs: usize) -> Self {
        Self {}
    }
    pub(crate) fn start(&self, _shared: &Arc<Shared>) -> io::Result<()> {
        Ok(())
    }
    pub(crate) fn stop(&self) {}
    pub(crate) fn hub_sleeps(&self) {}
    pub(crate) fn hub_wakes(&self) {}
}

/// Lists every greenlet of the current (or default) runtime.
#[must_use]
pub fn dump() -> String {
    String::new()
}
