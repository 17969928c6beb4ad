//! A thief's side of the [deque](super).

use super::{Buffer, End, Shared, Word, Worker, entry};
use crate::facade::Arc;
use crate::facade::atomic::{Ordering, fence};
use std::marker::PhantomData;

/// A thief's side.
pub(crate) struct Stealer<T> {
    pub(super) shared: Arc<Shared>,
    pub(super) end: End,
    pub(super) entries: PhantomData<T>,
}

// SAFETY: thieves meet only in atomics; entries are handed from thread to thread.
unsafe impl<T: Send> Send for Stealer<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Stealer<T> {}

/// What became of an attempt to steal.
pub(crate) enum Steal<T> {
    /// There is nothing.
    Empty,
    /// The oldest.
    Success(T),
    /// Somebody else was quicker.
    Retry,
}

impl<T: Word> Stealer<T> {
    /// `front` and `back`, as of one moment or another.
    #[inline]
    fn range(&self) -> (usize, usize) {
        // Acquire: pairs with the exchange of a thief before. (What is read here may still be of different moments: a range
        // that runs backwards is empty, and one that begins too early is not got.)
        let front = self.shared.theirs.front.load(Ordering::Acquire);
        // Pairs with the fence in `pop_newest`.
        fence(Ordering::SeqCst);
        // Acquire: pairs with `publish`.
        (front, self.shared.ours.back.load(Ordering::Acquire))
    }

    /// The buffer in which the entries of a `range` seen before lie.
    #[inline]
    fn buffer(&self) -> &Buffer {
        // Acquire: pairs with the Release in `replace_buffer`.
        // SAFETY: the caller is counted in (rule 2).
        unsafe { &*self.shared.ours.buffer.load(Ordering::Acquire) }
    }

    /// Takes up to `limit` of the oldest, no more than half, rounded up. Gives the first; the others are in `into`, in the
    /// order in which their owner would have taken them.
    pub(crate) fn steal_batch_with_limit_and_pop(&self, into: &Worker<T>, limit: usize) -> Steal<T> {
        debug_assert!(limit > 0, "a thief takes something");
        let thieves = &self.shared.theirs.thieves;
        // Relaxed: ordered by the fence.
        thieves.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `free_replaced`.
        fence(Ordering::SeqCst);
        let stolen = match self.end {
            End::Oldest => self.steal_many(into, limit),
            End::Newest => self.steal_singly(into, limit),
        };
        // Release: what was read of a buffer was read before; pairs with the Acquire in `free_replaced`.
        thieves.fetch_sub(1, Ordering::Release);
        stolen
    }

    fn steal_many(&self, into: &Worker<T>, limit: usize) -> Steal<T> {
        let (front, back) = self.range();
        let length = back.wrapping_sub(front) as isize;
        if length <= 0 {
            return Steal::Empty;
        }
        let count = (length as usize).div_ceil(2).min(limit);
        into.reserve(count - 1);
        let buffer = self.buffer();
        let first = buffer.slot(front).load(Ordering::Relaxed);
        for at in 1..count {
            let word = buffer.slot(front + at).load(Ordering::Relaxed);
            into.buffer().slot(into.back.get() + at - 1).store(word, Ordering::Relaxed);
        }
        if !self.advance(front, count) {
            return Steal::Retry;
        }
        into.publish(into.back.get() + count - 1);
        // SAFETY: made by `push`.
        Steal::Success(unsafe { entry(first) })
    }

    fn steal_singly(&self, into: &Worker<T>, limit: usize) -> Steal<T> {
        let (mut front, back) = self.range();
        let length = back.wrapping_sub(front) as isize;
        if length <= 0 {
            return Steal::Empty;
        }
        let count = (length as usize).div_ceil(2).min(limit);
        into.reserve(count - 1);
        let mut first = None;
        // Shown to other thieves when all have come: there is no use in their taking some back meanwhile.
        let mut came = into.back.get();
        for taken in 0..count {
            if taken > 0 {
                let (now, back) = self.range();
                if now != front + 1 || back.wrapping_sub(now) as isize <= 0 {
                    break;
                }
                front = now;
            }
            let word = self.buffer().slot(front).load(Ordering::Relaxed);
            if !self.advance(front, 1) {
                break;
            }
            match first {
                // SAFETY: made by `push`.
                None => first = Some(unsafe { entry(word) }),
                Some(_) => {
                    into.buffer().slot(came).store(word, Ordering::Relaxed);
                    came += 1;
                }
            }
        }
        // The newest first, as their owner would have had them. A joiner who goes from the oldest on would meet a thief who
        // does the same at every one of them, and wait for it.
        let (mut low, mut high) = (into.back.get(), came);
        while low + 1 < high {
            high -= 1;
            let (older, newer) = (into.buffer().slot(low), into.buffer().slot(high));
            let word = older.load(Ordering::Relaxed);
            older.store(newer.load(Ordering::Relaxed), Ordering::Relaxed);
            newer.store(word, Ordering::Relaxed);
            low += 1;
        }
        into.publish(came);
        first.map_or(Steal::Retry, Steal::Success)
    }

    /// Gets what lies from `front` on (rule 1), unless somebody was quicker.
    #[inline]
    fn advance(&self, front: usize, count: usize) -> bool {
        // SeqCst: as in `pop_newest`; and it includes the Release that pairs with `Worker::front`.
        let exchanged = self.shared.theirs.front.compare_exchange(
            front,
            front + count,
            Ordering::SeqCst,
            Ordering::Relaxed,
        );
        exchanged.is_ok()
    }

    /// How many any hub may take.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        let (front, back) = self.range();
        (back.wrapping_sub(front) as isize).max(0) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
