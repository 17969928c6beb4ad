//! Watches a channel with four senders and four receivers and room for 128: the fast path while there is room, and
//! how long runs of messages get before somebody must wait.

use super::{Scope, Workload};
use crate::setting::time;
use greenhub::channel::bounded;
use greenhub::{join_all, spawn};

pub(crate) const SIDES: u64 = 4;
const ROOM: usize = 128;

/// Sends so many messages through a channel of that much room.
pub(crate) fn exchange(room: usize, messages: u64) {
    let (sender, receiver) = bounded(room);
    let senders = (0..SIDES).map(|_| {
        let sender = sender.clone();
        spawn(move || (0..messages / SIDES).all(|message| sender.send(message).is_ok()))
    });
    let senders: Vec<_> = senders.collect();
    drop(sender);
    let receivers = (0..SIDES).map(|_| {
        let receiver = receiver.clone();
        spawn(move || receiver.iter().count() as u64)
    });
    let received = join_all(receivers).into_iter().flatten().sum::<u64>();
    assert_eq!(received, messages / SIDES * SIDES, "every message is received once");
    assert!(join_all(senders).into_iter().flatten().all(|sent| sent), "every message is sent");
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "mpmc",
    watches: "4 senders, 4 receivers, room for 128: the channel's fast path under contention",
    scope: Scope::Everywhere,
    measure: |setting| {
        let messages = setting.size(2_000_000, 1000);
        Ok(vec![setting.timed(messages, || time(|| exchange(ROOM, messages)))?])
    },
};
