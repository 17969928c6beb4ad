//! [`unblock`]: the pool as users meet it.

use super::unblock::unblock_on;
use crate::greenlet::current;

/// Runs `f`, which may block its OS thread, on the runtime's blocking pool, and gives what it returns. Only the calling
/// greenlet waits; its hub goes on with others.
///
/// For whatever blocks and is not this crate's: files, other libraries' calls, locks held by foreign threads. A panic
/// in `f` goes on in the caller. A kill or a timeout of the caller abandons the job: unrun if it has not begun, else its
/// result is dropped when it ends. On a plain OS thread, which may block, `f` simply runs.
///
/// ```
/// let text = greenhub::run(|| greenhub::unblock(|| std::fs::read_to_string("Cargo.toml"))).unwrap();
/// assert!(text.contains("greenhub"));
/// ```
///
/// # Panics
///
/// If `f` panics; if no thread can be started for `f`; and in a greenlet that outlives the time its runtime's shutdown was
/// given. While a shutdown waits for greenlets their destructors may call this as ever.
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let runtime = match (current::greenlet(), current::hub()) {
        (Some(_), Some(hub)) => hub.runtime().clone(),
        _ => {
            current::check_may_block();
            return f();
        }
    };
    unblock_on(&runtime.blocking, f)
}
