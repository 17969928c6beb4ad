//! The end of a runtime.

use super::{DROP_PATIENCE, Runtime};
use crate::facade::{Mutex, instant_now};
use crate::greenlet::kill;
use std::mem::ManuallyDrop;
use std::time::Duration;

/// How often greenlets that still live are asked again to end (one may swallow its unwinding, or spawn others).
const ASK_EVERY: Duration = Duration::from_millis(20);

impl Runtime {
    /// Ends the runtime: takes no more greenlets, kills those that live, and waits, at most `limit`, until they have
    /// unwound and every thread has ended. Gives whether everything ended in time.
    ///
    /// What did not end is never run again: its stack stays mapped, its destructors do not run, and a hub stuck in a
    /// greenlet goes on until that greenlet suspends.
    ///
    /// # Panics
    ///
    /// Inside a greenlet of this very runtime, which cannot wait for itself, and inside [`no_switch`](crate::no_switch).
    /// The runtime then ends in the background.
    #[must_use = "`false` means that greenlets or threads are still there"]
    pub fn shutdown_timeout(self, limit: Duration) -> bool {
        self.shut_down(limit)
    }

    /// Once begun it goes on to the end, not interrupted; where it must not wait (in `no_switch`, in a greenlet of its
    /// own) it panics before anything has happened. Half a shutdown would hand mailboxes that are in use to others.
    fn shut_down(&self, limit: Duration) -> bool {
        crate::greenlet::scope::check_may_wait();
        crate::shield(|| self.shut_down_shielded(limit))
    }

    fn shut_down_shielded(&self, limit: Duration) -> bool {
        let shared = &self.shared;
        if shared.generation != super::fork::generation() {
            self.leave_to_parent();
            return false;
        }
        assert!(
            !self.is_around_us(),
            "a runtime was shut down from one of its own greenlets, which cannot wait for itself"
        );
        let threads = std::mem::take(&mut *self.threads.lock());
        if shared.is_ended() {
            return threads.is_empty();
        }
        let deadline = instant_now().checked_add(limit);
        let in_time = || deadline.is_none_or(|deadline| instant_now() < deadline);
        shared.gate.close();
        shared.monitor.stop();
        let mut ask_at = instant_now();
        let mut ended = threads.is_empty();
        while !threads.is_empty() {
            if shared.live() == 0 {
                ended = true;
                break;
            }
            if !in_time() {
                break;
            }
            if instant_now() >= ask_at {
                shared.greenlets().iter().for_each(|greenlet| kill::kill(greenlet));
                ask_at = instant_now() + ASK_EVERY;
            }
            crate::sleep(Duration::from_micros(200));
        }
        // Not before: a greenlet that unwinds, or that the kill has not reached yet, may need it to come to its end.
        shared.blocking.close();
        shared.gate.end();
        for hub in shared.hubs() {
            hub.mailbox.rouse();
        }
        let mut threads_ended = true;
        for thread in threads {
            while !thread.is_finished() && (ended || in_time()) {
                crate::sleep(Duration::from_micros(200));
            }
            if thread.is_finished() {
                threads_ended &= thread.join().is_ok();
            } else {
                threads_ended = false;
            }
        }
        // It was bidden to end long ago, and takes its time only in a callback of the user's.
        let grace = instant_now() + ASK_EVERY;
        threads_ended &= shared.monitor.join(|| in_time() || instant_now() < grace);
        let blocking_ended =
            shared.blocking.shutdown(deadline.unwrap_or_else(|| instant_now() + DROP_PATIENCE));
        for hub in shared.hubs() {
            hub.reactor.close();
            hub.mailbox.close(ended && threads_ended);
        }
        if !(ended && threads_ended) {
            // What lives on, greenlets on leaked stacks and hubs stuck in one, may still use all of this.
            std::mem::forget(shared.clone());
        }
        ended && threads_ended && blocking_ended
    }
}

impl Runtime {
    /// The end of a runtime whose hubs return of their own accord, with greenlets left. Those are never run again: what
    /// they own and their stacks stay where they are, for others may know of both.
    pub(crate) fn abandon(self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A hub's thread that panics ends the process.
            let _ended = thread.join();
        }
        self.shared.gate.end();
        for hub in self.shared.hubs() {
            hub.reactor.close();
            hub.mailbox.close(false);
        }
        std::mem::forget(self.shared.stacks.clone());
    }

    /// In a child process nothing of it is ours to end, and its threads' handles may be those of threads the child has
    /// started since: dropping one would detach that thread.
    fn leave_to_parent(&self) {
        std::mem::take(&mut *self.threads.lock()).into_iter().for_each(std::mem::forget);
        std::mem::forget(self.shared.clone());
    }

    /// Whether the caller is one of this runtime's own greenlets.
    fn is_around_us(&self) -> bool {
        crate::greenlet::current::hub().is_some_and(|hub| hub.runtime().id == self.shared.id)
    }

    /// Whether the caller must not wait for anything.
    fn is_in_no_switch() -> bool {
        crate::greenlet::current::greenlet().is_some_and(|greenlet| greenlet.fiber.masks.may_not_switch())
    }

    /// A runtime dropped by one of its own greenlets, which cannot wait for itself, or in `no_switch`, ends on a thread
    /// of its own; in the first case that greenlet with it.
    #[cold]
    fn drop_elsewhere(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        let rest = ManuallyDrop::new(Runtime { shared: self.shared.clone(), threads: Mutex::new(threads) });
        let started = crate::facade::thread::Builder::new()
            .name("greenhub-shutdown".into())
            .spawn(move || drop(ManuallyDrop::into_inner(rest)));
        if let Err(error) = started {
            eprintln!(
                "greenhub: a runtime dropped where it cannot be waited for goes on running: there is no thread to end it on: \
                 {error}"
            );
        }
    }
}

/// Shuts down as [`Runtime::shutdown_timeout`], with five seconds' patience, and says on standard error what is left.
/// Dropped by one of its own greenlets, or inside [`no_switch`](crate::no_switch), the runtime ends in the background.
impl Drop for Runtime {
    fn drop(&mut self) {
        if self.shared.generation != super::fork::generation() {
            return self.leave_to_parent();
        }
        if self.threads.lock().is_empty() && self.shared.is_ended() {
            return;
        }
        if self.is_around_us() || Self::is_in_no_switch() {
            return self.drop_elsewhere();
        }
        if !self.shut_down(DROP_PATIENCE) {
            eprintln!(
                "greenhub: a runtime was dropped and did not end within {DROP_PATIENCE:?}: {} greenlets are left; use \
                 `shutdown_timeout` to wait longer, and look for greenlets that never suspend or that catch their kill",
                self.shared.live()
            );
        }
    }
}
