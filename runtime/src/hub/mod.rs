//! The hub: one OS thread that runs greenlets, with its own queues, timers and event loop.
//!
//! * [`turn`]: the loop. What to run next, when to look at the outside world, when to sleep.
//! * [`queue`]: what is ready here; [`deque`]: the part of it that others may take. [`steal`]: taking from others. [`place`]: giving to others.
//! * [`execute`]: starting and resuming one greenlet, and what happens to it after the switch. [`stackless`]: where there
//!   is no stack to start it on.
//! * [`inbox`], [`mailbox`], [`idle`]: how others reach a hub, asleep or not.
//! * [`explore`]: the other loop, for programs under exploration.
//! * [`policy`]: every decision, as pure functions.

pub(crate) mod deque;
pub(crate) mod execute;
pub(crate) mod explore;
mod hand_over;
pub(crate) mod idle;
pub(crate) mod inbox;
pub(crate) mod mailbox;
pub(crate) mod metrics;
pub(crate) mod offer;
pub(crate) mod place;
pub(crate) mod policy;
pub(crate) mod queue;
mod stackless;
pub(crate) mod steal;
pub(crate) mod turn;

use crate::explore::Explorer;
use crate::facade::ThreadMark;
use crate::greenlet::header::{Header, Kind, Life};
use crate::greenlet::memory::Blocks;
use crate::greenlet::registry::Shard;
use crate::ids::Supply;
use crate::reactor::Reactor;
use crate::runtime::{Migration, Shared};
use crate::stack::StackCache;
use crate::timer::Timers;
use mailbox::Mailbox;
use metrics::Counters;
use queue::{Entry, Queue, Stealers};
use std::cell::{Cell, OnceCell, RefCell, UnsafeCell};
use std::ptr::NonNull;
use std::sync::Arc;

/// What every hub of a runtime may see of each other.
pub(crate) struct HubShared {
    pub(crate) mailbox: &'static Mailbox,
    pub(crate) stealers: Stealers,
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) registry: Shard,
    /// It knows that there is work elsewhere and leaves it alone for a while.
    pub(crate) rests: crate::facade::atomic::AtomicBool,
    /// The number of the greenlet that runs or ran last, for reports.
    pub(crate) running: crate::facade::atomic::AtomicU64,
    /// The number by which the system knows this hub's OS thread, or 0.
    pub(crate) thread: crate::facade::atomic::AtomicU32,
}

/// What only the hub's own OS thread touches. Greenlets reach it through the thread-local pointer, never across a
/// switch (invariant 4).
pub(crate) struct Hub {
    index: usize,
    /// This hub's part of `runtime`, so that a switch need not look it up.
    shared: NonNull<HubShared>,
    migration: Migration,
    /// By which short locks know this hub's thread.
    pub(crate) mark: ThreadMark,
    runtime: Arc<Shared>,
    mailbox: &'static Mailbox,
    /// The greenlet that is running.
    pub(crate) current: Cell<Option<NonNull<Header>>>,
    /// This OS thread is inside the panic hook.
    pub(crate) in_panic_hook: Cell<bool>,
    /// How many greenlets of this hub are suspended in the middle of their unwinding.
    pub(crate) suspended_unwinding: Cell<u32>,
    /// The number of the last kill or timeout delivered here.
    pub(crate) interrupts: Cell<u8>,
    queue: Queue,
    /// What runs before everything else: the child a joiner claimed, or the joiner of a child that ended.
    next: Cell<Option<Entry>>,
    stacks: UnsafeCell<StackCache>,
    /// Claimed greenlets for which there was no stack.
    stackless: stackless::Stackless,
    /// Nanoseconds, as of the last look at the clock.
    clock: Cell<u64>,
    pace: turn::Pace,
    views: RefCell<Vec<steal::View>>,
    thief: steal::Thief,
    ids: Supply,
    /// Memory of greenlets that ended here, for the next.
    pub(crate) blocks: Blocks,
    random: Cell<u64>,
    /// Set if this hub explores schedules instead of running what comes.
    explorer: OnceCell<Box<Explorer>>,
}

impl Hub {
    pub(crate) fn new(index: usize, runtime: Arc<Shared>, queue: Queue, stacks: StackCache) -> Self {
        let now = crate::timer::clock::now();
        let mark = ThreadMark::new();
        Self {
            index,
            shared: NonNull::from(runtime.hub(index)),
            migration: runtime.migration,
            mark,
            mailbox: runtime.hub(index).mailbox,
            current: Cell::new(None),
            in_panic_hook: Cell::new(false),
            suspended_unwinding: Cell::new(0),
            interrupts: Cell::new(0),
            queue,
            next: Cell::new(None),
            stacks: UnsafeCell::new(stacks),
            stackless: stackless::Stackless::default(),
            clock: Cell::new(now),
            pace: turn::Pace::new(now),
            views: RefCell::new(vec![steal::View::default(); runtime.hubs().len()]),
            thief: steal::Thief::default(),
            ids: Supply::default(),
            blocks: Blocks::new(),
            random: Cell::new(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(index as u64 + 1)),
            explorer: OnceCell::new(),
            runtime,
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &HubShared {
        // SAFETY: it is part of `runtime`, which this hub keeps alive.
        unsafe { self.shared.as_ref() }
    }

    #[inline]
    pub(crate) fn runtime(&self) -> &Arc<Shared> {
        &self.runtime
    }

    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    #[inline]
    pub(crate) fn mailbox(&self) -> &'static Mailbox {
        self.mailbox
    }

    #[inline]
    pub(crate) fn timers(&self) -> &Timers {
        &self.shared().timers
    }

    /// Nanoseconds, as of the hub's last look at the clock.
    #[inline]
    pub(crate) fn clock(&self) -> u64 {
        self.clock.get()
    }

    /// A number for a new greenlet.
    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        self.ids.take()
    }

    /// Lists a new greenlet that this hub spawned.
    #[inline]
    pub(crate) fn register(&self, header: NonNull<Header>) {
        let shared = self.shared();
        // SAFETY: this is the shard's hub, and the greenlet is new.
        unsafe { shared.registry.insert(header) };
        shared.counters.spawned.add(1);
    }

    /// Whether the runtime has shut down for new greenlets.
    #[inline]
    pub(crate) fn refuses_spawns(&self) -> bool {
        self.runtime.is_closing()
    }

    /// An unstarted greenlet spawned here.
    #[inline]
    pub(crate) fn push_new(&self, life: Life, kind: Kind) {
        if let Some(length) = self.push_untold(life, kind) {
            self.announce(length);
        }
    }

    /// An unstarted greenlet, of which the others are not told. Gives the length of the queue if they might take it.
    #[inline]
    fn push_untold(&self, life: Life, kind: Kind) -> Option<usize> {
        let entry = Entry::start(life);
        if kind == Kind::Free {
            Some(self.queue.push_shared(entry))
        } else {
            self.queue.push_ring(entry);
            None
        }
    }

    /// An unstarted greenlet for later.
    pub(crate) fn start_later(&self, life: Life, at: u64) {
        self.runtime.start_later(self.index, life, at);
    }

    /// A started greenlet of this hub is ready again.
    #[inline]
    pub(crate) fn push_ready(&self, entry: Entry) {
        if self.migration == Migration::Never {
            self.queue.push_ring(entry);
        } else {
            self.push_migrating(entry);
        }
    }

    /// A started greenlet is ready, and may run anywhere unless it is pinned.
    pub(crate) fn push_migrating(&self, entry: Entry) {
        // SAFETY: an entry to resume is the right to run, so the greenlet is alive and its cells are ours.
        let header = unsafe { entry.header().as_ref() };
        if !may_move(header) {
            self.queue.push_ring(entry);
            return;
        }
        if self.migration == Migration::Every {
            let next = (header.home().hub() + 1) % self.runtime.hubs().len();
            if next != self.index {
                // SAFETY: the entry is the right to run, and the greenlet lies in no inbox.
                unsafe { self.runtime.hub(next).mailbox.push(entry.header()) };
                return;
            }
        }
        let length = self.queue.push_shared(entry);
        self.announce(length);
    }

    /// Whether a greenlet woken here, which lives elsewhere, runs here from now on.
    #[inline]
    pub(crate) fn adopts(&self, header: &Header) -> bool {
        self.migration != Migration::Never
            && header.home().runtime() == self.mailbox.runtime()
            && may_move(header)
    }

    /// What is ready here runs after `entry`.
    pub(crate) fn run_next(&self, entry: Entry) {
        if self.pace.may_hand_back() && self.next.get().is_none() && self.migration != Migration::Every {
            self.next.set(Some(entry));
        } else {
            // Once it is in a queue it may run on another hub: who awaits it, and may have to stay here, waits like
            // everybody else from now on.
            // SAFETY: the entry is the right to run, so the greenlet is alive and its cells are ours.
            self.park_joiners(unsafe { entry.header().as_ref() });
            self.push_ready(entry);
        }
    }

    /// Whether started greenlets may leave this hub.
    #[inline]
    pub(crate) fn migrates(&self) -> bool {
        self.migration != Migration::Never
    }

    /// Whether a joiner on this hub may take that unstarted greenlet out of its queue.
    #[inline]
    pub(crate) fn may_claim(&self, header: &Header) -> bool {
        let home = header.home();
        match header.kind {
            Kind::Free => home.runtime() == self.mailbox.runtime(),
            Kind::Pinned | Kind::Local => std::ptr::eq(home, self.mailbox),
        }
    }

    /// A greenlet whose start entry lies in some queue was claimed.
    #[inline]
    fn note_claimed(&self, header: &Header) {
        if std::ptr::eq(header.home(), self.mailbox) && header.kind == Kind::Free && self.queue.note_stale() {
            self.announce_rest();
        }
    }

    pub(crate) fn count_wake_sent(&self) {
        self.shared().counters.wakes_sent.add(1);
    }

    /// A cheap random number (xorshift64).
    #[inline]
    fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }
}

/// A panic that nobody joined, and no handler was set for: it is printed.
pub(crate) fn nobody_joined(header: &Header, payload: &(dyn std::any::Any + Send)) {
    eprintln!(
        "greenhub: {} panicked and nobody joined it: {}",
        crate::greenlet::handle::Describe(header),
        crate::greenlet::join_error::message(payload)
    );
}

/// Whether a started greenlet may be resumed on another hub.
fn may_move(header: &Header) -> bool {
    header.kind == Kind::Free && !header.fiber.pinned.get() && !header.fiber.held.get()
}
