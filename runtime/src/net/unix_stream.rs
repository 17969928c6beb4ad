//! [`UnixStream`].

use super::socket::Socket;
use super::{connect, transfer, unix_address};
use crate::reactor::Direction;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

/// A local stream connection: [`std::os::unix::net::UnixStream`] for greenlets.
///
/// # Examples
///
/// ```
/// use greenhub::net::UnixStream;
/// use std::io::{Read, Write};
///
/// let (mut one, mut other) = UnixStream::pair()?;
/// one.write_all(b"ping")?;
/// let mut buffer = [0; 4];
/// other.read_exact(&mut buffer)?;
/// assert_eq!(&buffer, b"ping");
/// # std::io::Result::Ok(())
/// ```
pub struct UnixStream(pub(super) Socket<net::UnixStream>);

impl UnixStream {
    /// Connects to the listener at a path. Waits while its queue of connections is full.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        connect::unix(&unix_address::from_path(path.as_ref())?).map(Self)
    }

    /// Connects to the listener at an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn connect_addr(address: &SocketAddr) -> io::Result<Self> {
        connect::unix(&unix_address::from_std(address)?).map(Self)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((Self(Socket::new(one)), Self(Socket::new(other))))
    }

    /// Closes one direction or both, for all handles to this connection. Whoever waits in a read or write of a closed
    /// direction is woken.
    ///
    /// # Errors
    ///
    /// Those of the system call.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// A second handle to the same connection.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone(net::UnixStream::try_clone)?))
    }

    waiting_options!();

    delegated! {
        /// The address at this end.
        fn local_addr(&self) -> io::Result<SocketAddr>;
        /// The address at the other end.
        fn peer_addr(&self) -> io::Result<SocketAddr>;
    }

    fn do_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, &"UnixStream::read", |fd| transfer::recv(fd, buffer))
    }

    fn do_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.io(Direction::Read, &"UnixStream::read", |fd| transfer::recv_vectored(fd, buffers))
    }

    fn do_write(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, &"UnixStream::write", |fd| transfer::send(fd, buffer))
    }

    fn do_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.io(Direction::Write, &"UnixStream::write", |fd| transfer::send_vectored(fd, buffers))
    }

    adopt_as_it_is!(net::UnixStream);
}

conversions!(UnixStream, net::UnixStream);
stream_io!(UnixStream);
