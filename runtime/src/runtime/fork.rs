//! fork(2) beside hubs.
//!
//! The child has one OS thread, the one that forked, and none of the hubs. What the runtime makes of that:
//!
//! * forked from a plain OS thread, the child's first use of the default runtime starts a new one; runtimes made by
//!   hand stay behind, and using one is a clear panic;
//! * forked from inside a greenlet, the child's code runs on as on a plain OS thread: its blocking calls block, and
//!   what it spawns goes to the child's own default runtime. When the greenlet's closure returns, there is no hub left
//!   to return to, so the child ends, with a message. It is best to `exec` or `_exit` before.
//!
//! Another thread may be inside a lock at the moment of the fork, and in the child nobody will ever leave it. What belongs
//! to one runtime stays behind with it. What belongs to the process is behind a [`ProcessLock`] (or made under
//! [`INITIALISING`]), and the fork itself takes all of those first, so that the child finds each of them free and whole.
//! A greenlet's state word that is biased to a hub's thread is mended by whoever comes upon it: that thread is lost.
//! A fork handler of the program's own that was there before the first use of this crate runs while they are held: it can
//! neither spawn nor make a channel.
//! Beyond reach are the locks of others. Std's table of its threads' guard pages, whose lock each thread takes where it starts
//! and where it ends: held for ever, it keeps any thread from starting in the child. And parking_lot's table of who waits,
//! which a thread locks for a moment where it goes to sleep at a contended lock or wakes somebody there.

use crate::facade::ThreadMark;
use crate::greenlet::{current, memory, on_error};
use crate::hub::mailbox;
use crate::stack;
use std::any::Any;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A short lock around something of the process's, to be listed in [`prepare`]. None is taken inside another, apart
/// from those inside [`INITIALISING`].
///
/// Std's, not parking_lot's: that one hands itself over to a thread that waits, also to one that does not exist in the
/// child, and keeps who waits in a table with locks of its own.
pub(crate) struct ProcessLock<T>(Mutex<T>);

impl<T> ProcessLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes the lock. Nothing that is done under one of these can leave it half done by panicking.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held while the first runtime sets up what all share: the panic hook, the fault handler, what is known of the system.
pub(super) static INITIALISING: ProcessLock<()> = ProcessLock::new(());

/// How often this process is a fork's child since that was first [watched](watch) for.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The present generation; a runtime of another one has lost its hubs.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Sees to it that a child knows it is one, and finds no lock held. Comes before the first use of any of them;
/// a fork at that very moment (handlers are told of what the system's `fork` found at its start) goes unnoticed.
pub(crate) fn watch() {
    // No `Once`: a child might find it begun for ever. Relaxed: who comes second has nothing to wait for.
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if WATCHED.load(Ordering::Relaxed) || WATCHED.swap(true, Ordering::Relaxed) {
        return;
    }
    #[cfg(unix)]
    {
        // SAFETY: `prepare` takes locks that a thread in `fork` does not hold (no user code runs under one), the others
        // let go of them; `in_child` besides stores to an atomic and to a thread-local without a destructor.
        let refused = unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
        if refused != 0 {
            eprintln!(
                "greenhub: forks of this process will not be noticed (pthread_atfork: error {refused})"
            );
        }
    }
}

/// The guards of all process-wide locks, while a thread forks.
#[cfg(unix)]
struct Held(UnsafeCell<Option<[Box<dyn Any>; 5]>>);

// SAFETY: only touched by the thread that holds the locks whose guards are in it.
#[cfg(unix)]
unsafe impl Sync for Held {}

#[cfg(unix)]
static HELD: Held = Held(UnsafeCell::new(None));

/// Before the fork: takes every process-wide lock, so that no other thread is inside one.
#[cfg(unix)]
unsafe extern "C" fn prepare() {
    let guards: [Box<dyn Any>; 5] = [
        Box::new(INITIALISING.lock()),
        Box::new(on_error::HANDLER.lock()),
        Box::new(mailbox::FREE.lock()),
        Box::new(stack::OVERFLOW_TABLE.lock()),
        Box::new(memory::STORE.lock()),
    ];
    // SAFETY: this thread holds the locks.
    unsafe { *HELD.0.get() = Some(guards) };
}

#[cfg(unix)]
fn let_go() {
    // SAFETY: this thread holds the locks, and has taken the guards out before it lets go of the first.
    let guards = unsafe { (*HELD.0.get()).take() };
    drop(guards);
}

/// After the fork.
#[cfg(unix)]
unsafe extern "C" fn in_parent() {
    let_go();
}

/// After the fork, in the child, whose one thread is the one that forked, and holds the locks.
#[cfg(unix)]
unsafe extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    current::set_hub(None, ThreadMark::NOBODY);
    ThreadMark::lose_all();
    let_go();
}

/// Called by a hub when a greenlet has ended: in a child there is no hub to go on with.
#[inline]
pub(crate) fn end_child(generation_of_hub: u64) {
    if generation() != generation_of_hub {
        end_child_now();
    }
}

#[cold]
fn end_child_now() -> ! {
    eprintln!(
        "greenhub: a greenlet that had forked returned in the child process, where its hub does not exist; the child \
         ends here. Call `exec` or `_exit` in the child instead."
    );
    // SAFETY: ends this process; its destructors belong to the parent.
    unsafe { libc::_exit(70) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Each in the order in which `prepare` takes them.
    fn touch_all() {
        drop(INITIALISING.lock());
        drop(on_error::HANDLER.lock());
        drop(mailbox::FREE.lock());
        drop(stack::OVERFLOW_TABLE.lock());
        drop(memory::STORE.lock());
    }

    #[test]
    fn a_child_finds_every_lock_of_the_process_free() {
        watch();
        let end = AtomicBool::new(false);
        let hung = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !end.load(Ordering::Relaxed) {
                        touch_all();
                    }
                });
            }
            let hung = (0..200).find(|_| {
                // SAFETY: the child takes the locks and ends by `_exit`; a signal ends it if it hangs.
                unsafe {
                    let pid = libc::fork();
                    if pid == 0 {
                        libc::alarm(3);
                        touch_all();
                        libc::_exit(0);
                    }
                    let mut status = 0;
                    libc::waitpid(pid, &raw mut status, 0) != pid || status != 0
                }
            });
            end.store(true, Ordering::Relaxed);
            hung
        });
        assert_eq!(hung, None, "the child of that round hung");
    }
}
