//! How late sleeps end.

use crate::row::{Goal, Row, Unit};
use crate::statistics::quantile;
use std::time::{Duration, Instant};

/// Sleeps once for each of these spans; gives by how much each sleep was late, in seconds.
///
/// # Panics
///
/// If one ends early.
pub(crate) fn lateness(spans: impl IntoIterator<Item = Duration>) -> Vec<f64> {
    let once = |span: Duration| {
        let start = Instant::now();
        greenhub::sleep(span);
        let slept = start.elapsed();
        assert!(slept >= span, "a sleep of {span:?} ended after {slept:?}");
        (slept - span).as_secs_f64()
    };
    spans.into_iter().map(once).collect()
}

/// The rows p50, p90 and p99 of readings that were not taken one a sample; `limit` is what is wanted of p90.
pub(crate) fn quantiles(late: &[f64], limit: Option<f64>) -> [Row; 3] {
    let row = |name: &str, share| Row::plain(Unit::Seconds, vec![quantile(late, share)]).part(name);
    let mut rows = [row("p50", 0.5), row("p90", 0.9), row("p99", 0.99)];
    rows[1].goal = limit.map(Goal::AtMost);
    rows
}
