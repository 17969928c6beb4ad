//! One OS thread a task, of std: what a runtime is measured against by those who need none. The number of hubs means
//! nothing here, so it is measured once; trees of a million threads, and a million at once, are left out.

use super::{Figures, NAP, Peer, SIDES, SLEEPERS, Sample, gorge, late, listening, repeat};
use crate::setting::{Mode, time};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// OS threads.
pub(super) const PEER: Peer = Peer {
    name: "threads",
    mode: Mode::Default,
    stackful: true,
    programs: &[
        ("yield", yields),
        ("spawn-batch", |s| Ok(s.timed(s.size, |rounds| time(|| repeat(rounds, || batch(s.size)))))),
        ("spawn-one", |s| Ok(s.timed(1, |rounds| time(|| repeat(rounds, || batch(1)))))),
        ("ping-pong", ping_pong),
        ("ring", ring),
        ("mpmc", mpmc),
        ("mutex", mutex),
        ("hog-yielding", |s| beside(s, || ())),
        ("hog-computing", |s| beside(s, gorge)),
    ],
    serve: Some(serve),
};

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) {
    for thread in threads {
        assert!(thread.join().is_ok(), "a thread failed");
    }
}

fn batch(count: u64) {
    join((0..count).map(|n| thread::spawn(move || n)).collect::<Vec<_>>());
}

fn yields(sample: &Sample) -> io::Result<Figures> {
    let yielding = |rounds| thread::spawn(move || repeat(rounds, thread::yield_now));
    Ok(sample.timed(sample.size, |rounds| {
        time(|| join((0..sample.size).map(|_| yielding(rounds)).collect::<Vec<_>>()))
    }))
}

fn ping_pong(sample: &Sample) -> io::Result<Figures> {
    let pair = |rounds: u64| {
        let (ping, pinged) = sync_channel(1);
        let (pong, ponged) = sync_channel(1);
        let echo = thread::spawn(move || {
            for number in pinged {
                if pong.send(number).is_err() {
                    break;
                }
            }
        });
        let player = thread::spawn(move || {
            for round in 0..rounds {
                assert!(ping.send(round).is_ok() && ponged.recv() == Ok(round), "the ball was lost");
            }
        });
        [player, echo]
    };
    Ok(sample.timed(sample.size, |rounds| {
        time(|| join((0..sample.size).flat_map(|_| pair(rounds)).collect::<Vec<_>>()))
    }))
}

fn ring(sample: &Sample) -> io::Result<Figures> {
    let round = |passes: u64| {
        let (mut senders, receivers): (Vec<_>, Vec<_>) =
            (0..sample.size).map(|_| sync_channel::<u64>(1)).unzip();
        let first = senders[0].clone();
        senders.rotate_left(1);
        let pass = |(receiver, next): (Receiver<u64>, SyncSender<u64>)| {
            thread::spawn(move || {
                while let Ok(left) = receiver.recv() {
                    if left == 0 || next.send(left - 1).is_err() {
                        break;
                    }
                }
            })
        };
        let threads: Vec<_> = receivers.into_iter().zip(senders).map(pass).collect();
        assert!(first.send(passes).is_ok(), "the ring takes its token");
        drop(first);
        join(threads);
    };
    Ok(sample.timed(1, |passes| time(|| round(passes))))
}

fn mpmc(sample: &Sample) -> io::Result<Figures> {
    let exchange = |each: u64| {
        let (sender, receiver) = crossbeam_channel::bounded(sample.size as usize);
        let sending = |sender: crossbeam_channel::Sender<u64>| {
            thread::spawn(move || (0..each).all(|message| sender.send(message).is_ok()))
        };
        let senders: Vec<_> = (0..SIDES).map(|_| sending(sender.clone())).collect();
        drop(sender);
        let receiving = |receiver: crossbeam_channel::Receiver<u64>| {
            thread::spawn(move || receiver.iter().count() as u64)
        };
        let receivers: Vec<_> = (0..SIDES).map(|_| receiving(receiver.clone())).collect();
        let received: u64 = receivers.into_iter().flat_map(JoinHandle::join).sum();
        assert_eq!(received, each * SIDES, "every message is received once");
        join(senders);
    };
    Ok(sample.timed(SIDES, |each| time(|| exchange(each))))
}

fn mutex(sample: &Sample) -> io::Result<Figures> {
    let add = |each: u64| {
        let number = Arc::new(Mutex::new(0_u64));
        let adding = |number: Arc<Mutex<u64>>| {
            thread::spawn(move || {
                for _ in 0..each {
                    *number.lock().expect("nobody panics") += 1;
                }
            })
        };
        join((0..sample.size).map(|_| adding(number.clone())).collect::<Vec<_>>());
        assert_eq!(*number.lock().expect("nobody panics"), sample.size * each, "the lock keeps others out");
    };
    Ok(sample.timed(sample.size, |each| time(|| add(each))))
}

fn beside(sample: &Sample, step: fn()) -> io::Result<Figures> {
    let sleeps = sample.sleeps();
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let hog = thread::spawn(move || {
        // Relaxed: the flag publishes nothing.
        while !seen.load(Ordering::Relaxed) {
            step();
            thread::yield_now();
        }
    });
    let nap = || {
        let start = Instant::now();
        thread::sleep(NAP);
        start.elapsed().saturating_sub(NAP).as_secs_f64()
    };
    let sleeper = || thread::spawn(move || (0..sleeps).map(|_| nap()).collect::<Vec<_>>());
    let sleepers: Vec<_> = (0..SLEEPERS).map(|_| sleeper()).collect();
    let readings: Vec<f64> = sleepers.into_iter().flat_map(JoinHandle::join).flatten().collect();
    over.store(true, Ordering::Relaxed);
    join([hog]);
    assert_eq!(readings.len(), SLEEPERS * sleeps, "a sleeper failed");
    Ok(late(&readings))
}

fn serve(sample: &Sample) -> io::Result<()> {
    let sample = *sample;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        thread::Builder::new().spawn(move || echo(stream, &sample))?;
    }
}

fn echo(mut stream: TcpStream, sample: &Sample) {
    let mut buffer = [0; super::BUFFER];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        sample.answer();
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}
