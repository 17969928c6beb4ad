//! TCP, UDP and local sockets: std's types method for method, with waits that stop only the calling greenlet.
//!
//! Code written against [`std::net`] and [`std::os::unix::net`] works after changing the import. A call that would
//! block parks its greenlet and lets the hub run others; on a plain OS thread it blocks that thread, as std's does.
//! Timeouts set with `set_read_timeout` and its kin end a call with the error kind
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock), as std's do on Linux.
//!
//! - Every type converts from and to std's, and from and to [`OwnedFd`](std::os::fd::OwnedFd).
//! - `try_clone` gives a second handle to the same socket; timeouts and `set_nonblocking` hold for all of them.
//! - After `set_nonblocking(true)` a call that would wait returns `WouldBlock` instead.
//! - A *name* in an address is looked up on the blocking pool, see [`ToSocketAddrs`].
//! - An `accept` that finds the process out of file descriptors says so on standard error, backs off and goes on;
//!   one connection that failed before it was accepted is skipped.
//!
//! # Handing descriptors to other code
//!
//! What this module relies on in a socket's own state is little: a stream or datagram socket may be in blocking or
//! non-blocking mode at any time. A listener's descriptor is in non-blocking mode while it belongs to this module
//! (a conversion to std puts it back). If code elsewhere holds a duplicate and makes it blocking again, `accept` notices
//! and looks before it calls; two acceptors may then still race for one connection, and the loser blocks its thread
//! until the next.
//!
//! # Examples
//!
//! An echo of one connection:
//!
//! ```
//! use greenhub::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let mut client = TcpStream::connect(listener.local_addr()?)?;
//! client.write_all(b"hello")?;
//!
//! let (mut served, _peer) = listener.accept()?;
//! let mut buffer = [0; 5];
//! served.read_exact(&mut buffer)?;
//! assert_eq!(&buffer, b"hello");
//! # std::io::Result::Ok(())
//! ```

#[macro_use]
mod shared_methods;
mod accept;
mod connect;
mod resolve;
mod socket;
mod tcp_listener;
mod tcp_stream;
#[cfg(test)]
mod tests;
mod transfer;
mod udp_socket;
mod unix_address;
mod unix_datagram;
mod unix_listener;
mod unix_stream;

pub use resolve::ToSocketAddrs;
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};
pub use tcp_listener::{Incoming, IntoIncoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::{Incoming as UnixIncoming, UnixListener};
pub use unix_stream::UnixStream;
