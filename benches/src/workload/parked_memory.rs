//! Watches what a parked greenlet costs in memory, all in: its stack's one touched page, its header, and its share of
//! everything else. Page tables, which the system does not count as the process's own, are shown beside it.
//!
//! Each size is measured in a process of its own, so that nobody else's memory is counted, or used again.

use super::{Scope, Workload};
use crate::process::Memory;
use crate::row::{Goal, Row, Unit};
use crate::setting::{Mode, Setting};
use clap::ValueEnum;
use std::io;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// 4.7 KiB.
const LIMIT: f64 = 4.7 * 1024.0;

pub(super) const WORKLOAD: Workload = Workload {
    name: "parked-memory",
    watches: "memory of a parked greenlet, at 200,000 and 1,000,000 of them",
    scope: Scope::Everywhere,
    measure: |setting| {
        let mut rows = Vec::new();
        for count in setting.size([200_000, 1_000_000], [1000, 5000]) {
            let (resident, page_tables) = in_child(setting, count)?;
            let row =
                |name: &str, bytes| Row::plain(Unit::Bytes, vec![bytes]).part(format!("{count}, {name}"));
            rows.push(row("resident each", resident).goal(Goal::AtMost(LIMIT)));
            rows.push(row("page tables each", page_tables));
        }
        Ok(rows)
    },
};

fn in_child(setting: &Setting, count: usize) -> io::Result<(f64, f64)> {
    let mode = setting.mode.to_possible_value().expect("every mode has a name");
    let child = Command::new(std::env::current_exe()?)
        .args(["parked-memory", &count.to_string(), &setting.hubs.to_string(), mode.get_name()])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&child.stdout);
    let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
    match numbers[..] {
        [resident, page_tables] if child.status.success() => Ok((resident, page_tables)),
        _ => Err(io::Error::other(format!("{count} parked greenlets: {}, said {text:?}", child.status))),
    }
}

/// The child: parks that many greenlets and prints what each took, in bytes: resident, page tables.
pub(crate) fn child(count: usize, hubs: usize, mode: Mode) -> io::Result<()> {
    let runtime = Setting { hubs, mode, samples: 1, tiny: false, first: true }.runtime()?;
    let started = Arc::new(AtomicUsize::new(0));
    // The first few pay for what is there only once.
    park_more(&runtime, &started, 100);
    let before = Memory::now()?;
    park_more(&runtime, &started, count);
    let after = Memory::now()?;
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / count as f64;
    println!("{} {}", each(after.resident, before.resident), each(after.page_tables, before.page_tables));
    // To kill and unwind them all would measure nothing more.
    std::process::exit(0);
}

/// Parks that many more greenlets; `started` counts them.
pub(crate) fn park_more(runtime: &greenhub::runtime::Runtime, started: &Arc<AtomicUsize>, count: usize) {
    let wanted = started.load(Ordering::Relaxed) + count;
    let counter = started.clone();
    runtime.run(move || {
        for spawned in 0..count {
            let counter = counter.clone();
            drop(greenhub::spawn(move || {
                // Relaxed: the count publishes nothing.
                counter.fetch_add(1, Ordering::Relaxed);
                greenhub::park();
            }));
            // As a server would: they come in over time, not all at once.
            if spawned % 64 == 0 {
                greenhub::yield_now();
            }
        }
    });
    while started.load(Ordering::Relaxed) < wanted {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The last ones are on their way from the count to their wait.
    std::thread::sleep(Duration::from_millis(50));
}
