//! The hub of a model: every greenlet has one of its own, so that loom decides in which order they run.
//!
//! It offers what the shipping greenlet code asks of a hub: a place to spawn to, timers, an address for wakes.

use crate::facade::execution;
use crate::greenlet::header::{Header, Kind, Life, Ref, let_go};
use crate::greenlet::join::{hand_back, wake_joiners};
use crate::greenlet::memory::Blocks;
use crate::greenlet::state::Owner;
use crate::greenlet::switch::Context;
use crate::greenlet::{current, finish};
use crate::hub::mailbox::{MAILBOXES, Mailbox};
use crate::hub::queue::Entry;
use crate::model::check::{self, step};
use crate::model::seat::{self, Doing};
use crate::model::trace;
use crate::timer::{Fired, Timers, clock};
use crate::wait::Waiter;
use loom::thread::JoinHandle;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;

/// How much later than its deadline a timer fires: more than a tick of the wheel.
const LATE: u64 = 1 << 15;

/// One greenlet's hub.
pub(crate) struct Hub {
    seat: usize,
    pub(crate) current: Cell<Option<NonNull<Header>>>,
    pub(crate) in_panic_hook: Cell<bool>,
    /// All greenlets of a model share an OS thread, and loom may switch anywhere: somebody may always be in the middle of
    /// an unwinding.
    pub(crate) suspended_unwinding: Cell<u32>,
    /// Numbers the kills and timeouts that unwind.
    pub(crate) interrupts: Cell<u8>,
    pub(crate) blocks: Blocks,
    timers: Timers,
}

thread_local! {
    /// The loom threads that the root has to wait for.
    static STARTED: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

impl Hub {
    /// A hub for the greenlet at `seat`, which lives until the next execution begins.
    fn new(seat: usize) -> &'static Self {
        execution::keep(Box::new(Self {
            seat,
            current: Cell::new(None),
            in_panic_hook: Cell::new(false),
            suspended_unwinding: Cell::new(1),
            interrupts: Cell::new(0),
            blocks: Blocks::new(),
            timers: Timers::starting_at(0),
        }))
    }

    pub(crate) fn index(&self) -> usize {
        self.seat
    }

    pub(crate) fn mailbox(&self) -> &'static Mailbox {
        &MAILBOXES[self.seat]
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(crate) fn clock(&self) -> u64 {
        clock::now()
    }

    /// Greenlets are numbered anew in each execution.
    pub(crate) fn next_id(&self) -> u64 {
        seat::taken().len() as u64 + 1
    }

    /// Reports of a model have the seats to go by.
    pub(crate) fn register(&self, _header: NonNull<Header>) {}

    pub(crate) fn refuses_spawns(&self) -> bool {
        false
    }

    /// Each new greenlet gets a hub of its own, in `push_new`.
    pub(crate) fn better_place(&self) -> Option<&'static Mailbox> {
        None
    }

    pub(crate) fn push_new(&self, life: Life, kind: Kind) {
        assert!(kind != Kind::Local, "greenhub::model does not follow `spawn_local`: use `spawn`");
        launch(life, None);
    }

    pub(crate) fn start_later(&self, life: Life, at: u64) {
        launch(life, Some(at));
    }

    /// A greenlet's start is its own loom thread's, so joiners leave it there.
    pub(crate) fn may_claim(&self, _header: &Header) -> bool {
        false
    }

    pub(crate) fn migrates(&self) -> bool {
        false
    }

    pub(crate) fn hand_over(&self, _child: &Header, _joiner: Waiter) {
        unreachable!("joiners claim nobody in models");
    }

    pub(crate) fn run_next(&self, entry: Entry) {
        self.push_ready(entry);
    }

    pub(crate) fn push_migrating(&self, entry: Entry) {
        self.push_ready(entry);
    }

    pub(crate) fn adopts(&self, _header: &Header) -> bool {
        false
    }

    pub(crate) fn count_wake_sent(&self) {}

    pub(crate) fn push_ready(&self, entry: Entry) {
        // SAFETY: an entry is the right to run the greenlet.
        let home = unsafe { entry.header().as_ref() }.home();
        // SAFETY: as above.
        unsafe { home.push(entry.header()) };
    }

    /// The running greenlet, parked by now, waits until it owns its right to run again: by its own timer, or by a push.
    pub(crate) fn sleep(&self, header: &Header) {
        let seat = seat::at(self.seat);
        let deadline = header.alarm.deadline();
        if deadline != clock::NEVER {
            chance();
            if self.fire(deadline) {
                trace::tell("its time is up".to_owned());
                seat.clock.set(seat.clock.get().max(deadline + LATE));
                return;
            }
        }
        self.mailbox().pass();
    }

    /// Time passes for a greenlet that gives way again and again inside a `timeout`.
    pub(crate) fn give_way(&self, header: &Header) {
        let seat = seat::at(self.seat);
        let deadline = header.alarm.deadline();
        let due = deadline != clock::NEVER && seat.chances.get() % 2 == 1;
        chance();
        if due {
            seat.clock.set(seat.clock.get().max(deadline + LATE));
            self.fire(deadline);
        }
    }

    /// Fires this greenlet's timer. Whether it was parked, and is ours to run now.
    fn fire(&self, deadline: u64) -> bool {
        let mut mine = false;
        while self
            .timers
            .fire(deadline + LATE, true, |fired| mine |= matches!(fired, Fired::Wake(_) | Fired::Start(_)))
        {
        }
        mine
    }

    /// Waits for the start time of a greenlet, or for its kill.
    fn wait_for_start(&self, header: NonNull<Header>, at: u64) {
        if self.timers.start_at(header, at) {
            chance();
            if self.fire(at) {
                let seat = seat::at(self.seat);
                seat.clock.set(seat.clock.get().max(at + LATE));
            } else {
                // Killed before: the killer owns the push.
                self.mailbox().pass();
            }
        }
        // SAFETY: we hold the life reference.
        let arrived = unsafe { header.as_ref() }.state.arrive();
        assert!(arrived, "a greenlet whose time has come is placed");
    }
}

/// Others first, or not: both are explored. Only some times for each greenlet, since one that waits in a loop could
/// otherwise go first for ever.
fn chance() {
    const CHANCES: u32 = 3;
    let (_, seat) = seat::current().expect("greenlets of a model have seats");
    let had = seat.chances.get();
    seat.chances.set(had + 1);
    if had < CHANCES {
        // loom lets a wait end for no reason, once, after a yield.
        let choice = loom::sync::Notify::new();
        step(|| choice.notify());
        step(|| choice.wait());
    } else {
        step(loom::thread::yield_now);
    }
}

/// Gives a new greenlet a seat, a hub and a loom thread.
fn launch(life: Life, at: Option<u64>) {
    let Some(index) = seat::take(&life) else {
        check::fail(&format!(
            "a fifth greenlet beside the root is spawned at {}: `greenhub::model` follows at most {} (loom's limit). \
             `greenhub::explore` takes larger programs, at random",
            life.spawned_at,
            seat::SEATS - 1,
        ));
    };
    trace::tell(format!("spawns {}", seat::at(index).name.borrow()));
    let hub = Hub::new(index);
    life.set_home(hub.mailbox());
    let header = life.into_raw();
    let thread = loom::thread::spawn(move || sit(hub, || live(hub, header, at)));
    STARTED.with_borrow_mut(|started| started.push(thread));
}

/// Runs `f` at the hub's seat.
fn sit<R>(hub: &'static Hub, f: impl FnOnce() -> R) -> R {
    seat::at(hub.seat).run(NonNull::from(hub).cast(), f)
}

/// A greenlet's life, as a hub leads it.
fn live(hub: &'static Hub, greenlet: NonNull<Header>, at: Option<u64>) {
    if let Some(at) = at {
        hub.wait_for_start(greenlet, at);
    }
    // SAFETY: its life is ours to end.
    let header = unsafe { greenlet.as_ref() };
    assert!(header.state.claim(), "nobody else starts a greenlet of a model");
    run_to_the_end(hub, header);
    // Its last frame is gone: what is left is the hub's.
    header.alarm.remove();
    if header.fiber.joined.get() {
        wake_joiners(header);
    }
    hand_back(header);
    if let Some(scope) = header.scope() {
        scope.leave();
    }
    // SAFETY: it has ended, and this was the last of it.
    unsafe { let_go(greenlet, Owner::Life) };
}

fn run_to_the_end(hub: &'static Hub, header: &Header) {
    let seat = seat::at(hub.seat);
    seat.doing.set(Doing::Running);
    hub.current.set(Some(NonNull::from(header)));
    trace::tell("starts".to_owned());
    // SAFETY: claimed by us, so ours.
    unsafe { *header.fiber.context.get() = Some(Context) };
    // SAFETY: as above, and this is its own stack.
    unsafe { finish::main(NonNull::from(header)) };
    trace::tell("ends".to_owned());
    hub.current.set(None);
    seat.doing.set(Doing::Ended);
}

/// Runs the root of an execution, whose header `make` makes, and waits for everything it has started.
pub(crate) fn run_root(make: impl FnOnce(&'static Mailbox) -> Ref) -> Ref {
    let root = make(&MAILBOXES[0]);
    let index = seat::take(&root).expect("the root is the first");
    "root".clone_into(&mut seat::at(index).name.borrow_mut());
    let hub = Hub::new(index);
    sit(hub, || {
        assert!(root.state.claim(), "nobody has seen it");
        run_to_the_end(hub, &root);
        root.alarm.remove();
        while let Some(thread) = STARTED.with_borrow_mut(Vec::pop) {
            step(|| thread.join()).expect("no panic passes a greenlet's base");
        }
    });
    root
}

/// A panic that nobody joined: the model fails.
pub(crate) fn nobody_joined(header: &Header, payload: &(dyn Any + Send)) {
    check::fail(&format!(
        "{} panicked and nobody joined it: {}",
        crate::greenlet::handle::Describe(header),
        crate::greenlet::join_error::message(payload)
    ));
}

/// The hub of whoever runs here, for the switch.
pub(crate) fn here() -> &'static Hub {
    let hub = current::hub().expect("a greenlet runs on a hub");
    // SAFETY: it lives until the next execution begins.
    unsafe { &*std::ptr::from_ref::<Hub>(&*hub) }
}
