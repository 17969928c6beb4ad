//! The server: accept, spawn, read, write. On which hub a connection's greenlet runs is the runtime's business.
//!
//! What the server counts, it counts by hub, so that no line of memory is written by all of them.

use crate::failed;
use greenhub::net::{TcpListener, TcpStream};
use greenhub::runtime::{Metrics, Runtime};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The smallest and the largest buffer of a connection. Messages up to the largest are usually read at once.
const BUFFER: (usize, usize) = (256, 16 << 10);

/// The buffer of a connection when nothing is known of the messages.
pub(crate) const ANY_BUFFER: usize = 4096;

/// How often a port that is free on the first address may turn out to be taken on another.
const PORT_TRIES: usize = 16;

/// A running echo server.
pub(crate) struct Server {
    pub(crate) runtime: Runtime,
    state: Arc<State>,
    listeners: Vec<Arc<TcpListener>>,
}

/// What the greenlets of all hubs share.
struct State {
    buffer: usize,
    hubs: Box<[HubCounts]>,
}

/// What happened on one hub. Its own cache lines.
#[derive(Default)]
#[repr(align(128))]
struct HubCounts {
    accepted: AtomicU64,
    ended: AtomicU64,
    broken: AtomicU64,
    echoes: AtomicU64,
    bytes: AtomicU64,
}

/// [`HubCounts`] as read, or their sums.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Connections accepted.
    pub(crate) accepted: u64,
    /// Of those, the ones that have ended.
    pub(crate) ended: u64,
    /// Of those, the ones that ended with an error.
    pub(crate) broken: u64,
    /// Reads that were written back.
    pub(crate) echoes: u64,
    /// Bytes written back.
    pub(crate) bytes: u64,
}

impl Server {
    /// Listens and accepts on every address, with a buffer for messages of `size` bytes.
    pub(crate) fn start(runtime: Runtime, listeners: Vec<TcpListener>, size: usize) -> Self {
        let hubs = runtime.metrics().hubs.len();
        let state = Arc::new(State {
            buffer: size.clamp(BUFFER.0, BUFFER.1),
            hubs: (0..hubs).map(|_| HubCounts::default()).collect(),
        });
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        for listener in &listeners {
            let (listener, state) = (listener.clone(), state.clone());
            drop(runtime.spawn(move || accept_all(&listener, &state)));
        }
        Self { runtime, state, listeners }
    }

    pub(crate) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(|listener| listener.local_addr()).collect()
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.runtime.metrics()
    }

    /// What happened on each hub.
    pub(crate) fn counts(&self) -> Vec<Counts> {
        self.state.hubs.iter().map(HubCounts::read).collect()
    }

    /// What happened in all.
    pub(crate) fn total(&self) -> Counts {
        self.counts().into_iter().fold(Counts::default(), |sum, hub| Counts {
            accepted: sum.accepted + hub.accepted,
            ended: sum.ended + hub.ended,
            broken: sum.broken + hub.broken,
            echoes: sum.echoes + hub.echoes,
            bytes: sum.bytes + hub.bytes,
        })
    }

    /// Waits, at most `limit`, until every connection has ended, and gives how many have not.
    pub(crate) fn wait_until_idle(&self, limit: Duration) -> u64 {
        let deadline = Instant::now() + limit;
        loop {
            let total = self.total();
            let live = total.accepted.saturating_sub(total.ended);
            if live == 0 || Instant::now() >= deadline {
                return live;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the server. `false`: something did not end in time.
    pub(crate) fn stop(self, limit: Duration) -> bool {
        self.runtime.shutdown_timeout(limit)
    }
}

/// One listener, on the one address given.
pub(crate) fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let hint = match (error.kind(), address.port()) {
            (io::ErrorKind::AddrInUse, 0) => {
                " (every local port is taken: `sysctl net.ipv4.ip_local_port_range`, or wait a minute)"
            }
            (io::ErrorKind::AddrInUse, _) => " (another program does; port 0 lets the system choose one)",
            _ => "",
        };
        failed(format_args!("cannot listen on {address}{hint}"), &error)
    })
}

/// Listeners on `count` loopback addresses from 127.0.0.1 on, all with the same port.
pub(crate) fn listen_on_loopback(count: usize) -> io::Result<Vec<TcpListener>> {
    let mut tries = 0;
    loop {
        let first = listen_on((Ipv4Addr::LOCALHOST, 0).into())?;
        let port = first.local_addr()?.port();
        let more = (2..=count).map(|last| {
            let last = u8::try_from(last).map_err(io::Error::other)?;
            listen_on((Ipv4Addr::new(127, 0, 0, last), port).into())
        });
        match std::iter::once(Ok(first)).chain(more).collect() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < PORT_TRIES => tries += 1,
            listeners => return listeners,
        }
    }
}

fn accept_all(listener: &TcpListener, state: &Arc<State>) {
    loop {
        match listener.accept() {
            Ok((stream, _peer)) => {
                state.count(|here| &here.accepted, 1);
                let state = state.clone();
                drop(greenhub::spawn(move || serve(&stream, &state)));
            }
            Err(error) => {
                // Shortages `accept` sits out by itself; this is the end of the listener.
                return crate::complain(&format!("accepting ended: {error}"));
            }
        }
    }
}

fn serve(stream: &TcpStream, state: &State) {
    if echo(stream, state).is_err() {
        // The peer is gone. Whether it should be is for the load to say.
        state.count(|here| &here.broken, 1);
    }
    state.count(|here| &here.ended, 1);
}

fn echo(mut stream: &TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Not on the stack, of which this greenlet otherwise needs a single page.
    let mut buffer = vec![0; state.buffer];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => {
                stream.write_all(&buffer[..length])?;
                state.count(|here| &here.echoes, 1);
                state.count(|here| &here.bytes, length as u64);
            }
        }
    }
}

impl State {
    /// Adds to what was counted on the hub that this runs on.
    // Not inlined into what suspends: in migrate mode the hub may be another each time.
    #[inline(never)]
    fn count(&self, what: impl FnOnce(&HubCounts) -> &AtomicU64, number: u64) {
        let hub = greenhub::runtime::current_hub().expect("only greenlets count");
        // Relaxed: a number, read for display and, at the end, after the greenlets have gone.
        what(&self.hubs[hub]).fetch_add(number, Ordering::Relaxed);
    }
}

impl HubCounts {
    fn read(&self) -> Counts {
        // `ended` first, and with Acquire, so that no more have ended than were accepted.
        let ended = self.ended.load(Ordering::Acquire);
        let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Counts {
            accepted: get(&self.accepted),
            ended,
            broken: get(&self.broken),
            echoes: get(&self.echoes),
            bytes: get(&self.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_listeners_share_one_port() {
        let listeners = listen_on_loopback(3).unwrap();
        let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let hosts: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        assert_eq!(hosts, ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        assert!(addresses.iter().all(|address| address.port() == addresses[0].port()));
    }
}
