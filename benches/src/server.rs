//! A plain server, one accept + spawn loop, and the clients of one thread that keep it busy.

use crate::compute::compute;
use crate::process::raise_descriptor_limit;
use greenhub::net::TcpListener;
use greenhub::runtime::Runtime;
use greenhub::{JoinHandle, spawn};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How many requests are on their way at a time: enough for every hub to have some, whatever falls to it by chance.
const IN_FLIGHT: usize = 256;

/// How long the server may take to have accepted everybody.
const PATIENCE: Duration = Duration::from_secs(10);

/// One byte is a request, and the answer.
pub(crate) struct Server {
    runtime: Runtime,
    accepting: JoinHandle<()>,
    address: SocketAddr,
}

impl Server {
    /// Serves on a port of the system's choice; every request takes that much computing.
    pub(crate) fn start(runtime: Runtime, computing: Duration) -> io::Result<Self> {
        raise_descriptor_limit()?;
        if !computing.is_zero() {
            // The first call finds out how fast this machine is: not while somebody waits.
            compute(computing);
        }
        let listener = runtime.run(|| TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let accepting = runtime.spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                drop(spawn(move || serve(stream, computing)));
            }
        });
        Ok(Self { runtime, accepting, address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until each of so many connections has its greenlet waiting for a request; gives how many of these each
    /// hub holds (the accept loop is not counted).
    pub(crate) fn held_by_hub(&self, connections: usize) -> io::Result<Vec<u64>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let hubs = self.runtime.metrics().hubs;
            let held: Vec<u64> = hubs.iter().map(|hub| hub.live_started).collect();
            // One more is the accept loop.
            if held.iter().sum::<u64>() == connections as u64 + 1 {
                return Ok(held);
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("of {connections} connections the hubs hold {held:?}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        self.accepting.kill();
        // Connections that are still open end with the runtime.
        drop(self.runtime);
    }
}

fn serve(mut stream: greenhub::net::TcpStream, computing: Duration) {
    let mut byte = [0];
    // The client leaves in the end, one way or another.
    while let Ok(1) = stream.read(&mut byte) {
        if !computing.is_zero() {
            compute(computing);
        }
        if stream.write_all(&byte).is_err() {
            break;
        }
    }
}

/// Open connections, driven by the calling OS thread.
pub(crate) struct Clients(Vec<TcpStream>);

impl Clients {
    /// Connects that many, one every `apart`.
    pub(crate) fn connect(address: SocketAddr, connections: usize, apart: Duration) -> io::Result<Self> {
        let start = Instant::now();
        let connect = |number: usize| {
            let due = start + apart * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        (0..connections).map(connect).collect::<io::Result<_>>().map(Self)
    }

    /// Makes so many requests, round the connections; gives how long it took to have all the answers.
    pub(crate) fn exchange(&mut self, requests: usize) -> io::Result<Duration> {
        let connections = self.0.len();
        // On one connection there is never more than one request on its way.
        let ahead = IN_FLIGHT.min(connections);
        let start = Instant::now();
        for request in 0..requests + ahead {
            if let Some(answered) = request.checked_sub(ahead) {
                let mut byte = [0];
                self.0[answered % connections].read_exact(&mut byte)?;
            }
            if request < requests {
                self.0[request % connections].write_all(&[1])?;
            }
        }
        Ok(start.elapsed())
    }
}
