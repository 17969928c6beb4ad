//! Who runs next: a pure function of the seed and of what has been chosen so far.
//!
//! * *Random*: at every step whoever may run has the same chance.
//! * *PCT* (probabilistic concurrency testing; Burckhardt, Kothari, Musuvathi, Nagarakatte, 2010): every greenlet has a
//!   random priority, the highest runs, and at `depth - 1` random steps the running one drops below all others. A bug
//!   that takes `depth` events in a certain order, in a program of `n` greenlets and `k` steps, is met by one schedule
//!   in `n * k^(depth-1)` at worst, however many other orders there are.
//!
//! Time is one more candidate: it may pass although somebody could run. As random has it, rarely; in PCT it has a
//! priority like everybody else, and drops to the bottom each time it has passed, or no timeout of a busy program would
//! ever *not* fire.
//!
//! A strict priority starves. So who gives way by itself (`yield_now`) drops to the bottom, and so does who has been
//! chosen [`PATIENCE`] times in a row while others waited: it may be spinning on what they are to do.

use super::seed::{Method, Seed};

/// How often in a row PCT prefers the same greenlet. A guess; a loop of this many operations without a wait is rare, and
/// a spinning one costs this many steps each time it comes to the top.
const PATIENCE: u32 = 500;

/// Random lets time pass, where somebody could run, once in so many steps.
const TIME_PASSES_ONE_IN: u64 = 16;

/// A greenlet by the order of spawning, from 0, in its iteration.
pub(super) type Ordinal = u32;

/// Stands for time.
pub(super) const TIME: Ordinal = Ordinal::MAX;

/// The choices of one schedule.
pub(super) struct Chooser {
    random: Random,
    /// None: all have equal chances.
    priorities: Option<Priorities>,
}

struct Priorities {
    /// By ordinal; higher runs first. Those dropped are below those drawn.
    of_greenlets: Vec<u64>,
    of_time: u64,
    /// The steps at which one drops, in order, the next one last.
    changes: Vec<u64>,
    step: u64,
    /// The next priority of one that drops: each lower than the last.
    bottom: u64,
    last: Ordinal,
    in_a_row: u32,
}

/// Priorities drawn at birth have this bit, those of the dropped have not.
const DRAWN: u64 = 1 << 63;

impl Chooser {
    pub(super) fn new(seed: Seed) -> Self {
        let mut random = Random(seed.number);
        let priorities = match seed.method {
            Method::Random => None,
            Method::Pct { depth, length } => {
                let mut changes: Vec<u64> = (1..depth).map(|_| random.below(u64::from(length)) + 1).collect();
                changes.sort_unstable_by(|a, b| b.cmp(a));
                let of_time = random.next() | DRAWN;
                Some(Priorities {
                    of_greenlets: Vec::new(),
                    of_time,
                    changes,
                    step: 0,
                    bottom: DRAWN,
                    last: TIME,
                    in_a_row: 0,
                })
            }
        };
        Self { random, priorities }
    }

    /// Chooses among `candidates`, which are in the order of their ordinals and not none, and time, if that may pass: a
    /// costly question, asked only where the answer counts. `current`: who could simply go on.
    pub(super) fn choose(
        &mut self,
        candidates: &[Ordinal],
        mut may_pass: impl FnMut() -> bool,
        current: Option<Ordinal>,
    ) -> Ordinal {
        match &mut self.priorities {
            Some(priorities) => priorities.choose(&mut self.random, candidates, may_pass, current),
            None if self.random.below(TIME_PASSES_ONE_IN) == 0 && may_pass() => TIME,
            None => candidates[self.random.below(candidates.len() as u64) as usize],
        }
    }

    /// Nobody can run, so time passes.
    pub(super) fn only_time(&mut self) {
        if let Some(priorities) = &mut self.priorities {
            priorities.let_time_pass();
        }
    }

    /// That greenlet gave way of its own accord.
    pub(super) fn gave_way(&mut self, ordinal: Ordinal) {
        if let Some(priorities) = &mut self.priorities {
            priorities.drop_to_bottom(&mut self.random, ordinal);
        }
    }
}

impl Priorities {
    fn choose(
        &mut self,
        random: &mut Random,
        candidates: &[Ordinal],
        mut may_pass: impl FnMut() -> bool,
        current: Option<Ordinal>,
    ) -> Ordinal {
        self.step += 1;
        while self.changes.last().is_some_and(|&at| at <= self.step) {
            self.changes.pop();
            // Time passes, if it can, instead of somebody dropping behind: half the schedules are to have it so.
            if random.below(2) == 0 && may_pass() {
                return self.let_time_pass();
            }
            if let Some(current) = current {
                self.drop_to_bottom(random, current);
            }
        }
        let highest = candidates.iter().map(|&each| (self.of(random, each), each)).max();
        let (priority, chosen) = highest.expect("somebody may run");
        if self.of_time > priority && may_pass() {
            return self.let_time_pass();
        }
        self.in_a_row = if chosen == self.last && candidates.len() > 1 { self.in_a_row + 1 } else { 0 };
        self.last = chosen;
        if self.in_a_row >= PATIENCE {
            self.in_a_row = 0;
            self.drop_to_bottom(random, chosen);
        }
        chosen
    }

    fn let_time_pass(&mut self) -> Ordinal {
        self.bottom -= 1;
        self.of_time = self.bottom;
        TIME
    }

    fn of(&mut self, random: &mut Random, ordinal: Ordinal) -> u64 {
        let at = ordinal as usize;
        while self.of_greenlets.len() <= at {
            self.of_greenlets.push(random.next() | DRAWN);
        }
        self.of_greenlets[at]
    }

    fn drop_to_bottom(&mut self, random: &mut Random, ordinal: Ordinal) {
        self.of(random, ordinal);
        self.bottom -= 1;
        self.of_greenlets[ordinal as usize] = self.bottom;
    }
}

/// All chance of one schedule (splitmix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0. The bias is beyond notice for bounds as small as ours.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// Scatters a number over all 64 bits.
pub(super) fn mix(number: u64) -> u64 {
    let mut x = number;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn chooser(method: Method, number: u64) -> Chooser {
        Chooser::new(Seed { method, number })
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        for method in [Method::Random, Method::Pct { depth: 4, length: 60 }] {
            let choices = |number| {
                let mut chooser = chooser(method, number);
                (0..60)
                    .map(|step| chooser.choose(&[0, 1, 2, 7], || step % 3 == 0, Some(1)))
                    .collect::<Vec<_>>()
            };
            assert_eq!(choices(5), choices(5));
            assert!((0..20).map(choices).collect::<HashSet<_>>().len() > 10);
        }
    }

    #[test]
    fn random_reaches_everybody_and_time() {
        let mut chooser = chooser(Method::Random, 1);
        let chosen: HashSet<_> = (0..200).map(|_| chooser.choose(&[3, 5], || true, None)).collect();
        assert_eq!(chosen, HashSet::from([3, 5, TIME]));
    }

    #[test]
    fn priorities_change_exactly_as_often_as_the_depth_says() {
        for number in 0..200 {
            let mut chooser = chooser(Method::Pct { depth: 3, length: 40 }, number);
            let mut current = chooser.choose(&[0, 1, 2, 3], || false, None);
            let mut changes = 0;
            for _ in 0..60 {
                let next = chooser.choose(&[0, 1, 2, 3], || false, Some(current));
                changes += usize::from(next != current);
                current = next;
            }
            assert!(changes <= 2, "seed {number}: {changes} changes");
        }
    }

    #[test]
    fn nobody_starves_under_strict_priorities() {
        for number in 0..20 {
            let mut chooser = chooser(Method::Pct { depth: 1, length: 1 }, number);
            let chosen: HashSet<_> =
                (0..3000).map(|_| chooser.choose(&[0, 1, 2], || true, Some(0))).collect();
            assert!(chosen.is_superset(&HashSet::from([0, 1, 2])), "seed {number}: {chosen:?}");
        }
    }

    #[test]
    fn who_gives_way_lets_the_other_go_first() {
        for number in 0..20 {
            let mut chooser = chooser(Method::Pct { depth: 1, length: 1 }, number);
            let first = chooser.choose(&[0, 1], || false, None);
            chooser.gave_way(first);
            assert_eq!(chooser.choose(&[0, 1], || false, None), 1 - first);
        }
    }
}
