//! What is said at the end.

use crate::event::Outcome;
use crate::memory::Memory;
use crate::numbers::{bytes, count, rate, time};
use crate::options::{Client, Options};
use crate::server::Counts;
use crate::table::{Row, Sample, Watch};
use std::fmt::Write as _;

/// Whether there was a load, and every byte of it was verified.
pub(crate) fn is_good(outcome: &Outcome) -> bool {
    outcome.failures == 0 && outcome.connections > 0
}

/// What the load measured.
pub(crate) fn load(options: &Options, outcome: &Outcome) -> String {
    if outcome.connections == 0 {
        return "\nno connection was opened\n".to_owned();
    }
    let client = match options.client {
        Client::Greenlets => "greenlets",
        Client::Std => "plain threads",
    };
    let verified = match outcome.failures {
        0 => "every byte verified".to_owned(),
        failures => format!("{} FAILED", count(failures)),
    };
    let latency = outcome.latency;
    let mut text = format!(
        "\n{} connections from {client}, {} bytes a message: {verified}\n",
        count(outcome.connections),
        count(options.size() as u64),
    );
    // Writing to a string never fails.
    let _ = write!(
        text,
        "  requests/s  {}   ({} requests in {}, {} each way)\n  latency     p50 {}   p99 {}   p99.9 {}   max {}\n",
        count(rate(outcome.requests, outcome.elapsed)),
        count(outcome.requests),
        time(outcome.elapsed),
        bytes(outcome.bytes as f64),
        time(latency.p50),
        time(latency.p99),
        time(latency.p999),
        time(latency.max),
    );
    if outcome.requests > 0 {
        text.push_str("              (every connection sends its next message when the last one is back)\n");
    }
    text
}

/// What a connection takes in the server's process.
pub(crate) fn memory(before: Memory, after: Memory, connections: u64) -> String {
    let grown = |before: u64, after: u64| after as f64 - before as f64;
    let each = |before: u64, after: u64| bytes(grown(before, after) / connections.max(1) as f64);
    format!(
        "  memory      {} a connection in the server's process, and {} of page tables\n              ({} resident with all of them open, {} before; what the kernel keeps for sockets not counted)\n",
        each(before.resident, after.resident),
        each(before.page_tables, after.page_tables),
        bytes(after.resident as f64),
        bytes(before.resident as f64),
    )
}

/// What each hub of the server did. `rows` are of while it ran: what lives at the end is of no interest.
pub(crate) fn hubs(watch: &Watch, end: &Sample, rows: &[Row]) -> String {
    let mut text = format!(
        "\n{:>5} {:>9} {:>10} {:>10} {:>9} {:>13} {:>12} {:>11} {:>9} {:>11}\n",
        "hub", "started", "taken", "taken", "live", "requests", "switches", "parks", "polls", "wakes"
    );
    let _ = writeln!(
        text,
        "{:>5} {:>9} {:>10} {:>10} {:>9} {:>13} {:>12} {:>11} {:>9} {:>11}",
        "", "here", "unstarted", "started", "meanwhile", "", "", "", "", "sent"
    );
    for (hub, (metrics, counts)) in end.hubs.iter().enumerate() {
        let _ = writeln!(
            text,
            "{hub:>5} {:>9} {:>10} {:>10} {:>9} {:>13} {:>12} {:>11} {:>9} {:>11}",
            count(metrics.started),
            count(metrics.taken_unstarted),
            count(metrics.taken_started),
            count(rows.get(hub).map_or(0, |row| row.live)),
            count(watch.requests(counts)),
            count(metrics.switches),
            count(metrics.parks),
            count(metrics.polls),
            count(metrics.wakes_sent),
        );
    }
    text
}

/// What a server that only served did.
pub(crate) fn served(total: &Counts) -> String {
    format!(
        "\n{} connections served, {} of them broken off, {} echoes, {} each way\n",
        count(total.accepted),
        count(total.broken),
        count(total.echoes),
        bytes(total.bytes as f64),
    )
}
