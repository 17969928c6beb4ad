//! What the runtime keeps of one greenlet: the header, and behind it, in the same allocation, its result and closure.
//!
//! Who may touch what, when:
//!
//! * `state`, `link`, `home`, and the atomics of the wait report: anybody who keeps the header alive, as one of
//!   its [owners](Owner) or with a [`Ref`].
//! * the [`Fiber`] fields (context, masks, timeout frames, locals): whoever owns the greenlet's right to run
//!   (invariant 1), that is the greenlet itself while it runs, and its hub between two switches.
//! * result and closure: the greenlet until `Done`, then its handle; a detached one drops its result itself. Never the
//!   last reference, which may go anywhere, while a result need not be `Send`.

use super::join::JoinList;
use super::join_error::JoinError;
use super::local::Locals;
use super::memory;
use super::state::{Owner, State};
use super::switch::Context;
use super::timeout::Masks;
use super::unwind::Unwinding;
use super::waiting::WaitReport;
use crate::facade::Lifeline;
use crate::facade::atomic::{AtomicPtr, Ordering};
use crate::hub::inbox::Linked;
use crate::hub::mailbox::Mailbox;
use crate::timer::Alarm;
use crate::wait::Waiter;
use std::alloc::Layout;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr::NonNull;

#[cfg(all(test, greenhub_loom))]
pub(crate) mod bare;

/// The closure's outcome as the runtime moves it about.
pub(crate) type Outcome<T> = Result<T, JoinError>;

/// One greenlet. In the order of use: the first cache line is all that a queue's stale entry and the header's end look at,
/// the second what every switch touches, the third, up to the alarm's first word, what a wait does; last comes what few
/// greenlets need.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) state: State,
    /// Where a wake from elsewhere goes: its hub's mailbox. Written by the hub that starts or takes it.
    home: AtomicPtr<Mailbox>,
    pub(crate) id: u64,
    vtable: &'static VTable,
    extra: Option<Box<Extra>>,
    /// Where the registry lists it.
    pub(crate) registry_slot: Cell<Option<crate::greenlet::registry::Slot>>,
    pub(crate) fiber: Fiber,
    pub(crate) waiting: WaitReport,
    pub(crate) alarm: Alarm,
    pub(crate) joiners: JoinList,
    /// The link of the one inbox it may lie in.
    pub(crate) link: AtomicPtr<Header>,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) kind: Kind,
    pub(crate) alive: Lifeline,
}

/// How many cache lines of a header a wait and its end touch.
pub(crate) const LINES_OF_A_WAIT: usize = 3;

/// How a greenlet may move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Any hub may start it.
    Free,
    /// It starts and stays on the hub that spawned it.
    Pinned,
    /// As `Pinned`, and its closure or result may not be `Send`.
    Local,
}

/// What only a few greenlets have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    pub(crate) stack_size: Option<crate::stack::StackSize>,
    pub(crate) scope: Option<super::scope::Member>,
    /// `run` waits for it on a plain OS thread.
    pub(crate) run: Option<RunMark>,
}

/// What marks the greenlet of a `run` called on a plain OS thread.
#[derive(Default)]
pub(crate) struct RunMark {
    /// Why it is to panic instead of being killed.
    pub(crate) verdict: parking_lot::Mutex<Option<String>>,
}

/// What belongs to whoever owns the right to run. In the order of use, as the header.
#[repr(C)]
pub(crate) struct Fiber {
    /// It is suspended while it unwinds, so it stays on this hub.
    pub(crate) held: Cell<bool>,
    /// Its present wait counts as load (I/O or timer).
    pub(crate) counted: Cell<bool>,
    /// What it is known to unwind for.
    pub(crate) unwinding: Cell<Unwinding>,
    /// It called `spawn_local`: pinned until it ends.
    pub(crate) pinned: Cell<bool>,
    /// Somebody waits for its end. Set by its last frame, read by the hub.
    pub(crate) joined: Cell<bool>,
    /// Its joiner, in `hand_back`, has let it run in the middle of its own turn, and is not parked: see `hub::hand_over`.
    pub(crate) awaited: Cell<bool>,
    /// While `awaited`: a kill may not end the joiner's wait.
    pub(crate) joiner_masked: Cell<bool>,
    /// It was claimed in migrate mode, where either may have moved by the time it ends: its first joiner is in the join
    /// list, and runs next if it is on that hub.
    pub(crate) claimed: Cell<bool>,
    pub(crate) context: UnsafeCell<Option<Context>>,
    /// Its timeouts, shields and `no_switch` blocks.
    pub(crate) masks: Masks,
    /// The joiner that claimed it, on this same hub, and runs next when it ends.
    pub(crate) hand_back: Cell<Option<Waiter>>,
    pub(crate) locals: Locals,
}

/// What differs from closure to closure.
pub(crate) struct VTable {
    /// Runs the closure and stores its outcome; called once, on the greenlet's own stack.
    pub(crate) run: unsafe fn(NonNull<Header>),
    /// Drops the closure unrun.
    pub(crate) drop_closure: unsafe fn(NonNull<Header>),
    /// Stores an error as the outcome.
    pub(crate) fail: unsafe fn(NonNull<Header>, JoinError),
    /// Drops the outcome in place, handing back a panic's payload.
    pub(crate) take_panic: unsafe fn(NonNull<Header>) -> Option<Box<dyn Any + Send>>,
    dealloc: unsafe fn(NonNull<Header>),
}

/// Header and result: what a handle that knows `T` but not the closure sees.
#[repr(C)]
struct WithResult<T> {
    header: Header,
    result: UnsafeCell<Option<Outcome<T>>>,
}

#[repr(C)]
struct Task<F, T> {
    base: WithResult<T>,
    closure: UnsafeCell<Option<F>>,
}

// SAFETY: `link` is the one field for this; a greenlet lies in one inbox at most (invariant 1).
unsafe impl Linked for Header {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

/// What a new greenlet is given.
pub(crate) struct Birth {
    pub(crate) state: State,
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) home: &'static Mailbox,
    pub(crate) extra: Option<Box<Extra>>,
}

/// Makes a greenlet with two owners, its life and its handle: the caller sees to it that both let go.
pub(crate) fn create<F, T>(birth: Birth, closure: F) -> NonNull<Header>
where
    F: FnOnce() -> T,
{
    let task = memory::take(Layout::new::<Task<F, T>>()).cast::<Task<F, T>>();
    let value = Task::<F, T> {
        base: WithResult {
            header: Header {
                state: birth.state,
                vtable: &VTableOf::<F, T>::VTABLE,
                link: AtomicPtr::new(std::ptr::null_mut()),
                home: AtomicPtr::new(std::ptr::from_ref(birth.home).cast_mut()),
                fiber: Fiber {
                    context: UnsafeCell::new(None),
                    masks: Masks::new(),
                    unwinding: Cell::new(Unwinding::NOT),
                    held: Cell::new(false),
                    pinned: Cell::new(birth.kind != Kind::Free),
                    hand_back: Cell::new(None),
                    claimed: Cell::new(false),
                    awaited: Cell::new(false),
                    joiner_masked: Cell::new(false),
                    joined: Cell::new(false),
                    counted: Cell::new(false),
                    locals: Locals::new(),
                },
                alarm: Alarm::new(),
                joiners: JoinList::new(),
                id: birth.id,
                spawned_at: birth.spawned_at,
                kind: birth.kind,
                registry_slot: Cell::new(None),
                waiting: WaitReport::default(),
                extra: birth.extra,
                alive: Lifeline::new(),
            },
            result: UnsafeCell::new(None),
        },
        closure: UnsafeCell::new(Some(closure)),
    };
    // SAFETY: the block is fresh, and large and aligned enough for the value.
    unsafe { task.write(value) };
    task.cast()
}

/// An owner of the greenlet lets go.
///
/// # Safety
///
/// `owner` has not let go before, and its part of the program touches the header no more.
#[inline]
pub(crate) unsafe fn let_go(header: NonNull<Header>, owner: Owner) {
    // SAFETY: the owner keeps it alive.
    if unsafe { header.as_ref() }.state.let_go(owner) {
        // SAFETY: the owners' common reference, which the last of them gives up.
        drop(unsafe { Ref::from_raw(header) });
    }
}

/// The greenlet's life (see [`Owner::Life`]) of one that has not started, on its way to a queue.
#[must_use = "a greenlet whose life is dropped never ends"]
pub(crate) struct Life(NonNull<Header>);

impl Life {
    /// # Safety
    ///
    /// The caller owns the life, and nobody else does.
    #[inline]
    pub(crate) unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Self(header)
    }

    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<Header> {
        self.0
    }
}

impl std::ops::Deref for Life {
    type Target = Header;
    fn deref(&self) -> &Header {
        // SAFETY: it keeps the header alive.
        unsafe { self.0.as_ref() }
    }
}

/// A counted reference to a header. One pointer, and [`Greenlet`](super::handle::Greenlet) relies on that.
#[repr(transparent)]
pub(crate) struct Ref(NonNull<Header>);

// SAFETY: the header is shared by design; its fields say who may touch them (see the module's first lines).
unsafe impl Send for Ref {}
// SAFETY: as above.
unsafe impl Sync for Ref {}

impl Ref {
    /// Takes a reference over.
    ///
    /// # Safety
    ///
    /// There is a reference that nobody else gives up; or the caller is an owner, and never drops what it gets.
    pub(crate) unsafe fn from_raw(header: NonNull<Header>) -> Ref {
        Ref(header)
    }

    /// One more reference to a header known to be alive.
    ///
    /// # Safety
    ///
    /// `header` is alive: the caller runs on it, or holds what holds a reference.
    pub(crate) unsafe fn share(header: NonNull<Header>) -> Ref {
        // SAFETY: the caller's promise.
        let this = unsafe { header.as_ref() };
        this.alive.in_use();
        this.state.share();
        Ref(header)
    }

    pub(crate) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }
}

impl std::ops::Deref for Ref {
    type Target = Header;
    fn deref(&self) -> &Header {
        // SAFETY: a `Ref` keeps the header alive.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for Ref {
    fn clone(&self) -> Ref {
        // SAFETY: `self` keeps it alive.
        unsafe { Ref::share(self.0) }
    }
}

impl Drop for Ref {
    fn drop(&mut self) {
        self.alive.in_use();
        if self.state.give_up() {
            // SAFETY: that was the last reference, and the vtable belongs to this allocation.
            unsafe { (self.vtable.dealloc)(self.0) };
        }
    }
}

impl Header {
    #[inline]
    pub(crate) fn vtable(&self) -> &'static VTable {
        self.vtable
    }

    /// Where wakes from elsewhere go. Mailboxes are never freed, only used again.
    #[inline]
    pub(crate) fn home(&self) -> &'static Mailbox {
        // Acquire: pairs with the Release in `set_home`; a mailbox's contents are its own atomics.
        // SAFETY: only `&'static Mailbox` is ever stored.
        unsafe { &*self.home.load(Ordering::Acquire) }
    }

    /// The hub that starts or takes the greenlet becomes its home.
    #[inline]
    pub(crate) fn set_home(&self, home: &'static Mailbox) {
        let new = std::ptr::from_ref(home).cast_mut();
        if self.home.load(Ordering::Relaxed) != new {
            self.home.store(new, Ordering::Release);
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.extra.as_ref()?.name.as_deref()
    }

    /// Its place in the scope it was spawned in.
    pub(crate) fn scope(&self) -> Option<&super::scope::Member> {
        self.extra.as_ref()?.scope.as_ref()
    }

    /// Set if a `run` on a plain OS thread waits for it.
    pub(crate) fn run_mark(&self) -> Option<&RunMark> {
        self.extra.as_ref()?.run.as_ref()
    }

    pub(crate) fn stack_size(&self) -> Option<crate::stack::StackSize> {
        self.extra.as_ref()?.stack_size
    }
}

/// Takes the result out of a finished greenlet.
///
/// # Safety
///
/// `header` was created with result type `T`, it is `Done` (seen with Acquire), and the caller is its one handle.
pub(crate) unsafe fn take_result<T>(header: NonNull<Header>) -> Option<Outcome<T>> {
    // SAFETY: `WithResult<T>` is the prefix of the allocation; after `Done` only the handle touches the result.
    unsafe { (*header.cast::<WithResult<T>>().as_ref().result.get()).take() }
}

struct VTableOf<F, T>(std::marker::PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> VTableOf<F, T> {
    const VTABLE: VTable = VTable {
        run: run::<F, T>,
        drop_closure: drop_closure::<F, T>,
        fail: fail::<T>,
        take_panic: take_panic::<T>,
        dealloc: dealloc::<F, T>,
    };
}

/// # Safety
///
/// `header` belongs to a `Task<F, T>`; the caller owns its right to run, on its own stack, and has not called this
/// or `drop_closure` before.
unsafe fn run<F: FnOnce() -> T, T>(header: NonNull<Header>) {
    // SAFETY: the caller's promise; closure and result are the running greenlet's.
    let task = unsafe { header.cast::<Task<F, T>>().as_ref() };
    // SAFETY: as above.
    let closure = unsafe { (*task.closure.get()).take() }.expect("a greenlet runs once");
    let outcome = super::finish::call(&task.base.header, closure);
    // SAFETY: as above.
    unsafe { *task.base.result.get() = Some(outcome) };
}

/// # Safety
///
/// As [`run`].
unsafe fn drop_closure<F, T>(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    drop(unsafe { (*header.cast::<Task<F, T>>().as_ref().closure.get()).take() });
}

/// # Safety
///
/// `header` belongs to a `Task<_, T>` that is not `Done`, whose right to run the caller owns.
unsafe fn fail<T>(header: NonNull<Header>, error: JoinError) {
    // SAFETY: the caller's promise.
    unsafe { *header.cast::<WithResult<T>>().as_ref().result.get() = Some(Err(error)) };
}

/// # Safety
///
/// `header` belongs to a `Task<_, T>`, and the caller is the only one who may touch its result: the greenlet that
/// was detached, or the handle of one that is `Done`.
unsafe fn take_panic<T>(header: NonNull<Header>) -> Option<Box<dyn Any + Send>> {
    // SAFETY: the caller's promise.
    let outcome = unsafe { (*header.cast::<WithResult<T>>().as_ref().result.get()).take() };
    match outcome {
        Some(Err(error)) if error.is_killed() => None,
        // No panic and no kill: there was no stack for it, and nobody else will hear of that.
        Some(Err(error)) => Some(error.try_into_panic().unwrap_or_else(|error| Box::new(error.to_string()))),
        Some(Ok(value)) => {
            drop(value);
            None
        }
        None => None,
    }
}

/// # Safety
///
/// The last reference to a `Task<F, T>` is gone.
unsafe fn dealloc<F, T>(header: NonNull<Header>) {
    // SAFETY: it is still there.
    unsafe { header.as_ref() }.alive.end();
    // Whatever else could be dropped has been: closure and result (module's first lines), the locals and the joiners at
    // the end, the context with the stack. So the rest of a header long out of the cache need not be fetched.
    // SAFETY: nobody refers to it any more.
    unsafe {
        if cfg!(debug_assertions) {
            let task = header.cast::<Task<F, T>>().as_ref();
            assert!((*task.closure.get()).is_none() && (*task.base.result.get()).is_none(), "left behind");
        }
        (&raw mut (*header.as_ptr()).extra).drop_in_place();
    }
    // SAFETY: taken with this layout in `create`.
    unsafe { memory::give(header.cast(), Layout::new::<Task<F, T>>()) };
}

// A switch and a wait are to touch as few cache lines as `Header` says; blocks begin with one (`memory`). What a tool that
// watches memory is told at each switch takes room in a header, so there it holds not.
const _: () = {
    use std::mem::offset_of;
    let few = offset_of!(Header, fiber) == 64
        && offset_of!(Header, fiber) + offset_of!(Fiber, hand_back) == 128
        && offset_of!(Header, alarm) < 192;
    let as_shipped = cfg!(target_arch = "x86_64") && crate::sanitize::KEEPS_FREED_BLOCKS;
    assert!(crate::facade::in_models(true, few) || !as_shipped);
};
