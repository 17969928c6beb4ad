//! Sleeping and waking: how a hub halts without missing work, and how a producer finds somebody to wake.
//!
//! Two words a hub, one word a runtime:
//!
//! * [`Bed`], one a hub: is it asleep in its poll? A producer with something for *this* hub (an inbox push) looks
//!   here and writes the eventfd only if it is.
//! * [`Watch::asleep`], one bit a hub: which hubs could be woken for work that *any* hub may take.
//! * [`Watch::token`]: the watch. At most one hub holds it, awake or dozing: it has promised to look at all queues
//!   before it sleeps for good. While it is held nobody else needs to be woken for new work.
//!
//! Why nothing is lost (invariant 7). A sleeper writes *asleep*, fences, looks at every queue; a producer pushes,
//! fences, looks for the token and for sleepers. The fences order the two: either the sleeper's look sees the push,
//! or the producer sees the sleeper (or the token, whose holder has its look still before it). So there is never a
//! non-empty queue beside a sleeping hub without either a holder of the token or a wake on its way:
//!
//! * who gives the token up for lack of work announces sleep *before* that, fences, and looks once more;
//! * who gives it up because it found work looks, if anybody is asleep, once more at all queues and elects the next
//!   watcher;
//! * who took the token only to elect somebody and found nobody asleep gives it back, fences and looks again, since a
//!   hub may have gone to sleep meanwhile trusting the token;
//! * who lies down while another hub holds the token leaves the look to that one;
//! * a hub that finds one greenlet in its inbox, and has nothing else to run, runs it next and tells nobody; so who wakes a
//!   hub by what it pushes into its inbox need not tell another one, either.
//!
//! Spawns are many and long sleeps are few, so the fence between a producer and whoever looks at its queue is a [lopsided
//! one](crate::facade::lopsided_fence): the producer's costs nothing, and a hub is about to sleep for good, or to call
//! another one, when it pays. Between hubs that hand the token to and fro both sides have full fences. A hub that will
//! look again within a millisecond ([`Depth::Nap`]), or is busy by then, does not pay either, unless it gives up the token
//! that others trust: what it sleeps over meanwhile is what another processor's store buffer held back at the moment of its
//! look.

use crate::facade::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use crate::facade::lopsided_fence;

#[cfg(all(test, greenhub_loom))]
mod model;

/// What a hub that lies down answers for itself.
pub(crate) trait Sleeper {
    /// Whether something came in that only this hub takes, so that it must not sleep.
    fn has_news(&self) -> bool;
    /// Whether there is work in any queue that any hub may take.
    fn has_work(&self) -> bool;
    /// Blocks the OS thread until its eventfd is written, I/O is ready or a timer is due. Looks at the timers itself:
    /// a timer that somebody else armed before the look would otherwise be slept over.
    fn block(&self);
}

/// How long a hub may sleep at most.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// It looks again soon, whatever happens.
    Nap,
    /// Until it is needed.
    Deep,
}

/// Sleeps where no other hub needs to know of it but for what is pushed into the inbox: for the holder of the watch
/// that dozes, and for the only hub of a runtime.
pub(crate) fn doze(bed: &Bed, sleeper: &impl Sleeper) {
    bed.lie_down();
    if !sleeper.has_news() {
        sleeper.block();
    }
    bed.get_up();
}

/// Hub `me` has nothing to do: sleeps until it is needed, and gives up the watch if it holds it. Gives whether it holds
/// the watch now: it was elected, or found at the last look that there is work.
pub(crate) fn fall_asleep(bed: &Bed, watch: &Watch, me: usize, sleeper: &impl Sleeper, depth: Depth) -> bool {
    bed.lie_down();
    if watch.rest(me, depth, || sleeper.has_work()) == Rest::Watch {
        bed.get_up();
        return true;
    }
    if !sleeper.has_news() && !watch.is_mine(me) {
        sleeper.block();
    }
    bed.get_up();
    watch.rise(me)
}

/// Whether one hub is asleep.
pub(crate) struct Bed {
    asleep: AtomicBool,
}

impl Bed {
    /// A hub that is up.
    pub(crate) fn new() -> Self {
        Self { asleep: AtomicBool::new(false) }
    }

    /// The hub announces sleep. It must look at all its sources after this and before it blocks.
    pub(crate) fn lie_down(&self) {
        // A swap, here and in `get_up`, where a store would do: loom does not order a store after another thread's
        // read-modify-write, and would find wakes lost that no machine loses. Beside a poll its cost is nothing.
        self.asleep.swap(true, Ordering::Relaxed);
        // Pairs with the fence in `must_wake`: the hub's look at its inbox, or the producer's look at `asleep`, sees
        // the other's write.
        fence(Ordering::SeqCst);
    }

    /// The hub is up again.
    pub(crate) fn get_up(&self) {
        // Relaxed: a producer that still reads `true` writes the eventfd once for nothing.
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// Asked by a producer after its push: must it write the eventfd? Exactly one producer a sleep is told so.
    #[inline]
    pub(crate) fn must_wake(&self) -> bool {
        // Pairs with the fence in `lie_down`.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fences; the swap picks one producer.
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }

    /// A glance from outside (monitor, metrics).
    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }
}

const NOBODY: usize = usize::MAX;
const ELECTING: usize = usize::MAX - 1;

/// Who watches for work that any hub may take.
pub(crate) struct Watch {
    /// The hub that holds the watch, `NOBODY`, or `ELECTING` while a producer looks for a hub to give it to.
    token: AtomicUsize,
    /// One bit a hub.
    asleep: Box<[AtomicU64]>,
}

/// What a hub that lies down must do.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
#[must_use]
pub(crate) enum Rest {
    /// Sleep until woken.
    Sleep,
    /// It holds the watch: look for work.
    Watch,
}

impl Watch {
    /// The watch of a runtime with `hubs` hubs, all up.
    pub(crate) fn new(hubs: usize) -> Self {
        Self {
            token: AtomicUsize::new(NOBODY),
            asleep: (0..hubs.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Asked by a producer after it pushed work that any hub may take: the hub to wake, which from now on holds
    /// the watch. `None`: somebody watches, or nobody sleeps.
    #[inline]
    pub(crate) fn elect(&self, from: usize) -> Option<usize> {
        // Pairs with the heavy fences in `rest` and `leave`: their look at the queues, or ours at the token, sees the
        // other's write.
        lopsided_fence::light();
        // Relaxed: ordered by the fences.
        if self.token.load(Ordering::Relaxed) != NOBODY { None } else { self.elect_sleeper(from) }
    }

    /// The hub that holds the watch, if any: a producer with much work may want to rouse it from its doze.
    #[inline]
    pub(crate) fn holder(&self) -> Option<usize> {
        let token = self.token.load(Ordering::Relaxed);
        (token < ELECTING).then_some(token)
    }

    #[cold]
    fn elect_sleeper(&self, from: usize) -> Option<usize> {
        loop {
            if !self.any_asleep() {
                return None;
            }
            // Acquire/Release on the token hand the promise on; the data travels with the queues.
            if self.token.compare_exchange(NOBODY, ELECTING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                return None;
            }
            if let Some(hub) = self.pick(from) {
                self.token.store(hub, Ordering::Release);
                return Some(hub);
            }
            self.token.store(NOBODY, Ordering::Release);
            // A hub that lay down while we held the token trusted it: look again, in its place. Pairs with the fences
            // in `rest`.
            fence(Ordering::SeqCst);
        }
    }

    fn any_asleep(&self) -> bool {
        self.asleep.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    fn others_asleep(&self, me: usize) -> bool {
        let mine = |at: usize| if at == me / 64 { 1 << (me % 64) } else { 0 };
        self.asleep.iter().enumerate().any(|(at, word)| word.load(Ordering::Relaxed) & !mine(at) != 0)
    }

    /// Clears the bit of a sleeping hub and returns it.
    fn pick(&self, from: usize) -> Option<usize> {
        let words = self.asleep.len();
        for step in 0..words {
            let at = (from / 64 + step) % words;
            let mut bits = self.asleep[at].load(Ordering::Relaxed);
            while bits != 0 {
                let bit = bits.trailing_zeros();
                // AcqRel: the bit is the hand-over of "awake for work" from the sleeper to us.
                bits = self.asleep[at].fetch_and(!(1 << bit), Ordering::AcqRel);
                if bits & (1 << bit) != 0 {
                    return Some(at * 64 + bit as usize);
                }
            }
        }
        None
    }

    /// Hub `me` takes the watch for itself, if nobody holds it.
    pub(crate) fn take(&self, me: usize) -> bool {
        self.token.compare_exchange(NOBODY, me, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether hub `me` holds the watch.
    pub(crate) fn is_mine(&self, me: usize) -> bool {
        self.token.load(Ordering::Acquire) == me
    }

    /// Hub `me` wants to sleep: announces it, gives up the watch if it holds it, and looks once more. `work` says
    /// whether there is work in any queue that any hub may take.
    ///
    /// On [`Rest::Sleep`] the hub is announced and must call [`Watch::rise`] when it is up again.
    pub(crate) fn rest(&self, me: usize, depth: Depth, work: impl Fn() -> bool) -> Rest {
        self.asleep[me / 64].fetch_or(1 << (me % 64), Ordering::AcqRel);
        let was_mine = self.is_mine(me);
        if was_mine {
            self.token.store(NOBODY, Ordering::Release);
        }
        // Orders our announcement before our look. And between hubs, here and in `leave`: who lies down sees that the token
        // is free, or its holder, who gives it up, sees that the other is asleep.
        fence(Ordering::SeqCst);
        if !was_mine && self.token.load(Ordering::Relaxed) < ELECTING {
            return Rest::Sleep;
        }
        // A push that is held back meanwhile waits for the next look of who naps. But that look never comes if there is
        // something to do for this hub alone, and others sleep for long, trusting it.
        if depth == Depth::Deep || was_mine && self.others_asleep(me) {
            // Pairs with the light fence in `elect`.
            lopsided_fence::heavy();
        }
        if work() && self.take(me) {
            self.asleep[me / 64].fetch_and(!(1 << (me % 64)), Ordering::AcqRel);
            return Rest::Watch;
        }
        Rest::Sleep
    }

    /// Hub `me` is up again. `true`: it was elected meanwhile and holds the watch.
    pub(crate) fn rise(&self, me: usize) -> bool {
        let bit = 1 << (me % 64);
        let announced = self.asleep[me / 64].fetch_and(!bit, Ordering::AcqRel) & bit != 0;
        if announced {
            return self.is_mine(me);
        }
        // Whoever cleared the bit is about to write our number into the token.
        while self.token.load(Ordering::Acquire) == ELECTING {
            crate::facade::spin_loop();
        }
        self.is_mine(me)
    }

    /// Hub `me`, which holds the watch, found something to do: the hub to wake as the next watcher, if there is more
    /// work and somebody asleep.
    pub(crate) fn leave(&self, me: usize, work: impl Fn() -> bool) -> Option<usize> {
        debug_assert!(self.is_mine(me));
        self.token.store(NOBODY, Ordering::Release);
        // Pairs with the fences in `rest`: who lies down unseen by us sees that the token is free, and looks itself.
        fence(Ordering::SeqCst);
        if !self.any_asleep() {
            return None;
        }
        // Pushes made while we watched were announced to nobody else. Pairs with the light fence in `elect`; where there
        // is work to be seen without it, the election is due anyway.
        let more = work() || {
            lopsided_fence::heavy();
            work()
        };
        if more { self.elect(me + 1) } else { None }
    }
}
