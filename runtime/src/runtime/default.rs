//! The default runtime: started by its first use, and there until the process ends.

use super::{Builder, Runtime, Shared, fork};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Never freed: a child process, which needs one of its own, leaves its parent's where it is.
static DEFAULT: AtomicPtr<Runtime> = AtomicPtr::new(std::ptr::null_mut());
static STARTING: Mutex<()> = Mutex::new(());

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
    if let Some(shared) = started() {
        return Ok(shared);
    }
    let _one_at_a_time = STARTING.lock();
    if let Some(shared) = started() {
        return Ok(shared);
    }
    let runtime = Box::leak(Box::new(Builder::new().build()?));
    // Release: the runtime is made; pairs with the Acquire in `started`.
    DEFAULT.store(runtime, Ordering::Release);
    Ok(&runtime.shared)
}

/// The default runtime, if it has been started in this process.
pub(crate) fn started() -> Option<&'static Arc<Shared>> {
    // SAFETY: only leaked boxes are ever stored.
    let runtime = unsafe { DEFAULT.load(Ordering::Acquire).as_ref() }?;
    (runtime.shared.generation == fork::generation()).then_some(&runtime.shared)
}
