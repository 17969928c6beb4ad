//! Stores of the tests' own.

use super::super::LINE;
use super::super::slab::capacity;
use super::*;
use crate::testing::Chance;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

/// A block that is out. All of it is the test's, who writes its address to both of its ends.
struct Out {
    block: NonNull<u8>,
    class: usize,
}

// SAFETY: whoever has it has the block.
unsafe impl Send for Out {}

impl Out {
    fn new(block: NonNull<u8>, class: usize) -> Self {
        let out = Self { block, class };
        // SAFETY: the block is out, and as long as its class says.
        out.ends().for_each(|end| unsafe { end.write(out.address()) });
        out
    }

    fn address(&self) -> usize {
        self.block.addr().get()
    }

    fn ends(&self) -> impl Iterator<Item = NonNull<usize>> + use<> {
        let first = self.block.cast::<usize>();
        // SAFETY: in the block.
        [first, unsafe { first.byte_add(size(self.class) - size_of::<usize>()) }].into_iter()
    }
}

fn take(store: &Store, class: usize, most: usize) -> Vec<Out> {
    let batch = store.take(class, most);
    assert!((1..=most).contains(&batch.len()), "{} of {most}", batch.len());
    batch.iter().map(|&block| Out::new(block, class)).collect()
}

fn give(store: &Store, blocks: Vec<Out>) {
    for out in &blocks {
        // SAFETY: written when it was taken.
        out.ends().for_each(|end| assert_eq!(unsafe { end.read() }, out.address(), "somebody wrote to it"));
    }
    for batch in blocks.chunks(BATCH) {
        let batch: Vec<_> = batch.iter().map(|out| out.block).collect();
        // SAFETY: taken from this store, once, and gone with `blocks`.
        unsafe { store.give(&batch) };
    }
}

/// All the blocks that one more slab of a class has.
fn slabful(store: &Store, class: usize) -> Vec<Out> {
    let mut blocks = Vec::new();
    while blocks.len() < capacity(class) {
        blocks.extend(take(store, class, BATCH.min(capacity(class) - blocks.len())));
    }
    blocks
}

fn slabs(blocks: &[Out]) -> usize {
    blocks.iter().map(|out| Slab::of(out.block)).collect::<HashSet<_>>().len()
}

impl Store {
    fn live(&self) -> usize {
        self.live.load(Relaxed)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        while self.release() {}
        let spares: Vec<_> = self.lock().0.iter_mut().filter_map(Class::take_spare).collect();
        // SAFETY: spare, and in no list any more.
        spares.into_iter().for_each(|slab| unsafe { self.free_slab(slab) });
        assert!(self.live() == 0 || std::thread::panicking(), "a block is out, or a slab is lost");
    }
}

#[test]
fn the_blocks_of_a_batch_are_distinct_aligned_and_in_one_slab() {
    let store = Store::new();
    for class in 0..CLASSES {
        let batch = take(&store, class, batch_of(class));
        assert_eq!(batch.len(), batch_of(class), "a new slab has a batch");
        assert_eq!(slabs(&batch), 1);
        let starts: Vec<usize> = batch.iter().map(Out::address).collect();
        assert!(starts.iter().all(|start| start.is_multiple_of(LINE)));
        assert!(starts.windows(2).all(|pair| pair[0] + size(class) == pair[1]), "new blocks come in order");
        give(&store, batch);
    }
    assert_eq!(store.live(), CLASSES);
}

#[test]
fn what_came_home_is_taken_before_a_new_slab_is_made() {
    let store = Store::new();
    let mut blocks = slabful(&store, 5);
    blocks.extend(slabful(&store, 5));
    assert_eq!((blocks.len(), slabs(&blocks), store.live()), (2 * capacity(5), 2, 2));
    // Of both slabs.
    let back: Vec<Out> = (0..BATCH).map(|at| blocks.swap_remove(at * 7)).collect();
    let addresses: HashSet<usize> = back.iter().map(Out::address).collect();
    assert_eq!(slabs(&back), 2);
    give(&store, back);
    let again = take(&store, 5, BATCH);
    assert_eq!(again.iter().map(Out::address).collect::<HashSet<_>>(), addresses);
    assert_eq!(store.live(), 2);
    give(&store, again);
    blocks.extend(take(&store, 5, BATCH - 1));
    let last = take(&store, 5, BATCH);
    assert_eq!((last.len(), store.live()), (1, 2), "no new slab while there is a block at home");
    blocks.extend(last);
    blocks.extend(take(&store, 5, BATCH));
    assert_eq!((slabs(&blocks), store.live()), (3, 3));
    give(&store, blocks);
}

#[test]
fn a_slab_is_spare_when_its_blocks_are_home_and_all_but_one_of_a_class_are_released() {
    let store = Store::new();
    for class in [0, 5, CLASSES - 1] {
        let before = store.live();
        let (first, mut second, third) =
            (slabful(&store, class), slabful(&store, class), slabful(&store, class));
        assert_eq!(store.live() - before, 3);
        let last = second.pop().expect("a slab has several blocks");
        give(&store, first);
        give(&store, second);
        assert!(!store.release());
        assert_eq!(store.live() - before, 3, "one is spare, and a block of another is out");
        give(&store, vec![last]);
        assert!(!store.release());
        assert_eq!(store.live() - before, 2);
        give(&store, third);
        // What is spare is carved anew, and comes before a new one.
        for _ in 0..3 {
            let slab = slabful(&store, class);
            assert_eq!((slabs(&slab), store.live() - before), (1, 2));
            give(&store, slab);
        }
        assert!(!store.release());
        assert_eq!(store.live() - before, 1);
    }
}

#[test]
fn many_slabs_are_released_a_few_at_a_time() {
    let store = Store::new();
    let blocks: Vec<Out> = (0..2 * RELEASED + 3).flat_map(|_| slabful(&store, 5)).collect();
    assert!(!store.release());
    give(&store, blocks);
    assert_eq!(store.live(), 2 * RELEASED + 3);
    for left in [RELEASED + 3, 3] {
        assert!(store.release());
        assert_eq!(store.live(), left);
    }
    assert!(!store.release());
    assert_eq!(store.live(), 1);
}

#[test]
fn a_block_may_be_given_on_another_thread_than_took_it() {
    let store = Store::new();
    let blocks = std::thread::scope(|scope| {
        let taken = scope.spawn(|| (0..8).flat_map(|_| take(&store, 5, BATCH)).collect::<Vec<_>>());
        taken.join().expect("it takes")
    });
    assert_eq!(store.live(), slabs(&blocks));
    give(&store, blocks);
    assert!(!store.release());
    assert_eq!(store.live(), 1);
}

/// Threads take, give and exchange blocks of several classes at random, beside a map of what is out.
#[test]
fn no_two_blocks_ever_overlap() {
    const THREADS: usize = 3;
    const STEPS: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
    const USED: [usize; 4] = [0, 1, 5, CLASSES - 1];
    let store = Store::new();
    // Where each block that is out begins and ends.
    let out: Mutex<BTreeMap<usize, usize>> = Mutex::default();
    let exchange: Mutex<Vec<Out>> = Mutex::default();
    let insert = |block: &Out| {
        let (start, end) = (block.address(), block.address() + size(block.class));
        let mut out = out.lock().expect("nobody panicked");
        assert!(out.range(..end).next_back().is_none_or(|(_, &before)| before <= start), "it is out twice");
        out.insert(start, end);
    };
    let remove = |block: &Out| {
        let end = out.lock().expect("nobody panicked").remove(&block.address());
        assert_eq!(end, Some(block.address() + size(block.class)));
    };
    let work = |mut chance: Chance| {
        let mut own: Vec<Out> = Vec::new();
        for _ in 0..STEPS {
            let count = 1 + chance.below(BATCH as u64) as usize;
            match chance.below(5) {
                0 | 1 if own.len() < 2_000 => {
                    let class = USED[chance.below(USED.len() as u64) as usize];
                    let taken = take(&store, class, count);
                    taken.iter().for_each(insert);
                    own.extend(taken);
                }
                2 => {
                    let mut exchange = exchange.lock().expect("nobody panicked");
                    std::mem::swap(&mut own, &mut exchange);
                }
                // All at once now and then, so that slabs become whole.
                3 if chance.one_in(20) => {
                    own.iter().for_each(remove);
                    give(&store, std::mem::take(&mut own));
                }
                _ => {
                    let given: Vec<Out> = (0..count.min(own.len()))
                        .map(|_| own.swap_remove(chance.below(own.len() as u64) as usize))
                        .collect();
                    given.iter().for_each(remove);
                    give(&store, given);
                }
            }
        }
        own.iter().for_each(remove);
        give(&store, own);
    };
    let mut chance = Chance::new();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (work, chance) = (&work, chance.fork());
            scope.spawn(move || work(chance));
        }
    });
    let left = exchange.into_inner().expect("nobody panicked");
    left.iter().for_each(remove);
    give(&store, left);
    assert_eq!(out.into_inner().expect("nobody panicked"), BTreeMap::new());
    while store.release() {}
    assert_eq!(store.live(), USED.len(), "one spare slab of each class");
}
