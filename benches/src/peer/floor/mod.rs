//! The floors: what a workload costs when nothing is left of a runtime but the one thing that it cannot do without.
//! All on one thread, without contention.

mod deque;
mod echo;
mod lock;
mod pages;
mod switches;

pub(crate) use pages::Region;

use super::Peer;
use crate::setting::Mode;

/// What the floor of each workload is.
pub(crate) const WHAT: &[(&str, &str)] = &[
    ("yield", "corosensei: resume and suspend, as many stacks"),
    ("spawn-batch", "crossbeam-deque push and pop of a boxed closure, run as a coroutine on a reused stack"),
    ("spawn-one", "crossbeam-deque push and pop of a boxed closure, run as a coroutine on a reused stack"),
    ("spawn-outside", "crossbeam-deque injector push and steal, run as a coroutine on a reused stack"),
    ("skynet", "as for spawn-batch, once a node"),
    ("ping-pong", "corosensei: two times resume and suspend, as many stacks"),
    ("ring", "corosensei: resume and suspend, as many stacks"),
    ("fork-join", "crossbeam-deque push and pop of a boxed closure, and a call"),
    ("mpmc", "std Mutex<VecDeque>, locked twice a message, nobody else there"),
    ("mutex", "std Mutex, nobody else there"),
    ("sleep", "a guard and one touched page a stack"),
    ("timeouts", "corosensei: resume and suspend"),
    ("parked", "one touched page a stack"),
    ("echo", "one thread, one epoll loop"),
    ("skew", "one thread, one epoll loop"),
    ("rt-spawn-many", "as for spawn-batch"),
    ("rt-yield-many", "as for yield"),
    ("rt-chained-spawn", "as for spawn-batch"),
];

/// The floors, as if they were a runtime.
pub(super) const PEER: Peer = Peer {
    name: "floor",
    mode: Mode::Default,
    stackful: true,
    programs: &[
        ("yield", |s| switches::in_turn(s, s.size, s.size)),
        ("spawn-batch", |s| deque::spawns(s, s.size)),
        ("spawn-one", |s| deque::spawns(s, 1)),
        ("spawn-outside", deque::injected),
        ("skynet", deque::tree),
        // A round trip is one turn of each of the two.
        ("ping-pong", |s| switches::in_turn(s, 2 * s.size, s.size)),
        ("ring", |s| switches::in_turn(s, s.size, s.size)),
        ("fork-join", deque::fork_join),
        ("mpmc", lock::messages),
        ("mutex", lock::locks),
        ("sleep", pages::touch),
        ("timeouts", |s| switches::in_turn(s, 1, 1)),
        ("parked", pages::parked),
        ("rt-spawn-many", |s| deque::spawns(s, s.size)),
        ("rt-yield-many", |s| switches::in_turn(s, s.size, s.size)),
        ("rt-chained-spawn", |s| deque::spawns(s, 1)),
    ],
    serve: Some(echo::serve),
};
