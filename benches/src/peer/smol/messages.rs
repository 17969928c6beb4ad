//! Tasks that wait for each other.

use super::{inside, join, spawn};
use crate::peer::{Figures, SIDES, Sample};
use async_channel::{Receiver, Sender, bounded};
use smol::lock::Mutex;
use std::io;
use std::sync::Arc;

pub(super) fn ping_pong(sample: &Sample) -> io::Result<Figures> {
    let pairs = sample.size;
    inside(sample, pairs, move |rounds| async move {
        let pair = || {
            let (ping, pinged) = bounded(1);
            let (pong, ponged) = bounded(1);
            let echo = spawn(async move {
                while let Ok(number) = pinged.recv().await {
                    if pong.send(number).await.is_err() {
                        break;
                    }
                }
            });
            let player = spawn(async move {
                for round in 0..rounds {
                    assert!(ping.send(round).await.is_ok(), "the ball was lost");
                    assert_eq!(ponged.recv().await, Ok(round), "the ball was lost");
                }
            });
            [player, echo]
        };
        join((0..pairs).flat_map(|_| pair()).collect()).await;
    })
}

pub(super) fn ring(sample: &Sample) -> io::Result<Figures> {
    let size = sample.size;
    inside(sample, 1, move |passes| async move {
        let (mut senders, receivers): (Vec<_>, Vec<_>) = (0..size).map(|_| bounded::<u64>(1)).unzip();
        let first = senders[0].clone();
        senders.rotate_left(1);
        let pass = |(receiver, next): (Receiver<u64>, Sender<u64>)| {
            spawn(async move {
                while let Ok(left) = receiver.recv().await {
                    if left == 0 || next.send(left - 1).await.is_err() {
                        break;
                    }
                }
            })
        };
        let tasks = receivers.into_iter().zip(senders).map(pass).collect();
        assert!(first.send(passes).await.is_ok(), "the ring takes its token");
        drop(first);
        join(tasks).await;
    })
}

pub(super) fn mpmc(sample: &Sample) -> io::Result<Figures> {
    let room = sample.size as usize;
    inside(sample, SIDES, move |each| async move {
        let (sender, receiver) = bounded(room);
        let mut tasks = Vec::new();
        for _ in 0..SIDES {
            let sender = sender.clone();
            tasks.push(spawn(async move {
                for message in 0..each {
                    assert!(sender.send(message).await.is_ok(), "somebody receives");
                }
                0
            }));
        }
        drop(sender);
        for _ in 0..SIDES {
            let receiver = receiver.clone();
            tasks.push(spawn(async move {
                let mut received = 0;
                while receiver.recv().await.is_ok() {
                    received += 1;
                }
                received
            }));
        }
        let mut received = 0;
        for task in tasks {
            received += task.await;
        }
        assert_eq!(received, each * SIDES, "every message is received once");
    })
}

pub(super) fn mutex(sample: &Sample) -> io::Result<Figures> {
    let tasks = sample.size;
    inside(sample, tasks, move |each| async move {
        let number = Arc::new(Mutex::new(0));
        let adding = |number: Arc<Mutex<u64>>| {
            spawn(async move {
                for _ in 0..each {
                    *number.lock().await += 1;
                }
            })
        };
        join((0..tasks).map(|_| adding(number.clone())).collect()).await;
        assert_eq!(*number.lock().await, tasks * each, "the lock keeps others out");
    })
}
