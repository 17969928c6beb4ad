//! Hunts kills that are lost, that strike twice, or that leave something behind: against greenlets in every state,
//! from hubs and OS threads. Destructors run exactly once, and before `join` returns; what waits for ever ends as killed;
//! nobody is struck more often than was asked for; what the killed held or waited for stays usable.

use greenhub::net::{TcpListener, TcpStream, UnixStream};
use greenhub::sync::{Condvar, Event, Mutex, RwLock, Semaphore};
use greenhub::{JoinHandle, channel, park, scope, shield, sleep, spawn, spawn_later, timeout, yield_now};
use greenhub_stress::{Chance, Inside, Ledger, Stress, Witness, compute, die, progress, sum};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Longer than any round: what waits so long must be killed.
const FOR_EVER: Duration = Duration::from_secs(100_000);
const STATES: u64 = 27;
const PERMITS: usize = 2;

/// States that end by a kill and not otherwise. (Others end by themselves, or may do so before the kill.)
const FOREVER: [u64; 17] = [0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 18, 20, 21, 23];
/// In a `connect` that nobody answers; stolen all the time; struck more than once.
const CONNECTING: u64 = 24;
const STOLEN: u64 = 25;
const STUBBORN: u64 = 26;

/// What the victims of one round wait for and hold.
struct Zoo {
    mutex: Mutex<()>,
    inside: AtomicI64,
    condvar: Condvar,
    rwlock: RwLock<()>,
    readers: AtomicI64,
    semaphore: Semaphore,
    event: Event,
    send: channel::Sender<Witness>,
    receive: channel::Receiver<Witness>,
    listener: TcpListener,
    /// Its queue of connections is full, so that nobody who connects is answered.
    full: TcpListener,
    _filling: std::net::TcpStream,
    /// Kills asked for and unwindings begun, of each victim.
    asked: Vec<AtomicU32>,
    struck: Vec<AtomicU32>,
    /// Shielded sections begun and ended.
    shields: (AtomicU64, AtomicU64),
}

fn main() {
    let mut stress = Stress::start("kill");
    let runtime = stress.runtime();
    let (mut victims, mut killed) = (0, 0);
    while let Some(chance) = stress.next_round() {
        let (of, dead) = runtime.run(|| round(chance));
        victims += of;
        killed += dead;
    }
    let taken = sum(&runtime.metrics(), |hub| hub.taken_unstarted + hub.taken_started);
    if stress.hubs() > 1 && taken == 0 {
        die("no hub took anything from another: no victim was ever being stolen");
    }
    stress.finish(
        runtime,
        &format!("{victims} victims, {killed} ended as killed, {taken} were taken by other hubs"),
    );
}

fn round(mut chance: Chance) -> (usize, usize) {
    let count = chance.between(1, 120);
    let (send, receive) = channel::bounded(chance.between(0, 3));
    let full = TcpListener::bind("127.0.0.1:0").expect("a listener");
    // SAFETY: makes the queue of a listener of our own as short as can be: one connection.
    assert_eq!(unsafe { libc::listen(full.as_raw_fd(), 0) }, 0);
    let address = full.local_addr().expect("it has an address");
    let filling = std::net::TcpStream::connect(address).expect("there is room for one");
    let none = || (0..count).map(|_| AtomicU32::new(0)).collect();
    let zoo = Arc::new(Zoo {
        mutex: Mutex::new(()),
        inside: AtomicI64::new(0),
        condvar: Condvar::new(),
        rwlock: RwLock::new(()),
        readers: AtomicI64::new(0),
        semaphore: Semaphore::new(PERMITS),
        event: Event::new(),
        send,
        receive,
        listener: TcpListener::bind("127.0.0.1:0").expect("a listener"),
        full,
        _filling: filling,
        asked: none(),
        struck: none(),
        shields: Default::default(),
    });
    // One for each victim, one for a message it may send.
    let drops = Ledger::new("a drop", count * 2);
    let states: Vec<u64> = (0..count).map(|_| chance.below(STATES)).collect();
    let victims: Vec<JoinHandle<()>> = (0..count)
        .map(|number| {
            let state = states[number];
            let (zoo, chance) = (zoo.clone(), chance.split());
            let (own, message) = (drops.witness(number), drops.witness(count + number));
            let body = move || {
                let own = own;
                match state {
                    STUBBORN => stubborn(&zoo, number),
                    _ => be(state, &zoo, chance, message),
                }
                drop(own);
            };
            if state == 0 { spawn_later(FOR_EVER, body) } else { spawn(body) }
        })
        .collect();
    match chance.below(3) {
        0 => {}
        1 => yield_now(),
        _ => sleep(chance.micros(2000)),
    }
    let greenlets: Vec<_> = victims.iter().map(|victim| victim.greenlet().clone()).collect();
    let mut killers = Vec::new();
    for _ in 0..chance.between(1, 4) {
        let (greenlets, mut chance, zoo) = (greenlets.clone(), chance.split(), zoo.clone());
        killers.push(spawn(move || {
            for _ in 0..greenlets.len() {
                let victim = chance.between(0, greenlets.len());
                zoo.asked[victim].fetch_add(1, SeqCst);
                greenlets[victim].kill();
                if chance.one_in(8) {
                    sleep(chance.micros(100));
                }
            }
        }));
    }
    let thread = {
        let (mut chance, zoo) = (chance.split(), zoo.clone());
        let mut greenlets: Vec<_> = greenlets.into_iter().enumerate().collect();
        std::thread::spawn(move || {
            while !greenlets.is_empty() {
                let at = chance.between(0, greenlets.len());
                let (victim, greenlet) = greenlets.swap_remove(at);
                zoo.asked[victim].fetch_add(1, SeqCst);
                greenlet.kill();
            }
        })
    };
    killers.into_iter().for_each(|killer| killer.join().expect("a killer ends"));
    greenhub::unblock(move || thread.join()).expect("a thread ends");
    let mut killed = 0;
    for (number, victim) in victims.into_iter().enumerate() {
        let state = states[number];
        while state == STUBBORN && !victim.join_timeout(Duration::from_millis(1)) {
            zoo.asked[number].fetch_add(1, SeqCst);
            victim.kill();
        }
        match victim.join() {
            Ok(()) => assert!(
                !FOREVER.contains(&state) && state < CONNECTING,
                "one that {state} keeps ended unkilled"
            ),
            Err(error) if error.is_killed() => {
                killed += 1;
                zoo.struck[number].fetch_add(1, SeqCst);
            }
            Err(error) => panic!("a victim ended otherwise: {error}"),
        }
        let (asked, struck) = (zoo.asked[number].load(SeqCst), zoo.struck[number].load(SeqCst));
        // One that kills itself asks for that as well.
        assert!(struck <= asked + u32::from(state == 18), "{asked} kills struck {struck} times in {state}");
        assert!(drops.has(number), "join returned before the destructors of victim {number} had run");
        progress();
    }
    assert!(zoo.mutex.try_lock().is_some(), "a killed greenlet kept the mutex");
    assert!(zoo.rwlock.try_write().is_some(), "a killed greenlet kept the rwlock");
    assert_eq!(zoo.semaphore.available_permits(), PERMITS, "permits were lost or made");
    assert_eq!(zoo.inside.load(SeqCst), 0);
    assert_eq!(zoo.readers.load(SeqCst), 0);
    assert_eq!(zoo.shields.0.load(SeqCst), zoo.shields.1.load(SeqCst), "a shield was cut");
    use_all(&zoo);
    let zoo = Arc::into_inner(zoo).expect("no victim is left");
    drop(zoo);
    drops.expect_all();
    (count, killed)
}

/// A victim in this state; it may end before it is killed.
fn be(state: u64, zoo: &Zoo, mut chance: Chance, message: Witness) {
    let brief = chance.micros(300);
    match state {
        0 | 1 => {}
        2 => loop {
            yield_now();
        },
        3 => sleep(FOR_EVER),
        4 => loop {
            let _guard = zoo.mutex.lock();
            let _inside = Inside::alone(&zoo.inside);
            sleep(brief);
        },
        5 => {
            let mut guard = zoo.mutex.lock();
            loop {
                zoo.condvar.wait(&mut guard);
                let _inside = Inside::alone(&zoo.inside);
            }
        }
        6 => loop {
            zoo.condvar.notify_one();
            sleep(brief);
        },
        7 => loop {
            // Whoever's message it is: it is dropped here.
            let _message = zoo.receive.recv();
        },
        8 => {
            let _sent = zoo.send.send(message);
        }
        9 => loop {
            let _permit = zoo.semaphore.acquire_many(chance.between(1, PERMITS + 1));
            sleep(brief);
        },
        10 => loop {
            let _accepted = zoo.listener.accept();
        },
        11 => {
            let (mut stream, _other) = UnixStream::pair().expect("a pair");
            let _read = stream.read(&mut [0; 8]);
        }
        12 => {
            let (mut stream, _other) = UnixStream::pair().expect("a pair");
            while stream.write_all(&[0; 4096]).is_ok() {}
        }
        13 => {
            let child = spawn(move || sleep(brief));
            if chance.one_in(2) {
                child.join().expect("nobody kills the child");
            } else {
                spawn(park).kill();
                child.join().expect("nobody kills the child");
            }
        }
        14 => in_scope(chance, brief),
        15 => loop {
            zoo.shields.0.fetch_add(1, SeqCst);
            shield(|| {
                sleep(brief);
                yield_now();
                zoo.shields.1.fetch_add(1, SeqCst);
            });
            yield_now();
        },
        16 => loop {
            let number = chance.number();
            let given = greenhub::unblock(move || {
                std::thread::sleep(brief);
                (number, message_of(number))
            });
            assert_eq!(given.0, number, "another job's result");
        },
        17 => {
            let _slow = SlowEnd { zoo, brief };
            sleep(brief);
        }
        18 => {
            greenhub::current().kill();
            unreachable!("a greenlet that kills itself unwinds at once");
        }
        19 => park(),
        20 => {
            let _never = timeout(brief, || {
                loop {
                    let _guard = zoo.rwlock.read();
                    let _inside = Inside::shared(&zoo.readers);
                    sleep(brief / 4);
                }
            });
            loop {
                let _guard = zoo.rwlock.write();
                let _inside = Inside::alone(&zoo.readers);
                sleep(brief / 4);
            }
        }
        21 => zoo.event.wait(),
        22 => {
            let address = zoo.listener.local_addr().expect("it has an address");
            for _ in 0..10 {
                if let Ok(mut stream) = TcpStream::connect(address) {
                    let _sent = stream.write(&[1]);
                    // Nobody answers.
                    let _read = timeout(brief, || stream.read(&mut [0; 8]));
                }
            }
        }
        CONNECTING => {
            let address = zoo.full.local_addr().expect("it has an address");
            // The kernel may give up in the end, after minutes.
            unreachable!("nobody answers, but {:?} came", TcpStream::connect(address).map(drop));
        }
        STOLEN => loop {
            compute(brief / 8);
            yield_now();
        },
        _ => greenhub::block_on(std::future::pending()),
    }
}

/// Catches its kills, up to the third.
fn stubborn(zoo: &Zoo, number: usize) {
    for _ in 0..2 {
        let caught = greenhub::catch_unwind(|| {
            loop {
                park();
            }
        });
        assert!(caught.is_err() && !greenhub::panicking());
        zoo.struck[number].fetch_add(1, SeqCst);
        shield(|| sleep(Duration::from_micros(50)));
    }
    sleep(FOR_EVER);
}

/// Something on the heap, so that a result dropped twice is noticed.
fn message_of(number: u64) -> Box<u64> {
    Box::new(number)
}

/// What a scope lends is not touched after the scope.
fn in_scope(mut chance: Chance, brief: Duration) {
    let running = AtomicI64::new(0);
    struct Check<'a>(&'a AtomicI64);
    impl Drop for Check<'_> {
        fn drop(&mut self) {
            assert_eq!(self.0.load(SeqCst), 0, "a scope was left while a child could run");
        }
    }
    let _check = Check(&running);
    scope(|s| {
        for _ in 0..chance.between(1, 6) {
            let (time, running) = (if chance.one_in(2) { FOR_EVER } else { brief }, &running);
            s.spawn(move || {
                let _inside = Inside::shared(running);
                sleep(time);
            });
        }
        // A kill may strike here, in the scope's own function, as well as at its end.
        yield_now();
    });
}

/// A destructor that waits, and uses what others use.
struct SlowEnd<'a> {
    zoo: &'a Zoo,
    brief: Duration,
}

impl Drop for SlowEnd<'_> {
    fn drop(&mut self) {
        sleep(self.brief);
        {
            let _guard = self.zoo.mutex.lock();
            let _inside = Inside::alone(&self.zoo.inside);
            yield_now();
        }
        let _permit = self.zoo.semaphore.acquire();
        // Nothing is interrupted while this unwinds, so the sleep is slept to its end.
        let struck = timeout(self.brief, || sleep(self.brief / 2));
        assert!(struck.is_ok() || !greenhub::panicking(), "a timeout struck in the middle of an unwinding");
        spawn(|| 5).join().expect("it ends");
    }
}

/// After all the kills each thing still does its job.
fn use_all(zoo: &Arc<Zoo>) {
    let waiting = {
        let zoo = zoo.clone();
        spawn(move || {
            let mut guard = zoo.mutex.lock();
            while !zoo.event.is_set() {
                zoo.condvar.wait(&mut guard);
            }
        })
    };
    yield_now();
    {
        let _guard = zoo.mutex.lock();
        zoo.event.set();
        zoo.condvar.notify_all();
    }
    waiting.join().expect("it ends");
    drop(zoo.rwlock.read());
    drop(zoo.semaphore.acquire_many(PERMITS));
    while zoo.receive.try_recv().is_ok() {}
    // Connections that nobody accepted any more come first.
    let address = zoo.listener.local_addr().expect("it has an address");
    let client = spawn(move || {
        let mut stream = TcpStream::connect(address).expect("the listener lives");
        stream.write_all(b"after all").expect("sent");
        stream
    });
    loop {
        let (mut stream, _) = zoo.listener.accept().expect("the listener works");
        let mut text = Vec::new();
        // Those of the killed end, by reset perhaps.
        let mut piece = [0; 9];
        if stream.read_exact(&mut piece).is_ok() {
            text.extend(piece);
        }
        if text == b"after all" {
            break;
        }
    }
    drop(client.join().expect("it ends"));
}
