//! A bounded buffer of one place, checked in every interleaving; with `--bug`, one in which a wake-up gets lost.
//!
//! ```text
//! RUSTFLAGS="--cfg greenhub_loom" cargo run --release -p greenhub-examples --example bounded_buffer --target-dir target/loom
//! RUSTFLAGS="--cfg greenhub_loom" cargo run --release -p greenhub-examples --example bounded_buffer --target-dir target/loom -- --bug
//! ```
//!
//! The bug is a famous one: the consumer looks whether the buffer is empty, lets go of the lock, and then begins to
//! wait. What is put in between the two is announced to nobody. Who looks and who begins to wait under *one* lock
//! misses nothing, because [`Condvar::wait`] stands in line before it lets go.

use greenhub::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;

/// Holds up to one number.
struct Buffer {
    places: Mutex<VecDeque<u32>>,
    not_full: Condvar,
    not_empty: Condvar,
    /// The planted bug.
    looks_without_waiting: bool,
}

impl Buffer {
    fn new(looks_without_waiting: bool) -> Self {
        Self {
            places: Mutex::default(),
            not_full: Condvar::new(),
            not_empty: Condvar::new(),
            looks_without_waiting,
        }
    }

    fn is_empty(&self) -> bool {
        self.places.lock().is_empty()
    }

    fn put(&self, number: u32) {
        let mut places = self.places.lock();
        while places.len() == 1 {
            self.not_full.wait(&mut places);
        }
        places.push_back(number);
        self.not_empty.notify_one();
    }

    fn get(&self) -> u32 {
        if self.looks_without_waiting && self.is_empty() {
            // Here the lock is free, and the producer may put something in.
            self.not_empty.wait(&mut self.places.lock());
        }
        let mut places = self.places.lock();
        loop {
            if let Some(number) = places.pop_front() {
                self.not_full.notify_one();
                return number;
            }
            self.not_empty.wait(&mut places);
        }
    }
}

/// The buffer is full; a producer puts in one more number, and the root takes both.
fn program(bug: bool) {
    let buffer = Arc::new(Buffer::new(bug));
    buffer.put(1);
    let producer = {
        let buffer = buffer.clone();
        greenhub::Builder::new()
            .name("producer".into())
            .spawn(move || buffer.put(2))
            .expect("no wish is out of bounds")
    };
    assert_eq!([buffer.get(), buffer.get()], [1, 2], "in the order in which they were put in");
    producer.join().expect("it does not panic");
}

fn main() {
    let bug = std::env::args().any(|argument| argument == "--bug");
    #[cfg(greenhub_loom)]
    greenhub::model(move || program(bug));
    #[cfg(not(greenhub_loom))]
    {
        // One interleaving, whichever comes: the bug hardly ever shows.
        greenhub::run(|| program(bug));
        println!(
            "it went well this time; to see every interleaving, run with RUSTFLAGS=\"--cfg greenhub_loom\""
        );
    }
}
