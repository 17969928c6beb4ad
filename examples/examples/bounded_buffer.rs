//! A bounded buffer of one place, checked in every interleaving; with `--bug`, one in which a wake-up gets lost.
//!
//! ```text
//! RUSTFLAGS="--cfg greenhub_loom" cargo run --release -p greenhub-examples --example bounded_buffer --target-dir target/loom
//! RUSTFLAGS="--cfg greenhub_loom" cargo run --release -p greenhub-examples --example bounded_buffer --target-dir target/loom -- --bug
//! ```
//!
//! The bug is a famous one: *one* condition variable for producers and consumers, and `notify_one`. The notification of
//! a consumer that has made room may go to another consumer, who finds nothing and goes back to sleep.

use greenhub::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;

/// Holds up to one number.
struct Buffer {
    places: Mutex<VecDeque<u32>>,
    not_full: Condvar,
    not_empty: Condvar,
    /// The planted bug: everybody waits for `not_empty`, be it for room or for a number.
    one_condition: bool,
}

impl Buffer {
    fn new(one_condition: bool) -> Self {
        Self { places: Mutex::default(), not_full: Condvar::new(), not_empty: Condvar::new(), one_condition }
    }

    fn room(&self) -> &Condvar {
        if self.one_condition { &self.not_empty } else { &self.not_full }
    }

    fn put(&self, number: u32) {
        let mut places = self.places.lock();
        while places.len() == 1 {
            self.room().wait(&mut places);
        }
        places.push_back(number);
        self.not_empty.notify_one();
    }

    fn get(&self) -> u32 {
        let mut places = self.places.lock();
        loop {
            if let Some(number) = places.pop_front() {
                self.room().notify_one();
                return number;
            }
            self.not_empty.wait(&mut places);
        }
    }
}

/// Two consumers, and the root puts in what they take.
fn program(bug: bool) {
    let buffer = Arc::new(Buffer::new(bug));
    let consumers = ["consumer 1", "consumer 2"].map(|name| {
        let buffer = buffer.clone();
        let consumer = greenhub::Builder::new().name(name.into());
        consumer.spawn(move || buffer.get()).expect("no wish is out of bounds")
    });
    buffer.put(1);
    buffer.put(2);
    let got: u32 =
        greenhub::join_all(consumers).into_iter().map(|number| number.expect("it does not panic")).sum();
    assert_eq!(got, 3);
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
