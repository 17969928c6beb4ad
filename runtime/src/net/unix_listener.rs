//! [`UnixListener`].

use super::accept::Acceptor;
use super::unix_stream::UnixStream;
use std::io;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

/// A local stream socket that accepts connections: [`std::os::unix::net::UnixListener`] for greenlets.
///
/// # Examples
///
/// ```
/// use greenhub::net::{UnixListener, UnixStream};
///
/// # let directory = std::env::temp_dir().join(format!("greenhub-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let path = directory.join("listener");
/// let listener = UnixListener::bind(&path)?;
/// let _client = UnixStream::connect(&path)?;
/// let (_stream, _address) = listener.accept()?;
/// # std::fs::remove_dir_all(&directory)?;
/// # std::io::Result::Ok(())
/// ```
pub struct UnixListener(Acceptor<net::UnixListener>);

impl UnixListener {
    /// Listens at a path, which must not exist yet.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Ok(Self(Acceptor::new(net::UnixListener::bind(path)?)?))
    }

    /// Listens at an address, which may be an abstract one.
    ///
    /// # Errors
    ///
    /// Those of the system calls.
    pub fn bind_addr(address: &SocketAddr) -> io::Result<Self> {
        Ok(Self(Acceptor::new(net::UnixListener::bind_addr(address)?)?))
    }

    /// Waits for the next connection, and gives it with the peer's address.
    ///
    /// Out of file descriptors or memory it waits and tries again, after saying so once on standard error.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) after `set_nonblocking(true)`, and what is wrong with the listener
    /// itself.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let place = || match self.local_addr() {
            Ok(address) => format!("{address:?}"),
            Err(error) => format!("an unknown address ({error})"),
        };
        let (stream, peer) = self.0.accept(&"UnixListener::accept", place, net::UnixListener::accept)?;
        Ok((UnixStream(self.0.accepted(stream)), peer))
    }

    /// The connections as they come, without end.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// A second handle to the same socket.
    ///
    /// # Errors
    ///
    /// When there is no free file descriptor.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone(net::UnixListener::try_clone)?))
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
        /// The address this socket listens at.
        fn local_addr(&self) -> io::Result<SocketAddr>;
        /// Takes the error that is due on the socket, if any; the next call will not report it again.
        fn take_error(&self) -> io::Result<Option<io::Error>>;
    }

    fn adopt(listener: net::UnixListener) -> Self {
        Self(Acceptor::adopt(listener))
    }

    fn release(self) -> net::UnixListener {
        self.0.release()
    }
}

conversions!(UnixListener, net::UnixListener);

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}

/// The connections of a [`UnixListener`], see [`incoming`](UnixListener::incoming).
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _peer)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}
