//! [`Greenlet`]: a handle that identifies, unparks and kills, and the name under which reports know it.

use super::current;
use super::header::{Header, Ref};
use super::kill;
use super::state::Wake;
use super::wake::Runnable;
use crate::facade::observable;
use crate::ids::shown;
use std::fmt;
use std::num::NonZeroU64;
use std::ptr::NonNull;

/// A greenlet, seen from anywhere. As `std::thread::Thread`: cloning it is cheap, and it keeps nothing running.
///
/// ```
/// greenhub::run(|| {
///     let handle = greenhub::Builder::new().name("worker".into()).spawn(|| greenhub::park()).unwrap();
///     assert_eq!(handle.greenlet().name(), Some("worker"));
///     handle.greenlet().unpark();
///     handle.join().unwrap();
/// });
/// ```
#[derive(Clone)]
pub struct Greenlet(Inner);

#[derive(Clone)]
enum Inner {
    Green(Ref),
    /// A plain OS thread that asked for `current()`.
    Thread(Box<(std::thread::Thread, u64)>),
}

/// The identity of a greenlet (or of an OS thread that asked for [`current()`]): never used again in this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GreenletId(NonZeroU64);

impl fmt::Debug for GreenletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GreenletId({})", shown(self.0.get()))
    }
}

impl fmt::Display for GreenletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", shown(self.0.get()))
    }
}

impl GreenletId {
    /// The identity with this number; none for 0.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}

impl Greenlet {
    pub(crate) fn new(header: Ref) -> Self {
        Self(Inner::Green(header))
    }

    /// A handle on a header the caller keeps alive.
    pub(crate) fn of(header: &Header) -> Self {
        // SAFETY: a borrowed header is alive.
        Self::new(unsafe { Ref::share(NonNull::from(header)) })
    }

    pub(crate) fn header(&self) -> Option<&Ref> {
        match &self.0 {
            Inner::Green(header) => Some(header),
            Inner::Thread(..) => None,
        }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> GreenletId {
        let id = match &self.0 {
            Inner::Green(header) => header.id,
            Inner::Thread(thread) => thread.1,
        };
        GreenletId(NonZeroU64::new(id).expect("ids start at one"))
    }

    /// Its name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Inner::Green(header) => header.name(),
            Inner::Thread(thread) => thread.0.name(),
        }
    }

    /// Wakes it from [`park`](crate::park), or lets its next `park` return at once. From any thread.
    pub fn unpark(&self) {
        match &self.0 {
            Inner::Green(header) => observable!("Greenlet::unpark", {
                if header.state.unpark() == Wake::Enqueue {
                    // SAFETY: the verdict says that we own its push.
                    unsafe { Runnable::from_wake(header.as_ptr()) }.deliver();
                }
            }),
            Inner::Thread(thread) => thread.0.unpark(),
        }
    }

    /// Asks for its end, and returns at once: the greenlet unwinds at its next suspension point, running its
    /// destructors, and joins as [killed](crate::JoinError::is_killed). One that has not started never does; its
    /// closure is dropped. Inside [`shield`](crate::shield), or while it unwinds, the request is kept for later. A
    /// greenlet that kills itself unwinds at once.
    ///
    /// A plain OS thread cannot be killed; for it this does nothing.
    pub fn kill(&self) {
        let Inner::Green(header) = &self.0 else { return };
        observable!("Greenlet::kill", kill::kill(header));
        if current::greenlet().is_some_and(|running| running.as_ptr() == header.as_ptr()) {
            kill::deliver_interrupts();
        }
    }

    /// Whether it has ended: returned, panicked or been killed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Inner::Green(header) => {
                observable!("Greenlet::is_finished", header.state.load().is_done())
            }
            Inner::Thread(..) => false,
        }
    }

    /// The hub it lives on, or, before it has started, the one it waits at. `None` once it has ended.
    #[must_use]
    pub fn hub(&self) -> Option<usize> {
        let Inner::Green(header) = &self.0 else { return None };
        let home = header.home().hub();
        (!header.state.load().is_done()).then_some(home)
    }
}

impl fmt::Debug for Greenlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Greenlet");
        out.field("id", &self.id()).field("name", &self.name());
        if let Inner::Green(header) = &self.0 {
            out.field("spawned_at", &format_args!("{}", header.spawned_at));
        }
        out.finish()
    }
}

impl PartialEq for Greenlet {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Greenlet {}

impl std::hash::Hash for Greenlet {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// The greenlet that calls this. On a plain OS thread: a handle whose `unpark` ends that thread's
/// [`park`](crate::park).
///
/// ```
/// greenhub::run(|| assert_eq!(greenhub::current().name(), None));
/// ```
#[must_use]
pub fn current() -> Greenlet {
    match current::greenlet_even_in_hook() {
        Some(greenlet) => Greenlet::of(&greenlet),
        None => Greenlet(Inner::Thread(Box::new((std::thread::current(), current::thread().id)))),
    }
}

/// A greenlet as messages name it: `greenlet 'worker' (#12, spawned at src/main.rs:7:5)`.
pub(crate) struct Describe<'a>(pub(crate) &'a Header);

impl fmt::Display for Describe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = shown(self.0.id);
        match self.0.name() {
            Some(name) => write!(f, "greenlet '{name}' (#{id}, spawned at {})", self.0.spawned_at),
            None => write!(f, "greenlet #{id} (spawned at {})", self.0.spawned_at),
        }
    }
}
