//! Futures on greenlets: `block_on` parks the caller between polls.

use crate::facade::Mutex;
use crate::facade::const_atomic::{AtomicUsize, Ordering};
use crate::wait::{Ended, Interrupts, Reason, Waiter, Wakeup, deliver_interrupts, park};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// How many `block_on` calls wait just now: whoever holds one of their wakers may still wake them, so they are no
/// deadlock.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// What a waker knows of the `block_on` it belongs to.
#[derive(Default)]
struct Signal {
    state: Mutex<Notice>,
}

#[derive(Default)]
struct Notice {
    woken: bool,
    waiter: Option<Waiter>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakeup = {
            let mut notice = self.state.lock();
            notice.woken = true;
            // SAFETY: a listed waiter is inside its wait: it takes this lock before it leaves.
            notice.waiter.take().and_then(|waiter| unsafe { waiter.wake() })
        };
        wakeup.into_iter().for_each(Wakeup::deliver);
    }
}

/// Whether some `block_on` waits for its waker.
pub(crate) fn any_waiting() -> bool {
    WAITING.load(Ordering::Relaxed) != 0
}

/// Runs a future to its end: polls it here, and parks the greenlet (or the plain OS thread) until it is woken.
///
/// Kill and enclosing timeouts end the wait and drop the future.
///
/// ```
/// let sum = greenhub::run(|| greenhub::block_on(async { 1 + 2 }));
/// assert_eq!(sum, 3);
/// // A greenlet's handle is a future, and any thread may wait for it.
/// assert_eq!(greenhub::block_on(greenhub::spawn(|| 42)).unwrap(), 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(signal.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let waiter = Waiter::current();
        {
            let mut notice = signal.state.lock();
            if std::mem::take(&mut notice.woken) {
                continue;
            }
            notice.waiter = Some(waiter);
        }
        // Relaxed: the deadlock report looks at it a second apart.
        WAITING.fetch_add(1, Ordering::Relaxed);
        let reason = Reason::new(&"block_on", &*signal);
        let ended = park(&waiter, None, Interrupts::Allowed, &reason);
        WAITING.fetch_sub(1, Ordering::Relaxed);
        {
            let mut notice = signal.state.lock();
            notice.waiter = None;
            notice.woken = false;
        }
        if ended == Ended::Interrupted {
            deliver_interrupts();
        }
    }
}
