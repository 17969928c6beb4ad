//! The channel under loom: each message is received once or given back, at a close on either side, at a rendezvous, and
//! when somebody gives up; the room that a receive makes goes to a sender that waits for it.
//!
//! All of `channel/shared.rs` (`send`, `recv`, `put`, `Inner::take`, `drop_sender`, `drop_receiver`) runs as it ships, behind
//! the handles that users have, over the real wait list. Nobody is played. A wake that is lost is a deadlock.

use super::*;
use crate::facade::Arc;
use loom::thread;
use std::time::Instant;

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    crate::model::explore_within(preemptions, model);
}

/// A message whose drop loom would miss: leaks and double drops fail the model.
type Message = Arc<u32>;

/// A buffered message and the last sender's drop: both arrive.
#[test]
fn model_channel_close_against_receive() {
    check(3, || {
        let (sender, receiver) = bounded::<Message>(1);
        let giver = thread::spawn(move || {
            sender.send(Arc::new(1)).unwrap();
        });
        assert_eq!(receiver.recv().map(|m| *m), Ok(1));
        assert_eq!(receiver.recv().unwrap_err(), RecvError);
        giver.join().unwrap();
    });
}

/// The last receiver goes while a sender waits for room: the sender learns it and has its message.
#[test]
fn model_channel_close_against_send() {
    check(3, || {
        let (sender, receiver) = bounded::<Message>(1);
        let giver = thread::spawn(move || {
            sender.send(Arc::new(1)).ok();
            sender.send(Arc::new(2)).err().map(|error| *error.into_inner())
        });
        drop(receiver);
        assert_eq!(giver.join().unwrap(), Some(2));
    });
}

/// Two senders, one place in the buffer: the place a receive leaves goes to the one that waits.
#[test]
fn model_channel_full_buffer_lets_the_next_sender_in() {
    check(2, || {
        let (sender, receiver) = bounded::<Message>(1);
        let spawn = |n| {
            let sender = sender.clone();
            thread::spawn(move || sender.send(Arc::new(n)).unwrap())
        };
        let givers = [spawn(1), spawn(2)];
        drop(sender);
        let sum: u32 = receiver.iter().map(|m| *m).sum();
        assert_eq!(sum, 3);
        for t in givers {
            t.join().unwrap();
        }
    });
}

/// A rendezvous with a sender that gives up: sent means received, given up means not.
#[test]
fn model_channel_rendezvous_cancelled_send() {
    check(3, || {
        let (sender, receiver) = bounded::<Message>(0);
        let giver = thread::spawn(move || sender.send_deadline(Arc::new(1), Instant::now()).is_ok());
        let got = receiver.recv().is_ok();
        assert_eq!(giver.join().unwrap(), got);
    });
}

/// A rendezvous with a receiver that gives up and one that does not: the message reaches one of them.
#[test]
fn model_channel_rendezvous_cancelled_receive() {
    check(2, || {
        let (sender, receiver) = bounded::<Message>(0);
        let impatient = {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.recv_deadline(Instant::now()).is_ok())
        };
        let patient = thread::spawn(move || receiver.recv().is_ok());
        sender.send(Arc::new(1)).unwrap();
        drop(sender);
        assert!(impatient.join().unwrap() ^ patient.join().unwrap());
    });
}

/// Two receivers, two messages: each gets one.
#[test]
fn model_channel_two_receivers() {
    check(2, || {
        let (sender, receiver) = unbounded::<Message>();
        let spawn = || {
            let receiver = receiver.clone();
            thread::spawn(move || *receiver.recv().unwrap())
        };
        let takers = [spawn(), spawn()];
        sender.send(Arc::new(1)).unwrap();
        sender.send(Arc::new(2)).unwrap();
        let sum: u32 = takers.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(sum, 3);
    });
}

/// The last sender and the last receiver leave at once: the second frees the block, which the first is done with by then.
#[test]
fn model_channel_freed_once_when_both_sides_have_left() {
    check(3, || {
        let (sender, receiver) = bounded::<Message>(1);
        sender.send(Arc::new(1)).unwrap();
        let block = std::ptr::from_ref(&*sender.shared);
        let leaver = thread::spawn(move || drop(sender));
        drop(receiver);
        leaver.join().unwrap();
        // SAFETY: in a model memory stays until the execution has ended.
        assert!(!unsafe { &*block }.alive.is_alive(), "nobody freed the channel");
    });
}

/// As above, with another sender and another receiver, who leave the block to the last of their side.
#[test]
fn model_channel_freed_by_none_but_the_last_of_a_side() {
    check(2, || {
        let (sender, receiver) = bounded::<Message>(1);
        let block = std::ptr::from_ref(&*sender.shared);
        let (other_sender, other_receiver) = (sender.clone(), receiver.clone());
        let leavers = [
            thread::spawn(move || drop((other_sender, other_receiver))),
            thread::spawn(move || drop(sender.send(Arc::new(1)))),
        ];
        drop(receiver);
        for t in leavers {
            t.join().unwrap();
        }
        // SAFETY: as above.
        assert!(!unsafe { &*block }.alive.is_alive(), "nobody freed the channel");
    });
}
