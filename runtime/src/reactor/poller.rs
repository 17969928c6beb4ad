//! [`Reactor`]: one hub's event queue.

use super::home::Registrar;
use super::shared_poll::{EventQueue, SharedPoll};
use super::source::{Readiness, Source};
use super::table::Table;
use crate::facade::Arc;
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::mio::unix::SourceFd;
use crate::facade::mio::{Events, Interest, Poll, Registry, Token, Waker};
use crate::wait::Wakeup;
use std::io;
#[cfg(all(target_os = "linux", not(greenhub_schedule)))]
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::time::Duration;

/// The token of the reactor's own eventfd; the table never gives it out.
const WAKER: Token = Token(usize::MAX);

/// How many events one system call fetches. What is left is fetched by the next call, so this bounds how long one
/// poll keeps a hub from its greenlets; a guess that the fan-in benchmark may change.
const EVENTS_PER_POLL: usize = 256;

/// One hub's event queue, see the page of [`reactor`](super).
pub(crate) struct Reactor {
    poll: SharedPoll<Polling>,
    registry: Registry,
    waker: Waker,
    table: Arc<Table>,
    waiters: AtomicUsize,
}

/// What polling needs; held by whoever polls.
struct Polling {
    poll: Poll,
    events: Events,
    table: Arc<Table>,
    /// Kept for its memory: whom the poll in progress woke.
    woken: Vec<Wakeup>,
}

impl Reactor {
    /// A reactor with nothing registered.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        let events = Events::with_capacity(EVENTS_PER_POLL);
        let table = Arc::new(Table::new());
        Ok(Arc::new(Self {
            poll: SharedPoll::new(Polling { poll, events, table: Arc::clone(&table), woken: Vec::new() }),
            registry,
            waker,
            table,
            waiters: AtomicUsize::new(0),
        }))
    }

    /// Waits until something is ready, somebody calls [`wake`](Self::wake) or `timeout` has passed (`None`: no limit;
    /// zero: only looks), and wakes whoever waited for what is ready. Returns how many descriptors had news; 0 also
    /// when a signal cut the wait short.
    ///
    /// Never late by mio's rounding to whole milliseconds: an exact timeout is slept in `ppoll` on the event queue's
    /// descriptor, which leaves the events in the queue, and then fetched with a zero timeout.
    pub(crate) fn poll(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.poll.poll(timeout)
    }

    /// Looks for events on behalf of a hub that is kept from polling. `None` if it is polling right now.
    pub(crate) fn try_poll(&self) -> Option<io::Result<usize>> {
        self.poll.try_poll(|| self.waker.wake())
    }

    /// Ends the poll in progress, or the next one, at once.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }

    /// How many descriptors are registered.
    pub(crate) fn registrations(&self) -> usize {
        self.table.len()
    }

    /// How many callers wait for a descriptor that was registered here when they began to. Those just woken count until they run.
    pub(crate) fn waiters(&self) -> usize {
        // Relaxed: a statistic; the deadlock check reads it on the hub that has just run its greenlets.
        self.waiters.load(Ordering::Relaxed)
    }

    /// Ends the reactor: takes no further registration, drops those it has, and wakes every waiter, so that each
    /// registers its descriptor elsewhere.
    pub(crate) fn close(&self) {
        self.table.close();
    }

    /// Counts the caller among the [`waiters`](Self::waiters) until the guard goes.
    pub(super) fn count_waiter(&self) -> impl Drop + '_ {
        struct Counted<'a>(&'a AtomicUsize);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        // Relaxed, here and above: see `waiters`.
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Counted(&self.waiters)
    }
}

impl Registrar for Reactor {
    fn register(&self, fd: RawFd, source: &Arc<Source>) -> io::Result<Option<usize>> {
        let Some(token) = self.table.insert(source.clone()) else {
            return Ok(None);
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        // Urgent data must be seen coming, for a read stops short in front of it.
        #[cfg(target_os = "linux")]
        let interest = interest | Interest::PRIORITY;
        if let Err(error) = self.registry.register(&mut SourceFd(&fd), Token(token), interest) {
            self.table.remove(token);
            return Err(error);
        }
        Ok(Some(token))
    }

    fn deregister(&self, fd: RawFd, token: usize) {
        // Fails only if somebody closed the descriptor behind its owner's back. There is nothing to undo then: the
        // kernel has dropped it from the queue, or what a duplicate of it still reports carries a token without
        // meaning.
        let _closed_behind_our_back = self.registry.deregister(&mut SourceFd(&fd));
        self.table.remove(token);
    }

    fn is_closed(&self) -> bool {
        self.table.is_closed()
    }
}

impl EventQueue for Polling {
    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        match self.fetch(timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            Err(error) => return Err(error),
        }
        let named = self.events.iter().filter(|event| event.token() != WAKER);
        let count = self.table.record(named.map(|event| (event.token().0, said(event))), &mut self.woken);
        self.woken.drain(..).for_each(Wakeup::deliver);
        Ok(count)
    }

    fn was_woken(&self) -> bool {
        self.events.iter().any(|event| event.token() == WAKER)
    }
}

impl Polling {
    fn fetch(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(all(target_os = "linux", not(greenhub_schedule)))]
        if let Some(exact) = timeout
            && exact.subsec_nanos() % 1_000_000 != 0
        {
            sleep_until_readable(self.poll.as_raw_fd(), exact)?;
            return self.poll.poll(&mut self.events, Some(Duration::ZERO));
        }
        self.poll.poll(&mut self.events, timeout)
    }
}

/// Sleeps to the nanosecond, or until the event queue has something.
#[cfg(all(target_os = "linux", not(greenhub_schedule)))]
fn sleep_until_readable(queue: RawFd, timeout: Duration) -> io::Result<()> {
    let mut queue = libc::pollfd { fd: queue, events: libc::POLLIN, revents: 0 };
    super::thread_wait::ppoll(&mut queue, Some(timeout)).map(drop)
}

/// What an event says. An error makes both directions ready, for either call may be the one that fetches it.
fn said(event: &crate::facade::mio::event::Event) -> Readiness {
    let mut said = Readiness::NONE;
    let error = event.is_error();
    if event.is_read_closed() || event.is_priority() || error {
        said = said.and(Readiness::READ).and(Readiness::READ_CLOSED);
    } else if event.is_readable() {
        said = said.and(Readiness::READ);
    }
    if event.is_write_closed() || error {
        said = said.and(Readiness::WRITE).and(Readiness::WRITE_CLOSED);
    } else if event.is_writable() {
        said = said.and(Readiness::WRITE);
    }
    said
}
