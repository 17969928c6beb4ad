//! Who is running here: the one file that owns the runtime's thread-locals (invariant 4).
//!
//! A greenlet may run on another OS thread after every suspension, and compilers treat a thread-local's address as a
//! constant of the function that takes it. So every access goes through a function that is never inlined, returns a
//! value and not a reference into the thread-local, and what it returns must not be used across a switch.

use super::header::Header;
use super::memory::Blocks;
use crate::facade::{Arc, ThreadMark, thread_cell, thread_local, thread_pointer};
use crate::hub::Hub;
use crate::wait::thread::ThreadSelf;
use std::cell::Cell;
use std::ptr::NonNull;

thread_pointer! {
    /// The hub that runs on this OS thread, if one does.
    static HUB: Hub
}

thread_cell! {
    /// By which short locks know this OS thread.
    static MARK: ThreadMark = ThreadMark::NOBODY
}

thread_local! {
    /// What a plain OS thread (or a hub's thread inside a panic hook) needs to wait.
    static THREAD: Arc<ThreadSelf> = ThreadSelf::new();
}

std::thread_local! {
    /// The memory for headers and channels that an OS thread keeps which is no hub's.
    static BLOCKS: Blocks = const { Blocks::new() };
}

/// The hub of this OS thread. Stale after the next suspension.
#[inline(never)]
pub(crate) fn hub() -> Option<HubPtr> {
    HUB.get().map(HubPtr)
}

/// [`hub`] and [`greenlet`] at once.
#[inline(never)]
pub(crate) fn hub_and_greenlet() -> Option<(HubPtr, Running)> {
    let hub = HUB.get()?;
    // SAFETY: a hub outlives its registration here.
    let here = unsafe { hub.as_ref() };
    if here.in_panic_hook.get() {
        return None;
    }
    here.current.get().map(|greenlet| (HubPtr(hub), Running(greenlet)))
}

/// The greenlet that is running, if one is and may suspend. In a panic hook there is none: code there blocks the OS
/// thread, because a switch inside the hook would leave std's panic count wrong.
#[inline(never)]
pub(crate) fn greenlet() -> Option<Running> {
    // SAFETY: a hub outlives its registration here.
    let hub = unsafe { HUB.get()?.as_ref() };
    if hub.in_panic_hook.get() {
        return None;
    }
    hub.current.get().map(Running)
}

/// As [`greenlet`], but also inside the panic hook: whose panic it is.
#[inline(never)]
pub(crate) fn greenlet_even_in_hook() -> Option<Running> {
    // SAFETY: as in `greenlet`.
    unsafe { HUB.get()?.as_ref() }.current.get().map(Running)
}

/// The identity of the running greenlet, or of the OS thread outside any.
#[inline(never)]
pub(crate) fn id() -> u64 {
    // SAFETY: as in `greenlet`.
    match HUB.get().and_then(|hub| unsafe { hub.as_ref() }.current.get()) {
        // SAFETY: a running greenlet's header is alive.
        Some(greenlet) => unsafe { greenlet.as_ref() }.id,
        None => thread().id,
    }
}

/// By which short locks know this OS thread.
#[inline(never)]
pub(crate) fn mark() -> ThreadMark {
    MARK.with(Cell::get)
}

/// Makes `hub` this OS thread's hub, or none, and `mark` that by which short locks know the thread.
pub(crate) fn set_hub(hub: Option<NonNull<Hub>>, mark: ThreadMark) {
    HUB.set(hub);
    set_mark(mark);
}

/// From now on short locks know this OS thread by `mark`.
pub(crate) fn set_mark(mark: ThreadMark) {
    MARK.with(|here| here.set(mark));
}

/// To be called before an OS thread is made to wait.
///
/// # Panics
///
/// On a hub's own stack, where no greenlet runs that could wait instead: the hub must not (invariant 8). A panic hook may.
#[cold]
#[inline(never)]
pub(crate) fn check_may_block() {
    // SAFETY: as in `greenlet`.
    let Some(hub) = HUB.get().map(|hub| unsafe { hub.as_ref() }) else { return };
    // While std counts a panic on this thread we may be in a hook, or amid an unwinding, where a panic would abort.
    if hub.current.get().is_none() && !std::thread::panicking() {
        panic!(
            "a call that would block, on hub {}'s own stack, where no greenlet runs that could wait: in the `wake` of a \
             `Waker`, or in what is dropped or reported for a greenlet that could be given no stack. Hand it to a greenlet \
             instead: `greenhub::spawn` does not block",
            hub.index()
        );
    }
}

/// Calls `f` with the blocks of this OS thread, which is no hub's; `None` once it has given them up, at its end. `f` does not
/// suspend.
#[inline(never)]
pub(super) fn with_thread_blocks<R>(f: impl FnOnce(&Blocks) -> R) -> Option<R> {
    BLOCKS.try_with(f).ok()
}

/// The waiting place of this OS thread.
#[inline(never)]
pub(crate) fn thread() -> Arc<ThreadSelf> {
    THREAD.try_with(Arc::clone).unwrap_or_else(|_| late_thread())
}

/// The same while the thread ends and its locals are gone. Somebody may be about to wake it, so it must not go before
/// the thread does: it is kept for good.
#[cold]
fn late_thread() -> Arc<ThreadSelf> {
    std::thread_local! {
        /// Has no destructor, so it can be reached to the end.
        static LATE: Cell<Option<NonNull<ThreadSelf>>> = const { Cell::new(None) };
    }
    let kept = LATE.get().unwrap_or_else(|| {
        let kept = Arc::into_raw(ThreadSelf::new()).cast_mut();
        // SAFETY: an `Arc`'s pointer is not null.
        let kept = unsafe { NonNull::new_unchecked(kept) };
        LATE.set(Some(kept));
        kept
    });
    // SAFETY: `kept` is an `Arc`'s pointer whose own count is never given up.
    unsafe {
        Arc::increment_strong_count(kept.as_ptr());
        Arc::from_raw(kept.as_ptr())
    }
}

/// This OS thread's hub; see [`hub`].
#[derive(Clone, Copy)]
pub(crate) struct HubPtr(NonNull<Hub>);

impl std::ops::Deref for HubPtr {
    type Target = Hub;
    #[inline(always)]
    fn deref(&self) -> &Hub {
        // SAFETY: a hub outlives its registration, and this value is not used across a switch (invariant 4).
        unsafe { self.0.as_ref() }
    }
}

/// The running greenlet's header: alive for as long as the caller runs, which is on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running(NonNull<Header>);

impl Running {
    /// # Safety
    ///
    /// The caller runs on this greenlet.
    #[inline(always)]
    pub(crate) unsafe fn itself(greenlet: NonNull<Header>) -> Self {
        Self(greenlet)
    }

    pub(crate) fn as_ptr(self) -> NonNull<Header> {
        self.0
    }
}

impl std::ops::Deref for Running {
    type Target = Header;
    #[inline(always)]
    fn deref(&self) -> &Header {
        // SAFETY: the life reference is held while the greenlet runs.
        unsafe { self.0.as_ref() }
    }
}
