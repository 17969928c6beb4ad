//! [`UdpSocket`].

use super::resolve::{self, ToSocketAddrs};
use super::socket::Socket;
use super::transfer;
use crate::reactor::Direction;
use socket2::SockAddr;
use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;

/// A UDP socket: [`std::net::UdpSocket`] for greenlets.
///
/// # Examples
///
/// ```
/// use greenhub::net::UdpSocket;
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"ping", server.local_addr()?)?;
/// let mut buffer = [0; 16];
/// let (length, from) = server.recv_from(&mut buffer)?;
/// assert_eq!((&buffer[..length], from), (&b"ping"[..], client.local_addr()?));
/// # std::io::Result::Ok(())
/// ```
pub struct UdpSocket(Socket<net::UdpSocket>);

impl UdpSocket {
    /// Binds a socket to the first of these addresses that can be bound.
    ///
    /// # Errors
    ///
    /// Those of looking up a name, and of the last address tried.
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        net::UdpSocket::bind(&resolve::all(address)?[..]).map(|socket| Self(Socket::new(socket)))
    }

    /// Sets the peer of [`send`](Self::send) and [`recv`](Self::recv): the first of these addresses that is accepted.
    ///
    /// # Errors
    ///
    /// Those of looking up a name, and of the last address tried.
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> io::Result<()> {
        self.0.inner().connect(&resolve::all(address)?[..])
    }

    /// Waits for a datagram, and gives its length and sender. What does not fit into the buffer is lost.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when time is up, and those of the system call.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let call = |fd: BorrowedFd<'_>| with_sender(transfer::recv_from(fd, buffer)?);
        self.0.receive(&"UdpSocket::recv_from", call, || Err(no_sender()))
    }

    /// Like [`recv_from`](Self::recv_from), and leaves the datagram there.
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from).
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let call = |fd: BorrowedFd<'_>| with_sender(transfer::peek_from(fd, buffer)?);
        self.0.receive(&"UdpSocket::peek_from", call, || Err(no_sender()))
    }

    /// Sends a datagram to the first of these addresses.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when there is no address, and those of the system call.
    pub fn send_to<A: ToSocketAddrs>(&self, buffer: &[u8], address: A) -> io::Result<usize> {
        let Some(to) = address.to_socket_addrs()?.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"));
        };
        let to = SockAddr::from(to);
        self.0.io(Direction::Write, &"UdpSocket::send_to", |fd| transfer::send_to(fd, buffer, &to))
    }

    /// Waits for a datagram from the peer set with [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// Those of [`recv_from`](Self::recv_from); also an answer that says the peer's port is closed.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(&"UdpSocket::recv", |fd| transfer::recv(fd, buffer), || Ok(0))
    }

    /// Like [`recv`](Self::recv), and leaves the datagram there.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(&"UdpSocket::peek", |fd| transfer::peek(fd, buffer), || Ok(0))
    }

    /// Sends a datagram to the peer set with [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// Those of the system call.
    pub fn send(&self, buffer: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, &"UdpSocket::send", |fd| transfer::send(fd, buffer))
    }

    /// A second handle to the same socket.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone(net::UdpSocket::try_clone)?))
    }

    waiting_options!();

    delegated! {
        /// The address of the peer set with [`connect`](Self::connect).
        fn peer_addr(&self) -> io::Result<SocketAddr>;
        /// The address this socket is bound to.
        fn local_addr(&self) -> io::Result<SocketAddr>;
        /// Whether datagrams may be sent to a broadcast address.
        fn set_broadcast(&self, broadcast: bool) -> io::Result<()>;
        /// Whether datagrams may be sent to a broadcast address.
        fn broadcast(&self) -> io::Result<bool>;
        /// Whether IPv4 multicast datagrams come back to this host.
        fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()>;
        /// Whether IPv4 multicast datagrams come back to this host.
        fn multicast_loop_v4(&self) -> io::Result<bool>;
        /// Sets the time-to-live of IPv4 multicast datagrams.
        fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()>;
        /// The time-to-live of IPv4 multicast datagrams.
        fn multicast_ttl_v4(&self) -> io::Result<u32>;
        /// Whether IPv6 multicast datagrams come back to this host.
        fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()>;
        /// Whether IPv6 multicast datagrams come back to this host.
        fn multicast_loop_v6(&self) -> io::Result<bool>;
        /// Sets the time-to-live of the packets sent.
        fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        /// The time-to-live of the packets sent.
        fn ttl(&self) -> io::Result<u32>;
        /// Joins an IPv4 multicast group on the interface with this address.
        fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()>;
        /// Leaves an IPv4 multicast group.
        fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()>;
        /// Joins an IPv6 multicast group on the interface with this index.
        fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()>;
        /// Leaves an IPv6 multicast group.
        fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()>;
    }

    adopt_as_it_is!(net::UdpSocket);
}

conversions!(UdpSocket, net::UdpSocket);

fn with_sender((length, sender): (usize, SockAddr)) -> io::Result<(usize, SocketAddr)> {
    Ok((length, sender.as_socket().ok_or_else(no_sender)?))
}

fn no_sender() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the sender has no internet address")
}
