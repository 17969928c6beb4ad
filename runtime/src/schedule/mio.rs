//! The event queue: mio's interface, as far as the runtime uses it, without a kernel.
//!
//! As with an edge-triggered epoll, every event is told once: to whoever polls first. Wakes that come before they are
//! fetched are one event. A descriptor is a number; what is ready about it is said by a scenario ([`set_ready`]), and
//! told to every queue it is registered with, and to a queue that registers it while it is so. Every call lets the
//! caller's stores be seen, as the system calls do.

use super::atomic::drain;
use super::{time, world};
pub(crate) use mio::{Interest, Token};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// As mio's.
pub(crate) mod unix {
    use std::os::fd::RawFd;

    /// As mio's.
    pub(crate) struct SourceFd<'a>(pub(crate) &'a RawFd);
}

/// As mio's.
pub(crate) mod event {
    use super::{Ready, Token};

    /// As mio's.
    #[derive(Clone, Debug)]
    pub(crate) struct Event {
        pub(super) token: Token,
        pub(super) ready: Ready,
    }

    impl Event {
        pub(crate) fn token(&self) -> Token {
            self.token
        }
        pub(crate) fn is_readable(&self) -> bool {
            self.ready.read
        }
        pub(crate) fn is_writable(&self) -> bool {
            self.ready.write
        }
        pub(crate) fn is_error(&self) -> bool {
            false
        }
        pub(crate) fn is_priority(&self) -> bool {
            false
        }
        pub(crate) fn is_read_closed(&self) -> bool {
            false
        }
        pub(crate) fn is_write_closed(&self) -> bool {
            false
        }
    }
}

/// What a descriptor is ready for.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

/// One queue's events that nobody has fetched.
#[derive(Debug, Default)]
struct Queue {
    pending: Mutex<VecDeque<event::Event>>,
}

impl Queue {
    /// Never held across a step, so it is free.
    fn pending(&self) -> MutexGuard<'_, VecDeque<event::Event>> {
        self.pending.lock().expect("no panic inside")
    }

    fn tell(self: &Arc<Self>, token: Token, ready: Ready) {
        let mut pending = self.pending();
        match pending.iter_mut().find(|event| event.token == token) {
            Some(event) => {
                event.ready.read |= ready.read;
                event.ready.write |= ready.write;
            }
            None => pending.push_back(event::Event { token, ready }),
        }
        drop(pending);
        world::release(self.key(), true);
    }

    fn key(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

#[derive(Default)]
struct Line {
    ready: Ready,
    watchers: Vec<(Arc<Queue>, Token)>,
}

/// The descriptors that are registered or ready. One execution at a time.
static LINES: Mutex<BTreeMap<RawFd, Line>> = Mutex::new(BTreeMap::new());

fn lines() -> MutexGuard<'static, BTreeMap<RawFd, Line>> {
    LINES.lock().expect("no panic inside")
}

/// A descriptor is ready for this from now on; what is new is told to all who watch it.
#[cfg(test)]
#[track_caller]
pub(crate) fn set_ready(fd: RawFd, ready: Ready) {
    world::step();
    drain();
    let mut lines = lines();
    let line = lines.entry(fd).or_default();
    line.ready = ready;
    for (queue, token) in &line.watchers {
        if ready.read || ready.write {
            queue.tell(*token, ready);
        }
    }
}

/// Nothing is left of the last execution.
pub(super) fn clear() {
    lines().clear();
}

/// As mio's.
pub(crate) struct Poll {
    registry: Registry,
}

/// As mio's.
#[derive(Debug)]
pub(crate) struct Registry(Arc<Queue>);

/// As mio's.
pub(crate) struct Events {
    events: Vec<event::Event>,
    capacity: usize,
}

/// As mio's.
#[derive(Debug)]
pub(crate) struct Waker {
    queue: Arc<Queue>,
    token: Token,
}

impl Events {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { events: Vec::new(), capacity }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &event::Event> {
        self.events.iter()
    }
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { registry: Registry(Arc::default()) })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    #[track_caller]
    pub(crate) fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let queue = &self.registry.0;
        world::step();
        drain();
        let until = match timeout {
            None => u64::MAX,
            Some(timeout) => time::nanos(time::now() + timeout),
        };
        if timeout != Some(Duration::ZERO) {
            let mut over = false;
            while queue.pending().is_empty() && !over {
                assert!(world::is_controlled(), "only threads of an execution wait for its events");
                over = world::wait(queue.key(), until, "events", || ());
            }
        }
        events.events.clear();
        let mut pending = queue.pending();
        let count = pending.len().min(events.capacity);
        events.events.extend(pending.drain(..count));
        Ok(())
    }
}

impl Registry {
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    #[track_caller]
    pub(crate) fn register(
        &self,
        source: &mut unix::SourceFd<'_>,
        token: Token,
        _interest: Interest,
    ) -> io::Result<()> {
        world::step();
        drain();
        let mut lines = lines();
        let line = lines.entry(*source.0).or_default();
        if line.watchers.iter().any(|(queue, _)| Arc::ptr_eq(queue, &self.0)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        line.watchers.push((self.0.clone(), token));
        if line.ready.read || line.ready.write {
            self.0.tell(token, line.ready);
        }
        Ok(())
    }

    #[track_caller]
    pub(crate) fn deregister(&self, source: &mut unix::SourceFd<'_>) -> io::Result<()> {
        world::step();
        drain();
        let mut lines = lines();
        let line = lines.entry(*source.0).or_default();
        line.watchers.retain(|(queue, _)| !Arc::ptr_eq(queue, &self.0));
        Ok(())
    }
}

impl Waker {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { queue: registry.0.clone(), token })
    }

    #[track_caller]
    pub(crate) fn wake(&self) -> io::Result<()> {
        world::step();
        drain();
        self.queue.tell(self.token, Ready { read: true, write: false });
        Ok(())
    }
}
