//! [`Greenlet`]: a handle that identifies, unparks and kills, and the name under which reports know it.

use super::current;
use super::header::{Header, Ref};
use super::kill;
use super::state::Wake;
use super::wake::Runnable;
use crate::facade::observable;
use crate::ids::shown;
use std::fmt;
use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::ptr::{self, NonNull};

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
pub struct Greenlet(OneWord);

/// What a [`Greenlet`] stands for, in one word: a [`Ref`], or the box of a [`Plain`], whose address has its lowest bit set.
/// A join handle is then passed in registers. Two words more went through memory, where a load as wide as two stores made
/// just before must wait until both have left the store buffer (3 of 88 ns of a spawn and its join).
#[repr(transparent)]
struct OneWord(NonNull<()>);

enum Kind<'a> {
    Green(&'a Ref),
    Thread(&'a Plain),
}

/// A plain OS thread that asked for `current()`.
#[derive(Clone)]
struct Plain {
    thread: std::thread::Thread,
    id: u64,
}

const PLAIN: usize = 1;

// SAFETY: it owns a `Ref` or a `Plain`, both of which are `Send` and `Sync`.
unsafe impl Send for OneWord {}
// SAFETY: as above.
unsafe impl Sync for OneWord {}

impl OneWord {
    #[inline]
    fn green(header: Ref) -> Self {
        let header = ManuallyDrop::new(header);
        debug_assert_eq!(header.as_ptr().addr().get() & PLAIN, 0, "headers are aligned to more than a byte");
        Self(header.as_ptr().cast())
    }

    fn plain(plain: Plain) -> Self {
        let plain = NonNull::from(Box::leak(Box::new(plain)));
        Self(plain.cast::<()>().map_addr(|address| address | PLAIN))
    }

    fn plain_ptr(&self) -> Option<*mut Plain> {
        let is_plain = self.0.addr().get() & PLAIN != 0;
        is_plain.then(|| self.0.as_ptr().map_addr(|address| address & !PLAIN).cast())
    }

    #[inline]
    fn kind(&self) -> Kind<'_> {
        match self.plain_ptr() {
            // SAFETY: `self` owns the box.
            Some(plain) => Kind::Thread(unsafe { &*plain }),
            // SAFETY: then this word was made of a `Ref`, which is one pointer, and is still owned.
            None => Kind::Green(unsafe { &*ptr::from_ref(self).cast::<Ref>() }),
        }
    }
}

impl Clone for OneWord {
    fn clone(&self) -> Self {
        match self.kind() {
            Kind::Green(header) => Self::green(header.clone()),
            Kind::Thread(plain) => Self::plain(plain.clone()),
        }
    }
}

impl Drop for OneWord {
    fn drop(&mut self) {
        match self.plain_ptr() {
            // SAFETY: made by `plain`, and given up here.
            Some(plain) => drop(unsafe { Box::from_raw(plain) }),
            // SAFETY: made by `green`, and given up here.
            None => drop(unsafe { Ref::from_raw(self.0.cast()) }),
        }
    }
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
        Self(OneWord::green(header))
    }

    /// A handle on a header the caller keeps alive.
    pub(crate) fn of(header: &Header) -> Self {
        // SAFETY: a borrowed header is alive.
        Self::new(unsafe { Ref::share(NonNull::from(header)) })
    }

    #[inline]
    pub(crate) fn header(&self) -> Option<&Ref> {
        match self.0.kind() {
            Kind::Green(header) => Some(header),
            Kind::Thread(..) => None,
        }
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> GreenletId {
        let id = match self.0.kind() {
            Kind::Green(header) => header.id,
            Kind::Thread(plain) => plain.id,
        };
        GreenletId(NonZeroU64::new(id).expect("ids start at one"))
    }

    /// Its name, if it was given one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.0.kind() {
            Kind::Green(header) => header.name(),
            Kind::Thread(plain) => plain.thread.name(),
        }
    }

    /// Wakes it from [`park`](crate::park), or lets its next `park` return at once. From any thread.
    pub fn unpark(&self) {
        match self.0.kind() {
            Kind::Green(header) => observable!("Greenlet::unpark", {
                if header.state.unpark() == Wake::Enqueue {
                    // SAFETY: the verdict says that we own its push.
                    unsafe { Runnable::from_wake(header.as_ptr()) }.deliver();
                }
            }),
            Kind::Thread(plain) => plain.thread.unpark(),
        }
    }

    /// Asks for its end, and returns at once: the greenlet unwinds at its next suspension point, running its
    /// destructors, and joins as [killed](crate::JoinError::is_killed). One that has not started never does; its
    /// closure is dropped. Inside [`shield`](crate::shield), or while it unwinds, the request is kept for later. A
    /// greenlet that kills itself unwinds at once.
    ///
    /// A plain OS thread cannot be killed; for it this does nothing.
    pub fn kill(&self) {
        let Kind::Green(header) = self.0.kind() else { return };
        observable!("Greenlet::kill", kill::kill(header));
        if current::greenlet().is_some_and(|running| running.as_ptr() == header.as_ptr()) {
            kill::deliver_interrupts();
        }
    }

    /// Whether it has ended: returned, panicked or been killed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match self.0.kind() {
            Kind::Green(header) => {
                observable!("Greenlet::is_finished", header.state.load().is_done())
            }
            Kind::Thread(..) => false,
        }
    }

    /// The hub it lives on, or, before it has started, the one it waits at. `None` once it has ended.
    #[must_use]
    pub fn hub(&self) -> Option<usize> {
        let Kind::Green(header) = self.0.kind() else { return None };
        let home = header.home().hub();
        (!header.state.load().is_done()).then_some(home)
    }
}

impl fmt::Debug for Greenlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Greenlet");
        out.field("id", &self.id()).field("name", &self.name());
        if let Kind::Green(header) = self.0.kind() {
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
        None => {
            let plain = Plain { thread: std::thread::current(), id: current::thread().id };
            Greenlet(OneWord::plain(plain))
        }
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
