//! Hunts messages, wakes and kills that are lost when what one hub alone has used for a while (a channel's lock, a greenlet's
//! state word) is wanted by another thread: couples play ball until both are biased to their hub, and then strangers come.

use greenhub::channel::{Sender, bounded};
use greenhub::{Greenlet, JoinError, JoinHandle, spawn, yield_now};
use greenhub_stress::{Chance, Stress, progress};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn main() {
    let mut stress = Stress::start("biased");
    let runtime = stress.runtime();
    let mut balls = 0;
    while let Some(mut chance) = stress.next_round() {
        balls += runtime.run(|| {
            let couples: Vec<_> = (0..chance.between(1, 8)).map(|_| couple(chance.split())).collect();
            couples.into_iter().map(|couple| couple.join().expect("a couple ends")).sum::<u64>()
        });
    }
    stress.finish(runtime, &format!("{balls} balls"));
}

enum Ball {
    /// The number of the partner's throw.
    Own(u64),
    Strange,
}

/// What a couple and its strangers count.
#[derive(Default)]
struct Score {
    throws: AtomicU64,
    strange_sent: AtomicU64,
    strange_seen: AtomicU64,
}

/// Two that throw a ball to and fro, and the strangers that disturb them; gives how often it was thrown.
fn couple(mut chance: Chance) -> JoinHandle<u64> {
    spawn(move || {
        let score = Arc::new(Score::default());
        let (to_second, to_first) = (bounded(1), bounded(1));
        // The strangers' balls go to the second, whose channel is closed to them when it ends.
        let strange = to_second.0.clone();
        let hurried = chance.one_in(3).then(|| Duration::from_micros(500 + chance.below(4500)));
        let first = spawn({
            let (score, sender, receiver) = (score.clone(), to_second.0, to_first.1);
            move || {
                let play = || {
                    for number in 0.. {
                        if sender.send(Ball::Own(number)).is_err() {
                            return;
                        }
                        match receiver.recv() {
                            Ok(Ball::Own(answer)) => assert_eq!(answer, number, "a ball was lost or doubled"),
                            Ok(Ball::Strange) => panic!("nobody else throws to the first"),
                            Err(_) => return,
                        }
                        score.throws.store(number + 1, SeqCst);
                    }
                };
                match hurried {
                    Some(limit) => drop(greenhub::time::timeout(limit, play)),
                    None => play(),
                }
            }
        });
        let second = spawn({
            let (score, sender, receiver) = (score.clone(), to_first.0, to_second.1);
            move || {
                let mut partner = Some(sender);
                for ball in receiver {
                    match ball {
                        Ball::Own(number) => {
                            // Without its partner it goes on for the strangers.
                            partner = partner.filter(|partner| partner.send(Ball::Own(number)).is_ok());
                        }
                        Ball::Strange => {
                            score.strange_seen.fetch_add(1, SeqCst);
                        }
                    }
                }
            }
        });
        disturb(&mut chance, &score, strange, [first.greenlet(), second.greenlet()]);
        first.greenlet().kill();
        expect_killed_or(first.join(), || ());
        // Killed, it may have left balls behind.
        expect_killed_or(second.join(), || {
            assert_eq!(
                score.strange_seen.load(SeqCst),
                score.strange_sent.load(SeqCst),
                "strange balls were lost"
            );
        });
        score.throws.load(SeqCst)
    })
}

fn expect_killed_or(end: Result<(), JoinError>, over: impl FnOnce()) {
    match end {
        Ok(()) => over(),
        Err(error) => assert!(error.is_killed(), "a player failed: {error}"),
    }
}

/// Lets the couple play alone for a while, and then has strangers disturb it, which have gone when this returns.
fn disturb(chance: &mut Chance, score: &Arc<Score>, strange: Sender<Ball>, couple: [&Greenlet; 2]) {
    let alone = chance.below(600);
    for _ in 0..100_000 {
        if score.throws.load(SeqCst) >= alone {
            break;
        }
        yield_now();
    }
    let strangers = (0..chance.between(1, 3)).map(|_| {
        let (mut own, score, strange) = (chance.split(), score.clone(), strange.clone());
        let couple = couple.map(Greenlet::clone);
        let stranger = move || {
            for _ in 0..own.between(1, 40) {
                match own.below(40) {
                    0 => couple[0].kill(),
                    1 => couple[1].kill(),
                    2..20 => couple[own.below(2) as usize].unpark(),
                    _ if strange.send(Ball::Strange).is_ok() => {
                        score.strange_sent.fetch_add(1, SeqCst);
                    }
                    // The second has been killed.
                    _ => return,
                }
                progress();
            }
        };
        if chance.one_in(2) {
            let thread = std::thread::spawn(stranger);
            Box::new(move || greenhub::unblock(move || thread.join()).expect("a thread ends"))
                as Box<dyn FnOnce()>
        } else {
            let greenlet = spawn(stranger);
            Box::new(move || greenlet.join().expect("a stranger ends"))
        }
    });
    strangers.collect::<Vec<_>>().into_iter().for_each(|ended| ended());
    drop(strange);
}
