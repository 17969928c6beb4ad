//! The wheel against a sorted map, under random work.

use super::*;
use std::collections::BTreeMap;
use std::time::Instant;

/// xorshift64*: enough for tests, and the seed says it all.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A span of any order of magnitude up to `2^bits`.
    fn span(&mut self, bits: u32) -> u64 {
        let bits = self.below(u64::from(bits) + 1) as u32;
        self.next() & ((1_u128 << bits) - 1) as u64
    }
}

/// A wheel, and beside it what it ought to hold.
struct Pair {
    wheel: Wheel,
    nodes: Box<[TimerNode]>,
    deadlines: Vec<u64>,
    /// (expiry, number of the insertion) to index of the node: the order of firing.
    model: BTreeMap<(u64, u64), usize>,
    insertions: u64,
    now: u64,
    /// No node has been removed, so `next_deadline` must be exact.
    exact: bool,
}

impl Pair {
    fn new(nodes: usize, now: u64) -> Self {
        Self {
            wheel: Wheel::new(now),
            nodes: (0..nodes).map(|_| TimerNode::new()).collect(),
            deadlines: vec![0; nodes],
            model: BTreeMap::new(),
            insertions: 0,
            now,
            exact: true,
        }
    }

    fn insert(&mut self, index: usize, at: u64) {
        assert!(!self.nodes[index].is_linked());
        // SAFETY: not linked, as just seen; dropped after the wheel, as declared.
        unsafe { self.wheel.insert(NonNull::from(&self.nodes[index]), at) };
        let expiry = self.nodes[index].expiry().expect("it was just linked");
        let no_earlier_than = at.max(self.now & !(TICK - 1));
        assert!(expiry >= at, "due at {expiry}, before its deadline {at}");
        assert!(expiry - at.min(expiry) < TICK || expiry <= no_earlier_than, "{expiry} is late for {at}");
        self.deadlines[index] = at;
        self.model.insert((expiry, self.insertions), index);
        self.insertions += 1;
    }

    fn remove(&mut self, index: usize) {
        // SAFETY: alive, and in this wheel if in any.
        unsafe { self.wheel.remove(NonNull::from(&self.nodes[index])) };
        assert!(!self.nodes[index].is_linked());
        let before = self.model.len();
        self.model.retain(|_, other| *other != index);
        self.exact &= before == self.model.len();
    }

    /// Pops one node and checks it against the model.
    fn pop(&mut self) -> Option<usize> {
        let popped = self.wheel.pop_expired(self.now);
        let expected = self.model.first_key_value().map(|(key, index)| (*key, *index));
        let Some(node) = popped else {
            if let Some(((expiry, _), index)) = expected {
                // The last tick saturates and never comes.
                assert!(
                    expiry > self.now || expiry == u64::MAX,
                    "node {index} due at {expiry} was not popped at {}",
                    self.now
                );
            }
            return None;
        };
        let (key, index) = expected.expect("popped from an empty wheel");
        let found = self.nodes.iter().position(|other| ptr::eq(other, node.as_ptr()));
        assert_eq!(found, Some(index), "popped out of order at {}", self.now);
        assert!(self.deadlines[index] <= self.now, "fired early");
        assert!(!self.nodes[index].is_linked());
        self.model.remove(&key);
        Some(index)
    }

    fn check_next_deadline(&self) {
        let first = self.model.first_key_value().map(|((expiry, _), _)| *expiry);
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_some(), first.is_some());
        assert_eq!(self.wheel.is_empty(), first.is_none());
        assert!(next <= first, "sleeping until {next:?} misses {first:?}");
        assert!(!self.exact || next == first, "{next:?} wakes a hub for nothing before {first:?}");
    }
}

fn work(seed: u64, removals: bool) {
    let mut random = Random(seed | 1);
    let now = random.span(52);
    let mut pair = Pair::new(48, now);
    for _ in 0..600 {
        let index = random.below(48) as usize;
        match random.below(if removals { 5 } else { 3 }) {
            0 | 1 if !pair.nodes[index].is_linked() => {
                let now = pair.now;
                let at = match random.below(10) {
                    0 => now.saturating_sub(random.span(63)),
                    1 => random.span(64),
                    2 => u64::MAX - random.span(16),
                    3 | 4 => now.saturating_add(random.below(4 * TICK)),
                    _ => now.saturating_add(random.span(52)),
                };
                pair.insert(index, at);
            }
            0..=2 => {
                // Up to the next deadline, just before it, or by any span, days included.
                pair.now = match (random.below(4), pair.wheel.next_deadline()) {
                    (0, Some(at)) => pair.now.max(at),
                    (1, Some(at)) => pair.now.max(at.saturating_sub(1)),
                    _ => pair.now.saturating_add(random.span(50)),
                };
                // Clocks read on two threads may come in the wrong order.
                let latest = pair.now;
                pair.now = latest.saturating_sub(random.span(50));
                if random.below(4) == 0 && pair.pop().is_some() {
                    pair.check_next_deadline();
                }
                pair.now = latest;
                let mut most = random.below(100);
                while most > 0 {
                    let Some(index) = pair.pop() else { break };
                    most -= 1;
                    // Some are armed again while firing, as a greenlet with a later deadline is, and some take
                    // another along.
                    if random.below(3) == 0 {
                        let at = pair.now.saturating_add(random.span(40));
                        pair.insert(index, at);
                    }
                    let other = random.below(48) as usize;
                    if random.below(4) == 0 && !pair.nodes[other].is_linked() {
                        let at = random.span(50);
                        pair.insert(other, at);
                    } else if removals && random.below(4) == 0 {
                        pair.remove(other);
                    }
                    pair.check_next_deadline();
                }
            }
            _ => pair.remove(index),
        }
        pair.check_next_deadline();
    }
    pair.now = u64::MAX;
    while pair.pop().is_some() {}
}

#[test]
fn random_work_agrees_with_a_sorted_map() {
    for seed in 1..=500 {
        let seed = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed);
        println!("seed {seed:#x}");
        work(seed, true);
        work(seed, false);
    }
}

#[test]
fn nothing_fires_before_its_deadline_or_a_tick_after() {
    for at in [1, TICK - 1, TICK, TICK + 1, 64 * TICK, 64 * TICK + 1, 3_600_000_000_000, 1 << 60] {
        let node = TimerNode::new();
        let mut wheel = Wheel::new(0);
        // SAFETY: not linked; outlives the wheel.
        unsafe { wheel.insert(NonNull::from(&node), at) };
        assert_eq!(wheel.pop_expired(at - 1), None);
        assert_eq!(wheel.pop_expired(at + TICK - 1), Some(NonNull::from(&node)));
        assert!(wheel.is_empty());
    }
}

#[test]
fn equal_ticks_fire_in_the_order_of_insertion_whatever_levels_they_came_by() {
    let nodes: Vec<TimerNode> = (0..200).map(|_| TimerNode::new()).collect();
    let mut wheel = Wheel::new(0);
    let at = 300_000 * TICK;
    for (index, node) in nodes.iter().enumerate() {
        // Nearer and nearer, so that the later ones enter lower levels.
        assert_eq!(wheel.pop_expired(at - at / (index as u64 + 1)), None);
        // SAFETY: not linked; outlives the wheel.
        unsafe { wheel.insert(NonNull::from(node), at) };
    }
    for node in &nodes {
        assert_eq!(wheel.pop_expired(at), Some(NonNull::from(node)));
    }
}

#[test]
fn an_idle_hub_wakes_once_for_a_lone_sleeper() {
    let node = TimerNode::new();
    let mut wheel = Wheel::new(123_456_789);
    // SAFETY: not linked; outlives the wheel.
    unsafe { wheel.insert(NonNull::from(&node), 86_400_000_000_000) };
    let wake = wheel.next_deadline().expect("a node is linked");
    assert_eq!(wheel.pop_expired(wake), Some(NonNull::from(&node)));
}

#[test]
fn removing_twice_is_harmless_and_dropping_the_wheel_unlinks() {
    let (one, two) = (TimerNode::new(), TimerNode::new());
    let mut wheel = Wheel::new(0);
    // SAFETY: not linked, in no other wheel, and both outlive this one.
    unsafe {
        wheel.insert(NonNull::from(&one), 1);
        wheel.insert(NonNull::from(&two), u64::MAX);
        wheel.remove(NonNull::from(&one));
        wheel.remove(NonNull::from(&one));
    }
    assert_eq!(one.expiry(), None);
    assert_eq!(two.expiry(), Some(u64::MAX));
    assert_eq!(wheel.pop_expired(u64::MAX), None, "the last 16 µs of the u64 never come");
    drop(wheel);
    assert!(!two.is_linked());
}

/// Prints what a node costs; asserts nothing about it. `cargo test --release -- --nocapture wheel::tests::cost`
#[test]
fn cost_of_a_million_nodes() {
    const COUNT: usize = 1_000_000;
    /// As far apart as headers are at their closest.
    #[repr(align(256))]
    struct Header(TimerNode);
    let headers: Vec<Header> = (0..COUNT).map(|_| Header(TimerNode::new())).collect();
    let mut random = Random(7);
    for (name, spread) in [("within 1 s", 1_000_000_000), ("within 1 h", 3_600_000_000_000), ("all equal", 1)]
    {
        let deadlines: Vec<u64> = (0..COUNT).map(|_| 1_000_000_000 + random.below(spread)).collect();
        let mut wheel = Wheel::new(0);
        let per_node = |start: Instant| start.elapsed().as_nanos() as f64 / COUNT as f64;
        let insert_all = |wheel: &mut Wheel| {
            let start = Instant::now();
            for (header, at) in headers.iter().zip(&deadlines) {
                // SAFETY: not linked (all were removed or popped); outlives the wheel.
                unsafe { wheel.insert(NonNull::from(&header.0), *at) };
            }
            per_node(start)
        };
        let insert = insert_all(&mut wheel);
        let start = Instant::now();
        for header in &headers {
            // SAFETY: alive, and in this wheel.
            unsafe { wheel.remove(NonNull::from(&header.0)) };
        }
        let remove = per_node(start);
        insert_all(&mut wheel);
        let start = Instant::now();
        let mut popped = 0;
        // As a sleeping hub does: up to the next deadline, and no further.
        while let Some(at) = wheel.next_deadline() {
            while wheel.pop_expired(at).is_some() {
                popped += 1;
            }
        }
        let fire = per_node(start);
        assert_eq!(popped, COUNT);
        println!("{name}: insert {insert:.1} ns, remove {remove:.1} ns, cascade and fire {fire:.1} ns");
    }
}
