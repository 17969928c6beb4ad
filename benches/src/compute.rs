//! Computing for a given time, as work and not as waiting: a spin on the clock would count the time in which the
//! operating system ran somebody else as work done.

use crate::setting::time;
use std::sync::OnceLock;
use std::time::Duration;

/// Keeps the processor busy for about `span` of its own time.
pub(crate) fn compute(span: Duration) {
    let rounds = span.as_nanos() as f64 * rounds_per_nanosecond();
    std::hint::black_box(spin(rounds as u64));
}

fn rounds_per_nanosecond() -> f64 {
    static RATE: OnceLock<f64> = OnceLock::new();
    // The fastest of many short trials: the one that was not disturbed.
    *RATE.get_or_init(|| {
        const ROUNDS: u64 = 100_000;
        let fastest = (0..50).map(|_| time(|| spin(ROUNDS))).min().unwrap_or_default();
        ROUNDS as f64 / fastest.as_nanos().max(1) as f64
    })
}

/// A chain of operations, each of which needs the one before.
#[inline(never)]
fn spin(rounds: u64) -> u64 {
    let mut x = std::hint::black_box(0x9E37_79B9_7F4A_7C15_u64);
    for _ in 0..rounds {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    x
}
