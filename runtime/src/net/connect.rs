//! Connecting without blocking the hub.

use super::socket::Socket;
use crate::reactor::{Direction, Patience, caller};
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A TCP connection to this one address. A `limit` that passes is `TimedOut`, as with std's `connect_timeout`.
pub(super) fn tcp(address: &SocketAddr, limit: Option<Duration>) -> io::Result<Socket<TcpStream>> {
    let patience = limit.map_or(Patience::Unlimited, Patience::For);
    let socket = nonblocking(Domain::for_address(*address), Some(Protocol::TCP))?;
    let socket = Socket::new(TcpStream::from(OwnedFd::from(socket)));
    let address = SockAddr::from(*address);
    let mut started = false;
    let connected = socket.io_within(patience, Direction::Write, &"TcpStream::connect", |fd| {
        let fd = SockRef::from(&fd);
        if !std::mem::replace(&mut started, true) {
            return match fd.connect(&address) {
                // An interrupted attempt goes on by itself.
                Err(error) if in_progress(&error) => Err(io::ErrorKind::WouldBlock.into()),
                ended => ended,
            };
        }
        if let Some(error) = fd.take_error()? {
            return Err(error);
        }
        match fd.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            connected => connected.map(drop),
        }
    });
    match connected {
        // The kernel's own `TimedOut` passes through the arm below.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
        }
        connected => connected?,
    }
    // From here on the flag is the user's.
    socket.inner().set_nonblocking(false)?;
    Ok(socket)
}

/// A stream socket that does not block.
fn nonblocking(domain: Domain, protocol: Option<Protocol>) -> io::Result<socket2::Socket> {
    #[cfg(not(target_vendor = "apple"))]
    return socket2::Socket::new(domain, Type::STREAM.nonblocking(), protocol);
    #[cfg(target_vendor = "apple")]
    {
        let socket = socket2::Socket::new(domain, Type::STREAM, protocol)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

fn in_progress(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
}

/// Connects a local stream socket. The kernel answers at once, except when the listener's backlog is full: then a
/// blocking `connect` waits, but a non-blocking one can only try again, for there is no event to wait for. So it
/// sleeps in between, from 0.1 ms doubling to 10 ms.
pub(super) fn unix(address: &SockAddr) -> io::Result<Socket<UnixStream>> {
    let socket = nonblocking(Domain::UNIX, None)?;
    let mut pause = Duration::from_micros(100);
    loop {
        match socket.connect(address) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                caller::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
    socket.set_nonblocking(false)?;
    Ok(Socket::new(UnixStream::from(OwnedFd::from(socket))))
}
