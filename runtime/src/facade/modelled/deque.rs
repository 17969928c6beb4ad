//! The interface of `hub/deque.rs` over a locked queue, for models of what is built on it: that one is taken to be
//! linearizable, which its own models are about. What a batch carries beyond its first entry is in neither queue for a
//! moment, as there.

use super::{Arc, Mutex};
use std::collections::VecDeque;

/// # Safety
///
/// As the real one's.
pub(crate) unsafe trait Word {}

pub(crate) enum Steal<T> {
    Empty,
    Success(T),
    #[allow(dead_code)] // with a lock nobody loses a race
    Retry,
}

type Shared<T> = Arc<Mutex<VecDeque<T>>>;

pub(crate) struct Worker<T> {
    queue: Shared<T>,
    lifo: bool,
}

pub(crate) struct Stealer<T>(Shared<T>);

impl<T> Worker<T> {
    pub(crate) fn new_fifo() -> Self {
        Self { queue: Arc::new(Mutex::new(VecDeque::new())), lifo: false }
    }
    pub(crate) fn new_lifo() -> Self {
        Self { lifo: true, ..Self::new_fifo() }
    }
    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer(Arc::clone(&self.queue))
    }
    pub(crate) fn push(&self, entry: T) {
        self.queue.lock().push_back(entry);
    }
    pub(crate) fn pop(&self) -> Option<T> {
        let mut queue = self.queue.lock();
        if self.lifo { queue.pop_back() } else { queue.pop_front() }
    }
    pub(crate) fn take_all(&self, into: &mut Vec<T>) {
        into.extend(self.queue.lock().drain(..));
    }
    pub(crate) fn trim(&self) {}
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Stealer<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The oldest half, `limit` at most; the first of it is returned.
    pub(crate) fn steal_batch_with_limit_and_pop(&self, into: &Worker<T>, limit: usize) -> Steal<T> {
        let mut batch: VecDeque<T> = {
            let mut queue = self.0.lock();
            let count = queue.len().div_ceil(2).min(limit);
            queue.drain(..count).collect()
        };
        match batch.pop_front() {
            None => Steal::Empty,
            Some(first) => {
                batch.into_iter().for_each(|entry| into.push(entry));
                Steal::Success(first)
            }
        }
    }
}
