//! Sleeping and waking under loom: P6, no hub sleeps beside a queue with work that nobody watches, nor over its own
//! inbox or a timer; and the watch comes back when all is done.
//!
//! All of `idle.rs` runs as it ships, [`doze`] and [`fall_asleep`] included, which are how hubs sleep. Around it a
//! hub's loop is played: queues and inboxes are counters with the orders of the real ones (a lock there would hide a
//! missing fence), the blocking poll is a condition variable. A hub that is stuck in a greenlet waits for what only
//! the others can do, so work that is slept over is a deadlock, which loom reports.

use super::{Bed, Depth, NOBODY, Sleeper, Watch, doze, fall_asleep};
use crate::facade::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::facade::{Arc, Condvar, Mutex};
use crate::model::{explore, explore_within};
use loom::thread;

/// What a hub blocks in: an eventfd that stays readable until it is read.
#[derive(Default)]
struct Eventfd {
    written: Mutex<bool>,
    changed: Condvar,
}

impl Eventfd {
    fn write(&self) {
        *self.written.lock() = true;
        self.changed.notify_one();
    }

    fn read(&self) {
        let mut written = self.written.lock();
        while !*written {
            self.changed.wait(&mut written);
        }
        *written = false;
    }
}

struct Hub {
    bed: Bed,
    eventfd: Eventfd,
    inbox: AtomicUsize,
    /// What any hub may take.
    queue: AtomicUsize,
    timer: AtomicBool,
}

struct World {
    hubs: Vec<Hub>,
    watch: Watch,
    ended: AtomicBool,
    /// How many greenlets must have begun before any of them goes on: as many hubs are needed.
    together: usize,
    begun: Mutex<usize>,
    changed: Condvar,
}

fn take_one(from: &AtomicUsize) -> bool {
    // Acquire: pairs with the Release of the push.
    from.fetch_update(Ordering::Acquire, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
}

fn push(to: &AtomicUsize) {
    to.fetch_add(1, Ordering::Release);
}

impl World {
    fn new(hubs: usize, together: usize) -> Arc<Self> {
        let hub = || Hub {
            bed: Bed::new(),
            eventfd: Eventfd::default(),
            inbox: AtomicUsize::new(0),
            queue: AtomicUsize::new(0),
            timer: AtomicBool::new(false),
        };
        Arc::new(Self {
            hubs: (0..hubs).map(|_| hub()).collect(),
            watch: Watch::new(hubs),
            ended: AtomicBool::new(false),
            together,
            begun: Mutex::new(0),
            changed: Condvar::new(),
        })
    }

    fn rouse(&self, hub: usize) -> bool {
        let asleep = self.hubs[hub].bed.must_wake();
        if asleep {
            self.hubs[hub].eventfd.write();
        }
        asleep
    }

    /// As `Hub::announce` and `Shared::announce`.
    fn announce(&self, from: usize) {
        if let Some(watcher) = self.watch.elect(from + 1) {
            self.rouse(watcher);
        }
    }

    fn leave_watch(&self, me: usize) {
        let has_inbox = || self.hubs[me].inbox.load(Ordering::Relaxed) != 0;
        if let Some(next) = self.watch.leave(me, || self.work_anywhere(me) || has_inbox()) {
            self.rouse(next);
        }
    }

    /// As `Hub::work_anywhere`.
    fn work_anywhere(&self, me: usize) -> bool {
        self.hubs.iter().enumerate().any(|(index, hub)| {
            hub.queue.load(Ordering::Relaxed) != 0
                || index != me && hub.inbox.load(Ordering::Relaxed) != 0 && !hub.bed.is_asleep()
        })
    }

    fn spawn_here(&self, me: usize) {
        push(&self.hubs[me].queue);
        self.announce(me);
    }

    fn spawn_from_outside(&self, place: usize) {
        push(&self.hubs[place].inbox);
        if !self.rouse(place) {
            self.announce(place);
        }
    }

    /// A greenlet that waits for the others: it keeps its hub for itself meanwhile.
    fn execute(&self) {
        let mut begun = self.begun.lock();
        *begun += 1;
        self.changed.notify_all();
        self.wait(&mut begun);
    }

    fn wait(&self, begun: &mut crate::facade::MutexGuard<'_, usize>) {
        while **begun < self.together {
            self.changed.wait(begun);
        }
    }

    /// A hub is stuck in a greenlet until all have begun elsewhere; then the runtime ends.
    fn be_stuck_and_end(&self) {
        self.wait(&mut self.begun.lock());
        self.ended.store(true, Ordering::Release);
        (0..self.hubs.len()).for_each(|hub| _ = self.rouse(hub));
    }

    /// As `Hub::run`.
    fn run(&self, me: usize, mut watching: bool) {
        loop {
            while self.next_entry(me) {
                if std::mem::take(&mut watching) {
                    self.leave_watch(me);
                }
                self.execute();
            }
            if self.ended.load(Ordering::Acquire) {
                break;
            }
            watching = self.idle(me, watching);
        }
        if watching {
            self.leave_watch(me);
        }
    }

    /// As `Hub::next_entry`: what has come in goes to the queue, of which the others are told unless it is alone, and then
    /// one is run.
    fn next_entry(&self, me: usize) -> bool {
        let alone = self.hubs[me].queue.load(Ordering::Relaxed) == 0;
        let mut received = 0;
        while take_one(&self.hubs[me].inbox) {
            received += 1;
            push(&self.hubs[me].queue);
            if !alone || received > 1 {
                self.announce(me);
            }
        }
        if alone && received > 1 {
            self.announce(me);
        }
        take_one(&self.hubs[me].queue)
    }

    /// As `Hub::idle`, with a thief that takes whatever it sees, all at once.
    fn idle(&self, me: usize, watching: bool) -> bool {
        for (index, hub) in self.hubs.iter().enumerate().filter(|(index, _)| *index != me) {
            let first = take_one(&hub.queue) || !self.hubs[index].bed.is_asleep() && take_one(&hub.inbox);
            if first {
                let more = take_one(&hub.queue);
                if more {
                    push(&self.hubs[me].queue);
                }
                if watching {
                    self.leave_watch(me);
                } else if more {
                    self.announce(me);
                }
                self.execute();
                return false;
            }
        }
        fall_asleep(&self.hubs[me].bed, &self.watch, me, &Asleep { world: self, me }, Depth::Deep)
    }

    fn assert_at_rest(&self) {
        assert_eq!(self.watch.token.load(Ordering::Relaxed), NOBODY, "the watch did not come back");
        assert!(!self.watch.any_asleep());
        assert!(self.hubs.iter().all(|hub| !hub.bed.is_asleep()));
    }
}

struct Asleep<'a> {
    world: &'a World,
    me: usize,
}

impl Sleeper for Asleep<'_> {
    fn has_news(&self) -> bool {
        self.world.hubs[self.me].inbox.load(Ordering::Relaxed) != 0
            || self.world.ended.load(Ordering::Acquire)
    }
    fn has_work(&self) -> bool {
        self.world.work_anywhere(self.me)
    }
    fn block(&self) {
        let hub = &self.world.hubs[self.me];
        // Relaxed: as `Timers::next`.
        if !hub.timer.load(Ordering::Relaxed) {
            hub.eventfd.read();
        }
    }
}

fn start_hubs(world: &Arc<World>, which: std::ops::Range<usize>) -> Vec<thread::JoinHandle<()>> {
    which
        .map(|me| {
            let world = Arc::clone(world);
            thread::spawn(move || world.run(me, false))
        })
        .collect()
}

/// `Bed` and an inbox: one hub of one, two producers.
#[test]
fn model_a_hub_does_not_sleep_over_its_inbox() {
    explore(|| {
        let world = World::new(1, usize::MAX);
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    push(&world.hubs[0].inbox);
                    world.rouse(0);
                })
            })
            .collect();
        let mut taken = 0;
        while taken < 2 {
            if take_one(&world.hubs[0].inbox) {
                taken += 1;
            } else {
                doze(&world.hubs[0].bed, &Asleep { world: &world, me: 0 });
            }
        }
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

/// A timer that somebody else arms is seen by the hub that is about to sleep.
#[test]
fn model_a_hub_does_not_sleep_over_a_timer_armed_from_outside() {
    explore(|| {
        let world = World::new(1, usize::MAX);
        let outside = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.hubs[0].timer.store(true, Ordering::Relaxed);
                world.rouse(0);
            })
        };
        while !world.hubs[0].timer.load(Ordering::Relaxed) {
            doze(&world.hubs[0].bed, &Asleep { world: &world, me: 0 });
        }
        outside.join().unwrap();
    });
}

/// A hub that is stuck spawned two greenlets; the other hub runs both, one after the other.
#[test]
fn model_a_hub_does_not_sleep_beside_a_stuck_one_with_work() {
    explore(|| {
        let world = World::new(2, 2);
        // They do not wait for each other here.
        let hubs = {
            let world = Arc::clone(&world);
            vec![thread::spawn(move || {
                let mut watching = false;
                loop {
                    let seen = world.hubs.iter().any(|hub| take_one(&hub.queue));
                    if seen {
                        if std::mem::take(&mut watching) {
                            world.leave_watch(1);
                        }
                        *world.begun.lock() += 1;
                        world.changed.notify_all();
                    } else if world.ended.load(Ordering::Acquire) {
                        break;
                    } else {
                        let sleeper = Asleep { world: &world, me: 1 };
                        watching = fall_asleep(&world.hubs[1].bed, &world.watch, 1, &sleeper, Depth::Deep);
                    }
                }
                if watching {
                    world.leave_watch(1);
                }
            })]
        };
        world.spawn_here(0);
        world.spawn_here(0);
        world.be_stuck_and_end();
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
        world.assert_at_rest();
    });
}

/// Two hubs and an outside spawner: what lies in the inbox of a stuck hub is looked after, and what lies in that of a
/// sleeping one wakes it.
#[test]
fn model_two_hubs_and_a_spawner_outside() {
    explore_within(1, || {
        let world = World::new(2, 2);
        let hubs = start_hubs(&world, 0..2);
        world.spawn_from_outside(0);
        world.spawn_from_outside(0);
        world.be_stuck_and_end();
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
        world.assert_at_rest();
    });
}

/// A hub that holds the watch finds something to run, while more comes into its own inbox: nobody else is called for
/// that, so it must look there itself before it gives itself to one greenlet.
#[test]
fn model_a_watcher_leaves_nothing_in_its_own_inbox() {
    explore_within(2, || {
        let world = World::new(2, 2);
        assert!(world.watch.take(0));
        push(&world.hubs[0].queue);
        let hubs = start_hubs(&world, 1..2);
        let outside = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.spawn_from_outside(0);
                world.be_stuck_and_end();
            })
        };
        world.run(0, true);
        outside.join().unwrap();
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
        world.assert_at_rest();
    });
}

/// Two hubs beside a stuck one, and two greenlets that need one each: who finds work calls the next watcher, and who
/// takes several greenlets at once tells that there is more.
#[test]
fn model_of_three_hubs_each_gets_its_share() {
    explore_within(1, || {
        let world = World::new(3, 2);
        let hubs = start_hubs(&world, 1..3);
        world.spawn_here(0);
        world.spawn_here(0);
        world.be_stuck_and_end();
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
        world.assert_at_rest();
    });
}

/// The sleeper that an elector has seen gets up for something else, finds nothing yet and lies down again, trusting the
/// elector, who finds nobody.
#[test]
fn model_who_elects_nobody_looks_again() {
    explore_within(2, || {
        let world = World::new(2, 1);
        let hubs = start_hubs(&world, 1..2);
        let disturber = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.rouse(1))
        };
        world.spawn_here(0);
        world.be_stuck_and_end();
        disturber.join().unwrap();
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
        world.assert_at_rest();
    });
}

/// Two producers elect while a hub lies down and gets up: one of them gets the hub, and the watch comes back.
#[test]
fn model_election_against_rest_rise_and_leave() {
    explore(|| {
        let world = World::new(3, 2);
        let hubs = start_hubs(&world, 2..3);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.announce(1))
        };
        world.announce(0);
        other.join().unwrap();
        world.ended.store(true, Ordering::Release);
        world.rouse(2);
        hubs.into_iter().for_each(|hub| hub.join().unwrap());
        world.assert_at_rest();
    });
}
