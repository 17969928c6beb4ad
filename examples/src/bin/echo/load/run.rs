//! [`Run`]: what all connections of a load share, whatever holds them.
//!
//! The life of a run: connections are *issued* (somebody sets out to open one), and *settled* when they are open or
//! have failed to; when all are settled they wait at the gate; from [`Run::begin`] to [`Run::end`] they send.
//!
//! Nothing that happens once a request is shared by all: each lane counts for itself, see [`lane`](super::lane).

use super::connection::Trouble;
use super::gate::Gate;
use super::lane::{Lane, latencies};
use crate::event::{Event, Outcome};
use crate::numbers::count;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many failures are told one by one.
const FAILURES_TOLD: u64 = 5;

/// A load, from the first connection to the last. Relaxed throughout: the numbers are for display and for decisions that
/// may come a moment late; what was measured is read after the greenlets and threads have been joined.
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) size: usize,
    targets: Vec<SocketAddr>,
    wanted: u64,
    /// How many connections may be opening at the same time.
    pub(crate) at_once: usize,
    issued: AtomicU64,
    settled: AtomicU64,
    opened: AtomicU64,
    ended: AtomicU64,
    failures: AtomicU64,
    /// No more connections are to be opened.
    closed: AtomicBool,
    /// No more requests are to be sent.
    over: AtomicBool,
    gate: Box<dyn Gate>,
    begun: Mutex<Option<Instant>>,
    /// One a hub or thread.
    lanes: Box<[Lane]>,
    /// To be told by the monitor.
    news: Mutex<Vec<Event>>,
}

/// What a load is to be.
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) size: usize,
    pub(crate) targets: Vec<SocketAddr>,
    pub(crate) connections: usize,
    pub(crate) at_once: usize,
}

impl Run {
    pub(crate) fn new(order: Order, gate: Box<dyn Gate>, lanes: usize) -> Self {
        let Order { seed, size, targets, connections, at_once } = order;
        Self {
            seed,
            size,
            targets,
            wanted: connections as u64,
            at_once,
            issued: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            gate,
            begun: Mutex::new(None),
            lanes: (0..lanes).map(|_| Lane::new()).collect(),
            news: Mutex::default(),
        }
    }

    // For whoever starts connections.

    /// The number of the next connection to open, if there is one.
    pub(crate) fn next(&self) -> Option<usize> {
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let next = |issued| (issued < self.wanted).then_some(issued + 1);
        let issued = self.issued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        issued.ok().map(|index| index as usize)
    }

    /// A connection could not even be tried: no thread for it.
    pub(crate) fn could_not_start(&self, error: &io::Error) {
        self.cut(format!(
            "no more threads to be had ({error}): RLIMIT_NPROC (`ulimit -u`), kernel.threads-max, kernel.pid_max or \
             pids.max of the control group"
        ));
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    // For a connection.

    /// Where connection `index` goes.
    pub(crate) fn target(&self, index: usize) -> SocketAddr {
        self.targets[index % self.targets.len()]
    }

    pub(crate) fn has_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    /// The first that cannot be opened ends the opening: what is wrong with one connection is wrong with the next, and
    /// is said once. If a limit is the reason, the run goes on with what fits; else it has failed.
    pub(crate) fn could_not_open(&self, index: usize, trouble: &Trouble) {
        let code = match trouble {
            Trouble::Call { call: "connect", error, .. } => error.raw_os_error(),
            _ => None,
        };
        match code {
            Some(libc::EMFILE) => self.cut("out of descriptors: RLIMIT_NOFILE, `ulimit -Hn`".into()),
            Some(libc::ENFILE) => self.cut("the system is out of descriptors: `sysctl fs.file-max`".into()),
            Some(libc::EADDRNOTAVAIL) => self.cut(format!(
                "out of local ports towards {}: `sysctl net.ipv4.ip_local_port_range`, or more addresses",
                self.target(index)
            )),
            Some(libc::ENOBUFS | libc::ENOMEM) => {
                self.cut("out of memory for sockets: `sysctl net.ipv4.tcp_mem`".into());
            }
            _ if self.closed.swap(true, Ordering::Relaxed) => {}
            _ => self.has_failed(index, trouble),
        }
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    /// A limit was met: no more connections.
    fn cut(&self, limit: String) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            let opened = count(self.opened.load(Ordering::Relaxed));
            self.tell(Event::Note(format!("{limit}. Going on with the {opened} connections that are open.")));
        }
    }

    pub(crate) fn wait_for_the_word(&self) {
        self.gate.wait();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Where connection `index` counts: by hub in a greenlet, by its number in a thread.
    // Not inlined into what suspends: in migrate mode the hub may be another each time.
    #[inline(never)]
    pub(crate) fn lane(&self, index: usize) -> &Lane {
        &self.lanes[greenhub::runtime::current_hub().unwrap_or(index) % self.lanes.len()]
    }

    pub(crate) fn has_failed(&self, index: usize, trouble: &Trouble) {
        if self.failures.fetch_add(1, Ordering::Relaxed) < FAILURES_TOLD {
            let target = self.target(index);
            self.tell(Event::Failure(format!("connection {index} to {target}: {trouble}")));
        }
    }

    pub(crate) fn has_ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    // For the monitor.

    /// Something else went wrong.
    pub(crate) fn fail(&self, text: String) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Failure(text));
    }

    // Not inlined into what suspends: a lock looks at a thread-local.
    #[inline(never)]
    fn tell(&self, event: Event) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// What has not been told yet.
    pub(crate) fn news(&self) -> Vec<Event> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether every connection that will be open is.
    pub(crate) fn all_settled(&self) -> bool {
        let no_more =
            self.closed.load(Ordering::Relaxed) || self.issued.load(Ordering::Relaxed) == self.wanted;
        no_more && self.settled.load(Ordering::Relaxed) == self.issued.load(Ordering::Relaxed)
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    pub(crate) fn live(&self) -> u64 {
        let ended = self.ended.load(Ordering::Relaxed);
        self.opened().saturating_sub(ended)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.lanes.iter().map(Lane::requests).sum()
    }

    /// The measured time begins.
    pub(crate) fn begin(&self) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.gate.open();
    }

    /// No more connections, no more requests.
    pub(crate) fn end(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
        self.gate.open();
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let (latency, last) = latencies(&self.lanes);
        let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = begun.zip(last).map(|(begun, last)| last.saturating_duration_since(begun));
        Outcome {
            connections: self.opened(),
            requests: self.requests(),
            bytes: self.lanes.iter().map(Lane::bytes).sum(),
            elapsed: elapsed.unwrap_or_default(),
            latency,
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}
