//! SIGUSR1 as a descriptor: the handler writes one byte into a socket pair, which the monitor polls.

use signal_hook::SigId;
use signal_hook::consts::SIGUSR1;
use signal_hook::low_level::{pipe, unregister};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// Receives SIGUSR1 until it is dropped, beside whoever else does.
pub(super) struct Signals {
    bytes: UnixStream,
    id: SigId,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        let (bytes, handlers_end) = UnixStream::pair()?;
        bytes.set_nonblocking(true)?;
        let id = pipe::register(SIGUSR1, handlers_end)?;
        Ok(Self { bytes, id })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.bytes.as_raw_fd()
    }

    /// Whether a signal has come since the last call.
    pub(super) fn came(&mut self) -> bool {
        let mut came = false;
        let mut buffer = [0; 64];
        loop {
            match self.bytes.read(&mut buffer) {
                Ok(0) => return came,
                Ok(_) => came = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // `WouldBlock`: nothing more. A pair that is ours alone has no other errors.
                Err(_) => return came,
            }
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        unregister(self.id);
    }
}
