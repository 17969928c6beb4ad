//! Accepting connections: one loop for TCP and local listeners.
//!
//! No flag makes a single `accept` non-blocking; only `O_NONBLOCK` on the listener does. So we set it on every listener
//! and keep what the user asked for beside it. Where a stranger may hold a duplicate and have cleared the flag, we
//! look at it first, and if it is gone at the queue of connections, before we call.

use super::socket::Socket;
use crate::reactor::{Direction, Patience, caller, is_ready_now};
use crate::wait::CallName;
use socket2::SockRef;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The back-off while descriptors or memory are short. The first pause is about as long as a short request takes, and
/// may be enough; the last keeps a starved server from burning its processor and still notices relief within a second.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A listening socket; `S` is std's.
pub(super) struct Acceptor<S> {
    pub(super) socket: Socket<S>,
    /// A shortage has been reported and has not ended yet.
    starved: AtomicBool,
}

impl<S: AsFd> Acceptor<S> {
    /// Takes a listener of our own making.
    pub(super) fn new(listener: S) -> io::Result<Self> {
        SockRef::from(&listener).set_nonblocking(true)?;
        Ok(Self::over(Socket::new(listener)))
    }

    /// Takes a listener from outside. That it cannot be made non-blocking is noticed by `accept`, as every other change
    /// of its mode is.
    pub(super) fn adopt(listener: S) -> Self {
        let socket = Socket::adopt(listener);
        let _noticed_by_accept = SockRef::from(socket.inner()).set_nonblocking(true);
        Self::over(socket)
    }

    fn over(socket: Socket<S>) -> Self {
        Self { socket, starved: AtomicBool::new(false) }
    }

    pub(super) fn try_clone(&self, clone: impl FnOnce(&S) -> io::Result<S>) -> io::Result<Self> {
        Ok(Self::over(self.socket.try_clone(clone)?))
    }

    /// Gives the listener back in the mode the user set.
    pub(super) fn release(self) -> S {
        let nonblocking = self.socket.is_nonblocking();
        self.socket.note_held_outside();
        let listener = self.socket.into_inner();
        let _kept_mode = SockRef::from(&listener).set_nonblocking(nonblocking);
        listener
    }

    pub(super) fn inner(&self) -> &S {
        self.socket.inner()
    }

    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.fd()
    }

    /// The next connection. `call` is std's `accept`, `place` says where this listener listens.
    pub(super) fn accept<T>(
        &self,
        what: CallName,
        place: impl Fn() -> String,
        mut call: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        let patience = self.socket.patience(Direction::Read);
        let mut pause = FIRST_PAUSE;
        loop {
            let accepted = self.socket.io_within(patience, Direction::Read, what, |fd| {
                let may_block = self.socket.is_held_outside() && !SockRef::from(&fd).nonblocking()?;
                if may_block && !is_ready_now(fd, Direction::Read)? {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                call(self.inner()).map_err(|error| match error.raw_os_error() {
                    // This connection failed before we came to it; the listener is well.
                    Some(libc::ECONNABORTED | libc::EPROTO) => io::ErrorKind::Interrupted.into(),
                    _ => error,
                })
            });
            match accepted {
                Err(error) if patience == Patience::Unlimited && is_shortage(&error) => {
                    if !self.starved.swap(true, Ordering::Relaxed) {
                        report(&error, &place());
                    }
                    caller::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
                Ok(connection) => {
                    self.starved.store(false, Ordering::Relaxed);
                    return Ok(connection);
                }
            }
        }
    }

    /// A connection that this listener accepted. It has inherited timeouts that the listener came with.
    pub(super) fn accepted<C: AsFd>(&self, connection: C) -> Socket<C> {
        let unlimited = [Direction::Read, Direction::Write]
            .iter()
            .all(|&way| matches!(self.socket.patience(way), Patience::Unlimited | Patience::None));
        if unlimited { Socket::new(connection) } else { Socket::adopt(connection) }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

fn report(error: &io::Error, place: &str) {
    match error.raw_os_error() {
        Some(libc::EMFILE) => eprintln!(
            "greenhub: out of file descriptors (limit {}: raise it with ulimit -n) while accepting on {place}; \
             trying again",
            descriptor_limit(),
        ),
        _ => eprintln!("greenhub: {error} while accepting on {place}; trying again"),
    }
}

fn descriptor_limit() -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing for the length of the call, which cannot fail with a valid resource.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}
