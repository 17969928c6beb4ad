//! A greenlet as one block: the header, its result, its closure, and the functions that know of what type they are.

use super::{Extra, Fiber, Header, Kind};
use crate::facade::Lifeline;
use crate::facade::atomic::AtomicPtr;
use crate::greenlet::finish;
use crate::greenlet::join::JoinList;
use crate::greenlet::join_error::JoinError;
use crate::greenlet::local::Locals;
use crate::greenlet::memory;
use crate::greenlet::state::State;
use crate::greenlet::timeout::Masks;
use crate::greenlet::unwind::Unwinding;
use crate::greenlet::waiting::WaitReport;
use crate::hub::mailbox::Mailbox;
use crate::timer::Alarm;
use crate::wait::Room;
use std::alloc::Layout;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr::NonNull;

/// The closure's outcome as the runtime moves it about.
pub(crate) type Outcome<T> = Result<T, JoinError>;

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
    /// Gives the block back.
    pub(super) dealloc: unsafe fn(NonNull<Header>),
}

/// Header and result: what a handle that knows `T` but not the closure sees.
#[repr(C)]
struct WithResult<T> {
    header: Header,
    result: UnsafeCell<Option<Outcome<T>>>,
}

#[repr(C)]
pub(super) struct Task<F, T> {
    base: WithResult<T>,
    pub(super) closure: UnsafeCell<Option<F>>,
}

// What is fetched of a block that is about to be filled in is all of a small task, and no more than that.
const _: () = {
    let lines = size_of::<Task<fn(), ()>>().div_ceil(memory::LINE);
    assert!(lines <= memory::MOST_LINES || !super::AS_SHIPPED);
};

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
                    claimed: Cell::new(false),
                    awaited: Cell::new(false),
                    joiner_masked: Cell::new(false),
                    joined: Cell::new(false),
                    counted: Cell::new(false),
                },
                room: Room::new(),
                alarm: Alarm::new(),
                hand_back: Cell::new(None),
                locals: Locals::new(),
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
    let outcome = finish::call(&task.base.header, closure);
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
    // Whatever else could be dropped has been: closure and result (the header's first lines), the locals and the joiners at
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
