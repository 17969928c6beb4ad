//! Hubs for tests: a thread that polls a reactor, and plain threads that take it for theirs.

use super::Reactor;
use crate::facade::Arc;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

thread_local!(static CURRENT: RefCell<Option<Arc<Reactor>>> = const { RefCell::new(None) });

/// What `caller::current_reactor` answers in unit tests.
pub(super) fn current_reactor() -> Option<Arc<Reactor>> {
    CURRENT.with_borrow(Clone::clone)
}

/// A reactor with a thread that polls it until the hub is dropped, which fails on a leaked registration.
pub(crate) struct Hub {
    pub(super) reactor: Arc<Reactor>,
    stop: Arc<AtomicBool>,
    poller: Option<thread::JoinHandle<()>>,
}

impl Hub {
    pub(crate) fn start() -> Self {
        let reactor = Reactor::new().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let poller = thread::spawn({
            let (reactor, stop) = (reactor.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Acquire) {
                    reactor.poll(None).unwrap();
                }
            }
        });
        Self { reactor, stop, poller: Some(poller) }
    }

    /// Runs `body` with the calling thread taken for a greenlet of this hub.
    pub(crate) fn enter<T>(&self, body: impl FnOnce() -> T) -> T {
        struct Restore(Option<Arc<Reactor>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.reactor.clone())));
        body()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.reactor.wake().unwrap();
        self.poller.take().unwrap().join().unwrap();
        if !thread::panicking() {
            assert_eq!(self.reactor.registrations(), 0, "a registration was leaked");
            assert_eq!(self.reactor.waiters(), 0, "a waiter was leaked");
        }
    }
}

/// Runs a test body both ways a caller can wait: on a hub, and as a plain OS thread.
pub(crate) fn everywhere(body: impl Fn()) {
    body();
    Hub::start().enter(body);
}

/// Starts a thread in the caller's place: on the caller's hub if it is on one.
pub(crate) fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    let reactor = current_reactor();
    thread::spawn(move || {
        CURRENT.set(reactor);
        body()
    })
}
