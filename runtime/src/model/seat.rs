//! Seats: where the greenlets of a model run, and which of them is running.
//!
//! loom gives each thread a stack too small for user code, and all its threads share one OS thread. So each greenlet of
//! an execution gets a seat: a stack, on which its loom thread calls it, and what the model knows of it. Who runs is
//! told from the stack pointer, which asks nothing of loom and so works in the panic hook too, where loom may be in the
//! middle of something.

use crate::greenlet::header::Header;
use crate::timer::clock;
use corosensei::stack::{DefaultStack, Stack};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::ptr::NonNull;
use std::time::Instant;

/// The root, and what loom follows beside it.
pub(crate) const SEATS: usize = loom::MAX_THREADS;

/// Of one greenlet's stack. Debug builds, and panics, need some room.
const STACK: usize = 512 * 1024;

/// One greenlet's.
pub(crate) struct Seat {
    stack: UnsafeCell<DefaultStack>,
    low: usize,
    high: usize,
    /// What `facade::thread_pointer` keeps.
    pointer: Cell<Option<NonNull<()>>>,
    /// Its own time, in nanoseconds of the runtime's clock.
    pub(crate) clock: Cell<u64>,
    /// How many free choices it has had.
    pub(crate) chances: Cell<u32>,
    /// As reports name it.
    pub(crate) name: RefCell<String>,
    pub(crate) doing: Cell<Doing>,
    /// Where its header is.
    pub(crate) header: Cell<usize>,
    /// The call and the object it is about to wait for.
    pub(crate) next_wait: Cell<(&'static str, usize)>,
}

/// What a greenlet is doing, for the report.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Unstarted,
    Running,
    Waiting { what: &'static str, object: usize },
    Ended,
}

thread_local! {
    static TABLE: Cell<Option<&'static [Seat; SEATS]>> = const { Cell::new(None) };
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// The seats of a check, on whose OS thread this is called.
pub(crate) struct Table(NonNull<[Seat; SEATS]>);

impl Table {
    pub(crate) fn set() -> Self {
        let seats = Box::leak(Box::new(std::array::from_fn(|_| Seat::new())));
        let table = Table(NonNull::from(&*seats));
        TABLE.set(Some(seats));
        table
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        TABLE.set(None);
        TAKEN.set(0);
        // SAFETY: leaked in `set`; the check is over, so nobody sits any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Seat {
    fn new() -> Self {
        let stack = DefaultStack::new(STACK).expect("no memory for a stack of a model");
        let (low, high) = (stack.limit().get(), stack.base().get());
        Self {
            stack: UnsafeCell::new(stack),
            low,
            high,
            pointer: Cell::new(None),
            clock: Cell::new(0),
            chances: Cell::new(0),
            name: RefCell::default(),
            doing: Cell::new(Doing::Unstarted),
            header: Cell::new(0),
            next_wait: Cell::new(("", 0)),
        }
    }

    /// Runs `f` on this seat's stack.
    pub(crate) fn run<R>(&self, pointer: NonNull<()>, f: impl FnOnce() -> R) -> R {
        self.pointer.set(Some(pointer));
        // SAFETY: one greenlet of an execution takes the seat, and calls this once.
        let stack = unsafe { &mut *self.stack.get() };
        corosensei::on_stack(stack, f)
    }
}

/// Before an execution: all seats are free.
pub(crate) fn clear() {
    TAKEN.set(0);
}

/// Takes a seat for a new greenlet. `None`: there is none left.
pub(crate) fn take(header: &Header) -> Option<usize> {
    let index = TAKEN.get();
    let seat = table()?.get(index)?;
    TAKEN.set(index + 1);
    seat.pointer.set(None);
    seat.clock.set(current().map_or(0, |(_, spawner)| spawner.clock.get()));
    seat.chances.set(0);
    seat.doing.set(Doing::Unstarted);
    seat.header.set(std::ptr::from_ref(header).addr());
    *seat.name.borrow_mut() = crate::greenlet::handle::Describe(header).to_string();
    Some(index)
}

fn table() -> Option<&'static [Seat; SEATS]> {
    TABLE.get()
}

/// The seat with that number.
pub(crate) fn at(index: usize) -> &'static Seat {
    &table().expect("a check is running on this thread")[index]
}

/// Every seat that is taken.
pub(crate) fn taken() -> &'static [Seat] {
    table().map_or(&[], |seats| &seats[..TAKEN.get()])
}

/// The seat of whoever calls this.
#[inline(never)]
pub(crate) fn current() -> Option<(usize, &'static Seat)> {
    let local = Cell::new(0_u8);
    let here = std::ptr::from_ref(&local).addr();
    taken().iter().enumerate().find(|(_, seat)| (seat.low..seat.high).contains(&here))
}

/// What `facade::thread_pointer` keeps for whoever calls this.
pub(crate) fn pointer() -> Option<NonNull<()>> {
    current()?.1.pointer.get()
}

pub(crate) fn set_pointer(pointer: Option<NonNull<()>>) {
    if let Some((_, seat)) = current() {
        seat.pointer.set(pointer);
    }
}

/// The caller's own time.
pub(crate) fn now() -> Option<Instant> {
    clock::instant(current()?.1.clock.get())
}
