//! rayon, for fork-join only: no task of its may wait for anything but its children, and its `join` is the best there
//! is without stacks.

use super::{Figures, Peer, Sample, forks, repeat};
use crate::setting::{Mode, time};
use rayon::ThreadPoolBuilder;
use std::io;

/// rayon.
pub(super) const PEER: Peer = Peer {
    name: "rayon",
    mode: Mode::Default,
    stackful: false,
    programs: &[("fork-join", fork_join)],
    serve: None,
};

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let (half, other) = rayon::join(|| fib(n - 1), || fib(n - 2));
    half + other
}

fn fork_join(sample: &Sample) -> io::Result<Figures> {
    let pool = ThreadPoolBuilder::new().num_threads(sample.hubs).build().map_err(io::Error::other)?;
    let size = sample.size;
    Ok(sample.timed(forks(size), |rounds| pool.install(|| time(|| repeat(rounds, || fib(size))))))
}
