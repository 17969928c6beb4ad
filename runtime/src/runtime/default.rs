//! The default runtime: started by its first use, and there until the process ends.

use super::{Builder, Runtime, Shared, fork};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

/// Never freed: a child process, which needs one of its own, leaves its parent's where it is.
static DEFAULT: AtomicPtr<Runtime> = AtomicPtr::new(std::ptr::null_mut());

/// The process in which a thread is starting the default runtime; 0 if none is. No lock: a start takes milliseconds, which
/// no fork should wait for, and in a child nobody goes on with its parent's.
static STARTING: AtomicU32 = AtomicU32::new(0);

/// How often a thread looks whether another has started it.
const LOOK_EVERY: Duration = Duration::from_micros(50);

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
    let _one_at_a_time = Starting::begin();
    if let Some(shared) = started() {
        return Ok(shared);
    }
    let runtime = Box::leak(Box::new(Builder::new().build()?));
    // Release: the runtime is made; pairs with the Acquire in `started`.
    DEFAULT.store(runtime, Ordering::Release);
    Ok(&runtime.shared)
}

/// The right to start it, which one thread of this process has.
struct Starting;

impl Starting {
    fn begin() -> Self {
        let mine = std::process::id();
        loop {
            let taken = STARTING.load(Ordering::Relaxed);
            // Acquire: what the one before did is visible; pairs with the Release in `drop`.
            if taken != mine
                && STARTING.compare_exchange(taken, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return Self;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        STARTING.store(0, Ordering::Release);
    }
}

/// The default runtime, if it has been started in this process.
pub(crate) fn started() -> Option<&'static Arc<Shared>> {
    // SAFETY: only leaked boxes are ever stored.
    let runtime = unsafe { DEFAULT.load(Ordering::Acquire).as_ref() }?;
    (runtime.shared.generation == fork::generation()).then_some(&runtime.shared)
}
