//! A descriptor's home under loom: while it moves, cannot move, or a reactor closes, whoever waits for it is told, or comes
//! back and registers it anew.
//!
//! `Home`, `Table` with its slab, and `Source` run as they ship. Played are the reactors, which report on registering and when
//! something arrives, as an edge-triggered queue does that is polled at once, and only what is registered with them; and the
//! system calls, by a counter of unread bytes. A waiter that nobody tells is a deadlock.

use super::{Home, Registrar};
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::{Arc, Mutex};
use crate::reactor::source::{Direction, Readiness, Source};
use crate::reactor::table::Table;
use crate::wait::{Interrupts, Wakeup};
use loom::thread;
use std::io;
use std::os::fd::RawFd;

struct Played {
    table: Table,
    token: Mutex<Option<usize>>,
    unread: Arc<AtomicUsize>,
}

impl Registrar for Played {
    fn register(&self, _: RawFd, source: &Arc<Source>) -> io::Result<Option<usize>> {
        let token = self.table.insert(source.clone());
        if token.is_some() {
            *self.token.lock() = token;
            self.report();
        }
        Ok(token)
    }

    fn deregister(&self, _: RawFd, token: usize) {
        *self.token.lock() = None;
        self.table.remove(token);
    }

    fn is_closed(&self) -> bool {
        self.table.is_closed()
    }
}

impl Played {
    /// What a poll does.
    fn report(&self) {
        let token = *self.token.lock();
        if self.unread.load(Ordering::Acquire) > 0 {
            let mut woken = Vec::new();
            self.table.record(token.map(|token| (token, Readiness::READ)).into_iter(), &mut woken);
            woken.into_iter().for_each(Wakeup::deliver);
        }
    }
}

/// A descriptor that two reactors may have; at first the first has it.
struct World {
    unread: Arc<AtomicUsize>,
    source: Arc<Source>,
    reactors: [Arc<Played>; 2],
    home: Home<Played>,
}

impl World {
    fn new() -> Arc<Self> {
        let unread = Arc::new(AtomicUsize::new(0));
        let reactor =
            || Arc::new(Played { table: Table::new(), token: Mutex::new(None), unread: unread.clone() });
        let (source, reactors, home) = (Arc::new(Source::new()), [reactor(), reactor()], Home::new());
        assert!(home.ensure(0, &reactors[0], &source).unwrap().is_some());
        Arc::new(Self { unread, source, reactors, home })
    }

    fn move_and_arrive(&self) {
        self.home.move_to(&self.reactors[1], &self.source);
        self.arrive();
    }

    fn arrive(&self) {
        self.unread.fetch_add(1, Ordering::AcqRel);
        self.reactors.iter().for_each(|reactor| reactor.report());
    }

    /// Whether a call would block; if so, says that to the source, as its caller does.
    fn would_block(&self) -> bool {
        let seen = self.source.observe();
        let nothing = self.unread.load(Ordering::Acquire) == 0;
        if nothing {
            self.source.clear(Direction::Read, seen);
        }
        nothing
    }

    /// Waits on the hub of that reactor until something has arrived.
    fn wait(&self, here: usize) {
        while self.would_block() {
            let home = self.home.ensure(0, &self.reactors[here], &self.source).unwrap();
            let home = home.expect("this reactor stays open");
            let tied = || self.home.reports(&home);
            self.source.wait(Direction::Read, None, Interrupts::Kept, &"model", tied);
        }
    }
}

/// Does this beside whatever comes.
fn beside(world: &Arc<World>, body: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || body(&world))
}

/// Somebody waits on the first reactor's hub while somebody else moves the descriptor to the second, if that takes it, and
/// then something arrives.
fn move_beside_a_waiter(world: &Arc<World>) {
    let mover = beside(world, World::move_and_arrive);
    world.wait(0);
    mover.join().unwrap();
}

#[test]
fn model_a_descriptor_that_moves_takes_its_waiter_along() {
    crate::model::explore(|| move_beside_a_waiter(&World::new()));
}

#[test]
fn model_a_descriptor_that_cannot_move_stays() {
    crate::model::explore(|| {
        let world = World::new();
        world.reactors[1].table.close();
        move_beside_a_waiter(&world);
    });
}

#[test]
fn model_a_descriptor_moves_away_from_a_reactor_that_closes() {
    crate::model::explore_within(2, || {
        let world = World::new();
        let closer = beside(&world, |world| world.reactors[0].table.close());
        let mover = beside(&world, World::move_and_arrive);
        world.wait(1);
        closer.join().unwrap();
        mover.join().unwrap();
    });
}

#[test]
fn model_a_reactor_that_closes_leaves_no_waiter_behind() {
    crate::model::explore_within(2, || {
        let world = World::new();
        let closer = beside(&world, |world| world.reactors[0].table.close());
        // A caller on the hub that goes down: it finds out, and can register nowhere.
        let caller = beside(&world, |world| {
            if world.would_block() {
                let _home = world.home.ensure(0, &world.reactors[0], &world.source).unwrap();
            }
        });
        let waiter = beside(&world, |world| world.wait(1));
        closer.join().unwrap();
        caller.join().unwrap();
        world.arrive();
        waiter.join().unwrap();
    });
}
