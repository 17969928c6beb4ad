//! Two runs against each other: the same machine before and after a change, or two machines.

use super::case::{self, Better};
use super::results::{Results, Value, ahead};
use super::table::{cell, markdown};

/// What is said of a change: readings that overlap prove nothing, and neither does a single one, which has no spread.
fn verdict(better: Better, before: Value, after: Value) -> &'static str {
    let single = before.spread == 0.0 || after.spread == 0.0;
    if single || (before.median - after.median).abs() <= before.spread + after.spread {
        return "";
    }
    if ahead(better, after.median, before.median) > 1.0 { "better" } else { "worse" }
}

/// The table, and what else is different.
pub(crate) fn table(before: &Results, after: &Results) -> String {
    let mut text = format!("A: {}\nB: {}\n", before.machine.line(), after.machine.line());
    for runtime in &after.runtimes {
        let earlier = before.runtimes.iter().find(|earlier| earlier.name == runtime.name);
        if let Some(earlier) = earlier.filter(|earlier| earlier.version != runtime.version) {
            text += &format!("{}: {} in A, {} in B\n", runtime.name, earlier.version, runtime.version);
        }
    }
    text += "\n";
    let heading = [
        "workload",
        "runtime",
        "hubs",
        "figure",
        "A",
        "B",
        "B is so many times as good",
        "beyond the spread",
    ];
    let mut rows = vec![heading.map(String::from).to_vec()];
    for entry in &after.entries {
        let Some(case) = case::ALL.iter().find(|case| case.name == entry.case) else { continue };
        for figure in case.figures {
            let earlier = before.value(&entry.case, &entry.runtime, entry.hubs, figure.key);
            let (Some(before), Some(after)) = (earlier, entry.value(figure.key)) else { continue };
            rows.push(vec![
                entry.case.clone(),
                entry.runtime.clone(),
                entry.hubs.to_string(),
                figure.unit.into(),
                cell(before),
                cell(after),
                format!("{:.2}", ahead(figure.better, after.median, before.median)),
                verdict(figure.better, before, after).into(),
            ]);
        }
    }
    if rows.len() == 1 {
        return text + "They have nothing in common.\n";
    }
    text + &markdown(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_both_spreads_is_a_change() {
        let value = |median, spread| Value { median, spread };
        assert_eq!(verdict(Better::Less, value(10.0, 1.0), value(11.5, 1.0)), "");
        assert_eq!(verdict(Better::Less, value(10.0, 1.0), value(13.0, 1.0)), "worse");
        assert_eq!(verdict(Better::More, value(10.0, 1.0), value(13.0, 1.0)), "better");
        assert_eq!(verdict(Better::Less, value(10.0, 0.0), value(13.0, 1.0)), "");
    }
}
