//! A lane: what the connections of one hub, or one thread, have done.
//!
//! The lock around a lane's histogram is only ever taken on its own hub (or thread), which runs one thing at a time,
//! and at the end by the one who adds the lanes up. So it is free whenever it is wanted, and costs a few nanoseconds.

use crate::event::Latency;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Latencies are kept from 1 µs to 100 s, in nanoseconds, with three digits.
const BOUNDS: (u64, u64) = (1_000, 100_000_000_000);
const DIGITS: u8 = 3;

/// One lane. Its own cache lines.
#[repr(align(128))]
pub(crate) struct Lane {
    requests: AtomicU64,
    bytes: AtomicU64,
    measured: Mutex<Measured>,
}

struct Measured {
    latency: Histogram<u32>,
    /// When the last request ended.
    last: Option<Instant>,
}

impl Lane {
    pub(crate) fn new() -> Self {
        let measured = Measured { latency: histogram(), last: None };
        Self { requests: AtomicU64::new(0), bytes: AtomicU64::new(0), measured: Mutex::new(measured) }
    }

    /// A request took `latency` and ended at `ended`.
    // Not inlined into what suspends: the lock looks at a thread-local (is this thread panicking?).
    #[inline(never)]
    pub(crate) fn record(&self, latency: Duration, ended: Instant) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.latency.saturating_record(nanos);
        measured.last = Some(ended);
        // Relaxed: for display, until everybody has been joined.
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has had `bytes` verified.
    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The latencies of all lanes, and when the last request ended.
pub(crate) fn latencies(lanes: &[Lane]) -> (Latency, Option<Instant>) {
    let mut all =
        Histogram::<u64>::new_with_bounds(BOUNDS.0, BOUNDS.1, DIGITS).expect("the bounds are in order");
    let mut last = None;
    for lane in lanes {
        let measured = lane.measured.lock().unwrap_or_else(PoisonError::into_inner);
        last = last.max(measured.last);
        for value in measured.latency.iter_recorded() {
            all.saturating_record_n(value.value_iterated_to(), u64::from(value.count_at_value()));
        }
    }
    let at = |quantile| Duration::from_nanos(all.value_at_quantile(quantile));
    let max = Duration::from_nanos(all.max());
    // A quantile is the upper end of its bucket, which may lie beyond the largest value.
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| at(quantile).min(max));
    (Latency { p50, p99, p999, max }, last)
}

fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(BOUNDS.0, BOUNDS.1, DIGITS).expect("the bounds are in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_add_up() {
        let lanes = [Lane::new(), Lane::new()];
        let start = Instant::now();
        for micros in 1..=1000 {
            let ended = start + Duration::from_micros(micros);
            lanes[micros as usize % 2].record(Duration::from_micros(10 * micros), ended);
        }
        let (latency, last) = latencies(&lanes);
        let near = |found: Duration, micros: f64| {
            let found = found.as_secs_f64() * 1e6;
            assert!((found - micros).abs() <= micros * 0.002, "{found} µs instead of {micros}");
        };
        near(latency.p50, 5_000.0);
        near(latency.p99, 9_900.0);
        near(latency.p999, 9_990.0);
        near(latency.max, 10_000.0);
        assert_eq!(last, Some(start + Duration::from_micros(1000)));
        assert_eq!(lanes[0].requests() + lanes[1].requests(), 1000);
    }

    #[test]
    fn nothing_recorded_is_no_latency() {
        assert_eq!(latencies(&[Lane::new()]), (Latency::default(), None));
    }
}
