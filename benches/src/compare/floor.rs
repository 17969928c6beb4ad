//! Each of our figures beside its floor.

use super::case;
use super::results::{Results, ahead};
use super::runtimes::{FLOOR, is_greenhub};
use super::table::{cell, markdown, number};
use crate::peer::floor::WHAT;

/// The table. A floor is one thread's, whatever the number of hubs: what it leaves out on several is what they cost
/// each other.
pub(crate) fn table(results: &Results) -> String {
    let heading =
        ["workload", "figure", "runtime", "hubs", "measured", "floor", "times the floor", "the floor is"];
    let mut rows = vec![heading.map(String::from).to_vec()];
    for case in case::ALL {
        let what = WHAT.iter().find(|(workload, _)| *workload == case.workload).map(|(_, what)| *what);
        for figure in case.figures {
            let Some(floor) = results.value(case.name, FLOOR, 1, figure.key) else { continue };
            let entries =
                results.entries.iter().filter(|entry| entry.case == case.name && is_greenhub(&entry.runtime));
            for entry in entries {
                let Some(value) = entry.value(figure.key) else { continue };
                rows.push(vec![
                    case.name.into(),
                    figure.unit.into(),
                    entry.runtime.clone(),
                    entry.hubs.to_string(),
                    cell(value),
                    cell(floor),
                    number(1.0 / ahead(figure.better, value.median, floor.median)),
                    what.unwrap_or_default().into(),
                ]);
            }
        }
    }
    markdown(&rows)
}
