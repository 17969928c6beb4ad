//! What the two ends of a channel share: buffer and wait lists behind one short lock, in one cache line.
//!
//! Invariants, whenever the lock is free:
//!
//! 1. Where a receiver waits the buffer is empty and no sender waits.
//! 2. Where a sender waits the buffer is full (of capacity 0: always), and as large as it may become.
//! 3. Once disconnected, nobody enlists any more, and nothing is added to the buffer.
//! 4. Slots that lie in the channel's block are as many as its capacity: such a buffer never grows.
//!
//! A waiting sender's entry holds its message until somebody takes it; a waiting receiver's entry is empty until
//! somebody fills it. Whoever wakes the other side moves the message under the lock, so each message is always in
//! exactly one place: the sender's entry, the buffer, or the receiver's entry. To be woken without that is to learn
//! that the other end is gone.

use super::end::lends_slots;
use super::error::{RecvTimeoutError, SendTimeoutError};
use super::ring::{Left, Ring};
use crate::facade::atomic::{AtomicBool, AtomicUsize};
use crate::facade::{Lifeline, ShortMutex, ShortMutexGuard, in_models, note, observable};
use crate::wait::{Batch, CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, Wakeup};
use std::time::Instant;

/// The beginning of a channel's block. What every operation touches is the first cache line; see [`End`](super::end::End)
/// for the rest.
#[repr(C)]
pub(super) struct Shared<T> {
    inner: ShortMutex<Inner<T>>,
    capacity: Option<usize>,
    pub(super) senders: AtomicUsize,
    pub(super) receivers: AtomicUsize,
    /// All senders or all receivers are gone, and done with the block.
    pub(super) one_side_left: AtomicBool,
    pub(super) alive: Lifeline,
}

struct Inner<T> {
    /// The buffer. It is closed when all senders or all receivers are gone: the channel is *disconnected*.
    buffer: Ring<T>,
    /// Waiting senders with their messages.
    senders: List<Option<T>>,
    /// Waiting receivers with what they are handed.
    receivers: List<Option<T>>,
}

// Blocks begin with a cache line (`greenlet::memory`).
const _: () = assert!(
    in_models(true, std::mem::offset_of!(Shared<u64>, capacity) == 64) || !cfg!(target_arch = "x86_64")
);

/// Until when an end of the channel waits.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until then, or for ever.
    Until(Option<Instant>),
}

impl<T> Shared<T> {
    /// The channel of one sender and one receiver.
    pub(super) fn new(capacity: Option<usize>, buffer: Ring<T>) -> Self {
        Shared {
            inner: ShortMutex::new(Inner { buffer, senders: List::new(), receivers: List::new() }),
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            one_side_left: AtomicBool::new(false),
            alive: Lifeline::new(),
        }
    }

    /// Sends, waiting for room or a receiver as long as `patience` goes.
    #[inline]
    pub(super) fn send(
        &self,
        message: T,
        patience: Patience,
        what: CallName,
    ) -> Result<(), SendTimeoutError<T>> {
        note(what, std::ptr::from_ref(self).cast());
        observable!(what, self.send_now(message, patience, what))
    }

    #[inline(always)]
    fn send_now(&self, message: T, patience: Patience, what: CallName) -> Result<(), SendTimeoutError<T>> {
        self.alive.in_use();
        let mut inner = self.inner.lock();
        match self.put(&mut inner, message) {
            Ok(wakeup) => {
                drop(inner);
                wakeup.deliver();
                Ok(())
            }
            Err(message) => self.send_slowly(inner, message, patience, what),
        }
    }

    /// Waits to send what there is no room for, with the lock held from having seen so.
    #[inline(never)]
    fn send_slowly<'a>(
        &'a self,
        mut inner: ShortMutexGuard<'a, Inner<T>>,
        mut message: T,
        patience: Patience,
        what: CallName,
    ) -> Result<(), SendTimeoutError<T>> {
        loop {
            if inner.buffer.closed {
                drop(inner);
                return Err(SendTimeoutError::Disconnected(message));
            }
            if self.capacity.is_none_or(|capacity| inner.buffer.len() < capacity) {
                // Without the lock: the message is dropped on the way out.
                drop(inner);
                panic!("greenhub: no buffer of a channel can hold another message");
            }
            let Patience::Until(deadline) = patience else {
                drop(inner);
                return Err(SendTimeoutError::Timeout(message));
            };
            let wait = Wait { deadline, interrupts: Interrupts::Allowed, reason: Reason::new(what, self) };
            let senders: fn(&mut Inner<T>) -> &mut List<Option<T>> = |inner| &mut inner.senders;
            // The lock is released at the end of this statement.
            let (why, entry) = match wait.in_line(&self.inner, inner, senders, Side::Back, Some(message)) {
                Waited::Woken(None) => return Ok(()),
                Waited::Woken(Some(message)) => return Err(SendTimeoutError::Disconnected(message)),
                Waited::Over { why, entry, .. } => (why, entry),
            };
            message = entry.expect("whoever is not woken keeps its message");
            if why == Over::TimedOut {
                return Err(SendTimeoutError::Timeout(message));
            }
            wait.deliver();
            // There was nothing to deliver: as if the call began now.
            inner = self.inner.lock();
            message = match self.put(&mut inner, message) {
                Ok(wakeup) => {
                    drop(inner);
                    wakeup.deliver();
                    return Ok(());
                }
                Err(message) => message,
            };
        }
    }

    /// Receives, waiting for a message as long as `patience` goes.
    #[inline(always)]
    pub(super) fn recv(&self, patience: Patience, what: CallName) -> Result<T, RecvTimeoutError> {
        note(what, std::ptr::from_ref(self).cast());
        self.alive.in_use();
        let mut inner = self.inner.lock();
        match inner.take() {
            Some((message, wakeup)) => {
                drop(inner);
                wakeup.deliver();
                Ok(message)
            }
            None => self.recv_slowly(inner, patience, what),
        }
    }

    /// Waits to receive where there is nothing, with the lock held from having seen so.
    #[inline(always)]
    fn recv_slowly<'a>(
        &'a self,
        mut inner: ShortMutexGuard<'a, Inner<T>>,
        patience: Patience,
        what: CallName,
    ) -> Result<T, RecvTimeoutError> {
        loop {
            if inner.buffer.closed {
                return Err(RecvTimeoutError::Disconnected);
            }
            let Patience::Until(deadline) = patience else { return Err(RecvTimeoutError::Timeout) };
            let wait = Wait { deadline, interrupts: Interrupts::Allowed, reason: Reason::new(what, self) };
            match wait.in_line(&self.inner, inner, |inner| &mut inner.receivers, Side::Back, None) {
                Waited::Woken(Some(message)) => return Ok(message),
                Waited::Woken(None) => return Err(RecvTimeoutError::Disconnected),
                Waited::Over { why: Over::TimedOut, .. } => return Err(RecvTimeoutError::Timeout),
                Waited::Over { why: Over::Interrupted, .. } => {}
            }
            wait.deliver();
            // There was nothing to deliver: as if the call began now.
            inner = self.inner.lock();
            if let Some((message, wakeup)) = inner.take() {
                drop(inner);
                wakeup.deliver();
                return Ok(message);
            }
        }
    }

    /// Hands the message to a waiting receiver or puts it in the buffer; gives it back if there is neither.
    #[inline(always)]
    fn put(&self, inner: &mut Inner<T>, message: T) -> Result<Wakeup, T> {
        if inner.buffer.closed {
            return Err(message);
        }
        if inner.receivers.is_empty() {
            return self.store(inner, message);
        }
        let mut given = Some(message);
        match inner.receivers.wake_next(&mut given) {
            Some(wakeup) => Ok(wakeup),
            None => self.store(inner, given.expect("taken by nobody")),
        }
    }

    /// Puts the message in the buffer; gives it back if there is no room.
    #[inline]
    fn store(&self, inner: &mut Inner<T>, message: T) -> Result<Wakeup, T> {
        match inner.buffer.push(message) {
            Err(message) if self.make_room(inner) => inner.buffer.push(message),
            stored => stored,
        }
        .map(|()| Wakeup::none())
    }

    /// Makes a full buffer larger, if it may be.
    #[inline]
    fn make_room(&self, inner: &mut Inner<T>) -> bool {
        let limit = self.capacity.map_or(u32::MAX, |capacity| u32::try_from(capacity).unwrap_or(u32::MAX));
        // SAFETY: invariant 4; then `limit` is the capacity.
        inner.buffer.len() < limit as usize && unsafe { inner.buffer.grow(limit) }
    }

    /// By the last sender: wakes all receivers.
    pub(super) fn close_sending(&self) {
        self.alive.in_use();
        let mut batch = Batch::new();
        let mut inner = self.inner.lock();
        note("Sender: the last is gone", std::ptr::from_ref(self).cast());
        inner.buffer.closed = true;
        inner.receivers.wake_all(&mut batch);
        drop(inner);
        batch.deliver();
    }

    /// By the last receiver: gives all waiting senders their messages back, and the caller the buffer, to drop.
    pub(super) fn close_receiving(&self) -> Left<T> {
        self.alive.in_use();
        let mut batch = Batch::new();
        let mut inner = self.inner.lock();
        note("Receiver: the last is gone", std::ptr::from_ref(self).cast());
        inner.buffer.closed = true;
        inner.senders.wake_all(&mut batch);
        // SAFETY: said by who made the ring; and the block stays until the last receiver has dropped this and left.
        let undelivered = unsafe { inner.buffer.take_left(lends_slots::<T>(self.capacity)) };
        drop(inner);
        batch.deliver();
        undelivered
    }

    pub(super) fn len(&self) -> usize {
        observable!("the channel's len", self.inner.lock().buffer.len())
    }

    /// As if the buffer held as many messages as it can.
    #[cfg(all(test, not(greenhub_loom)))]
    pub(super) fn fill(&self) {
        self.inner.lock().buffer.fill();
    }

    /// How many wait to send, and to receive.
    #[cfg(all(test, not(greenhub_loom)))]
    pub(super) fn waiting(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.senders.len(), inner.receivers.len())
    }

    pub(super) fn is_full(&self) -> bool {
        self.capacity.is_some_and(|capacity| self.len() >= capacity)
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        self.capacity
    }
}

impl<T> Inner<T> {
    /// Takes the oldest message. The place it leaves goes to the longest-waiting sender.
    #[inline(always)]
    fn take(&mut self) -> Option<(T, Wakeup)> {
        if self.senders.is_empty() {
            return self.buffer.pop().map(|message| (message, Wakeup::none()));
        }
        self.take_and_refill()
    }

    /// As `take`, where a sender waits.
    #[inline(never)]
    fn take_and_refill(&mut self) -> Option<(T, Wakeup)> {
        let from_buffer = self.buffer.pop();
        let mut from_sender = None;
        let wakeup = self.senders.wake_next(&mut from_sender).unwrap_or(Wakeup::none());
        let Some(message) = from_buffer else { return from_sender.map(|message| (message, wakeup)) };
        if let Some(next) = from_sender {
            let pushed = self.buffer.push(next);
            assert!(pushed.is_ok(), "there is the room of what was taken out");
        }
        Some((message, wakeup))
    }
}
