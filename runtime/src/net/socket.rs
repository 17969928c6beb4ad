//! [`Socket`]: what all the socket types are made of, a std socket tied to the reactors.
//!
//! Everything that cannot block (addresses, options, `shutdown`, `try_clone`) is std's own method on the std socket
//! inside. The calls that can block go through [`Registration`].
//!
//! Data calls carry `MSG_DONTWAIT` and never rely on `O_NONBLOCK`, which belongs to everyone who holds a duplicate of
//! the descriptor. So on a stream or datagram socket that flag stays what the user set by `set_nonblocking`, and a
//! conversion to std has nothing to put back. Listeners are the exception, see `accept`.

use crate::reactor::{Direction, Patience, Registration, is_shut_for_reading};
use crate::wait::CallName;
use socket2::SockRef;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A std socket whose blocking calls wait in the reactor.
pub(super) struct Socket<S> {
    // Above `inner`: must be dropped before the descriptor is closed.
    registration: Registration,
    options: Options,
    inner: S,
}

/// What the user set on a socket and all its clones. Unset until needed, so that an ordinary connection allocates
/// nothing for it.
#[derive(Default)]
struct Options(OnceLock<Arc<Shared>>);

/// Relaxed throughout: a setting made while another thread is about to block may be seen by that call or the next.
#[derive(Default)]
struct Shared {
    nonblocking: AtomicBool,
    /// Nanoseconds; 0 is none.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
    /// Somebody outside may hold a duplicate of the descriptor and change `O_NONBLOCK`.
    held_outside: AtomicBool,
}

impl<S: AsFd> Socket<S> {
    /// Takes a socket that the crate has just made: blocking, without timeouts, known to no one else.
    pub(super) fn new(inner: S) -> Self {
        Self { registration: Registration::new(), options: Options::default(), inner }
    }

    /// Takes a socket from outside, with the options it has. What cannot be read counts as unset: if the descriptor
    /// is no socket, the first call will say so.
    pub(super) fn adopt(inner: S) -> Self {
        let socket = Self::new(inner);
        let shared = socket.options.shared();
        let seen = SockRef::from(&socket.inner);
        shared.nonblocking.store(seen.nonblocking().unwrap_or(false), Ordering::Relaxed);
        let nanos = |timeout: io::Result<Option<Duration>>| to_nanos(timeout.unwrap_or(None));
        shared.read_timeout.store(nanos(seen.read_timeout()), Ordering::Relaxed);
        shared.write_timeout.store(nanos(seen.write_timeout()), Ordering::Relaxed);
        shared.held_outside.store(true, Ordering::Relaxed);
        socket
    }

    /// A second handle; `clone` is std's `try_clone`.
    pub(super) fn try_clone(&self, clone: impl FnOnce(&S) -> io::Result<S>) -> io::Result<Self> {
        let inner = clone(&self.inner)?;
        let options = Options(OnceLock::from(self.options.shared().clone()));
        Ok(Self { registration: Registration::new(), options, inner })
    }

    /// Gives the std socket back.
    pub(super) fn into_inner(self) -> S {
        drop(self.registration);
        self.inner
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    pub(super) fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        SockRef::from(&self.inner).set_nonblocking(nonblocking)?;
        self.note_nonblocking(nonblocking);
        Ok(())
    }

    /// Only changes what our own calls do.
    pub(super) fn note_nonblocking(&self, nonblocking: bool) {
        self.options.shared().nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    /// Whether the user wants `WouldBlock` instead of waiting.
    pub(super) fn is_nonblocking(&self) -> bool {
        self.options.get().is_some_and(|shared| shared.nonblocking.load(Ordering::Relaxed))
    }

    /// Remembers a timeout that std's setter has accepted; the kernel keeps it too, for other holders.
    pub(super) fn note_timeout(&self, direction: Direction, timeout: Option<Duration>) {
        self.options.shared().timeout(direction).store(to_nanos(timeout), Ordering::Relaxed);
    }

    pub(super) fn is_held_outside(&self) -> bool {
        self.options.get().is_some_and(|shared| shared.held_outside.load(Ordering::Relaxed))
    }

    /// To be called before the descriptor is given away, for the clones that stay.
    pub(super) fn note_held_outside(&self) {
        if let Some(shared) = self.options.get() {
            shared.held_outside.store(true, Ordering::Relaxed);
        }
    }

    /// How long a call in `direction` may wait.
    pub(super) fn patience(&self, direction: Direction) -> Patience {
        let Some(shared) = self.options.get() else { return Patience::Unlimited };
        if shared.nonblocking.load(Ordering::Relaxed) {
            return Patience::None;
        }
        match shared.timeout(direction).load(Ordering::Relaxed) {
            0 => Patience::Unlimited,
            nanos => Patience::For(Duration::from_nanos(nanos)),
        }
    }

    /// Does `call`, waiting as long as the socket's options allow.
    pub(super) fn io<T>(
        &self,
        direction: Direction,
        what: CallName,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.io_within(self.patience(direction), direction, what, &mut call)
    }

    /// The same with another limit.
    pub(super) fn io_within<T>(
        &self,
        patience: Patience,
        direction: Direction,
        what: CallName,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let fd = self.fd();
        self.registration.io(fd, direction, patience, what, || call(fd))
    }

    /// The same for reading up to `wanted` bytes from a TCP stream.
    pub(super) fn read_tcp(
        &self,
        wanted: usize,
        what: CallName,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let fd = self.fd();
        self.registration.read_stream(fd, wanted, self.patience(Direction::Read), what, || call(fd))
    }

    /// Receives a datagram. `at_end` is the answer once the socket was shut down for reading: a blocking call then
    /// returns nothing, but a non-blocking one goes on saying `WouldBlock`, so after a wake in vain we ask.
    pub(super) fn receive<T>(
        &self,
        what: CallName,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        at_end: impl Fn() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut tried = false;
        self.io(Direction::Read, what, |fd| match call(fd) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if std::mem::replace(&mut tried, true) && is_shut_for_reading(fd)? {
                    // What came before the shutdown comes first.
                    return call(fd).or_else(|_still_nothing| at_end());
                }
                Err(error)
            }
            received => received,
        })
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(&self.inner).shutdown(how)
    }
}

impl Options {
    fn get(&self) -> Option<&Shared> {
        self.0.get().map(|shared| &**shared)
    }

    fn shared(&self) -> &Arc<Shared> {
        self.0.get_or_init(Arc::default)
    }
}

impl Shared {
    fn timeout(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Read => &self.read_timeout,
            Direction::Write => &self.write_timeout,
        }
    }
}

/// A timeout of more than 584 years is as good as that.
fn to_nanos(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
}
