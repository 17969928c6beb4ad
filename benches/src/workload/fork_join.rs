//! Watches fork-join recursion: fib(30) with a greenlet for every call but the last ones, 1.3 million in all. A joiner
//! must run its own child next, or the number of live stacks explodes; and what a joiner costs is on every step.

use super::{Scope, Workload, stacks};
use crate::row::{Goal, Row, Unit};
use crate::setting::time;
use greenhub::spawn;

/// Spawns one of its two halves and computes the other itself.
pub(crate) fn fib(n: u32) -> u64 {
    if n < 2 {
        return u64::from(n);
    }
    let half = spawn(move || fib(n - 1));
    let other = fib(n - 2);
    match half.join() {
        Ok(half) => half + other,
        Err(error) => panic!("one half failed: {error}"),
    }
}

/// How many greenlets `fib(n)` spawns: one for every call that is not a leaf.
pub(crate) fn spawns(n: u32) -> u64 {
    if n < 2 { 0 } else { 1 + spawns(n - 1) + spawns(n - 2) }
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "fork-join",
    watches: "fib(30), a greenlet a call: joiners run their own children, so live stacks stay in the tens",
    scope: Scope::Everywhere,
    measure: |setting| {
        let n = setting.size(30, 10);
        let timed = setting.timed(spawns(n), || time(|| fib(n)))?;
        let runtime = setting.runtime()?;
        let most = stacks::most_in_use(&runtime, || {
            std::hint::black_box(fib(n));
        });
        Ok(vec![timed, Row::plain(Unit::Count, vec![most]).part("live stacks").goal(Goal::AtMost(99.0))])
    },
};
