//! Channels: messages from many senders to many receivers, each message to exactly one.
//!
//! Names and errors are those of `crossbeam-channel`; greenlets on any hub and plain OS threads may hold either end.
//! A send hands its message straight to the longest-waiting receiver, if one waits; else it goes to the buffer, and
//! where there is no room the sender waits its turn. Messages of one sender arrive in order.
//!
//! Waiting is a suspension point. A send that a kill ends before its message was taken drops the message; a message
//! that was handed to a receiver is received, and a kill that came meanwhile stays due for that receiver's next
//! suspension point. No message is lost in between.
//!
//! ```
//! use greenhub::channel;
//!
//! let (sender, receiver) = channel::bounded(4);
//! std::thread::spawn(move || {
//!     for number in 0..10 {
//!         sender.send(number).unwrap();
//!     }
//! });
//! assert_eq!(receiver.iter().sum::<i32>(), 45);
//! ```

mod clock;
mod end;
mod error;
mod iter;
mod receiver;
mod ring;
mod sender;
mod shared;

pub use clock::{after, never, tick};
pub use error::{RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use iter::{IntoIter, Iter, TryIter};
pub use receiver::Receiver;
pub use sender::Sender;

use end::End;

/// A channel whose buffer holds `capacity` messages. With 0 there is no buffer: a send ends when its message has been
/// received (a *rendezvous*).
///
/// ```
/// let (sender, receiver) = greenhub::channel::bounded(1);
/// sender.send("full").unwrap();
/// assert!(sender.try_send("no room").unwrap_err().is_full());
/// assert_eq!(receiver.recv(), Ok("full"));
/// ```
///
/// ```
/// let (sender, receiver) = greenhub::channel::bounded(0);
/// let giver = std::thread::spawn(move || sender.send("taken"));
/// assert_eq!(receiver.recv(), Ok("taken"));
/// giver.join().unwrap().unwrap();
/// ```
///
/// # Panics
///
/// If messages are so large that no memory can hold so many.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends(Some(capacity))
}

/// A channel whose buffer grows with its messages, up to 2^32 - 1 of them; sending never waits.
///
/// ```
/// let (sender, receiver) = greenhub::channel::unbounded();
/// for i in 0..1000 {
///     sender.send(i).unwrap();
/// }
/// assert_eq!(receiver.len(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends(None)
}

fn ends<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = End::pair(capacity);
    (Sender::first(sender), Receiver::first(receiver))
}

#[cfg(all(test, greenhub_loom))]
mod model;
#[cfg(all(test, not(greenhub_loom)))]
mod random_tests;
#[cfg(all(test, not(greenhub_loom)))]
mod tests;
