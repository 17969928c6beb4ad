//! Accounting: what must happen exactly once, and who may be inside at the same time.

use crate::die;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

/// Things with a number, each of which must happen exactly once.
#[derive(Clone)]
pub struct Ledger {
    what: &'static str,
    counts: Arc<[AtomicU32]>,
}

impl Ledger {
    /// So many things, none of which has happened.
    pub fn new(what: &'static str, things: usize) -> Self {
        Ledger { what, counts: (0..things).map(|_| AtomicU32::new(0)).collect() }
    }

    /// The thing has happened. Dies if it had before.
    pub fn mark(&self, thing: usize) {
        let before = self.counts[thing].fetch_add(1, SeqCst);
        if before != 0 {
            die(&format!("{} {thing} happened {} times", self.what, before + 1));
        }
    }

    /// Whether the thing has happened.
    pub fn has(&self, thing: usize) -> bool {
        self.counts[thing].load(SeqCst) != 0
    }

    /// How many have happened.
    pub fn total(&self) -> usize {
        (0..self.counts.len()).filter(|&thing| self.has(thing)).count()
    }

    /// Dies unless all have happened.
    pub fn expect_all(&self) {
        if let Some(thing) = (0..self.counts.len()).find(|&thing| !self.has(thing)) {
            die(&format!(
                "{} {thing} never happened; {} of {} did",
                self.what,
                self.total(),
                self.counts.len()
            ));
        }
    }

    /// Something whose drop is the thing.
    pub fn witness(&self, thing: usize) -> Witness {
        Witness { ledger: self.clone(), thing }
    }
}

/// Marks its thing in a [`Ledger`] when it is dropped.
pub struct Witness {
    ledger: Ledger,
    thing: usize,
}

impl Witness {
    /// Which thing.
    pub fn thing(&self) -> usize {
        self.thing
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.ledger.mark(self.thing);
    }
}

/// Somebody is inside a section: one writer alone, or any number of readers. Leaves when dropped.
pub struct Inside<'a> {
    count: &'a AtomicI64,
    writer: bool,
}

const WRITER: i64 = 1 << 32;

impl<'a> Inside<'a> {
    /// Alone inside; dies if somebody else is.
    pub fn alone(count: &'a AtomicI64) -> Self {
        let before = count.fetch_add(WRITER, SeqCst);
        if before != 0 {
            die(&format!("not alone: {before:#x}"));
        }
        Inside { count, writer: true }
    }

    /// Inside with other readers; dies if a writer is.
    pub fn shared(count: &'a AtomicI64) -> Self {
        let before = count.fetch_add(1, SeqCst);
        if before >= WRITER {
            die(&format!("a reader beside a writer: {before:#x}"));
        }
        Inside { count, writer: false }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(if self.writer { WRITER } else { 1 }, SeqCst);
    }
}
