//! Hunts what is lost when descriptors run out: servers that accept and clients that connect at the limit. Whoever
//! cannot have a descriptor is told so; connections that wait to be accepted are served once there are descriptors
//! again, each exactly once, also if the accepting greenlet was killed meanwhile; timers and greenlets go on.

use greenhub::net::{TcpListener, TcpStream, UdpSocket};
use greenhub::runtime::{Builder, Runtime};
use greenhub::{JoinHandle, sleep, spawn, timeout, yield_now};
use greenhub_stress::{Chance, Ledger, Limit, Resources, Stress, die, progress, within};
use std::fs::File;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Clients in one round.
const MOST: usize = 32;

/// What happened in all rounds.
#[derive(Default)]
struct Counts {
    served: AtomicU64,
    /// Calls that were refused a descriptor.
    refused: AtomicU64,
    /// Servers killed while they could accept nothing.
    killed: u64,
    slowest: Duration,
}

fn main() {
    let mut stress = Stress::start("emfile");
    let runtime = stress.runtime();
    // One use of all that is made once: random state, resolver and what else keeps a descriptor.
    runtime.run(|| greenhub::unblock(|| ()));
    let limit = Limit::descriptors();
    // Enough for all that a round opens, and no more than can be filled quickly.
    let room = Resources::now().descriptors + 8 * MOST;
    limit.lower(room as u64);
    let mut counts = Counts::default();
    while let Some(chance) = stress.next_round() {
        round(&runtime, chance, &mut counts);
    }
    let refused = counts.refused.load(SeqCst);
    if refused == 0 {
        die("nothing was ever refused a descriptor: this proves nothing");
    }
    let done = format!(
        "{} served, {refused} refused, {} servers killed while they waited for descriptors, the slowest recovery {:.1?}",
        counts.served.load(SeqCst),
        counts.killed,
        counts.slowest
    );
    stress.finish(runtime, &done);
}

/// Everything that answers `EMFILE`.
fn is_refusal(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMFILE)
}

/// Takes all descriptors that are left, but so many.
fn use_up(leave: usize) -> Vec<File> {
    let mut taken = Vec::new();
    let error = loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => break error,
        }
    };
    assert!(is_refusal(&error), "{error}");
    taken.truncate(taken.len().saturating_sub(leave));
    taken
}

fn serve(runtime: &Runtime, listener: &Arc<TcpListener>, served: &Ledger) -> JoinHandle<()> {
    let (listener, served) = (listener.clone(), served.clone());
    runtime.spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().expect("a shortage is no error of accept");
            let served = served.clone();
            drop(spawn(move || {
                let mut number = [0; 4];
                stream.read_exact(&mut number).expect("the client sends its number");
                served.mark(u32::from_le_bytes(number) as usize);
                stream.write_all(&number).expect("the client waits");
                progress();
            }));
        }
    })
}

fn round(runtime: &Arc<Runtime>, mut chance: Chance, counts: &mut Counts) {
    let clients = chance.between(2, MOST);
    let served = Ledger::new("a connection served", clients);
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let address = listener.local_addr().expect("it has an address");
    let mut server = serve(runtime, &listener, &served);
    let refused = Arc::new(AtomicU64::new(0));
    let relieved = Arc::new(AtomicBool::new(false));
    // A client's socket takes one descriptor and the server's another, so that some clients connect and none, or only
    // some, are accepted.
    let taken = use_up(chance.between(0, clients + 1));
    let handles: Vec<_> = (0..clients)
        .map(|number| {
            let (mut chance, refused) = (chance.split(), refused.clone());
            runtime.spawn(move || {
                let mut stream = loop {
                    match TcpStream::connect(address) {
                        Ok(stream) => break stream,
                        Err(error) if is_refusal(&error) => {
                            refused.fetch_add(1, SeqCst);
                            sleep(chance.micros(3000));
                        }
                        Err(error) => die(&format!("connect: {error:?}")),
                    }
                };
                // Whoever is connected will be served, however long it takes.
                stream.write_all(&(number as u32).to_le_bytes()).expect("there is room");
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).expect("the server answers");
                assert_eq!(u32::from_le_bytes(answer) as usize, number, "another's answer");
                progress();
            })
        })
        .collect();
    let others = runtime.spawn({
        let (mut chance, refused, relieved) = (chance.split(), refused.clone(), relieved.clone());
        move || others(&mut chance, &refused, &relieved)
    });
    std::thread::sleep(chance.micros(20_000));
    if chance.one_in(2) {
        // Between its tries to accept.
        server.kill();
        assert!(server.join().is_err_and(|error| error.is_killed()), "the server ended by itself");
        counts.killed += 1;
        server = serve(runtime, &listener, &served);
    }
    if chance.one_in(8) {
        // A runtime needs descriptors for its hubs.
        match Builder::new().hubs(64).build() {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(more) => drop(more),
        }
    }
    drop(taken);
    relieved.store(true, SeqCst);
    let relief = Instant::now();
    handles.into_iter().for_each(|handle| handle.join().expect("a client ends"));
    counts.slowest = counts.slowest.max(relief.elapsed());
    others.join().expect("it ends");
    served.expect_all();
    counts.served.fetch_add(clients as u64, SeqCst);
    counts.refused.fetch_add(refused.load(SeqCst), SeqCst);
    server.kill();
    assert!(server.join().is_err_and(|error| error.is_killed()), "the server ended by itself");
    let registered = || runtime.metrics().hubs.iter().map(|hub| hub.registrations).sum::<usize>();
    drop(listener);
    if !within(Duration::from_secs(5), || registered() == 0) {
        die(&format!("{} registrations are left after a round", registered()));
    }
}

/// What needs no descriptor goes on while there is none; what needs one says so.
fn others(chance: &mut Chance, refused: &AtomicU64, relieved: &AtomicBool) {
    loop {
        let (brief, from) = (chance.micros(1000), Instant::now());
        match chance.below(5) {
            0 => {
                sleep(brief);
                assert!(from.elapsed() >= brief, "woke early");
            }
            1 => assert!(timeout(brief, greenhub::park).is_err(), "an unpark from nowhere"),
            2 => assert_eq!(spawn(move || 5).join().expect("it ends"), 5),
            3 => match UdpSocket::bind("127.0.0.1:0") {
                Err(error) if is_refusal(&error) => _ = refused.fetch_add(1, SeqCst),
                Err(error) => die(&format!("bind: {error:?}")),
                Ok(socket) => {
                    let address = socket.local_addr().expect("it has an address");
                    socket.send_to(&[7], address).expect("sent");
                    assert_eq!(socket.recv(&mut [0; 8]).expect("it came"), 1);
                }
            },
            _ => yield_now(),
        }
        if relieved.load(SeqCst) {
            return;
        }
    }
}
