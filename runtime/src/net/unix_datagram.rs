//! [`UnixDatagram`].

use super::socket::Socket;
use super::{transfer, unix_address};
use crate::reactor::{Direction, Patience, caller};
use socket2::SockAddr;
use std::io;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// A local datagram socket: [`std::os::unix::net::UnixDatagram`] for greenlets.
///
/// # Examples
///
/// ```
/// use greenhub::net::UnixDatagram;
///
/// let (one, other) = UnixDatagram::pair()?;
/// one.send(b"ping")?;
/// let mut buffer = [0; 16];
/// assert_eq!(other.recv(&mut buffer)?, 4);
/// # std::io::Result::Ok(())
/// ```
pub struct UnixDatagram(Socket<net::UnixDatagram>);

impl UnixDatagram {
    /// Binds a socket to a path, which must not exist yet.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        net::UnixDatagram::bind(path).map(|socket| Self(Socket::new(socket)))
    }

    /// Binds a socket to an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        net::UnixDatagram::bind_addr(address).map(|socket| Self(Socket::new(socket)))
    }

    /// A socket without an address.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn unbound() -> io::Result<Self> {
        net::UnixDatagram::unbound().map(|socket| Self(Socket::new(socket)))
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixDatagram::pair()?;
        Ok((Self(Socket::new(one)), Self(Socket::new(other))))
    }

    /// Sets the peer of [`send`](Self::send) and [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// Those of the system call.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.0.inner().connect(path)
    }

    /// Waits for a datagram, and gives its length and sender. What does not fit into the buffer is lost.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when time is up, and those of the system call.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let call = |fd: BorrowedFd<'_>| {
            let (length, sender) = transfer::recv_from(fd, buffer)?;
            Ok((length, unix_address::to_std(&sender)?))
        };
        let unnamed = || SocketAddr::from_pathname("");
        self.0.receive(&"UnixDatagram::recv_from", call, || Ok((0, unnamed()?)))
    }

    /// Waits for a datagram.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(&"UnixDatagram::recv", |fd| transfer::recv(fd, buffer), || Ok(0))
    }

    /// Sends a datagram to the socket at a path. Waits while its queue is full.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when time is up, and those of the system call.
    pub fn send_to<P: AsRef<Path>>(&self, buffer: &[u8], path: P) -> io::Result<usize> {
        self.send_to_address(buffer, &unix_address::from_path(path.as_ref())?)
    }

    /// Sends a datagram to the socket at an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// Those of [`send_to`](Self::send_to).
    pub fn send_to_addr(&self, buffer: &[u8], address: &SocketAddr) -> io::Result<usize> {
        self.send_to_address(buffer, &unix_address::from_std(address)?)
    }

    /// Sends a datagram to the peer set with [`connect`](Self::connect). Waits while its queue is full.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when time is up, and those of the system call.
    pub fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, &"UnixDatagram::send", |fd| transfer::send(fd, buffer))
    }

    /// Closes one direction or both, for all handles to this socket. Whoever waits in a closed direction is woken.
    ///
    /// # Errors
    ///
    /// Those of the system call.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// A second handle to the same socket.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone(net::UnixDatagram::try_clone)?))
    }

    waiting_options!();

    delegated! {
        /// Sets the peer of [`send`](Self::send) and [`recv`](Self::recv), which may be an abstract address.
        fn connect_addr(&self, address: &SocketAddr) -> io::Result<()>;
        /// The address this socket is bound to.
        fn local_addr(&self) -> io::Result<SocketAddr>;
        /// The address of the peer set with [`connect`](Self::connect).
        fn peer_addr(&self) -> io::Result<SocketAddr>;
    }

    /// The queue that is full belongs to a socket this one is not connected to. No event of ours tells when it has
    /// room (this end is writable all the time), so this sleeps in between, from 0.1 ms doubling to 10 ms.
    fn send_to_address(&self, buffer: &[u8], to: &SockAddr) -> io::Result<usize> {
        let patience = self.0.patience(Direction::Write);
        let mut deadline = None;
        let mut pause = Duration::from_micros(100);
        loop {
            let sent = self.0.io_within(Patience::None, Direction::Write, &"UnixDatagram::send_to", |fd| {
                transfer::send_to(fd, buffer, to)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match patience {
                    Patience::None => return Err(error),
                    Patience::For(limit) => {
                        let now = Instant::now();
                        let end = *deadline.get_or_insert(now.checked_add(limit));
                        match end.map(|end| end.saturating_duration_since(now)) {
                            Some(Duration::ZERO) => return Err(error),
                            Some(left) => caller::sleep(pause.min(left)),
                            None => caller::sleep(pause),
                        }
                    }
                    Patience::Unlimited => caller::sleep(pause),
                },
                sent => return sent,
            }
            pause = (pause * 2).min(Duration::from_millis(10));
        }
    }

    adopt_as_it_is!(net::UnixDatagram);
}

conversions!(UnixDatagram, net::UnixDatagram);
