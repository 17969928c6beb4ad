//! [`Sender`]: the end of a channel that messages go into.

use super::end::End;
use super::error::{SendError, SendTimeoutError, TrySendError};
use super::shared::Patience;
use crate::facade::observable;
use crate::wait::deadline_after;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// The sending end of a channel. Clones send into the same channel; when the last is dropped, receivers get what is
/// left and then an error.
///
/// ```
/// let (sender, receiver) = greenhub::channel::unbounded();
/// let other = sender.clone();
/// sender.send(1).unwrap();
/// other.send(2).unwrap();
/// drop((sender, other));
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
/// ```
pub struct Sender<T> {
    pub(super) shared: End<T>,
}

impl<T> Sender<T> {
    /// The sender that a new channel counts already.
    pub(super) fn first(shared: End<T>) -> Self {
        Sender { shared }
    }

    /// Sends, waiting for room as long as it takes.
    ///
    /// ```
    /// let (sender, receiver) = greenhub::channel::bounded(1);
    /// sender.send("hello").unwrap();
    /// assert_eq!(receiver.recv(), Ok("hello"));
    /// ```
    ///
    /// # Errors
    ///
    /// If all receivers are gone; the message comes back.
    ///
    /// # Panics
    ///
    /// If the capacity would allow it, but the buffer holds 2^32 - 1 messages: no buffer holds more.
    #[inline]
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.shared
            .send(message, Patience::Until(None), &"Sender::send")
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends if that needs no waiting.
    ///
    /// ```
    /// let (sender, _receiver) = greenhub::channel::bounded(1);
    /// assert!(sender.try_send(1).is_ok());
    /// assert!(sender.try_send(2).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no room or all receivers are gone; the message comes back.
    ///
    /// # Panics
    ///
    /// If the capacity would allow it, but the buffer holds 2^32 - 1 messages: no buffer holds more.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.shared.send(message, Patience::None, &"Sender::try_send").map_err(|error| match error {
            SendTimeoutError::Timeout(message) => TrySendError::Full(message),
            SendTimeoutError::Disconnected(message) => TrySendError::Disconnected(message),
        })
    }

    /// Sends, or gives up after `timeout`.
    ///
    /// ```
    /// let (sender, _receiver) = greenhub::channel::bounded(0);
    /// assert!(sender.send_timeout(1, std::time::Duration::from_millis(1)).unwrap_err().is_timeout());
    /// ```
    ///
    /// # Errors
    ///
    /// If the time passed or all receivers are gone; the message comes back.
    ///
    /// # Panics
    ///
    /// If the capacity would allow it, but the buffer holds 2^32 - 1 messages: no buffer holds more.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.shared.send(message, Patience::Until(deadline_after(timeout)), &"Sender::send_timeout")
    }

    /// Sends, or gives up at `deadline`.
    ///
    /// ```
    /// let (sender, _receiver) = greenhub::channel::bounded(1);
    /// assert!(sender.send_deadline(1, std::time::Instant::now()).is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// If the time passed or all receivers are gone; the message comes back.
    ///
    /// # Panics
    ///
    /// If the capacity would allow it, but the buffer holds 2^32 - 1 messages: no buffer holds more.
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.shared.send(message, Patience::Until(Some(deadline)), &"Sender::send_deadline")
    }

    /// How many messages are in the buffer.
    ///
    /// ```
    /// let (sender, _receiver) = greenhub::channel::unbounded();
    /// sender.send(()).unwrap();
    /// assert_eq!(sender.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether the buffer is empty; always, for a channel without one.
    ///
    /// ```
    /// assert!(greenhub::channel::bounded::<()>(1).0.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.shared.len() == 0
    }

    /// Whether the buffer is full; always, for a channel without one.
    ///
    /// ```
    /// assert!(greenhub::channel::bounded::<()>(0).0.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// How many messages the buffer holds; `None` if it grows.
    ///
    /// ```
    /// assert_eq!(greenhub::channel::bounded::<()>(8).0.capacity(), Some(8));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.shared.capacity()
    }

    /// Whether both send into one channel.
    ///
    /// ```
    /// let (sender, _receiver) = greenhub::channel::unbounded::<()>();
    /// assert!(sender.same_channel(&sender.clone()));
    /// ```
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        std::ptr::eq(&*self.shared, &*other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { shared: self.shared.another_sender() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: a sender's, and dropped once.
        observable!("dropping a Sender", unsafe { self.shared.leave_as_sender() });
    }
}

// No user code runs while the channel is being changed, so unwinding leaves it whole.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
    }
}
