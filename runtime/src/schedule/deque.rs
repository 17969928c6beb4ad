//! crossbeam's deque, whose operations are steps of the schedule. What happens inside one is one step.

use super::atomic::drain;
use super::world;
pub(crate) use crossbeam_deque::Steal;
use std::rc::Rc;

/// As crossbeam's. A push is a plain store to others, so it may be kept back.
pub(crate) struct Worker<T>(Rc<crossbeam_deque::Worker<T>>);

// SAFETY: the second reference is in the store buffer of the thread that pushed, which is drained before the deque goes
// to another thread: it only does so when a thread is started.
unsafe impl<T: Send> Send for Worker<T> {}

/// As crossbeam's.
pub(crate) struct Stealer<T>(crossbeam_deque::Stealer<T>);

impl<T: 'static> Worker<T> {
    pub(crate) fn new_fifo() -> Self {
        Self(Rc::new(crossbeam_deque::Worker::new_fifo()))
    }

    pub(crate) fn new_lifo() -> Self {
        Self(Rc::new(crossbeam_deque::Worker::new_lifo()))
    }

    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer(self.0.stealer())
    }

    #[track_caller]
    pub(crate) fn push(&self, value: T) {
        world::step();
        match world::buffer() {
            Some(buffer) => {
                let deque = self.0.clone();
                buffer.other(Box::new(move || deque.push(value)));
            }
            None => self.0.push(value),
        }
    }

    #[track_caller]
    pub(crate) fn pop(&self) -> Option<T> {
        world::step();
        drain();
        self.0.pop()
    }

    /// The owner's own look: no step, for it sees what it has pushed.
    pub(crate) fn len(&self) -> usize {
        drain();
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Stealer<T> {
    #[track_caller]
    pub(crate) fn steal_batch_with_limit_and_pop(&self, into: &Worker<T>, limit: usize) -> Steal<T> {
        world::step();
        drain();
        self.0.steal_batch_with_limit_and_pop(&into.0, limit)
    }

    #[track_caller]
    pub(crate) fn len(&self) -> usize {
        world::step();
        self.0.len()
    }

    #[track_caller]
    pub(crate) fn is_empty(&self) -> bool {
        world::step();
        self.0.is_empty()
    }
}
