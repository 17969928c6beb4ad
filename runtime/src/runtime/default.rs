//! The default runtime: started by its first use, and there until the process ends.

use super::{Builder, Runtime, Shared};
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;

static DEFAULT: OnceLock<Runtime> = OnceLock::new();

/// The default runtime.
///
/// # Panics
///
/// If it cannot be started.
pub(crate) fn default_runtime() -> &'static Arc<Shared> {
    match try_default_runtime() {
        Ok(shared) => shared,
        Err(error) => panic!("greenhub: the default runtime does not start: {error}"),
    }
}

/// The default runtime, or why it cannot be started.
pub(crate) fn try_default_runtime() -> io::Result<&'static Arc<Shared>> {
    if let Some(runtime) = DEFAULT.get() {
        return Ok(&runtime.shared);
    }
    static STARTING: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _one_at_a_time = STARTING.lock();
    if DEFAULT.get().is_none() {
        let runtime = Builder::new().build()?;
        // Nobody else sets it: `STARTING` is held.
        let _set = DEFAULT.set(runtime);
    }
    Ok(&DEFAULT.get().expect("just set").shared)
}

/// The default runtime, if anything has started it.
pub(crate) fn started_default_runtime() -> Option<&'static Arc<Shared>> {
    DEFAULT.get().map(|runtime| &runtime.shared)
}
