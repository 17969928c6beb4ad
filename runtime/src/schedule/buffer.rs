//! A thread's store buffer: the one reordering that x86 processors do.
//!
//! In half of all executions plain stores (`Relaxed` or `Release`) are kept back in the order they were made, and others
//! see them later. The thread itself sees its own. Whatever drains a
//! processor's buffer drains this one: `fence(SeqCst)`, a `SeqCst` store, every read-modify-write, taking or releasing a
//! lock, and the system calls that the [event queue](super::mio) stands for; the heavy side of a lopsided fence drains
//! those of all threads. So a missing fence of a *store, then
//! load* pattern (invariant 7) shows. Weaker reorderings, which other processors do, are loom's business.

use std::collections::VecDeque;

/// More are not kept back.
const SIZE: usize = 8;

pub(crate) struct Buffer(VecDeque<Kept>);

struct Kept {
    address: usize,
    value: u64,
    write: fn(usize, u64),
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Keeps a store back; `write` makes it.
    pub(super) fn store(&mut self, address: usize, value: u64, write: fn(usize, u64)) {
        if self.0.len() == SIZE {
            self.drain_one();
        }
        self.0.push_back(Kept { address, value, write });
    }

    /// What the thread itself sees at an address.
    pub(super) fn seen(&self, at: usize) -> Option<u64> {
        self.0.iter().rev().find(|kept| kept.address == at).map(|kept| kept.value)
    }

    /// The oldest comes to be seen.
    pub(super) fn drain_one(&mut self) {
        if let Some(Kept { address, value, write }) = self.0.pop_front() {
            write(address, value);
        }
    }

    /// All come to be seen.
    pub(super) fn drain(&mut self) {
        while !self.0.is_empty() {
            self.drain_one();
        }
    }
}
