//! Timers: one wheel a hub, one lazy node a greenlet.
//!
//! A greenlet has one [`Alarm`]: a deadline that is a plain atomic store away, and a wheel node that stands no later
//! than the deadline. A timeout that rarely fires moves only the deadline; when the wheel comes to the node it reads
//! the deadline and, if that is later, puts the node there.
//!
//! Who may touch what: `deadline` is written by the owner of the greenlet's right to run; the node, `armed` and
//! `home` change only under the lock of the wheel the node is in. The hub of a wheel and the greenlets that run on it
//! share an OS thread, so they never meet; another hub or the monitor that looks after a stuck hub's wheel takes out
//! only nodes of parked greenlets and leaves the rest where they stand (see [`Timers::fire`]).

pub(crate) mod clock;
#[cfg(all(test, greenhub_loom))]
mod model;
mod wheel;

use crate::facade::Mutex;
use crate::facade::atomic::{AtomicPtr, AtomicU64, Ordering};
use crate::greenlet::header::Header;
use crate::greenlet::state::{Phase, State, Wake};
use clock::NEVER;
use std::ptr::NonNull;
use wheel::{TimerNode, Wheel};

/// How many expired timers are taken out under one hold of the wheel's lock.
const BATCH: usize = 64;

/// One hub's timers.
pub(crate) struct Timers {
    wheel: Mutex<Wheel>,
    /// When the wheel must be looked at next; a glance for whoever sleeps or looks after it. Written under the lock.
    next: AtomicU64,
    /// How many nodes stand in the wheel. Written under the lock.
    count: AtomicU64,
}

/// A greenlet's timer.
#[repr(C)]
pub(crate) struct Alarm {
    /// When the greenlet wants to be woken, or [`NEVER`]. First, beside what else every wait looks at.
    deadline: AtomicU64,
    node: TimerNode,
    /// Where the node stands, or [`NEVER`] if in no wheel.
    armed: AtomicU64,
    home: AtomicPtr<Timers>,
}

/// What fired.
pub(crate) enum Fired {
    /// A parked greenlet: the caller owns its push.
    Wake(NonNull<Header>),
    /// A greenlet whose start time came: the caller owns its push.
    Start(NonNull<Header>),
}

impl Alarm {
    /// An alarm that is not set.
    pub(crate) fn new() -> Self {
        Self {
            node: TimerNode::new(),
            deadline: AtomicU64::new(NEVER),
            armed: AtomicU64::new(NEVER),
            home: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Moves the deadline later, or takes it back: one store.
    #[inline]
    pub(crate) fn relax(&self, at: u64) {
        // Relaxed: only the hub this greenlet runs on decides by it; others that read it treat it as a hint.
        self.deadline.store(at, Ordering::Relaxed);
    }

    /// When it wants to be woken.
    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// Sets the deadline to `at`, with the node in `timers` (the current hub's) or anywhere it stands early enough.
    #[inline]
    pub(crate) fn set(&self, header: NonNull<Header>, timers: &Timers, at: u64) {
        self.deadline.store(at, Ordering::Relaxed);
        if at == NEVER {
            return;
        }
        let here = std::ptr::eq(self.home.load(Ordering::Relaxed), timers);
        if here && self.armed.load(Ordering::Relaxed) <= at {
            return;
        }
        self.insert(header, timers, at);
    }

    #[cold]
    fn leave(&self) {
        let home = self.home.load(Ordering::Acquire);
        if !home.is_null() && self.armed.load(Ordering::Acquire) != NEVER {
            // SAFETY: wheels live as long as their runtime, whose hubs alone run this.
            let home = unsafe { &*home };
            let mut wheel = home.wheel.lock();
            home.unlink(&mut wheel, self);
            home.publish(&wheel);
        }
    }

    fn insert(&self, _header: NonNull<Header>, timers: &Timers, at: u64) {
        if !std::ptr::eq(self.home.load(Ordering::Relaxed), timers) {
            self.leave();
        }
        let mut wheel = timers.wheel.lock();
        timers.unlink(&mut wheel, self);
        timers.link(&mut wheel, self, at);
        timers.publish(&wheel);
    }

    /// Takes the node out of its wheel, for good. To be called before the greenlet ends.
    #[inline]
    pub(crate) fn remove(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
        // Acquire: pairs with the Release in `link`/`unlink` of another hub that looked after our wheel.
        if self.armed.load(Ordering::Acquire) != NEVER {
            self.leave();
        }
    }

    fn header(&self) -> NonNull<Header> {
        let offset = std::mem::offset_of!(Header, alarm);
        // SAFETY: an alarm exists only as the field of a header.
        unsafe { NonNull::from(self).byte_sub(offset).cast() }
    }

    /// The state word of the greenlet, which the caller knows to be alive.
    fn state(&self) -> &State {
        // SAFETY: an alarm exists only as the field of a header, which lives as long as the alarm.
        let header = unsafe { self.header().as_ref() };
        header.alive.in_use();
        &header.state
    }
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self::starting_at(clock::now())
    }

    pub(crate) fn starting_at(now: u64) -> Self {
        Self { wheel: Mutex::new(Wheel::new(now)), next: AtomicU64::new(NEVER), count: AtomicU64::new(0) }
    }

    /// When the wheel must be looked at next.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        // Relaxed: the hub that sleeps by it wrote it, or is woken if another hub arms a timer here.
        self.next.load(Ordering::Relaxed)
    }

    /// How many timers stand in the wheel, lazily left ones included.
    pub(crate) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn link(&self, wheel: &mut Wheel, alarm: &Alarm, at: u64) {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        alarm.home.store(std::ptr::from_ref(self).cast_mut(), Ordering::Release);
        self.stand(wheel, alarm, at);
    }

    /// Puts a node of this wheel's, which is out of it just now, where it is to stand. It was and stays armed.
    fn stand(&self, wheel: &mut Wheel, alarm: &Alarm, at: u64) {
        // SAFETY: the node is in no wheel; it stays where it is until `Alarm::remove`, which every greenlet calls
        // before it ends.
        unsafe { wheel.insert(NonNull::from(&alarm.node), at) };
        alarm.armed.store(at, Ordering::Release);
    }

    /// Puts a new greenlet, `Placed`, into the wheel until its start time. `false`: it was killed meanwhile, and is the
    /// caller's to push as it is.
    ///
    /// It is listed in the registry already, so a shutdown may kill it at any time. Armed first and `Later` second, it
    /// cannot be killed, started and ended before it stands in the wheel; both under the lock, it cannot fire in
    /// between.
    pub(crate) fn start_at(&self, header: NonNull<Header>, at: u64) -> bool {
        debug_assert_ne!(at, NEVER, "an alarm armed at NEVER counts as in no wheel");
        // SAFETY: the caller holds a reference.
        let alarm = &unsafe { header.as_ref() }.alarm;
        let mut wheel = self.wheel.lock();
        alarm.deadline.store(at, Ordering::Relaxed);
        self.link(&mut wheel, alarm, at);
        let deferred = alarm.state().defer();
        if !deferred {
            self.unlink(&mut wheel, alarm);
        }
        self.publish(&wheel);
        deferred
    }

    fn unlink(&self, wheel: &mut Wheel, alarm: &Alarm) {
        if alarm.armed.load(Ordering::Relaxed) == NEVER {
            return;
        }
        // SAFETY: it is armed and this is its wheel (the caller holds its lock and has checked `home`).
        unsafe { wheel.remove(NonNull::from(&alarm.node)) };
        self.unlinked(alarm);
    }

    fn unlinked(&self, alarm: &Alarm) {
        self.count.store(self.count.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        alarm.armed.store(NEVER, Ordering::Release);
    }

    fn publish(&self, wheel: &Wheel) {
        self.next.store(wheel.next_deadline().unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Takes out what has expired, at most a batch; `true` if there may be more.
    ///
    /// `owner` says whether the caller is this wheel's hub. Another one takes out only greenlets that are parked (it
    /// then owns them) and those that have not started; a node whose greenlet is awake may just be about to be
    /// re-armed by it without the lock, so it stays.
    pub(crate) fn fire(&self, now: u64, owner: bool, mut out: impl FnMut(Fired)) -> bool {
        let mut fired: [Option<Fired>; BATCH] = [const { None }; BATCH];
        let mut count = 0;
        let mut more = true;
        let mut left: Option<Vec<NonNull<TimerNode>>> = None;
        {
            let mut wheel = self.wheel.lock();
            while count < BATCH {
                let Some(node) = wheel.pop_expired(now) else {
                    more = false;
                    break;
                };
                // SAFETY: every node in the wheel is the `node` of an alarm (`link` is the only way in), and stays
                // alive while it is there.
                let alarm: &Alarm =
                    unsafe { node.byte_sub(std::mem::offset_of!(Alarm, node)).cast::<Alarm>().as_ref() };
                let header = alarm.header();
                let deadline = alarm.deadline();
                let starting = alarm.state().load().phase() == Phase::Later;
                // The store to `armed` comes last: whoever finds the alarm disarmed does without the lock, and may move
                // the greenlet to another wheel or let it end.
                if deadline > now && owner {
                    if deadline == NEVER {
                        self.unlinked(alarm);
                    } else {
                        self.stand(&mut wheel, alarm, deadline);
                    }
                } else if deadline > now {
                    left.get_or_insert_default().push(node);
                } else if starting {
                    let came = alarm.state().time_came();
                    self.unlinked(alarm);
                    if came {
                        fired[count] = Some(Fired::Start(header));
                        count += 1;
                    }
                } else {
                    match alarm.state().timer() {
                        Wake::Enqueue => {
                            self.unlinked(alarm);
                            fired[count] = Some(Fired::Wake(header));
                            count += 1;
                        }
                        _ if owner => self.unlinked(alarm),
                        _ => left.get_or_insert_default().push(node),
                    }
                }
            }
            for node in left.into_iter().flatten() {
                // SAFETY: just popped from this very wheel, and still armed as far as its greenlet knows.
                unsafe { wheel.insert(node, now) };
            }
            self.publish(&wheel);
        }
        for fired in fired.into_iter().take(count).flatten() {
            out(fired);
        }
        more
    }
}
