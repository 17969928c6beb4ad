//! [`TcpStream`].

use super::connect;
use super::resolve::{self, ToSocketAddrs};
use super::socket::Socket;
use super::transfer;
use crate::reactor::Direction;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{self, Shutdown, SocketAddr};
use std::time::Duration;

/// A TCP connection: [`std::net::TcpStream`] for greenlets.
///
/// One greenlet may read while another writes, both through `&TcpStream`. [`shutdown`](Self::shutdown) wakes whoever
/// waits.
///
/// # Examples
///
/// ```
/// use greenhub::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let (mut server, _) = listener.accept()?;
/// client.write_all(b"ping")?;
/// let mut buffer = [0; 4];
/// server.read_exact(&mut buffer)?;
/// assert_eq!(&buffer, b"ping");
/// # std::io::Result::Ok(())
/// ```
pub struct TcpStream(pub(super) Socket<net::TcpStream>);

impl TcpStream {
    /// Connects to the first of these addresses that answers.
    ///
    /// # Errors
    ///
    /// Those of looking up a name, and of the last address tried.
    pub fn connect<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        resolve::each(address, |address| connect::tcp(address, None)).map(Self)
    }

    /// Connects to one address within a time limit.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the limit has passed, [`InvalidInput`](io::ErrorKind::InvalidInput)
    /// for a limit of zero.
    pub fn connect_timeout(address: &SocketAddr, timeout: Duration) -> io::Result<Self> {
        if timeout.is_zero() {
            let message = "cannot set a 0 duration timeout";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        connect::tcp(address, Some(timeout)).map(Self)
    }

    /// Closes one direction or both, for all handles to this connection. Whoever waits in a read or write of a closed
    /// direction is woken.
    ///
    /// # Errors
    ///
    /// Those of the system call: the connection may be gone already.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// A second handle to the same connection.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone(net::TcpStream::try_clone)?))
    }

    /// Waits for data like a read, and leaves it there.
    ///
    /// # Errors
    ///
    /// Those of a read.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, &"TcpStream::peek", |fd| transfer::peek(fd, buffer))
    }

    waiting_options!();

    delegated! {
        /// The address at the other end.
        fn peer_addr(&self) -> io::Result<SocketAddr>;
        /// The address at this end.
        fn local_addr(&self) -> io::Result<SocketAddr>;
        /// Whether small writes are sent at once (`TCP_NODELAY`).
        fn set_nodelay(&self, nodelay: bool) -> io::Result<()>;
        /// Whether small writes are sent at once.
        fn nodelay(&self) -> io::Result<bool>;
        /// Sets the time-to-live of the packets sent.
        fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        /// The time-to-live of the packets sent.
        fn ttl(&self) -> io::Result<u32>;
    }

    fn do_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_tcp(buffer.len().min(transfer::MOST), &"TcpStream::read", |fd| transfer::recv(fd, buffer))
    }

    fn do_read_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = transfer::wanted(buffers);
        self.0.read_tcp(wanted, &"TcpStream::read", |fd| transfer::recv_vectored(fd, buffers))
    }

    fn do_write(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, &"TcpStream::write", |fd| transfer::send(fd, buffer))
    }

    fn do_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.io(Direction::Write, &"TcpStream::write", |fd| transfer::send_vectored(fd, buffers))
    }

    adopt_as_it_is!(net::TcpStream);
}

conversions!(TcpStream, net::TcpStream);
stream_io!(TcpStream);
