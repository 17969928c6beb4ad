//! Hunts mixed up descriptors: connections opened and closed as fast as can be, so that numbers are used again at once,
//! with resets, half-closes and clones. What comes back is byte for byte what this connection sent.

use greenhub::net::{Shutdown, TcpListener, TcpStream, UnixListener, UnixStream};
use greenhub::{sleep, spawn, timeout};
use greenhub_stress::{Chance, Stress, die, progress};
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

/// What both kinds of stream can do.
trait Stream: Read + Write + AsRawFd + Into<OwnedFd> + From<OwnedFd> + Send + Sized + 'static {
    fn twin(&self) -> Result<Self>;
    fn half_close(&self) -> Result<()>;
}

impl Stream for TcpStream {
    fn twin(&self) -> Result<Self> {
        self.try_clone()
    }
    fn half_close(&self) -> Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> Result<Self> {
        self.try_clone()
    }
    fn half_close(&self) -> Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// Bytes echoed, connections made, connections that ended with a reset.
#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    connections: AtomicU64,
    resets: AtomicU64,
    reused: AtomicU64,
    seen: [AtomicBool; 32],
}

fn main() {
    let mut stress = Stress::start("descriptors");
    let runtime = stress.runtime();
    let counts = Arc::new(Counts::default());
    let directory = std::env::temp_dir().join(format!("greenhub-stress-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    while let Some(mut chance) = stress.next_round() {
        if chance.one_in(2) {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
            let address = listener.local_addr().expect("it has an address");
            let accept = move || listener.accept().map(|(stream, _)| stream);
            round(&runtime, chance, &counts, accept, move || TcpStream::connect(address));
        } else {
            let path = directory.join(stress.rounds().to_string());
            let listener = UnixListener::bind(&path).expect("a listener");
            let accept = move || listener.accept().map(|(stream, _)| stream);
            let to = path.clone();
            round(&runtime, chance, &counts, accept, move || UnixStream::connect(&to));
            std::fs::remove_file(&path).expect("it was there");
        }
    }
    std::fs::remove_dir_all(&directory).expect("it was there");
    let of = |count: &AtomicU64| count.load(Relaxed);
    if of(&counts.reused) == 0 || of(&counts.resets) == 0 {
        die("no number was used again, or nothing was reset: this proves nothing");
    }
    let done = format!(
        "{} connections, {} bytes echoed, {} resets, {} numbers used again",
        of(&counts.connections),
        of(&counts.bytes),
        of(&counts.resets),
        of(&counts.reused)
    );
    stress.finish(runtime, &done);
}

fn round<S: Stream>(
    runtime: &Arc<greenhub::runtime::Runtime>,
    mut chance: Chance,
    counts: &Arc<Counts>,
    accept: impl Fn() -> Result<S> + Send + 'static,
    connect: impl Fn() -> Result<S> + Clone + Send + 'static,
) {
    let server = runtime.spawn(move || {
        loop {
            match accept() {
                Ok(stream) => drop(spawn(move || echo(stream))),
                Err(error) => panic!("accept: {error}"),
            }
        }
    });
    let mut threads = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..chance.between(1, 24) {
        let (mut chance, counts, connect) = (chance.split(), counts.clone(), connect.clone());
        let on_thread = chance.one_in(8);
        let client = move || {
            for _ in 0..8 {
                client(&mut chance, &counts, &connect);
                progress();
            }
        };
        if on_thread {
            threads.push(std::thread::spawn(client));
        } else {
            clients.push(runtime.spawn(client));
        }
    }
    clients.into_iter().for_each(|client| client.join().expect("a client ends"));
    threads.into_iter().for_each(|thread| thread.join().expect("a thread ends"));
    server.kill();
    assert!(server.join().is_err_and(|error| error.is_killed()), "the server ended by itself");
}

/// Sends back what comes, until the end or a reset.
fn echo(mut stream: impl Stream) {
    let mut buffer = [0; 2000];
    loop {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => return expect_reset(&error),
        };
        if let Err(error) = stream.write_all(&buffer[..length]) {
            return expect_reset(&error);
        }
    }
    if let Err(error) = stream.half_close() {
        expect_reset(&error);
    }
}

fn expect_reset(error: &std::io::Error) {
    let meant = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::NotConnected];
    assert!(meant.contains(&error.kind()), "an error that nobody caused: {error:?}");
}

/// The byte at this place of this connection's text.
fn byte(tag: u64, place: usize) -> u8 {
    (tag.wrapping_add(place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

fn client<S: Stream>(chance: &mut Chance, counts: &Counts, connect: &impl Fn() -> Result<S>) {
    let mut stream = connect().expect("the listener is there");
    counts.connections.fetch_add(1, Relaxed);
    let number = stream.as_raw_fd() as usize;
    if counts.seen[number % 32].swap(true, SeqCst) {
        counts.reused.fetch_add(1, Relaxed);
    }
    let tag = chance.number();
    let length = if chance.one_in(8) { chance.between(0, 200_000) } else { chance.between(0, 3000) };
    match chance.below(8) {
        // Closed before anything happened.
        0 => {}
        // Closed with an answer unread: a reset, on TCP and local sockets alike.
        1 => {
            let text: Vec<u8> = (0..length).map(|place| byte(tag, place)).collect();
            // Not more than fits: nobody reads the answer.
            stream.write_all(&text[..length.min(1000)]).expect("it fits");
            sleep(chance.micros(200));
            counts.resets.fetch_add(1, Relaxed);
        }
        // One piece after the other, each answer awaited.
        2..5 => {
            let mut place = 0;
            while place < length {
                let size = chance.between(1, 1500).min(length - place);
                let text: Vec<u8> = (place..place + size).map(|place| byte(tag, place)).collect();
                stream.write_all(&text).expect("the server reads");
                let mut answer = vec![0; size];
                stream.read_exact(&mut answer).expect("the server answers");
                assert!(answer == text, "another connection's bytes at {place}");
                place += size;
                if chance.one_in(64) {
                    // The same descriptor in a new coat: registered anew.
                    stream = S::from(stream.into());
                }
            }
            counts.bytes.fetch_add(length as u64, Relaxed);
        }
        // Nobody answers what was not sent: a read given up by timeout takes nothing away.
        5 => {
            let mut one = [0];
            let waited = timeout(chance.micros(300), || stream.read(&mut one));
            assert!(waited.is_err(), "an answer to nothing: {waited:?}");
            stream.write_all(&[byte(tag, 0)]).expect("the server reads");
            stream.read_exact(&mut one).expect("the server answers");
            assert_eq!(one[0], byte(tag, 0), "another connection's byte");
        }
        // Both directions at once, then a half-close; the rest comes back.
        _ => {
            let mut writer = stream.twin().expect("a clone");
            let write = move || {
                let text: Vec<u8> = (0..length).map(|place| byte(tag, place)).collect();
                for piece in text.chunks(1777) {
                    writer.write_all(piece).expect("the server reads");
                }
                writer.half_close().expect("it is open");
            };
            let writing: Box<dyn FnOnce() + Send> = if greenhub::runtime::current_hub().is_some() {
                let greenlet = spawn(write);
                Box::new(move || greenlet.join().expect("it ends"))
            } else {
                let thread = std::thread::spawn(write);
                Box::new(move || thread.join().expect("it ends"))
            };
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("the server answers");
            writing();
            assert_eq!(answer.len(), length, "bytes were lost or made");
            assert!(
                answer.iter().enumerate().all(|(place, &got)| got == byte(tag, place)),
                "another connection's bytes"
            );
            counts.bytes.fetch_add(length as u64, Relaxed);
        }
    }
    if chance.one_in(4) {
        sleep(Duration::from_micros(chance.below(100)));
    }
}
