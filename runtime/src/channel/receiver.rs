//! [`Receiver`]: the end of a channel that messages come out of.

use super::clock::Clock;
use super::end::End;
use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::iter::{IntoIter, Iter, TryIter};
use super::shared::Patience;
use crate::facade::{Arc, observable};
use crate::wait::{CallName, deadline_after};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// The receiving end of a channel. Clones share the messages: each goes to one of them. When the last is dropped,
/// sending fails.
///
/// ```
/// let (sender, receiver) = greenhub::channel::bounded(2);
/// let other = receiver.clone();
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// assert_eq!((receiver.recv(), other.recv()), (Ok(1), Ok(2)));
/// ```
pub struct Receiver<T> {
    source: Source<T>,
}

/// Where the messages come from.
enum Source<T> {
    Channel(End<T>),
    Clock(Arc<Clock<T>>),
}

impl<T> Receiver<T> {
    /// The receiver that a new channel counts already.
    pub(super) fn first(shared: End<T>) -> Self {
        Receiver { source: Source::Channel(shared) }
    }

    /// The receiver of a clock's messages.
    pub(super) fn of_clock(clock: Clock<T>) -> Self {
        Receiver { source: Source::Clock(Arc::new(clock)) }
    }

    #[inline(always)]
    fn recv_with(&self, patience: Patience, what: CallName) -> Result<T, RecvTimeoutError> {
        observable!(
            what,
            match &self.source {
                Source::Channel(shared) => shared.recv(patience, what),
                Source::Clock(clock) => clock.recv(patience, what),
            }
        )
    }

    /// Receives, waiting for a message as long as it takes.
    ///
    /// ```
    /// let (sender, receiver) = greenhub::channel::unbounded();
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.recv(), Ok(1));
    /// assert!(receiver.recv().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If the channel is empty and all senders are gone.
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_with(Patience::Until(None), &"Receiver::recv").map_err(|_| RecvError)
    }

    /// Receives if a message is there.
    ///
    /// ```
    /// let (sender, receiver) = greenhub::channel::unbounded();
    /// assert!(receiver.try_recv().is_err());
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no message; the error says whether one may still come.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.recv_with(Patience::None, &"Receiver::try_recv").map_err(|error| match error {
            RecvTimeoutError::Timeout => TryRecvError::Empty,
            RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
        })
    }

    /// Receives, or gives up after `timeout`.
    ///
    /// ```
    /// let (_sender, receiver) = greenhub::channel::unbounded::<()>();
    /// assert!(receiver.recv_timeout(std::time::Duration::from_millis(1)).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If the time passed, or the channel is empty and all senders are gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_with(Patience::Until(deadline_after(timeout)), &"Receiver::recv_timeout")
    }

    /// Receives, or gives up at `deadline`.
    ///
    /// ```
    /// let (sender, receiver) = greenhub::channel::unbounded();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.recv_deadline(std::time::Instant::now()), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// If the time passed, or the channel is empty and all senders are gone.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_with(Patience::Until(Some(deadline)), &"Receiver::recv_deadline")
    }

    /// The messages as they come, until all senders are gone.
    ///
    /// ```
    /// let (sender, receiver) = greenhub::channel::unbounded();
    /// sender.send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.iter().count(), 1);
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// The messages that are there, without waiting.
    ///
    /// ```
    /// let (sender, receiver) = greenhub::channel::unbounded();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// How many messages are in the buffer.
    ///
    /// ```
    /// assert_eq!(greenhub::channel::unbounded::<()>().1.len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Channel(shared) => shared.len(),
            Source::Clock(clock) => usize::from(clock.is_due()),
        }
    }

    /// Whether the buffer is empty; always, for a channel without one.
    ///
    /// ```
    /// assert!(greenhub::channel::unbounded::<()>().1.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the buffer is full; always, for a channel without one.
    ///
    /// ```
    /// assert!(greenhub::channel::bounded::<()>(0).1.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        match &self.source {
            Source::Channel(shared) => shared.is_full(),
            Source::Clock(clock) => clock.is_due(),
        }
    }

    /// How many messages the buffer holds; `None` if it grows.
    ///
    /// ```
    /// assert_eq!(greenhub::channel::unbounded::<()>().1.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        match &self.source {
            Source::Channel(shared) => shared.capacity(),
            Source::Clock(_) => Some(1),
        }
    }

    /// Whether both receive from one channel.
    ///
    /// ```
    /// let (_sender, receiver) = greenhub::channel::unbounded::<()>();
    /// assert!(receiver.same_channel(&receiver.clone()));
    /// ```
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.source, &other.source) {
            (Source::Channel(a), Source::Channel(b)) => std::ptr::eq(&**a, &**b),
            (Source::Clock(a), Source::Clock(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let source = match &self.source {
            Source::Channel(shared) => Source::Channel(shared.another_receiver()),
            Source::Clock(clock) => Source::Clock(Arc::clone(clock)),
        };
        Receiver { source }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Source::Channel(shared) = &self.source {
            // SAFETY: a receiver's, and dropped once.
            observable!("dropping a Receiver", unsafe { shared.leave_as_receiver() });
        }
    }
}

// No user code runs while the channel is being changed, so unwinding leaves it whole.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver { .. }")
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter::new(self)
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
