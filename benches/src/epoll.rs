//! The least of epoll that a load generator and a bare server need.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// An epoll instance; level-triggered, for reading.
pub(crate) struct Epoll {
    descriptor: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// One that tells of up to so many events at a time.
    pub(crate) fn new(events: usize) -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded, and nobody else has its descriptor.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { descriptor, events: vec![libc::epoll_event { events: 0, u64: 0 }; events] })
    }

    /// Tells of `source` under that number until it is closed.
    pub(crate) fn add(&self, source: &impl AsRawFd, number: usize) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
        // SAFETY: the pointer is to one event, which the call only reads.
        let result = unsafe {
            libc::epoll_ctl(self.descriptor.as_raw_fd(), libc::EPOLL_CTL_ADD, source.as_raw_fd(), &mut event)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits, for so many milliseconds or for ever (-1), and gives the numbers of what can be read.
    pub(crate) fn wait(&mut self, milliseconds: i32) -> io::Result<impl Iterator<Item = usize> + '_> {
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        // SAFETY: the pointer is to room for that many events.
        let count = unsafe {
            libc::epoll_wait(self.descriptor.as_raw_fd(), self.events.as_mut_ptr(), room, milliseconds)
        };
        let count = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
        Ok(self.events[..count].iter().map(|event| event.u64 as usize))
    }
}
