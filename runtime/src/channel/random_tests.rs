//! Kills and timeouts at random moments: every message is received once, or comes back or is dropped once.

use super::*;
use crate::facade::Arc;
use crate::runtime::current_hub;
use crate::testing::{BRIEF, in_greenlets, with_random_kills};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// How many messages a test may make.
const MOST: usize = 1 << 16;

/// What became of each message.
struct Fates {
    made: AtomicUsize,
    sent: Vec<AtomicU8>,
    received: Vec<AtomicU8>,
    dropped: Vec<AtomicU8>,
}

struct Message {
    number: usize,
    fates: Arc<Fates>,
}

impl Drop for Message {
    fn drop(&mut self) {
        self.fates.dropped[self.number].fetch_add(1, Ordering::SeqCst);
    }
}

impl Fates {
    fn new() -> Arc<Self> {
        let none = || (0..MOST).map(|_| AtomicU8::new(0)).collect();
        Arc::new(Self { made: AtomicUsize::new(0), sent: none(), received: none(), dropped: none() })
    }

    /// The next message, until there are enough.
    fn message(self: &Arc<Self>) -> Option<Message> {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        (number < MOST).then(|| Message { number, fates: self.clone() })
    }

    fn received(&self, message: Message) {
        self.received[message.number].fetch_add(1, Ordering::SeqCst);
    }

    /// With both ends gone: sent is received once, the rest not at all, and everything is dropped once.
    fn check(&self) {
        let made = self.made.load(Ordering::SeqCst).min(MOST);
        for number in 0..made {
            let [sent, received, dropped] =
                [&self.sent, &self.received, &self.dropped].map(|fates| fates[number].load(Ordering::SeqCst));
            assert_eq!((received, dropped), (sent, 1), "message {number} of {made}, sent {sent} times");
        }
        assert!(self.sent.iter().any(|sent| sent.load(Ordering::SeqCst) != 0));
    }
}

fn every_message_has_one_fate(capacity: Option<usize>) {
    in_greenlets(|| {
        let (sender, receiver) = ends(capacity);
        let fates = Fates::new();
        let (s, r, f) = (sender.clone(), receiver.clone(), fates.clone());
        with_random_kills(8, false, move |chance| {
            if chance.one_in(2) {
                let Some(message) = f.message() else { return };
                let number = message.number;
                let sent = match chance.below(4) {
                    0 => s.try_send(message).is_ok(),
                    1 => s.send_timeout(message, chance.micros(100)).is_ok(),
                    // Nobody can kill an OS thread when all is over.
                    _ if current_hub().is_none() => s.send_timeout(message, BRIEF / 10).is_ok(),
                    _ => s.send(message).is_ok(),
                };
                f.sent[number].fetch_add(u8::from(sent), Ordering::SeqCst);
            } else {
                let received = match chance.below(8) {
                    0 => r.try_recv().ok(),
                    1 => r.recv_timeout(chance.micros(100)).ok(),
                    _ if current_hub().is_none() => r.recv_timeout(BRIEF / 10).ok(),
                    _ => r.recv().ok(),
                };
                if let Some(message) = received {
                    f.received(message);
                }
            }
        });
        drop(sender);
        for message in receiver.try_iter() {
            fates.received(message);
        }
        drop(receiver);
        fates.check();
    });
}

#[test]
fn at_a_rendezvous() {
    every_message_has_one_fate(Some(0));
}

#[test]
fn through_one_place() {
    every_message_has_one_fate(Some(1));
}

#[test]
fn through_a_buffer() {
    every_message_has_one_fate(Some(4));
}

#[test]
fn without_bounds() {
    every_message_has_one_fate(None);
}
