//! The registry under loom: a reader gets references to greenlets that have not ended only, and strikes nobody's slot.
//!
//! All of `registry.rs` runs as it ships; a header is what `greenlet/header_model.rs` leaves of it, and using one after
//! its end is what loom looks for.

use super::{Shard, remove};
use crate::facade::{Arc, Mutex};
use crate::greenlet::header::{Graveyard, Ref};
use crate::greenlet::state::State;
use crate::model::explore;
use loom::thread;

struct World {
    /// The hub that spawns, and the one where greenlets end.
    spawning: Shard,
    ending: Shard,
    memory: Mutex<Graveyard>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            spawning: Shard::new(),
            ending: Shard::new(),
            memory: Mutex::new(Graveyard(Vec::new())),
        })
    }

    /// A greenlet with its life reference alone.
    fn spawn(&self) -> Ref {
        let life = Ref::create(State::unstarted());
        self.memory.lock().0.push(life.as_ptr());
        // SAFETY: only the thread that plays the spawning hub calls this.
        unsafe { self.spawning.insert(life.as_ptr()) };
        life
    }

    /// How many greenlets a reader sees. It holds references to all of them at once.
    fn read(&self) -> usize {
        let mut seen = Vec::new();
        self.spawning.snapshot(&mut seen);
        seen.iter().for_each(|header| header.in_use());
        seen.len()
    }
}

#[test]
fn model_a_reader_never_sees_a_greenlet_that_is_gone() {
    explore(|| {
        let world = World::new();
        let life = world.spawn();
        let reader = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.read())
        };
        // SAFETY: it ends here, once, and its life reference is held.
        unsafe { remove(&life, &world.spawning) };
        drop(life);
        assert!(reader.join().unwrap() <= 1);
        assert_eq!(world.read(), 0);
    });
}

#[test]
fn model_two_readers_and_an_end_elsewhere() {
    explore(|| {
        let world = World::new();
        let life = world.spawn();
        let reader = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.read())
        };
        let elsewhere = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                // SAFETY: it ends there, once, and its life reference is held.
                unsafe { remove(&life, &world.ending) };
                drop(life);
            })
        };
        assert!(world.read() <= 1);
        reader.join().unwrap();
        elsewhere.join().unwrap();
        assert_eq!(world.read(), 0);
    });
}

/// A slot that comes back from the hub where its greenlet ended is used again, under a reader's eyes.
#[test]
fn model_a_slot_is_used_again() {
    explore(|| {
        let world = World::new();
        let lives = [world.spawn(), world.spawn()];
        let elsewhere = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                for life in lives {
                    // SAFETY: as above.
                    unsafe { remove(&life, &world.ending) };
                }
            })
        };
        let third = world.spawn();
        assert!((1..=3).contains(&world.read()));
        elsewhere.join().unwrap();
        assert_eq!(world.read(), 1);
        // SAFETY: as above.
        unsafe { remove(&third, &world.spawning) };
    });
}
