//! [`Row`]: what one workload found in one setting, one line of the table.

use crate::statistics::median;
use std::time::Duration;

/// What the readings of a row are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// Seconds for the whole run.
    Seconds,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
    /// A quotient of two readings of one run.
    Ratio,
}

/// What the project wants of a row.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// The median, or for timed rows the median per operation in nanoseconds, is at most this.
    AtMost(f64),
    /// It is at least this.
    AtLeast(f64),
    /// Every single reading is at least this.
    NeverBelow(f64),
}

/// One line.
pub(crate) struct Row {
    /// Which part of the workload; empty if there is only one.
    pub(crate) part: String,
    pub(crate) unit: Unit,
    pub(crate) readings: Vec<f64>,
    /// How many operations one reading covers, if it is a time to be divided.
    pub(crate) operations: Option<u64>,
    pub(crate) goal: Option<Goal>,
}

impl Row {
    /// Times of runs of that many operations.
    pub(crate) fn timed(operations: u64, times: Vec<Duration>) -> Self {
        let readings = times.iter().map(Duration::as_secs_f64).collect();
        Self { operations: Some(operations), ..Self::plain(Unit::Seconds, readings) }
    }

    /// Readings that are what they are.
    pub(crate) fn plain(unit: Unit, readings: Vec<f64>) -> Self {
        Self { part: String::new(), unit, readings, operations: None, goal: None }
    }

    /// Names the part of the workload.
    pub(crate) fn part(mut self, part: impl Into<String>) -> Self {
        self.part = part.into();
        self
    }

    /// Adds what is wanted.
    pub(crate) fn goal(self, goal: Goal) -> Self {
        self.goal_if(true, goal)
    }

    /// Adds what is wanted, where `wanted` holds.
    pub(crate) fn goal_if(mut self, wanted: bool, goal: Goal) -> Self {
        self.goal = wanted.then_some(goal);
        self
    }

    /// Nanoseconds per operation: of the median run, and of the fastest.
    pub(crate) fn per_operation(&self) -> Option<(f64, f64)> {
        let each = |seconds: f64| self.operations.map(|operations| seconds * 1e9 / operations as f64);
        Some((each(median(&self.readings))?, each(self.least())?))
    }

    pub(crate) fn least(&self) -> f64 {
        self.readings.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn most(&self) -> f64 {
        self.readings.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Whether the goal is met.
    pub(crate) fn meets(&self, goal: Goal) -> bool {
        let value = self.per_operation().map_or_else(|| median(&self.readings), |(median, _)| median);
        match goal {
            Goal::AtMost(limit) => value <= limit,
            Goal::AtLeast(limit) => value >= limit,
            Goal::NeverBelow(limit) => self.least() >= limit,
        }
    }
}
