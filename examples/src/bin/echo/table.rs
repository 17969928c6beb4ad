//! What each hub does, as rows of numbers: now, and in all.

use crate::numbers::{count, rate};
use crate::server::{Counts, Server};
use greenhub::runtime::HubMetrics;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Rates are over at least this long.
const WINDOW: Duration = Duration::from_secs(1);

/// More hubs than this are not listed while they run.
const MOST_ROWS: usize = 32;

/// The hubs' counters at one moment.
#[derive(Clone)]
pub(crate) struct Sample {
    at: Instant,
    pub(crate) hubs: Vec<(HubMetrics, Counts)>,
}

/// One hub's row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) hub: usize,
    pub(crate) started: u64,
    pub(crate) taken_unstarted: u64,
    pub(crate) taken_started: u64,
    pub(crate) live: u64,
    pub(crate) rate: u64,
}

/// The last second of a server.
pub(crate) struct Watch {
    /// Bytes in a request, if known; else every read that was echoed counts as one.
    size: Option<u64>,
    samples: VecDeque<Sample>,
}

impl Sample {
    pub(crate) fn of(server: &Server) -> Self {
        let counts = server.counts();
        Self { at: Instant::now(), hubs: server.metrics().hubs.into_iter().zip(counts).collect() }
    }
}

impl Watch {
    pub(crate) fn new(size: Option<u64>) -> Self {
        Self { size, samples: VecDeque::new() }
    }

    /// How many requests these counts are.
    pub(crate) fn requests(&self, counts: &Counts) -> u64 {
        self.size.map_or(counts.echoes, |size| counts.bytes / size)
    }

    /// Looks at the server, and gives the rows as of now.
    pub(crate) fn look(&mut self, server: &Server) -> Vec<Row> {
        let now = Sample::of(server);
        while self.samples.get(1).is_some_and(|second| now.at - second.at >= WINDOW) {
            self.samples.pop_front();
        }
        let rows = match self.samples.front() {
            Some(before) => self.rows(before, &now),
            None => self.rows(&now, &now),
        };
        self.samples.push_back(now);
        rows
    }

    fn rows(&self, before: &Sample, now: &Sample) -> Vec<Row> {
        let time = now.at - before.at;
        let both = before.hubs.iter().zip(&now.hubs).enumerate();
        both.map(|(hub, ((_, before), (metrics, counts)))| Row {
            hub,
            started: metrics.started,
            taken_unstarted: metrics.taken_unstarted,
            taken_started: metrics.taken_started,
            live: metrics.live_started,
            rate: rate(self.requests(counts).saturating_sub(self.requests(before)), time),
        })
        .collect()
    }
}

/// The rows under each other, for a terminal.
pub(crate) fn draw(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>5} {:>13} {:>16} {:>14} {:>9} {:>11}",
        "hub", "started here", "taken unstarted", "taken started", "live", "requests/s"
    );
    for row in rows.iter().take(MOST_ROWS) {
        // Writing to a string never fails.
        let _ = write!(
            text,
            "\n{:>5} {:>13} {:>16} {:>14} {:>9} {:>11}",
            row.hub,
            count(row.started),
            count(row.taken_unstarted),
            count(row.taken_started),
            count(row.live),
            count(row.rate)
        );
    }
    if rows.len() > MOST_ROWS {
        let _ = write!(text, "\n      and {} more hubs", rows.len() - MOST_ROWS);
    }
    text
}

/// The rows in one line, for a log.
pub(crate) fn line(rows: &[Row]) -> String {
    let hubs = rows.iter().take(MOST_ROWS).map(|row| {
        format!(
            "hub {}: started {}, taken {}+{}, live {}, {}/s",
            row.hub,
            count(row.started),
            count(row.taken_unstarted),
            count(row.taken_started),
            count(row.live),
            count(row.rate)
        )
    });
    hubs.collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, numbers: &[(u64, u64)]) -> Sample {
        let hub = |&(echoes, bytes): &(u64, u64)| {
            (HubMetrics::default(), Counts { echoes, bytes, ..Counts::default() })
        };
        Sample { at, hubs: numbers.iter().map(hub).collect() }
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let start = Instant::now();
        let before = sample(start, &[(10, 1000), (20, 2000)]);
        let now = sample(start + Duration::from_millis(500), &[(110, 3000), (20, 2000)]);
        let rates = |watch: Watch| watch.rows(&before, &now).iter().map(|row| row.rate).collect::<Vec<_>>();
        assert_eq!(rates(Watch::new(None)), [200, 0]);
        assert_eq!(rates(Watch::new(Some(100))), [40, 0]);
    }

    #[test]
    fn a_table_has_a_line_a_hub() {
        let rows = vec![Row { started: 1234, ..Row::default() }; 40];
        let text = draw(&rows);
        assert!(text.lines().nth(1).unwrap().contains("1,234"));
        assert_eq!(text.lines().count(), 1 + MOST_ROWS + 1);
        assert_eq!(line(&rows[..2]).matches("hub 0").count(), 2);
    }
}
