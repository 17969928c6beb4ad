//! The table of a comparison, as it is printed and as it is written into a page.

use super::case::{self, Case, Figure};
use super::results::{Entry, Results, Value, ahead};
use super::runtimes::{FLOOR, is_greenhub};
use crate::statistics::median;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- results: begin; written by `bench compare --results`, not by hand -->";
const END: &str = "<!-- results: end -->";

/// A number in as many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        least if least >= 100_000.0 => format!("{:.0}k", value / 1000.0),
        least if least >= 100.0 => format!("{value:.0}"),
        least if least >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The median, and by how many percent the readings go beyond it.
pub(crate) fn cell(value: Value) -> String {
    if value.spread == 0.0 || value.median == 0.0 {
        return number(value.median);
    }
    format!("{} ±{:.0}%", number(value.median), value.spread / value.median * 100.0)
}

/// Rows of equal length, the first of which names the columns, as a Markdown table with aligned columns.
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (place, row) in rows.iter().enumerate() {
        for (cell, &width) in row.iter().zip(&widths) {
            text += &format!("| {cell:<width$} ");
        }
        text += "|\n";
        if place == 0 {
            widths.iter().for_each(|width| text += &format!("|{}", "-".repeat(width + 2)));
            text += "|\n";
        }
    }
    text
}

/// The table.
pub(crate) fn table(results: &Results) -> String {
    let runtimes: Vec<_> = results.runtimes.iter().map(|runtime| runtime.name.as_str()).collect();
    let compares = runtimes.iter().any(|name| is_greenhub(name))
        && runtimes.iter().any(|name| !is_greenhub(name) && *name != FLOOR);
    let mut heading: Vec<String> = ["workload", "hubs", "figure"].map(String::from).into();
    heading.extend(runtimes.iter().map(ToString::to_string));
    if compares {
        heading.extend(["ahead of the best", "of the best with stacks"].map(String::from));
    }
    let mut rows = vec![heading];
    for case in case::ALL {
        for hubs in results.hubs(case.name) {
            for figure in case.figures {
                let mut row = vec![case.name.to_string(), hubs.to_string(), figure.unit.to_string()];
                row.extend(runtimes.iter().map(|runtime| shown(results, case, runtime, hubs, figure)));
                if compares {
                    row.push(lead(results, case, hubs, figure, false));
                    row.push(lead(results, case, hubs, figure, true));
                }
                rows.push(row);
            }
        }
    }
    markdown(&rows)
}

fn shown(results: &Results, case: &Case, runtime: &str, hubs: usize, figure: &Figure) -> String {
    match results.entry(case.name, runtime, hubs) {
        None => "–".into(),
        Some(entry) if entry.failure.is_some() => "failed".into(),
        Some(entry) => entry.value(figure.key).map_or("–".into(), cell),
    }
}

/// How many times as good as the best peer ours are, the default mode first.
fn lead(results: &Results, case: &Case, hubs: usize, figure: &Figure, stackful: bool) -> String {
    let best = results.best_peer(case, hubs, figure, |peer| peer.stackful || !stackful);
    let Some((name, best)) = best else { return "–".into() };
    let ours = results.runtimes.iter().filter(|runtime| is_greenhub(&runtime.name));
    let ratios: Vec<_> = ours
        .filter_map(|runtime| results.value(case.name, &runtime.name, hubs, figure.key))
        .map(|value| format!("{:.2}", ahead(figure.better, value.median, best)))
        .collect();
    format!("{} ({name})", ratios.join(" / "))
}

/// The table with all that is needed to read it.
pub(crate) fn page(results: &Results) -> String {
    let mut text = format!("Machine: {}.\n\n", results.machine.line());
    let versions: Vec<_> =
        results.runtimes.iter().map(|runtime| format!("{} {}", runtime.name, runtime.version)).collect();
    text += &format!("Versions: {}.\n\n", versions.join(", "));
    text += &table(results);
    text += &format!(
        "\nMedians of {} samples (of the heavy ones half as many), each a process of its own; ± is half the range from \
         the least to the most. *Ahead* is how many times as good as the best peer the default mode and, after the \
         stroke, the migrating mode is: above 1 is ahead.\n",
        results.samples
    );
    let measured: Vec<_> = case::ALL.iter().filter(|case| !results.hubs(case.name).is_empty()).collect();
    text += "\n";
    measured.iter().for_each(|case| text += &format!("* `{}`: {}.\n", case.name, case.what));
    let failures = results.entries.iter().filter_map(|entry| {
        let failure = entry.failure.as_ref()?;
        Some(format!("`{}` of {} on {} hubs: {failure}", entry.case, entry.runtime, entry.hubs))
    });
    let silent = results.entries.iter().filter_map(|entry| {
        let most = entry.readings.get("silent")?.iter().copied().fold(0.0, f64::max);
        (most > 0.0).then(|| {
            format!(
                "`{}` of {} on {} hubs: up to {most} connections were served nothing at all",
                entry.case, entry.runtime, entry.hubs
            )
        })
    });
    let split = results.entries.iter().filter_map(split);
    let notes: Vec<_> = results.notes.iter().cloned().chain(split).chain(failures).chain(silent).collect();
    if !notes.is_empty() {
        text += "\nTo be known:\n\n";
        notes.iter().for_each(|note| text += &format!("* {note}\n"));
    }
    text
}

/// Which share of the pairs was split over two hubs; and what that cost, if samples differ.
fn split(entry: &Entry) -> Option<String> {
    let (split, times) = (entry.readings.get("split")?, entry.readings.get("ns")?);
    if entry.hubs == 1 {
        return None;
    }
    let percent: Vec<_> = split.iter().map(|share| format!("{:.1}", share * 100.0)).collect();
    let mut text = format!(
        "`{}` of {} on {} hubs: {} % of the pairs were split over two hubs in its samples",
        entry.case,
        entry.runtime,
        entry.hubs,
        percent.join(", ")
    );
    let median_where = |wanted: bool| {
        let of = split.iter().zip(times).filter(|(split, _)| (**split > 0.0) == wanted);
        median(&of.map(|(_, time)| *time).collect::<Vec<_>>())
    };
    if split.contains(&0.0) && split.iter().any(|share| *share > 0.0) {
        let (apart, together) = (number(median_where(true)), number(median_where(false)));
        text += &format!(": {apart} ns, against {together} where none was");
    }
    Some(text)
}

/// A page that has a place for results.
pub(crate) struct Page {
    path: PathBuf,
    before: String,
    after: String,
}

impl Page {
    /// Opens it, or starts it if there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let named = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => format!("# Results\n\n{BEGIN}\n{END}\n"),
            Err(error) => return Err(named(&error)),
        };
        let around = || {
            let (before, rest) = text.split_once(BEGIN)?;
            let (_, after) = rest.split_once(END)?;
            Some(Self { path: path.into(), before: before.into(), after: after.into() })
        };
        around().ok_or_else(|| named(&"it does not have the two marks between which results go"))
    }

    /// Puts the table there.
    pub(crate) fn write(&self, results: &Results) -> io::Result<()> {
        let text = format!("{}{BEGIN}\n\n{}\n{END}{}", self.before, page(results), self.after);
        fs::write(&self.path, text)
            .map_err(|error| io::Error::other(format!("{}: {error}", self.path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "long".into()], vec!["wider".into(), "µ".into()]];
        assert_eq!(markdown(&rows), "| a     | long |\n|-------|------|\n| wider | µ    |\n");
    }

    #[test]
    fn a_page_keeps_what_stands_around_the_results() {
        let path = std::env::temp_dir().join(format!("bench-page-{}.md", std::process::id()));
        fs::write(&path, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).expect("it can be written");
        let opened = Page::open(&path).expect("it has the marks");
        opened.write(&Results::default()).expect("it can be written");
        let page = fs::read_to_string(&path).expect("it is there");
        assert!(
            page.starts_with("before\n") && page.ends_with("\nafter\n") && !page.contains("old"),
            "{page}"
        );
        fs::write(&path, "by hand").expect("it can be written");
        assert!(Page::open(&path).is_err(), "a page without marks is not touched");
        fs::remove_file(&path).expect("it is there");
    }
}
