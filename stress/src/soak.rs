//! `--soak`: what the process holds between rounds must stay as it is once everything is warm.
//!
//! Samples are taken between rounds, when nothing lives that a round has made. The first third of the time is the
//! warm-up. Of the second and the last third the *smallest* samples are compared: rounds differ in size, and what
//! they leave in caches with them, but what leaks never comes back, so it lifts the minimum too.

use crate::{Resources, die};
use std::time::{Duration, Instant};

/// How many samples a whole run takes, about.
const SAMPLES: u32 = 600;
/// Fewer in a third of the time say nothing.
const FEWEST: usize = 3;
/// By how much the memory may differ: the allocator's arenas and caches, which fill by chance. A guess; what leaks in
/// an hour is far more.
const SLACK_BYTES: usize = 6 << 20;
const SLACK_PERCENT: usize = 3;
/// By how many the threads may differ: those of the blocking pool stay for some seconds, and more are made when the machine
/// is busy.
const SLACK_THREADS: usize = 8;
/// By how many the mappings may differ: those of so many threads, the allocator's arenas, and the C library's cache of
/// thread stacks.
const SLACK_MAPPINGS: usize = 64;

/// The samples of one run.
pub(crate) struct Soak {
    interval: Duration,
    taken: Vec<(Duration, Resources)>,
}

impl Soak {
    /// For a run of this length.
    pub(crate) fn new(length: Duration) -> Self {
        Soak { interval: length / SAMPLES, taken: Vec::new() }
    }

    /// Takes a sample, if it is time for one.
    pub(crate) fn look(&mut self, started: Instant) {
        let now = started.elapsed();
        if self.taken.last().is_none_or(|(last, _)| now >= *last + self.interval) {
            self.taken.push((now, Resources::now()));
        }
    }

    /// Dies unless what the process holds stayed the same; else says what it was.
    pub(crate) fn conclude(self) -> String {
        let third = self.taken.last().map_or(Duration::ZERO, |(last, _)| *last / 3);
        let least = |from: Duration, to: Duration| {
            let part = self.taken.iter().filter(|(at, _)| *at > from && *at <= to);
            let part: Vec<Resources> = part.map(|(_, sample)| *sample).collect();
            (part.len() >= FEWEST).then(|| Resources {
                memory: part.iter().map(|r| r.memory).min().unwrap_or(0),
                threads: part.iter().map(|r| r.threads).min().unwrap_or(0),
                descriptors: part.iter().map(|r| r.descriptors).min().unwrap_or(0),
                mappings: part.iter().map(|r| r.mappings).min().unwrap_or(0),
                regions: part.iter().map(|r| r.regions).min().unwrap_or(0),
            })
        };
        let (Some(before), Some(after)) = (least(third, third * 2), least(third * 2, third * 4)) else {
            die(&format!("{} samples are too few for a soak: give it more --seconds", self.taken.len()));
        };
        let flat = after.memory <= before.memory + before.memory * SLACK_PERCENT / 100 + SLACK_BYTES
            && after.mappings <= before.mappings + SLACK_MAPPINGS
            && after.threads <= before.threads + SLACK_THREADS
            && after.descriptors <= before.descriptors
            && after.regions <= before.regions;
        if !flat {
            let line =
                |(at, sample): &(Duration, Resources)| format!("{:>7.1?} s: {sample}", at.as_secs_f64());
            let shown = self.taken.iter().step_by(self.taken.len().div_ceil(60));
            let lines: Vec<String> = shown.map(line).collect();
            die(&format!(
                "the process grows.\nleast in the second third: {before}\nleast in the last third:   {after}\n{}",
                lines.join("\n")
            ));
        }
        format!("soak: {} samples; second third {before}; last third {after}", self.taken.len())
    }
}
