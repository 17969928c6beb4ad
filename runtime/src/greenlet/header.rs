//! What the runtime keeps of one greenlet: the header, and behind it, in the same allocation, its result and closure.
//!
//! Who may touch what, when:
//!
//! * `state`, `link`, `home`, and the atomics of the wait report: anybody who keeps the header alive, as one of
//!   its [owners](Owner) or with a [`Ref`].
//! * the [`Fiber`] fields (context, masks, timeout frames), `hand_back` and the locals: whoever owns the greenlet's right to
//!   run (invariant 1), that is the greenlet itself while it runs, and its hub between two switches.
//! * `room`: the greenlet, and while it stands in a line whoever holds that line's lock.
//! * result and closure: the greenlet until `Done`, then its handle; a detached one drops its result itself. Never the
//!   last reference, which may go anywhere, while a result need not be `Send`.

use super::join::JoinList;
use super::local::Locals;
use super::memory::{LINE, prefetch};
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
use crate::wait::{Room, Waiter};
use std::cell::{Cell, UnsafeCell};
use std::mem::offset_of;
use std::panic::Location;
use std::ptr::NonNull;

pub(crate) use task::{Birth, Outcome, VTable, create, take_result};

#[cfg(all(test, greenhub_loom))]
pub(crate) mod bare;
mod task;

/// One greenlet. In the order of use: the first cache line is all that a queue's stale entry and the header's end look at,
/// the second what every switch touches, the third, up to the alarm's first word, what a wait in line and its end read. What
/// a wait writes for others to read, should they ask, is the last that many greenlets need.
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
    /// Where its node lies while it stands in a line.
    pub(crate) room: Room,
    pub(crate) alarm: Alarm,
    /// The joiner that claimed it, on this same hub, and runs next when it ends.
    pub(crate) hand_back: Cell<Option<Waiter>>,
    pub(crate) locals: Locals,
    pub(crate) waiting: WaitReport,
    pub(crate) joiners: JoinList,
    /// The link of the one inbox it may lie in.
    pub(crate) link: AtomicPtr<Header>,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) kind: Kind,
    pub(crate) alive: Lifeline,
}

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
}

// SAFETY: `link` is the one field for this; a greenlet lies in one inbox at most (invariant 1).
unsafe impl Linked for Header {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
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

/// How many cache lines of a header a switch touches, and a wait and its end read; they are its first.
const LINES_OF_A_SWITCH: usize = 2;
const LINES_OF_A_WAIT: usize = 3;

/// Has the processor fetch what is touched of the header of a greenlet that runs on after it has given way.
#[inline(always)]
pub(crate) fn fetch_for_switch(header: NonNull<Header>) {
    prefetch(header.as_ptr().cast(), LINES_OF_A_SWITCH);
}

/// The same of one that runs on after it was parked, and is likely to be again.
#[inline(always)]
pub(crate) fn fetch_for_wait(header: NonNull<Header>) {
    let start: *const u8 = header.as_ptr().cast();
    prefetch(start, LINES_OF_A_WAIT);
    prefetch(start.wrapping_add(offset_of!(Header, waiting)), 1);
}

/// Has the processor fetch what the waker will touch of a header that has the node at this address in its room. Of another
/// node, whose owner is no greenlet, it fetches what lies before it.
#[inline(always)]
pub(crate) fn fetch_around_node(node: *const u8) {
    prefetch(node.wrapping_sub(offset_of!(Header, room)), LINES_OF_A_SWITCH);
}

impl Header {
    /// Has the processor fetch what a greenlet that has given way finds on its stack.
    ///
    /// # Safety
    ///
    /// The caller owns its right to run.
    #[inline(always)]
    pub(crate) unsafe fn fetch_stack(&self) {
        const LINES: usize = 2;
        // SAFETY: the caller's promise.
        if let Some(context) = unsafe { (*self.fiber.context.get()).as_ref() } {
            context.fetch(LINES);
        }
    }

    /// The same of one that was parked, whose frames are those of a blocking call and its caller; and what it waited for.
    ///
    /// # Safety
    ///
    /// As [`Header::fetch_stack`].
    #[inline(always)]
    pub(crate) unsafe fn fetch_rest(&self) {
        const LINES: usize = 5;
        // SAFETY: the caller's promise.
        if let Some(context) = unsafe { (*self.fiber.context.get()).as_ref() } {
            context.fetch(LINES);
            prefetch(std::ptr::without_provenance(self.waiting.object()), 1);
        }
    }
}

/// Whether headers are as small as they ship: what a tool that watches memory is told at each switch takes room in them, and
/// so does what models watch.
const AS_SHIPPED: bool = crate::facade::in_models(
    false,
    cfg!(all(target_arch = "x86_64", unix, not(greenhub_portable_switch)))
        && crate::sanitize::KEEPS_FREED_BLOCKS,
);

// A switch and a wait are to touch as few cache lines as `Header` says; blocks begin with one (`memory`).
const _: () = {
    let few = offset_of!(Header, fiber) == LINE
        && offset_of!(Header, room) == 2 * LINE
        && offset_of!(Header, alarm) < LINES_OF_A_WAIT * LINE
        && offset_of!(Header, waiting) == 4 * LINE;
    assert!(few || !AS_SHIPPED);
};
