//! The command line.

use clap::{Parser, ValueEnum};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

/// The largest message: each side sends and checks it in pieces, so only patience limits it.
const LARGEST_SIZE: u64 = 64 << 20;

/// Starts an echo server on all hubs, drives connections at it from a process of its own, verifies every byte, and
/// says what came of it. Ctrl-C ends it early, with the summary.
#[derive(Parser, Debug, Clone)]
#[command(name = "echo", version)]
pub(crate) struct Options {
    /// Only serve, on HOST:PORT, until Ctrl-C (port 0: the system chooses)
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with_all = ["connect", "client", "connections"])]
    listen: Option<SocketAddr>,

    /// Only load the server at HOST:PORT; several, separated by commas, share the connections
    #[arg(long, value_name = "ADDR", value_parser = address, value_delimiter = ',')]
    pub(crate) connect: Vec<SocketAddr>,

    /// What holds the connections: greenlets, or plain threads that use nothing of greenhub
    #[arg(long, value_enum, default_value_t = Client::Greenlets)]
    pub(crate) client: Client,

    /// Hubs on each side [default: GREENHUB_HUBS, or one a core]
    #[arg(long, value_name = "N")]
    pub(crate) hubs: Option<usize>,

    /// Connections [default: 10000; with --client std 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    connections: Option<u64>,

    /// How long to measure, once all connections are open
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    pub(crate) seconds: Duration,

    /// Bytes in a message
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=LARGEST_SIZE))]
    size: u64,

    /// Bind each hub to a core, on both sides
    #[arg(long)]
    pub(crate) pin: bool,

    /// Let started greenlets change hubs too, on both sides
    #[arg(long)]
    pub(crate) migrate: bool,

    /// What the bytes sent are made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// This is the load process: go by the parent's word, and report in lines
    #[arg(long, hide = true, requires = "connect")]
    child: bool,
}

/// Who drives the connections.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A greenlet each.
    Greenlets,
    /// An OS thread each, with `std::net` only, so that a bug on both sides cannot hide.
    Std,
}

/// What this process is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Both,
    Serve(SocketAddr),
    Load,
    Child,
}

impl Options {
    pub(crate) fn role(&self) -> Role {
        match self.listen {
            Some(address) => Role::Serve(address),
            None if self.child => Role::Child,
            None if self.connect.is_empty() => Role::Both,
            None => Role::Load,
        }
    }

    /// How many connections are wanted.
    pub(crate) fn connections(&self) -> usize {
        let default = match self.client {
            Client::Greenlets => 10_000,
            Client::Std => 1_000,
        };
        self.connections.map_or(default, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX))
    }

    /// Bytes in a message.
    pub(crate) fn size(&self) -> usize {
        // The parser has seen to it that it fits.
        self.size as usize
    }

    /// How the child is started: these options, for this many connections to these addresses.
    pub(crate) fn for_child(&self, connections: usize, addresses: &[SocketAddr]) -> Vec<String> {
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let client = match self.client {
            Client::Greenlets => "greenlets",
            Client::Std => "std",
        };
        let mut arguments = vec![
            "--child".to_owned(),
            format!("--connect={}", addresses.join(",")),
            format!("--client={client}"),
            format!("--connections={connections}"),
            format!("--seconds={}", self.seconds.as_secs_f64()),
            format!("--size={}", self.size),
            format!("--seed={}", self.seed),
        ];
        arguments.extend(self.hubs.map(|hubs| format!("--hubs={hubs}")));
        arguments.extend(self.pin.then(|| "--pin".to_owned()));
        arguments.extend(self.migrate.then(|| "--migrate".to_owned()));
        arguments
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let hint = "an address is HOST:PORT, as in 127.0.0.1:7000";
    match text.to_socket_addrs() {
        Ok(mut found) => found.next().ok_or_else(|| format!("this name has no address; {hint}")),
        Err(error) => Err(format!("{error}; {hint}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_zero) => Err("nothing can be measured in no time".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once(&"echo").chain(arguments))
    }

    #[test]
    fn without_options_it_is_both_sides_and_ten_thousand_connections() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.role(), Role::Both);
        assert_eq!((options.connections(), options.size()), (10_000, 128));
        assert_eq!(parse(&["--client", "std"]).unwrap().connections(), 1_000);
    }

    #[test]
    fn the_child_is_told_everything() {
        let line = ["--hubs", "3", "--seconds", "0.25", "--size", "77", "--seed", "9", "--pin", "--migrate"];
        let parent = parse(&line).unwrap();
        let to: Vec<SocketAddr> = vec!["127.0.0.1:1000".parse().unwrap(), "127.0.0.2:1000".parse().unwrap()];
        let told = parent.for_child(1234, &to);
        let child = parse(&told.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(child.role(), Role::Child);
        assert_eq!(child.connect, to);
        assert_eq!((child.connections(), child.size(), child.seed), (1234, 77, 9));
        assert_eq!((child.hubs, child.seconds), (Some(3), Duration::from_millis(250)));
        assert!(child.pin && child.migrate && child.client == Client::Greenlets);
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (arguments, reason) in [
            (&["--listen"][..], "a value is required"),
            (&["--listen", "nowhere"], "HOST:PORT"),
            (&["--listen", "127.0.0.1"], "HOST:PORT"),
            (&["--connect", "127.0.0.1:99999"], "HOST:PORT"),
            (&["--connections", "0"], "0 is not in"),
            (&["--size", "0"], "0 is not in"),
            (&["--seconds", "0"], "no time"),
            (&["--seconds=-1"], "negative"),
            (&["--seconds", "nan"], "invalid value"),
            (&["--listen", "127.0.0.1:0", "--connect", "127.0.0.1:1"], "cannot be used with"),
            (&["--client", "tokio"], "possible values"),
        ] {
            let message = parse(arguments).unwrap_err().to_string();
            assert!(message.contains(reason), "{arguments:?} says: {message}");
        }
    }
}
