//! Hunts waits that miss the end of a connection: TCP connections that come and go, by half-closes from either side, by
//! resets in the middle of reads and writes on either side, and before they are accepted. Each gets the ending that its
//! two sides caused and no other; what was sent before an end arrives before it.

use greenhub::net::{Shutdown, TcpListener, TcpStream};
use greenhub::runtime::Runtime;
use greenhub::{sleep, spawn, yield_now};
use greenhub_stress::{Chance, Ledger, Stress, die, progress, within};
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const EACH: usize = 8;
/// More than the buffers of two sockets hold, so that a writer without a reader waits.
const FLOOD: usize = 16 << 20;

/// How one connection goes. The first byte that a client sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Script {
    /// The client sends all, half-closes, and reads the echo to its end.
    Echo,
    /// The server half-closes at once; the client sends after that, and the server counts what comes.
    ServerIsDone,
    /// The client resets in the middle of what the server reads.
    ClientResets,
    /// The server resets while the client waits for an answer.
    ServerResetsReader,
    /// The server resets while the client waits for room to send.
    ServerResetsWriter,
    /// The client resets while the server waits for room to send.
    ClientResetsWriter,
    /// Both directions are shut down under a greenlet of the client's that reads on a clone.
    ShutUnderReader,
    /// The client resets before it has said anything.
    Nameless,
}

use Script::{
    ClientResets, ClientResetsWriter, Echo, Nameless, ServerIsDone, ServerResetsReader, ServerResetsWriter,
    ShutUnderReader,
};

const SCRIPTS: [Script; 8] = [
    Echo,
    ServerIsDone,
    ClientResets,
    ServerResetsReader,
    ServerResetsWriter,
    ClientResetsWriter,
    ShutUnderReader,
    Nameless,
];

/// What a client says first.
#[derive(Clone, Copy)]
struct Hello {
    script: Script,
    number: u32,
    length: u32,
}

impl Hello {
    fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [self.script as u8; 9];
        bytes[1..5].copy_from_slice(&self.number.to_le_bytes());
        bytes[5..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; 9]) -> Self {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Hello { script: SCRIPTS[usize::from(bytes[0])], number: number(1), length: number(5) }
    }
}

/// What the sides of one round tell each other outside the connections.
struct Table {
    /// Connections whose hello the server has read, and those it has seen to their end.
    met: Ledger,
    ended: Ledger,
    /// Connections that ended before their hello.
    nameless: AtomicU64,
    /// Connections accepted whose handler has not ended.
    handlers: AtomicU64,
}

fn main() {
    let mut stress = Stress::start("connections");
    let runtime = stress.runtime();
    let mut counts = [0_u64; SCRIPTS.len()];
    while let Some(chance) = stress.next_round() {
        round(&runtime, chance, &mut counts);
    }
    if counts.contains(&0) {
        die(&format!("some script was never played: {counts:?}; give it more time"));
    }
    let total: u64 = counts.iter().sum();
    stress.finish(runtime, &format!("{total} connections, by script {counts:?}"));
}

fn round(runtime: &Arc<Runtime>, mut chance: Chance, counts: &mut [u64]) {
    let clients = chance.between(1, 24);
    let total = clients * EACH;
    let table = Arc::new(Table {
        met: Ledger::new("a connection's hello", total),
        ended: Ledger::new("a connection's end at the server", total),
        nameless: AtomicU64::new(0),
        handlers: AtomicU64::new(0),
    });
    let scripts: Vec<Script> = (0..total).map(|_| SCRIPTS[chance.between(0, SCRIPTS.len())]).collect();
    scripts.iter().for_each(|&script| counts[script as usize] += 1);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("it has an address");
    let server = runtime.spawn({
        let table = table.clone();
        move || {
            loop {
                let (stream, _) = listener.accept().expect("the listener works");
                table.handlers.fetch_add(1, SeqCst);
                let table = table.clone();
                drop(spawn(move || {
                    serve(stream, &table);
                    table.handlers.fetch_sub(1, SeqCst);
                    progress();
                }));
            }
        }
    });
    let (mut greenlets, mut threads) = (Vec::new(), Vec::new());
    for first in (0..total).step_by(EACH) {
        let mut own = chance.split();
        let scripts = scripts[first..first + EACH].to_vec();
        let on_thread = chance.one_in(6);
        let client = move || {
            for (place, script) in scripts.into_iter().enumerate() {
                let length = if own.one_in(8) { own.between(0, 300_000) } else { own.between(0, 4000) };
                let hello = Hello { script, number: (first + place) as u32, length: length as u32 };
                let stream = TcpStream::connect(address).expect("the listener is there");
                play(hello, stream, &mut own);
                progress();
            }
        };
        if on_thread {
            threads.push(std::thread::spawn(client))
        } else {
            greenlets.push(runtime.spawn(client))
        }
    }
    greenlets.into_iter().for_each(|client| client.join().expect("a client ends"));
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
    let named = scripts.iter().filter(|&&script| script != Nameless).count();
    // What has ended on the client's side ends on the server's, and nothing is still in the queue of connections.
    let all_seen = || {
        table.ended.total() == named
            && table.nameless.load(SeqCst) == (total - named) as u64
            && table.handlers.load(SeqCst) == 0
    };
    if !within(Duration::from_secs(10), all_seen) {
        let unseen: Vec<_> = (0..total)
            .filter(|&n| scripts[n] != Nameless && !table.ended.has(n))
            .map(|n| (n, scripts[n], table.met.has(n)))
            .collect();
        die(&format!(
            "the server has not seen every end: {unseen:?} (met or not) are missing, {} of {} nameless ones came, {} \
             handlers live",
            table.nameless.load(SeqCst),
            total - named,
            table.handlers.load(SeqCst),
        ));
    }
    server.kill();
    assert!(server.join().is_err_and(|error| error.is_killed()), "the server ended by itself");
}

/// Makes the close of this socket a reset: what was not sent is thrown away, and the peer's calls fail.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: passes a `linger` and its size; the descriptor is open.
    let failed = unsafe {
        let length = size_of::<libc::linger>() as libc::socklen_t;
        let value = (&raw const linger).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, length)
    };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    drop(stream);
}

/// The byte at this place of this connection's text.
fn byte(number: u32, place: usize) -> u8 {
    (u64::from(number).wrapping_add(place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn text(hello: Hello) -> Vec<u8> {
    (0..hello.length as usize).map(|place| byte(hello.number, place)).collect()
}

fn expect_reset<T>(what: &str, outcome: Result<T>) {
    match outcome {
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
        Err(error) => die(&format!("{what}: a reset came as {error:?}")),
        Ok(_) => die(&format!("{what}: a reset came as success")),
    }
}

/// Reads until the end or an error; what comes must be this connection's text.
fn read_text(stream: &mut TcpStream, number: u32) -> (usize, Result<()>) {
    let mut buffer = [0; 2000];
    let mut place = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (place, Ok(())),
            Ok(length) => {
                let right = buffer[..length].iter().enumerate().all(|(at, &b)| b == byte(number, place + at));
                assert!(right, "another connection's bytes at {place}");
                place += length;
            }
            Err(error) => return (place, Err(error)),
        }
    }
}

/// Sends until that fails.
fn flood(stream: &mut TcpStream) -> Result<()> {
    let piece = [7; 1 << 16];
    (0..FLOOD / piece.len()).try_for_each(|_| stream.write_all(&piece))
}

/// The client's side.
fn play(hello: Hello, mut stream: TcpStream, chance: &mut Chance) {
    let Hello { script, number, length } = hello;
    let length = length as usize;
    if script == Nameless {
        if chance.one_in(2) {
            sleep(chance.micros(300));
        }
        return reset(stream);
    }
    stream.write_all(&hello.to_bytes()).expect("there is room for a hello");
    match script {
        Echo => {
            let mut other = stream.try_clone().expect("a descriptor");
            let writer = greenhub::run(|| {
                // On two greenlets, so that a long text fills no buffer while nobody reads.
                spawn(move || {
                    other.write_all(&text(hello)).expect("the server reads");
                    other.shutdown(Shutdown::Write).expect("it is open");
                })
            });
            let (read, end) = read_text(&mut stream, number);
            writer.join().expect("the writer ends");
            assert!(end.is_ok() && read == length, "an echo of {length} ended after {read}: {end:?}");
        }
        ServerIsDone => {
            let (read, end) = read_text(&mut stream, number);
            assert!(end.is_ok() && read == length, "{read} of {length} came, then {end:?}");
            // Half closed: the other half still works.
            stream.write_all(&text(hello)).expect("the server reads");
            stream.shutdown(Shutdown::Write).expect("it is open");
            let more = stream.read(&mut [0; 8]).expect("the end stays the end");
            assert_eq!(more, 0, "bytes after the end");
        }
        ClientResets => {
            // All of it fits into the buffers, or the server reads it: but not all need arrive.
            stream.write_all(&text(hello)).expect("the server reads");
            match chance.below(3) {
                0 => {}
                1 => yield_now(),
                _ => sleep(chance.micros(300)),
            }
            reset(stream);
        }
        ServerResetsReader => expect_reset("a reader", stream.read(&mut [0; 8])),
        ServerResetsWriter => expect_reset("a writer", flood(&mut stream)),
        ClientResetsWriter => {
            let mut some = [0; 1000];
            let _came = stream.read(&mut some).expect("the server sends");
            sleep(chance.micros(500));
            reset(stream);
        }
        ShutUnderReader => {
            let mut other = stream.try_clone().expect("a descriptor");
            let reader = greenhub::run(|| spawn(move || other.read(&mut [0; 8])));
            if chance.one_in(2) {
                sleep(chance.micros(300));
            }
            stream.shutdown(Shutdown::Both).expect("it is open");
            let read = reader.join().expect("the reader ends").expect("an end is no error");
            assert_eq!(read, 0, "bytes from nowhere");
        }
        Nameless => unreachable!("handled above"),
    }
}

/// The server's side.
fn serve(mut stream: TcpStream, table: &Table) {
    let mut first = [0; 9];
    if let Err(error) = stream.read_exact(&mut first) {
        // Nobody who says hello ends before the server has read it, except by a reset right after it.
        if error.kind() != ErrorKind::ConnectionReset {
            die(&format!("a connection without a hello ended as {error:?}"));
        }
        table.nameless.fetch_add(1, SeqCst);
        return;
    }
    let hello = Hello::from_bytes(first);
    let (number, length) = (hello.number, hello.length as usize);
    table.met.mark(number as usize);
    match hello.script {
        Echo => {
            let mut buffer = [0; 3000];
            loop {
                let length = stream.read(&mut buffer).expect("the client half-closes");
                if length == 0 {
                    break;
                }
                stream.write_all(&buffer[..length]).expect("the client reads");
            }
        }
        ServerIsDone => {
            stream.write_all(&text(hello)).expect("the client reads");
            stream.shutdown(Shutdown::Write).expect("it is open");
            let (read, end) = read_text(&mut stream, number);
            assert!(end.is_ok() && read == length, "{read} of {length} came, then {end:?}");
        }
        ClientResets => {
            let (read, end) = read_text(&mut stream, number);
            assert!(read <= length, "{read} bytes of {length}");
            expect_reset("the server's reader", end);
        }
        ServerResetsReader => {
            sleep(Duration::from_micros(u64::from(number) % 300));
            reset(stream);
        }
        ServerResetsWriter => {
            let _came = stream.read(&mut [0; 1000]).expect("the client sends");
            sleep(Duration::from_micros(u64::from(number) % 500));
            reset(stream);
        }
        ClientResetsWriter => expect_reset("the server's writer", flood(&mut stream)),
        ShutUnderReader => {
            let (read, end) = read_text(&mut stream, number);
            assert!(end.is_ok() && read == 0, "{read} bytes came, then {end:?}");
        }
        Nameless => unreachable!("it says no hello"),
    }
    table.ended.mark(number as usize);
}
