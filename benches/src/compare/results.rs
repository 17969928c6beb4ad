//! [`Results`]: what a run found, as it is written to a file and read back.

use super::case::{Better, Case, Figure};
use super::machine::Machine;
use super::runtimes::is_greenhub;
use super::sample::Readings;
use crate::statistics::median;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// A whole run.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// Names in the table's order, with versions.
    pub(crate) runtimes: Vec<Participant>,
    /// What is missing, and why; what makes the numbers doubtful.
    pub(crate) notes: Vec<String>,
    pub(crate) samples: usize,
    pub(crate) entries: Vec<Entry>,
}

/// Who took part.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Participant {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) stackful: bool,
}

/// One workload of one runtime on that many hubs.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Entry {
    pub(crate) case: String,
    pub(crate) runtime: String,
    pub(crate) hubs: usize,
    /// A reading a sample, by the figure's name.
    pub(crate) readings: BTreeMap<String, Vec<f64>>,
    /// Why there are no more.
    pub(crate) failure: Option<String>,
}

/// The middle of some readings, and half their range.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Value {
    pub(crate) median: f64,
    pub(crate) spread: f64,
}

/// How many times as good `ours` is as `theirs`.
pub(crate) fn ahead(better: Better, ours: f64, theirs: f64) -> f64 {
    match better {
        Better::Less => theirs / ours,
        Better::More => ours / theirs,
    }
}

impl Entry {
    /// Adds one sample.
    pub(crate) fn add(&mut self, readings: Readings) {
        for (name, value) in readings {
            self.readings.entry(name).or_default().push(value);
        }
    }

    /// What was read of that name.
    pub(crate) fn value(&self, key: &str) -> Option<Value> {
        let readings = self.readings.get(key).filter(|readings| !readings.is_empty())?;
        let least = readings.iter().copied().fold(f64::INFINITY, f64::min);
        let most = readings.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Value { median: median(readings), spread: (most - least) / 2.0 })
    }
}

impl Results {
    /// The entry of one workload, runtime and number of hubs.
    pub(crate) fn entry(&self, case: &str, runtime: &str, hubs: usize) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.case == case && entry.runtime == runtime && entry.hubs == hubs)
    }

    /// A figure of it.
    pub(crate) fn value(&self, case: &str, runtime: &str, hubs: usize, key: &str) -> Option<Value> {
        self.entry(case, runtime, hubs)?.value(key)
    }

    /// The numbers of hubs there are entries for, of one workload.
    pub(crate) fn hubs(&self, case: &str) -> Vec<usize> {
        let mut hubs: Vec<_> =
            self.entries.iter().filter(|entry| entry.case == case).map(|entry| entry.hubs).collect();
        hubs.sort_unstable();
        hubs.dedup();
        hubs
    }

    /// The best of those that are not ours: its name and median.
    pub(crate) fn best_peer(
        &self,
        case: &Case,
        hubs: usize,
        figure: &Figure,
        among: impl Fn(&Participant) -> bool,
    ) -> Option<(&str, f64)> {
        self.runtimes
            .iter()
            .filter(|runtime| !is_greenhub(&runtime.name) && runtime.name != super::runtimes::FLOOR)
            .filter(|runtime| among(runtime))
            .filter_map(|runtime| {
                let value = self.value(case.name, &runtime.name, hubs, figure.key)?;
                Some((runtime.name.as_str(), value.median))
            })
            .max_by(|(_, one), (_, other)| match figure.better {
                Better::More => one.total_cmp(other),
                Better::Less => other.total_cmp(one),
            })
    }

    /// Reads a file that [`Results::write`] has written.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        serde_json::from_str(&text).map_err(|error| named(&error))
    }

    /// Writes them to a file.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::case;
    use super::*;

    fn results() -> Results {
        let participant =
            |name: &str| Participant { name: name.into(), version: "1".into(), stackful: name == "go" };
        let entry = |runtime: &str, readings: &[f64]| Entry {
            case: "yield".into(),
            runtime: runtime.into(),
            hubs: 1,
            readings: [("ns".to_string(), readings.to_vec())].into(),
            failure: None,
        };
        Results {
            runtimes: ["greenhub", "tokio", "go", "floor"].map(participant).to_vec(),
            entries: vec![
                entry("greenhub", &[10.0, 12.0, 11.0]),
                entry("tokio", &[40.0]),
                entry("go", &[80.0]),
                entry("floor", &[5.0]),
            ],
            ..Results::default()
        }
    }

    #[test]
    fn the_best_peer_is_neither_ours_nor_the_floor() {
        let case = case::chosen(&["yield".into()]).expect("it is there")[0];
        let results = results();
        let best = results.best_peer(case, 1, &case.figures[0], |_| true);
        assert_eq!(best, Some(("tokio", 40.0)));
        let stackful = results.best_peer(case, 1, &case.figures[0], |peer| peer.stackful);
        assert_eq!(stackful, Some(("go", 80.0)));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let path = std::env::temp_dir().join(format!("bench-results-{}.json", std::process::id()));
        results().write(&path).expect("it can be written");
        let read = Results::read(&path).expect("it can be read");
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(read.value("yield", "greenhub", 1, "ns"), Some(Value { median: 11.0, spread: 1.0 }));
        assert_eq!(read.hubs("yield"), [1]);
    }

    #[test]
    fn ahead_is_above_one_whichever_way_is_better() {
        assert_eq!(ahead(Better::Less, 10.0, 20.0), 2.0);
        assert_eq!(ahead(Better::More, 20.0, 10.0), 2.0);
    }
}
