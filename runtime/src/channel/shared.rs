//! What the two ends of a channel share: buffer and wait lists behind one short lock.
//!
//! Invariants, whenever the lock is free:
//!
//! 1. Where a receiver waits the buffer is empty and no sender waits.
//! 2. Where a sender waits the buffer is full (of capacity 0: always).
//! 3. Once disconnected, nobody enlists any more.
//!
//! A waiting sender's entry holds its message until somebody takes it; a waiting receiver's entry is empty until
//! somebody fills it. Whoever wakes the other side moves the message under the lock, so each message is always in
//! exactly one place: the sender's frame, the buffer, or the receiver's frame. To be woken without that is to learn
//! that the other end is gone.

use super::error::{RecvTimeoutError, SendTimeoutError};
use crate::facade::atomic::{AtomicUsize, Ordering};
use crate::facade::{ShortMutex, ShortMutexGuard, note, observable};
use crate::wait::{Batch, CallName, Interrupts, List, Over, Reason, Side, Wait, Waited, Wakeup};
use std::collections::VecDeque;
use std::time::Instant;

/// Buffers up to this many messages are allocated whole at the start; larger ones grow to their size as they fill.
const ALLOCATED_WHOLE: usize = 1024;

pub(super) struct Shared<T> {
    capacity: Option<usize>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    inner: ShortMutex<Inner<T>>,
}

struct Inner<T> {
    buffer: VecDeque<T>,
    /// Waiting senders with their messages.
    senders: List<Option<T>>,
    /// Waiting receivers with what they are handed.
    receivers: List<Option<T>>,
    /// All senders or all receivers are gone.
    disconnected: bool,
}

/// Until when an end of the channel waits.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Not at all.
    None,
    /// Until then, or for ever.
    Until(Option<Instant>),
}

impl<T> Shared<T> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        let room = capacity.unwrap_or(0).min(ALLOCATED_WHOLE);
        Shared {
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            inner: ShortMutex::new(Inner {
                buffer: VecDeque::with_capacity(room),
                senders: List::new(),
                receivers: List::new(),
                disconnected: false,
            }),
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

    #[inline]
    fn send_now(&self, message: T, patience: Patience, what: CallName) -> Result<(), SendTimeoutError<T>> {
        let mut inner = self.inner.lock();
        match self.put(&mut inner, message) {
            Ok(wakeup) => {
                drop(inner);
                deliver(wakeup);
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
            if inner.disconnected {
                drop(inner);
                return Err(SendTimeoutError::Disconnected(message));
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
                    deliver(wakeup);
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
        let mut inner = self.inner.lock();
        match inner.take() {
            Some((message, wakeup)) => {
                drop(inner);
                deliver(wakeup);
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
            if inner.disconnected {
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
                deliver(wakeup);
                return Ok(message);
            }
        }
    }

    /// Hands the message to a waiting receiver or puts it in the buffer; gives it back if there is neither.
    #[inline]
    fn put(&self, inner: &mut Inner<T>, mut message: T) -> Result<Option<Wakeup>, T> {
        if inner.disconnected {
            return Err(message);
        }
        if !inner.receivers.is_empty() {
            let mut given = Some(message);
            match inner.receivers.wake_next(&mut given) {
                Some(wakeup) => return Ok(Some(wakeup)),
                None => message = given.expect("taken by nobody"),
            }
        }
        if self.capacity.is_some_and(|capacity| inner.buffer.len() >= capacity) {
            return Err(message);
        }
        inner.buffer.push_back(message);
        Ok(None)
    }

    pub(super) fn add_sender(&self) {
        // Relaxed: the caller holds a sender, so the count cannot reach zero meanwhile.
        self.senders.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_receiver(&self) {
        // Relaxed: as above.
        self.receivers.fetch_add(1, Ordering::Relaxed);
    }

    /// One sender less; the last one wakes all receivers. What is in the buffer may still be received.
    pub(super) fn drop_sender(&self) {
        // AcqRel: the last to leave sees what the others did; each pairs with the last.
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut batch = Batch::new();
            let mut inner = self.inner.lock();
            note("Sender: the last is gone", std::ptr::from_ref(self).cast());
            inner.disconnected = true;
            inner.receivers.wake_all(&mut batch);
            drop(inner);
            batch.deliver();
        }
    }

    /// One receiver less; the last one gives all waiting senders their messages back and drops the buffer.
    pub(super) fn drop_receiver(&self) {
        // AcqRel: as above.
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut batch = Batch::new();
            let mut inner = self.inner.lock();
            note("Receiver: the last is gone", std::ptr::from_ref(self).cast());
            inner.disconnected = true;
            inner.senders.wake_all(&mut batch);
            let undelivered = std::mem::take(&mut inner.buffer);
            drop(inner);
            batch.deliver();
            // Last, and without the lock: dropping a message runs the user's code.
            drop(undelivered);
        }
    }

    pub(super) fn len(&self) -> usize {
        observable!("the channel's len", self.inner.lock().buffer.len())
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
    #[inline]
    fn take(&mut self) -> Option<(T, Option<Wakeup>)> {
        let from_buffer = self.buffer.pop_front();
        let mut from_sender = None;
        let wakeup = self.senders.wake_next(&mut from_sender);
        match from_buffer {
            Some(message) => {
                self.buffer.extend(from_sender);
                Some((message, wakeup))
            }
            None => from_sender.map(|message| (message, wakeup)),
        }
    }
}

#[inline]
fn deliver(wakeup: Option<Wakeup>) {
    if let Some(wakeup) = wakeup {
        wakeup.deliver();
    }
}
