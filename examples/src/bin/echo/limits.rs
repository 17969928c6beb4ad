//! What the machine allows: descriptors, ports, the listeners' backlog; and what fits into that.
//!
//! [`Limits::raise_and_read`] raises the soft limit of descriptors to the hard one and reads the rest. [`plan`] is
//! arithmetic: how many of the connections wanted fit, over how many loopback addresses they spread, how many may be
//! opening at once, and for every cut which limit makes it and what raises that.
//!
//! *Ports.* A connection is told apart by its two addresses and ports, so one client address has, towards one
//! address and port, as many connections as there are ephemeral ports: 28,232 where the range is Linux's default. All
//! of 127.0.0.0/8 is this machine, so the server listens on as many of 127.0.0.1, 127.0.0.2, … as it takes.
//!
//! *Backlog.* A listener's queue of connections not yet accepted holds at most 128 (what std asks for) or
//! `net.core.somaxconn`; a connection beyond that is dropped, and tried again by the kernel a second later. So the
//! load has no more than half of that in the making at any time.

use crate::failed;
use crate::numbers::count;
use std::io;

/// The backlog that `TcpListener::bind` asks for.
const BACKLOG: usize = 128;

/// Loopback addresses 127.0.0.1 to 127.0.0.250.
pub(crate) const MOST_ADDRESSES: usize = 250;

/// What the system says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The soft limit of descriptors, after it was raised.
    descriptors: usize,
    /// The ephemeral ports, first and last.
    ports: (u16, u16),
    /// `net.core.somaxconn`.
    backlog: usize,
}

/// What the limits are to be held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// Connections wanted.
    pub(crate) connections: usize,
    /// Hubs on a side; each has a few descriptors of its own.
    pub(crate) hubs: usize,
    /// To how many addresses the connections go, or `None` if that is ours to choose.
    pub(crate) addresses: Option<usize>,
}

/// What fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) addresses: usize,
    /// How many connections may be opening at the same time.
    pub(crate) at_once: usize,
    /// Which limit cut what, and what to do about it.
    pub(crate) cuts: Vec<String>,
}

impl Limits {
    /// Raises the soft limit of descriptors as far as it goes, and reads the limits.
    pub(crate) fn raise_and_read() -> io::Result<Self> {
        Ok(Self {
            descriptors: raise_descriptors()
                .map_err(|error| failed("cannot read the limit of descriptors (RLIMIT_NOFILE)", &error))?,
            // Where a file is missing the system's default is a fair guess; it only spreads the load.
            ports: read("/proc/sys/net/ipv4/ip_local_port_range", parse_range).unwrap_or((32_768, 60_999)),
            backlog: read("/proc/sys/net/core/somaxconn", |text| text.trim().parse().ok()).unwrap_or(BACKLOG),
        })
    }

    /// How many descriptors are left for connections.
    pub(crate) fn descriptors_for_connections(&self, hubs: usize, addresses: usize) -> usize {
        // An event loop takes two (and its waker one), a listener one; standard streams, pipes and whatever the
        // process inherited get 32.
        self.descriptors.saturating_sub(32 + 3 * hubs + addresses)
    }

    fn ports(&self) -> usize {
        usize::from(self.ports.1.saturating_sub(self.ports.0)) + 1
    }
}

/// What of `need` fits into `limits`.
pub(crate) fn plan(limits: &Limits, need: Need) -> Plan {
    let mut connections = need.connections;
    let mut cuts = Vec::new();
    let addresses = need.addresses.unwrap_or_else(|| {
        // Three quarters of the range each, for others use ports too, and so do connections that were just closed.
        connections.div_ceil((limits.ports() * 3 / 4).max(1)).clamp(1, MOST_ADDRESSES)
    });
    let by_descriptors = limits.descriptors_for_connections(need.hubs, addresses);
    if connections > by_descriptors {
        let wanted = limits.descriptors.saturating_add(connections - by_descriptors);
        cuts.push(format!(
            "{} connections do not fit: a process may have {} descriptors here (the hard limit, RLIMIT_NOFILE). \
             `ulimit -Hn {wanted}` by root in the shell that starts this raises it (LimitNOFILE={wanted} in a systemd unit, \
             `nofile` in /etc/security/limits.conf). Going on with {}.",
            count(connections as u64),
            count(limits.descriptors as u64),
            count(by_descriptors as u64),
        ));
        connections = by_descriptors;
    }
    let by_ports = limits.ports() * addresses;
    if connections > by_ports {
        cuts.push(format!(
            "{} connections do not fit: there are {} local ports towards each of {addresses} address(es). \
             `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"` gives more, and so does a server that listens on more \
             addresses (`--connect` takes several). Going on with {}.",
            count(connections as u64),
            count(limits.ports() as u64),
            count(by_ports as u64),
        ));
        connections = by_ports;
    }
    let backlog = limits.backlog.min(BACKLOG);
    if backlog < BACKLOG {
        cuts.push(format!(
            "a listener may have only {backlog} connections waiting (net.core.somaxconn), so they are opened slowly; \
             `sysctl -w net.core.somaxconn=4096` raises it."
        ));
    }
    Plan { connections, addresses, at_once: (backlog / 2).max(1), cuts }
}

/// Raises the soft limit to the hard one, and gives what it is then.
fn raise_descriptors() -> io::Result<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing for the length of the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: `raised` is valid for reading for the length of the call.
    if limit.rlim_cur < limit.rlim_max && unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
        limit = raised;
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

fn read<T>(path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    parse(&std::fs::read_to_string(path).ok()?)
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut ends = text.split_whitespace().map(str::parse);
    Some((ends.next()?.ok()?, ends.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Limits = Limits { descriptors: 1 << 20, ports: (32_768, 60_999), backlog: 4096 };

    fn need(connections: usize) -> Need {
        Need { connections, hubs: 2, addresses: None }
    }

    #[test]
    fn what_fits_is_not_cut() {
        let plan = plan(&USUAL, need(10_000));
        assert_eq!(plan, Plan { connections: 10_000, addresses: 1, at_once: 64, cuts: vec![] });
    }

    #[test]
    fn past_the_port_range_there_are_more_addresses() {
        assert_eq!(plan(&USUAL, need(21_174)).addresses, 1);
        let thirty = plan(&USUAL, need(30_000));
        assert_eq!((thirty.connections, thirty.addresses, thirty.cuts.len()), (30_000, 2, 0));
        assert_eq!(plan(&USUAL, need(1_000_000)).addresses, 48);
    }

    #[test]
    fn a_hard_limit_of_descriptors_is_named_and_leaves_what_fits() {
        let limits = Limits { descriptors: 20_000, ..USUAL };
        let plan = plan(&limits, need(30_000));
        assert_eq!(plan.connections, 20_000 - 32 - 6 - 2);
        assert_eq!(plan.cuts.len(), 1);
        let cut = &plan.cuts[0];
        for part in ["30,000", "20,000", "RLIMIT_NOFILE", "ulimit -Hn 30040", "19,960"] {
            assert!(cut.contains(part), "{part} is not in: {cut}");
        }
    }

    #[test]
    fn one_address_has_only_so_many_ports() {
        let fixed = Need { addresses: Some(1), ..need(30_000) };
        let plan = plan(&USUAL, fixed);
        assert_eq!(plan.connections, 28_232);
        assert!(plan.cuts[0].contains("ip_local_port_range"), "{:?}", plan.cuts);
    }

    #[test]
    fn a_short_backlog_slows_the_opening() {
        let plan = plan(&Limits { backlog: 16, ..USUAL }, need(100));
        assert_eq!((plan.connections, plan.at_once), (100, 8));
        assert!(plan.cuts[0].contains("somaxconn"));
    }

    #[test]
    fn absurd_limits_do_not_overflow() {
        let all = Limits { descriptors: usize::MAX, ports: (1, 65_535), backlog: 0 };
        assert_eq!(plan(&all, need(usize::MAX)).addresses, MOST_ADDRESSES);
        let none = Limits { descriptors: 10, ports: (60_000, 50_000), backlog: 1 };
        let plan = plan(&none, need(5));
        assert_eq!((plan.connections, plan.at_once), (0, 1));
    }
}
