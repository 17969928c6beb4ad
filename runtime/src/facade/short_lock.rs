//! The lock around what is short: a handful of instructions on a wait list, a channel's buffer or a biased state word, never a switch
//! (invariant 5), never a system call but for the memory that a list may need, and where a bias is revoked.
//!
//! It is a flag: taking it is one read-modify-write, and giving it back is a store: nobody has to be told, since nobody
//! sleeps until told. Who finds it taken looks again for a while, and then *dozes*: sleeps for some microseconds, looks,
//! and sleeps for twice as long. That is rare, for it takes an owner that the system has stopped in the middle of those
//! instructions, and then costs little: who doubles its naps oversleeps by no longer than it had to wait anyway.
//!
//! Why nothing better informed: a table of who sleeps would belong to the process, and a child of fork(2) would inherit
//! it as another thread happened to leave it; asking for sleepers would need a fence with every giving back; and the flag
//! would have to outlive that question. As it is, the store is the last that an owner does to the lock.
//!
//! # Bias
//!
//! Most locks are taken by the greenlets of one hub, thus by one thread, for most of their life. Such a lock is *biased* to
//! that thread (Kawachiya, Koseki and Onodera, *Lock reservation*, OOPSLA 2002), which then takes it without a
//! read-modify-write: it says that it is at the door, looks whether the lock is still biased to it, and has it. The first
//! other thread that wants the lock revokes that once and for all: it sets the flag, which keeps all others away, takes the
//! bias out of the lock, passes the heavy side of a lopsided fence (a system call, 2 µs where two threads run), and waits
//! until the thread that had the bias is outside.
//!
//! A lock is biased once only. The thread that has lost the bias may stand at the door for as long as the system lets it, and
//! what it writes there when it leaves would be taken for another's. `CountedLock` decides when a lock is biased.

use super::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};
use super::{in_models, lopsided_fence, spin_loop, thread};
use std::iter::repeat_n;
use std::time::Duration;

#[cfg(not(greenhub_schedule))]
#[cfg(not(greenhub_loom))]
mod counted;
mod credit;
mod mark;
#[cfg(all(test, greenhub_loom))]
mod model;
#[cfg(not(greenhub_schedule))]
#[cfg(all(test, not(greenhub_loom)))]
mod tests;

#[cfg(not(greenhub_schedule))]
#[cfg(not(greenhub_loom))]
pub(crate) use counted::CountedLock;
pub(crate) use mark::ThreadMark;

/// A flag that one has set, and the thread that need not set it.
pub(crate) struct ShortLock {
    locked: AtomicBool,
    /// How far the thread that the lock is biased to has come with taking it.
    inside: AtomicU8,
    /// The mark of that thread, from the revocation on with [`NO_MORE`]; [`NOT_YET`] if there has been none.
    bias: AtomicU16,
}

/// The lock has not been biased to anybody.
const NOT_YET: u16 = 0;
/// It was, or will not be: a bit that no mark has. Beside it stays the mark, by which the child of a fork knows that the one
/// who waited for that thread may have been left behind, too.
const NO_MORE: u16 = 1 << 15;

/// What the thread that the lock is biased to does with it: nothing,
const OUTSIDE: u8 = 0;
/// looking whether it still is biased,
const AT_THE_DOOR: u8 = 1;
/// or owning it.
const INSIDE: u8 = 2;

/// How long to pause between looks before the first nap: some spins, for as long as it takes to revoke a bias, and then the
/// rest of the time slice, so often. A model goes from look to look.
///
/// The first look comes late, after some 700 ns: each takes the cache line from the owner, who often wants the lock again at
/// once. (Measured: four senders and four receivers that migrate, on two hubs. With looks after 1, 2, 4 and so on a message took
/// 65 ns, with these 54.)
const SPINS: &[u32] = in_models(&[], &[16, 16, 32]);
const SLICES: usize = in_models(0, 3);

/// The first nap and the longest, of which the kernel makes some more. A stopped owner runs again within some
/// milliseconds as a rule.
const FIRST_NAP: Duration = Duration::from_micros(20);
const LONGEST_NAP: Duration = Duration::from_millis(1);

impl ShortLock {
    super::const_fn! {
        /// A free lock.
        pub(crate) fn new() -> Self {
            Self {
                locked: AtomicBool::new(false),
                inside: AtomicU8::new(OUTSIDE),
                bias: AtomicU16::new(NOT_YET),
            }
        }
    }

    /// Takes the lock when it becomes free. `me` is the calling thread's mark.
    #[inline]
    pub(crate) fn acquire(&self, me: ThreadMark) {
        if !self.acquire_by_bias(me) {
            self.acquire_shared();
        }
    }

    /// Takes the lock if it is biased to `me`, the calling thread's mark.
    #[inline(always)]
    fn acquire_by_bias(&self, me: ThreadMark) -> bool {
        let by_bias = self.enter(me);
        if by_bias {
            // Relaxed: for our own `release`.
            self.inside.store(INSIDE, Ordering::Relaxed);
        }
        by_bias
    }

    /// As [`ShortLock::acquire`] by a thread that it is not biased to.
    #[inline]
    fn acquire_shared(&self) {
        if !self.try_set() {
            wait_until(|| self.try_set());
        }
        self.revoke_others();
    }

    /// The flag is ours; now it shall be enough.
    #[inline]
    fn revoke_others(&self) {
        // Relaxed: written by owners of the flag only.
        let bias = self.bias.load(Ordering::Relaxed);
        if bias != NOT_YET && bias & NO_MORE == 0 {
            self.revoke(bias);
        }
    }

    /// Whether it is or was biased to a thread that is not in this process, which is a copy made by fork(2).
    pub(crate) fn is_biased_to_a_lost_thread(&self) -> bool {
        // Relaxed: such a bias is not given any more.
        let mark = self.bias.load(Ordering::Relaxed) & !NO_MORE;
        mark != NOT_YET && ThreadMark(mark).is_lost()
    }

    /// Whether `me` need not set the flag, which is so only where the fence of `enter` costs nothing.
    #[inline]
    fn is_biased_to(&self, me: ThreadMark) -> bool {
        // Relaxed: `enter` looks again.
        self.bias.load(Ordering::Relaxed) == me.0
    }

    /// As [`ShortLock::acquire_by_bias`], to be given back by [`ShortLock::leave`].
    #[inline(always)]
    pub(crate) fn enter(&self, me: ThreadMark) -> bool {
        if !self.is_biased_to(me) {
            return false;
        }
        debug_assert_eq!(self.inside.load(Ordering::Relaxed), OUTSIDE, "a short lock is taken twice");
        // Relaxed, like the look below: the light fence keeps them apart, and pairs with the heavy one in `revoke`. Either
        // that look sees the bias revoked, or whoever revokes it sees that we are here.
        self.inside.store(AT_THE_DOOR, Ordering::Relaxed);
        lopsided_fence::light_for_sure();
        let mine = self.is_biased_to(me);
        if !mine {
            self.leave();
        }
        mine
    }

    /// Gives back what [`ShortLock::enter`] has taken.
    #[inline(always)]
    pub(crate) fn leave(&self) {
        // Release: what was done here is visible to who revokes the bias; pairs with the Acquire in `revoke`.
        self.inside.store(OUTSIDE, Ordering::Release);
    }

    /// Takes the bias away and waits until its thread is outside. Called by the owner of the flag, so nobody else does.
    #[cold]
    fn revoke(&self, bias: u16) {
        credit::spend();
        self.bias.store(bias | NO_MORE, Ordering::Relaxed);
        // Pairs with the light one in `enter`.
        lopsided_fence::heavy();
        // Acquire: what was done under the bias is visible to us; pairs with `leave`.
        let is_outside = || self.inside.load(Ordering::Acquire) == OUTSIDE;
        if !is_outside() {
            wait_until(is_outside);
        }
    }

    /// From the next time on `me`, the calling thread, need not set the flag, until somebody else wants the lock; unless
    /// it is biased to another, or was, or is better not biased. Whether it is biased to `me` now.
    ///
    /// Called by the flag's owner, or where no other thread takes the lock before it has seen what this one does next.
    #[inline]
    pub(crate) fn bias_to(&self, me: ThreadMark) -> bool {
        // Relaxed: who takes the lock next finds it with what shows it the lock.
        let bias = self.bias.load(Ordering::Relaxed);
        if bias == NOT_YET {
            let worth_it = me.may_have_bias() && lopsided_fence::is_lopsided() && credit::earn();
            self.bias.store(if worth_it { me.0 } else { NO_MORE }, Ordering::Relaxed);
            return worth_it;
        }
        bias == me.0
    }

    /// Takes the flag if it is free.
    #[inline]
    fn try_set(&self) -> bool {
        // Acquire: pairs with the Release of the owner before.
        self.locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives the lock back. Called by its owner.
    #[inline]
    pub(crate) fn release(&self) {
        // Relaxed: only an owner by bias writes `INSIDE`, so whoever reads it is that thread; a look of somebody at the
        // door says the same as `OUTSIDE`.
        if self.inside.load(Ordering::Relaxed) == INSIDE {
            self.leave();
        } else {
            // Release: what the owner did is visible to the next; pairs with `try_set`.
            self.locked.store(false, Ordering::Release);
        }
    }
}

/// Waits until `done` says so, by looking for a while, as it will nearly always be so at once, and then between naps.
#[cold]
fn wait_until(mut done: impl FnMut() -> bool) {
    let mut length = FIRST_NAP;
    while !is_soon(&mut done) {
        nap(length);
        if done() {
            return;
        }
        length = (length * 2).min(LONGEST_NAP);
    }
}

fn is_soon(done: &mut impl FnMut() -> bool) -> bool {
    let after_spins = SPINS.iter().any(|spins| {
        (0..*spins).for_each(|_| spin_loop());
        done()
    });
    after_spins
        || repeat_n((), SLICES).any(|()| {
            thread::yield_now();
            done()
        })
}

/// Lets others run, for `length` or longer.
fn nap(length: Duration) {
    if in_models(true, cfg!(greenhub_schedule)) { spin_loop() } else { std::thread::sleep(length) }
}
