//! Stores of the tests' own.

use super::super::LINE;
use super::super::slab::capacity;
use super::super::whole::{TRIM_INTERVAL, WARM};
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
    /// How many slabs there are, and how many of them are whole.
    fn slabs(&self) -> (usize, usize) {
        let slabs = self.lock();
        (slabs.space.cut, slabs.whole.len())
    }
}

/// How many pages of a slab are in memory.
fn resident_pages(slab: NonNull<Slab>) -> usize {
    // SAFETY: asks only.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let mut pages = vec![0u8; SLAB / page];
    // SAFETY: the slab is mapped, and there is a byte for each page.
    let result = unsafe { libc::mincore(slab.as_ptr().cast(), SLAB, pages.as_mut_ptr().cast()) };
    assert_eq!(result, 0);
    pages.iter().filter(|&page| page & 1 != 0).count()
}

#[test]
fn the_blocks_of_a_batch_are_distinct_aligned_and_in_one_slab() {
    let store = Store::new();
    let mut all = Vec::new();
    for class in 0..CLASSES {
        let batch = take(&store, class, batch_of(class));
        assert_eq!(batch.len(), batch_of(class), "a new slab has a batch");
        assert_eq!(slabs(&batch), 1);
        let starts: Vec<usize> = batch.iter().map(Out::address).collect();
        assert!(starts.iter().all(|start| start.is_multiple_of(LINE)));
        assert!(starts.windows(2).all(|pair| pair[0] + size(class) == pair[1]), "new blocks come in order");
        all.extend(batch);
    }
    assert_eq!(slabs(&all), CLASSES, "a slab has blocks of one class");
    give(&store, all);
    assert_eq!(store.slabs(), (CLASSES, CLASSES));
}

#[test]
fn what_came_home_is_taken_before_another_slab() {
    let store = Store::new();
    let mut blocks = slabful(&store, 5);
    blocks.extend(slabful(&store, 5));
    assert_eq!((blocks.len(), slabs(&blocks), store.slabs()), (2 * capacity(5), 2, (2, 0)));
    // Of both slabs.
    let back: Vec<Out> = (0..BATCH).map(|at| blocks.swap_remove(at * 7)).collect();
    let addresses: HashSet<usize> = back.iter().map(Out::address).collect();
    assert_eq!(slabs(&back), 2);
    give(&store, back);
    let again = take(&store, 5, BATCH);
    assert_eq!(again.iter().map(Out::address).collect::<HashSet<_>>(), addresses);
    give(&store, again);
    blocks.extend(take(&store, 5, BATCH - 1));
    let last = take(&store, 5, BATCH);
    assert_eq!((last.len(), store.slabs()), (1, (2, 0)), "no other slab while there is a block at home");
    blocks.extend(last);
    blocks.extend(take(&store, 5, BATCH));
    assert_eq!((slabs(&blocks), store.slabs()), (3, (3, 0)));
    give(&store, blocks);
    assert_eq!(store.slabs(), (3, 3));
}

#[test]
fn a_slab_whose_blocks_are_home_is_for_any_class() {
    let store = Store::new();
    let mut blocks = slabful(&store, 5);
    let last = blocks.pop().expect("a slab has several blocks");
    give(&store, blocks);
    assert_eq!(store.slabs(), (1, 0), "a block is out");
    give(&store, vec![last]);
    for class in 0..CLASSES {
        assert_eq!(store.slabs(), (1, 1));
        let blocks = slabful(&store, class);
        assert_eq!((slabs(&blocks), store.slabs()), (1, (1, 0)));
        give(&store, blocks);
    }
}

/// The blocks of more slabs than stay warm for long, and these slabs.
fn burst(store: &Store) -> (Vec<Out>, HashSet<NonNull<Slab>>) {
    let blocks: Vec<Out> = (0..WARM + 1).flat_map(|_| slabful(store, 5)).collect();
    let slabs = blocks.iter().map(|out| Slab::of(out.block)).collect();
    (blocks, slabs)
}

#[test]
fn memory_that_nobody_needed_for_a_second_goes_except_for_a_page_of_each_slab() {
    let store = Store::new();
    let (blocks, slabs) = burst(&store);
    let resident = || slabs.iter().map(|&slab| resident_pages(slab)).sum::<usize>();
    let all = resident();
    assert!(all > slabs.len());
    let start = Instant::now();
    assert_eq!(store.trim(start), None, "nothing is whole");
    give(&store, blocks);
    assert_eq!(store.trim(start), Some(TRIM_INTERVAL));
    assert_eq!(store.trim(start + TRIM_INTERVAL), Some(TRIM_INTERVAL), "it was needed a second ago");
    // A slab comes and goes, and is needed.
    give(&store, take(&store, 5, 1));
    assert_eq!(resident(), all);
    while let Some(wait) = store.trim(start + TRIM_INTERVAL * 2) {
        assert_eq!(wait, Duration::ZERO);
    }
    assert_eq!(resident(), slabs.len() - 1 + all / slabs.len());
    // What is left is used again.
    let (blocks, again) = burst(&store);
    assert!(again == slabs && resident() == all && store.slabs() == (slabs.len(), 0));
    give(&store, blocks);
}

#[test]
fn at_a_hub_s_end_little_memory_stays() {
    let store = Store::new();
    let (blocks, slabs) = burst(&store);
    let all: usize = slabs.iter().map(|&slab| resident_pages(slab)).sum();
    give(&store, blocks);
    store.trim_all();
    let left: usize = slabs.iter().map(|&slab| resident_pages(slab)).sum();
    assert_eq!(left, all / slabs.len() * WARM + 1);
}

#[test]
fn a_block_may_be_given_on_another_thread_than_took_it() {
    let store = Store::new();
    let blocks = std::thread::scope(|scope| {
        let taken = scope.spawn(|| (0..8).flat_map(|_| take(&store, 5, BATCH)).collect::<Vec<_>>());
        taken.join().expect("it takes")
    });
    give(&store, blocks);
    assert_eq!(store.slabs(), (8 * BATCH / capacity(5) + 1, 8 * BATCH / capacity(5) + 1));
}

/// Threads take, give and exchange blocks of several classes at random, beside a map of what is out.
#[test]
fn no_two_blocks_ever_overlap() {
    const THREADS: usize = 3;
    const STEPS: u32 = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
    const USED: [usize; 4] = [0, 1, 5, CLASSES - 1];
    let (store, started) = (Store::new(), Instant::now());
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
        for step in 0..STEPS {
            let count = 1 + chance.below(BATCH as u64) as usize;
            match chance.below(6) {
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
                3 if chance.one_in(4) => {
                    // As if a second had passed.
                    let _more = store.trim(started + TRIM_INTERVAL * step);
                }
                // All at once now and then, so that slabs become whole.
                4 if chance.one_in(20) => {
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
    let (slabs, whole) = store.slabs();
    assert_eq!(slabs, whole, "a slab is lost, or not known to be whole");
}
