//! The inbox under loom: nothing is lost, nothing comes twice, each producer's pushes come in order, and what was
//! written before a push is visible after the take (P2, P3), with two producers and two consumers.
//!
//! All of `inbox.rs` runs as it ships.

use super::{Inbox, Linked};
use crate::facade::atomic::AtomicPtr;
use crate::facade::{Arc, UnsafeCell};
use crate::model::explore;
use loom::thread;
use std::ptr;

struct Node {
    link: AtomicPtr<Node>,
    producer: usize,
    /// Written before the push without an order of its own; writing it again stands for running the greenlet.
    number: UnsafeCell<usize>,
}

// SAFETY: `link` is used by the inbox alone.
unsafe impl Linked for Node {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.link
    }
}

struct World {
    inbox: Inbox<Node>,
    nodes: Vec<Node>,
}

// SAFETY: loom watches the cells, which is what the models are for.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new(producers: usize, each: usize) -> Arc<Self> {
        let nodes = (0..producers * each)
            .map(|n| Node {
                link: AtomicPtr::new(ptr::null_mut()),
                producer: n / each,
                number: UnsafeCell::new(usize::MAX),
            })
            .collect();
        Arc::new(Self { inbox: Inbox::new(), nodes })
    }

    fn push(&self, node: usize) {
        // SAFETY: not pushed yet, so the producer's.
        self.nodes[node].number.with_mut(|number| unsafe { *number = node });
        // SAFETY: nodes live as long as the world, and each is pushed by its producer alone.
        unsafe { self.inbox.push(ptr::from_ref(&self.nodes[node]).cast_mut()) };
    }

    /// Takes all there is: producer and number of each, in order.
    fn take(&self) -> Vec<(usize, usize)> {
        self.inbox
            .take()
            .map(|node| {
                // SAFETY: nodes live as long as the world.
                let node = unsafe { &*node };
                // SAFETY: taken, so ours to read and to write.
                let number = node.number.with_mut(|number| unsafe { std::mem::replace(&mut *number, 100) });
                (node.producer, number)
            })
            .collect()
    }
}

fn in_order(taken: &[(usize, usize)]) {
    for producer in 0..2 {
        let numbers: Vec<_> =
            taken.iter().filter(|(by, _)| *by == producer).map(|(_, number)| *number).collect();
        assert!(numbers.is_sorted(), "a producer's pushes changed their order: {numbers:?}");
    }
}

#[test]
fn model_nothing_is_lost_and_producers_keep_their_order() {
    explore(|| {
        let world = World::new(2, 2);
        let producers: Vec<_> = (0..2)
            .map(|producer| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    world.push(producer * 2);
                    world.push(producer * 2 + 1);
                })
            })
            .collect();
        let mut taken = world.take();
        taken.extend(world.take());
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        taken.extend(world.take());
        in_order(&taken);
        taken.sort_unstable();
        assert_eq!(taken, [(0, 0), (0, 1), (1, 2), (1, 3)]);
        assert!(world.inbox.is_empty());
    });
}

#[test]
fn model_two_consumers_share_what_there_is() {
    explore(|| {
        let world = World::new(2, 2);
        let producer = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.push(0);
                world.push(1);
            })
        };
        let neighbour = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.take())
        };
        world.push(2);
        let mut taken = world.take();
        in_order(&taken);
        let other = neighbour.join().unwrap();
        in_order(&other);
        producer.join().unwrap();
        taken.extend(other);
        taken.extend(world.take());
        taken.sort_unstable();
        assert_eq!(taken, [(0, 0), (0, 1), (1, 2)]);
    });
}
