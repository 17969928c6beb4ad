//! [`TcpListener`].

use super::accept::Acceptor;
use super::resolve::{self, ToSocketAddrs};
use super::tcp_stream::TcpStream;
use std::io;
use std::iter::FusedIterator;
use std::net::{self, SocketAddr};

/// A TCP socket that accepts connections: [`std::net::TcpListener`] for greenlets.
///
/// Any number of greenlets may accept from the same listener, on any hubs.
///
/// # Examples
///
/// ```
/// use greenhub::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let (_stream, peer) = listener.accept()?;
/// assert_eq!(peer, client.local_addr()?);
/// # std::io::Result::Ok(())
/// ```
pub struct TcpListener(Acceptor<net::TcpListener>);

impl TcpListener {
    /// Listens on the first of these addresses that can be bound. Port 0 lets the system choose; see
    /// [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    ///
    /// Those of looking up a name, and of the last address tried.
    pub fn bind<A: ToSocketAddrs>(address: A) -> io::Result<Self> {
        let listener = net::TcpListener::bind(&resolve::all(address)?[..])?;
        Ok(Self(Acceptor::new(listener)?))
    }

    /// Waits for the next connection, and gives it with the peer's address.
    ///
    /// Out of file descriptors or memory it waits and tries again, after saying so once on standard error.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) after `set_nonblocking(true)`, and what is wrong with the listener
    /// itself.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let place = || match self.local_addr() {
            Ok(address) => address.to_string(),
            Err(error) => format!("an unknown address ({error})"),
        };
        let (stream, peer) = self.0.accept(&"TcpListener::accept", place, net::TcpListener::accept)?;
        Ok((TcpStream(self.0.accepted(stream)), peer))
    }

    /// The connections as they come, without end.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenhub::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let _client = TcpStream::connect(listener.local_addr()?)?;
    /// for stream in listener.incoming() {
    ///     println!("{:?}", stream?);
    ///     # break;
    /// }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The same, owning the listener.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
    }

    /// A second handle to the same socket.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone(net::TcpListener::try_clone)?))
    }

    /// Whether [`accept`](Self::accept) returns [`WouldBlock`](io::ErrorKind::WouldBlock) instead of waiting; for all
    /// handles to this socket.
    ///
    /// # Errors
    ///
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.socket.note_nonblocking(nonblocking);
        Ok(())
    }

    delegated! {
        /// The address this socket listens on.
        fn local_addr(&self) -> io::Result<SocketAddr>;
        /// Sets the time-to-live of the packets sent.
        fn set_ttl(&self, ttl: u32) -> io::Result<()>;
        /// The time-to-live of the packets sent.
        fn ttl(&self) -> io::Result<u32>;
        /// Takes the error that is due on the socket, if any; the next call will not report it again.
        fn take_error(&self) -> io::Result<Option<io::Error>>;
    }

    fn adopt(listener: net::TcpListener) -> Self {
        Self(Acceptor::adopt(listener))
    }

    fn release(self) -> net::TcpListener {
        self.0.release()
    }
}

conversions!(TcpListener, net::TcpListener);

/// The connections of a borrowed [`TcpListener`], see [`incoming`](TcpListener::incoming).
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _peer)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

/// The connections of an owned [`TcpListener`], see [`into_incoming`](TcpListener::into_incoming).
#[derive(Debug)]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _peer)| stream))
    }
}

impl FusedIterator for IntoIncoming {}
