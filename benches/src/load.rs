//! The load on an echo server: one thread, one epoll loop, one request on its way on every connection all the time.

use crate::epoll::Epoll;
use crate::peer::MESSAGE;
use crate::process::raise_descriptor_limit;
use crate::statistics::quantile;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// After so many connections one is used, so that the server's backlog of unaccepted ones never overflows: the system
/// would let them wait a second.
const UNASKED: usize = 32;

/// How long an answer may take before the server counts as dead.
const PATIENCE: Duration = Duration::from_secs(10);

struct Connection {
    stream: TcpStream,
    asked: Instant,
    /// How much of the answer is here.
    read: usize,
}

/// Keeps a server of this machine busy for that long, after a fifth of it as warming up; prints requests per second,
/// and how long they took.
pub(crate) fn load(port: u16, connections: usize, span: Duration) -> io::Result<()> {
    if connections == 0 {
        return Err(io::Error::other("no connections, no load"));
    }
    raise_descriptor_limit()?;
    let mut epoll = Epoll::new(1024)?;
    let mut all = connect(port, connections)?;
    for (number, connection) in all.iter_mut().enumerate() {
        connection.stream.set_nonblocking(true)?;
        epoll.add(&connection.stream, number)?;
        connection.ask()?;
    }
    let counted = Instant::now() + span / 5;
    let end = counted + span;
    let mut latencies = Vec::with_capacity(1 << 20);
    let mut now = Instant::now();
    while now < end {
        for number in epoll.wait(PATIENCE.as_millis() as i32)? {
            let connection = &mut all[number];
            if connection.answered()? {
                let answered = Instant::now();
                if answered >= counted {
                    latencies.push((answered - connection.asked).as_secs_f64());
                }
                connection.ask()?;
            }
        }
        let before = now;
        now = Instant::now();
        if now - before >= PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"));
        }
    }
    println!("rps {}", latencies.len() as f64 / (now - counted).as_secs_f64());
    println!("p50_us {}", quantile(&latencies, 0.5) * 1e6);
    println!("p99_us {}", quantile(&latencies, 0.99) * 1e6);
    // Connections that had no answer in all that time are in no quantile.
    let silent = all.iter().filter(|connection| connection.asked < counted).count();
    println!("silent {silent}");
    Ok(())
}

fn connect(port: u16, connections: usize) -> io::Result<Vec<Connection>> {
    let mut all = Vec::with_capacity(connections);
    for number in 1..=connections {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        reset_on_close(&stream)?;
        let mut connection = Connection { stream, asked: Instant::now(), read: 0 };
        if number % UNASKED == 0 || number == connections {
            connection.ask()?;
            connection.stream.read_exact(&mut [0; MESSAGE])?;
        }
        all.push(connection);
    }
    Ok(all)
}

/// So that a closed connection's port is free at once: run after run, ten thousand connections would use up all there
/// are.
fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the pointer is to a `linger`, as long as is said.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Connection {
    fn ask(&mut self) -> io::Result<()> {
        self.asked = Instant::now();
        self.read = 0;
        // There is always room for one small request.
        self.stream.write_all(&[1; MESSAGE])
    }

    /// Reads; whether the whole answer is here.
    fn answered(&mut self) -> io::Result<bool> {
        let mut buffer = [0; MESSAGE];
        match self.stream.read(&mut buffer[self.read..]) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed a connection")),
            Ok(length) => {
                self.read += length;
                Ok(self.read == MESSAGE)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
