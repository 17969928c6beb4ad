//! Ctrl-C: the first asks for the end, so that there is a summary; the second ends at once.

use crate::failed;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// The exit code of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// From now on SIGINT, SIGTERM and SIGHUP ask for the end.
pub(crate) fn on_signals() -> io::Result<()> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
    })
    .map_err(|error| failed("cannot listen for Ctrl-C", &io::Error::other(error)))
}

/// Whether the end was asked for.
pub(crate) fn asked() -> bool {
    // Relaxed: nothing else is said with it.
    ASKED.load(Ordering::Relaxed)
}
