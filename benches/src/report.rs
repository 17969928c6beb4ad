//! The table.

use crate::row::{Goal, Row, Unit};
use crate::setting::Setting;
use crate::statistics::median;
use crate::workload::{Scope, Workload};

/// Prints the names of the columns.
pub(crate) fn heading() {
    println!(
        "{:<38} {:>4} {:<8} {:>10} {:>22} {:>9} {:>9}  goal",
        "workload", "hubs", "mode", "median", "min..max", "ns/op", "best"
    );
}

/// Prints one line.
pub(crate) fn row(workload: &Workload, setting: &Setting, row: &Row) {
    let name = match row.part.as_str() {
        "" => workload.name.to_string(),
        part => format!("{}: {part}", workload.name),
    };
    let (each, best) = match row.per_operation() {
        Some((median, least)) => (number(median), number(least)),
        None => (String::new(), String::new()),
    };
    let hubs = match workload.scope {
        Scope::OwnHubs => "-".to_string(),
        Scope::Everywhere | Scope::SeveralHubs => setting.hubs.to_string(),
    };
    let range = format!("{}..{}", value(row.unit, row.least()), value(row.unit, row.most()));
    let line = format!(
        "{name:<38} {hubs:>4} {:<8} {:>10} {range:>22} {each:>9} {best:>9}  {}",
        setting.mode,
        value(row.unit, median(&row.readings)),
        if setting.tiny { String::new() } else { goal(row) }
    );
    println!("{}", line.trim_end());
}

fn goal(row: &Row) -> String {
    let Some(goal) = row.goal else { return String::new() };
    let (sign, limit) = match goal {
        Goal::AtMost(limit) => ("<=", limit),
        Goal::AtLeast(limit) => (">=", limit),
        Goal::NeverBelow(limit) => ("each >=", limit),
    };
    let limit = if row.operations.is_some() { format!("{limit} ns") } else { value(row.unit, limit) };
    format!("{sign} {limit} {}", if row.meets(goal) { "met" } else { "MISSED" })
}

fn number(value: f64) -> String {
    if value < 1000.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Seconds if value < 1e-3 => format!("{:.1} µs", value * 1e6),
        Unit::Seconds if value < 1.0 => format!("{:.2} ms", value * 1e3),
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Bytes if value.abs() < 1e6 => format!("{value:.0} B"),
        Unit::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
        Unit::Count => format!("{value:.0}"),
        Unit::Ratio => format!("{value:.2}"),
    }
}
