//! Which thread goes next: two ways to search.
//!
//! * *Random*: at every step, once in so many, another thread that can run. Finds what needs many changes in no
//!   particular order.
//! * *PCT* (probabilistic concurrency testing): every thread has a priority by chance, the highest that can run runs,
//!   and at a few steps chosen by chance the running one falls below all others. A bug that takes `d` changes at the
//!   right steps is found with a probability of at least 1 in `threads * steps^(d-1)`, which for few changes is far
//!   better than random.

use super::chance::Chance;

/// Why somebody is chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// The running thread takes a step, and could take another.
    Step,
    /// The running thread waits for another one in a loop: it should not go on before somebody else has.
    Spin,
    /// The running thread cannot go on.
    Blocked,
}

/// A thread that could run for so many steps and did not goes before all others: they may be in loops that only it ends.
const FAIR_AFTER: u64 = 2_000;

pub(super) enum Strategy {
    Random { every: u64 },
    Pct { priorities: Vec<i64>, lowest: i64, changes: Vec<u64>, ran: Vec<u64> },
}

impl Strategy {
    pub(super) fn new(chance: &mut Chance) -> Self {
        if chance.one_in(2) {
            return Strategy::Random { every: chance.pick(&[2, 4, 10, 30]) };
        }
        // How long an execution will be is not known before it has been run, and must not be for a seed to be enough.
        let steps = chance.pick(&[200, 600, 1_500, 4_000, 10_000]);
        let mut changes: Vec<u64> = (0..1 + chance.below(6)).map(|_| chance.below(steps)).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Strategy::Pct { priorities: Vec::new(), lowest: 0, changes, ran: Vec::new() }
    }

    /// There is a further thread.
    pub(super) fn add(&mut self, chance: &mut Chance) {
        if let Strategy::Pct { priorities, ran, .. } = self {
            ran.push(0);
            priorities.push(1 + (chance.next() >> 2) as i64);
        }
    }

    /// One of `ready` (a bit a thread, not empty) to run next.
    pub(super) fn choose(
        &mut self,
        chance: &mut Chance,
        ready: u64,
        me: usize,
        step: u64,
        why: Occasion,
    ) -> usize {
        let others = ready & !(1 << me);
        match self {
            Strategy::Random { every } => match why {
                Occasion::Step if others == 0 || !chance.one_in(*every) => me,
                Occasion::Spin if others == 0 => me,
                Occasion::Step => nth(ready, chance.below(ready.count_ones().into())),
                Occasion::Spin => nth(others, chance.below(others.count_ones().into())),
                Occasion::Blocked => nth(ready, chance.below(ready.count_ones().into())),
            },
            Strategy::Pct { priorities, lowest, changes, ran } => {
                let mut fall = why == Occasion::Spin;
                while changes.last().is_some_and(|at| *at <= step) {
                    changes.pop();
                    fall = true;
                }
                if fall {
                    *lowest -= 1;
                    priorities[me] = *lowest;
                }
                for at in 0..priorities.len() {
                    if ready & (1 << at) == 0 || at == me {
                        ran[at] = step;
                    } else if step - ran[at] > FAIR_AFTER {
                        ran[at] = step;
                        priorities[at] = 1 + priorities.iter().max().expect("there is one");
                    }
                }
                let best = (0..priorities.len()).filter(|at| ready & (1 << at) != 0);
                best.max_by_key(|at| priorities[*at]).expect("somebody is ready")
            }
        }
    }
}

/// The number of the `n`th bit that is set.
fn nth(mut bits: u64, n: u64) -> usize {
    for _ in 0..n {
        bits &= bits - 1;
    }
    bits.trailing_zeros() as usize
}
