//! The wait of a plain OS thread for a descriptor: poll(2).

use super::caller;
use super::source::{Awaited, Direction};
use crate::facade::instant_now;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Blocks the calling thread until `fd` is ready in `direction` or the deadline has passed. A deadline from an
/// enclosing timeout ends it as [`Awaited::Interrupted`].
pub(super) fn wait(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
) -> io::Result<Awaited> {
    let events = match direction {
        Direction::Read => libc::POLLIN,
        Direction::Write => libc::POLLOUT,
    };
    if deadline.is_none_or(|deadline| deadline > instant_now()) {
        caller::check_may_block();
    }
    let until = caller::effective_deadline(deadline);
    loop {
        let remaining = until.map(|until| until.saturating_duration_since(instant_now()));
        let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
        match ppoll(&mut polled, remaining) {
            Ok(true) => return Ok(Awaited::Woken),
            Ok(false) if deadline.is_some_and(|deadline| instant_now() >= deadline) => {
                return Ok(Awaited::TimedOut);
            }
            Ok(false) if until.is_some_and(|until| instant_now() >= until) => {
                return Ok(Awaited::Interrupted);
            }
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a call in `direction` would find something, without waiting.
pub(crate) fn is_ready_now(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<bool> {
    Ok(wait(fd, direction, Some(instant_now()))? == Awaited::Woken)
}

/// Whether nothing will come any more: the peer has finished, or this end was shut down for reading.
pub(crate) fn is_shut_for_reading(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: SHUT, revents: 0 };
    ppoll(&mut polled, Some(Duration::ZERO))?;
    Ok(polled.revents & SHUT != 0)
}

#[cfg(not(target_vendor = "apple"))]
const SHUT: libc::c_short = libc::POLLRDHUP;
/// Always told, and also where only one direction is shut.
#[cfg(target_vendor = "apple")]
const SHUT: libc::c_short = libc::POLLHUP;

/// `poll`, where there is no `ppoll`: to the millisecond, and rather later than earlier.
#[cfg(target_vendor = "apple")]
pub(super) fn ppoll(polled: &mut libc::pollfd, timeout: Option<Duration>) -> io::Result<bool> {
    let milliseconds = timeout.map_or(-1, |timeout| {
        libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
    });
    // SAFETY: `polled` is one valid pollfd for the length of the call.
    match unsafe { libc::poll(polled, 1, milliseconds) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(false),
        _ if polled.revents & libc::POLLNVAL != 0 => Err(io::Error::from_raw_os_error(libc::EBADF)),
        _ => Ok(true),
    }
}

/// `ppoll` on one descriptor: whether it is ready, or the timeout passed first.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn ppoll(polled: &mut libc::pollfd, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.map(|timeout| libc::timespec {
        // Whoever asks for more than the clock can count waits for as long as it can.
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `polled` is one valid pollfd for the length of the call, `timeout` is null or valid likewise; a null
    // signal mask leaves the thread's own in place.
    match unsafe { libc::ppoll(polled, 1, timeout, std::ptr::null()) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(false),
        _ if polled.revents & libc::POLLNVAL != 0 => Err(io::Error::from_raw_os_error(libc::EBADF)),
        _ => Ok(true),
    }
}
