//! [`Case`]: a workload of a certain size, as it stands in the table.

use std::io;

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Better {
    Less,
    More,
}

/// A number that a case gives.
pub(crate) struct Figure {
    /// Its name in a program's output.
    pub(crate) key: &'static str,
    /// Its name in the table.
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
}

/// How a case is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// In one process.
    Program,
    /// As a server, under the load of another process on so many connections; on one hub, with a core for each of the
    /// two.
    Server { connections: u64 },
}

/// A workload of a certain size.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The program that measures it.
    pub(crate) workload: &'static str,
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// The size where it is only seen whether everything works.
    pub(crate) tiny: u64,
    /// Whether one sample takes so long that fewer are taken.
    pub(crate) heavy: bool,
    /// Whether more hubs can be expected to do more, so that `scale` looks at it.
    pub(crate) scales: bool,
    pub(crate) figures: &'static [Figure],
}

const NS: &[Figure] = &[Figure { key: "ns", unit: "ns/op", better: Better::Less }];
const MS: &[Figure] = &[Figure { key: "ms", unit: "ms", better: Better::Less }];
const BYTES: &[Figure] = &[Figure { key: "bytes", unit: "bytes each", better: Better::Less }];
const LATE: &[Figure] = &[
    Figure { key: "p50_us", unit: "p50 µs", better: Better::Less },
    Figure { key: "p99_us", unit: "p99 µs", better: Better::Less },
];
const SERVED: &[Figure] = &[
    Figure { key: "rps", unit: "requests/s", better: Better::More },
    Figure { key: "p50_us", unit: "p50 µs", better: Better::Less },
    Figure { key: "p99_us", unit: "p99 µs", better: Better::Less },
];

const fn case(name: &'static str, workload: &'static str, size: u64, tiny: u64, what: &'static str) -> Case {
    let (kind, heavy, scales) = (Kind::Program, false, false);
    Case { name, workload, what, kind, size, tiny, heavy, scales, figures: NS }
}

const fn served(name: &'static str, connections: u64, computing: u64, what: &'static str) -> Case {
    let workload = if computing == 0 { "echo" } else { "skew" };
    let kind = Kind::Server { connections };
    let scales = computing > 0;
    Case { kind, scales, figures: SERVED, ..case(name, workload, computing, computing, what) }
}

/// All of them.
pub(crate) const ALL: &[Case] = &[
    Case { scales: true, ..case("yield", "yield", 1000, 100, "1000 tasks yield to each other") },
    Case {
        scales: true,
        ..case("spawn-batch", "spawn-batch", 10_000, 100, "spawn 10,000 empty tasks, join them")
    },
    case("spawn-one", "spawn-one", 1, 1, "spawn an empty task, join it, one by one"),
    case(
        "spawn-outside",
        "spawn-outside",
        10_000,
        100,
        "spawn 10,000 from a thread outside, join them there",
    ),
    Case {
        scales: true,
        heavy: true,
        figures: MS,
        ..case("skynet", "skynet", 1_000_000, 1000, "a tree of 10^6 leaves that answer over channels, cold")
    },
    case("ping-pong-1", "ping-pong", 1, 1, "a round trip of one pair over channels of room for one"),
    Case {
        scales: true,
        ..case("ping-pong-1000", "ping-pong", 1000, 10, "a round trip of one of 1000 pairs")
    },
    case("ring", "ring", 503, 503, "one hop of a token round 503 tasks"),
    Case {
        scales: true,
        ..case(
            "fork-join",
            "fork-join",
            30,
            10,
            "fib(30), each call spawns one child, computes the other, joins",
        )
    },
    Case {
        scales: true,
        ..case("mpmc", "mpmc", 128, 128, "a message from 4 senders to 4 receivers, room for 128")
    },
    case("mutex-4", "mutex", 4, 4, "one lock, wanted by 4 tasks"),
    case("mutex-1000", "mutex", 1000, 100, "one lock, wanted by 1000 tasks"),
    Case {
        scales: true,
        heavy: true,
        figures: MS,
        ..case("sleep-100k", "sleep", 100_000, 100, "10^5 tasks sleep 200 ms: what goes beyond, cold")
    },
    Case {
        scales: true,
        heavy: true,
        figures: MS,
        ..case("sleep-1m", "sleep", 1_000_000, 100, "10^6 tasks sleep 200 ms: what goes beyond, cold")
    },
    case("timeouts", "timeouts", 1, 1, "a yield under a timeout that never fires"),
    Case {
        heavy: true,
        figures: BYTES,
        ..case("parked", "parked", 1_000_000, 1000, "resident memory of one of 10^6 parked tasks")
    },
    Case {
        figures: LATE,
        ..case(
            "hog-yielding",
            "hog-yielding",
            1,
            1,
            "lateness of 1 ms sleeps, 100 sleepers, beside one that yields all the time",
        )
    },
    Case {
        figures: LATE,
        ..case("hog-computing", "hog-computing", 1, 1, "the same beside one that yields every 10 ms")
    },
    served("echo-64", 64, 0, "TCP echo of 64 bytes, 64 connections"),
    served("echo-1000", 1000, 0, "TCP echo of 64 bytes, 1000 connections"),
    served("echo-10000", 10_000, 0, "TCP echo of 64 bytes, 10,000 connections"),
    served("skew-1", 64, 1, "64 connections opened at one accept loop, 1 µs of computing a request"),
    served("skew-10", 64, 10, "the same, 10 µs"),
    served("skew-100", 64, 100, "the same, 100 µs"),
    case(
        "rt-spawn-many",
        "rt-spawn-many",
        10_000,
        100,
        "10,000 detached tasks, the last says so (tokio's own set)",
    ),
    case(
        "rt-spawn-busy",
        "rt-spawn-busy",
        1000,
        10,
        "1000 from outside while all hubs are busy (tokio's own set)",
    ),
    case(
        "rt-yield-many",
        "rt-yield-many",
        200,
        20,
        "200 tasks yield, waited for from outside (tokio's own set)",
    ),
    case("rt-ping-pong", "rt-ping-pong", 1000, 10, "1000 fresh pairs, one round trip each (tokio's own set)"),
    case(
        "rt-chained-spawn",
        "rt-chained-spawn",
        1000,
        10,
        "1000 tasks, each spawned by the one before (tokio's own set)",
    ),
];

impl Case {
    /// Whether the number of hubs is part of it: an echo server has one core, the load the other.
    pub(crate) fn on_hubs(&self, hubs: usize) -> bool {
        self.workload != "echo" || hubs == 1
    }
}

/// The cases of these names, or of families of them (`echo` is all that start with `echo-`); all if none is named.
pub(crate) fn chosen(names: &[String]) -> io::Result<Vec<&'static Case>> {
    let is = |case: &Case, name: &str| {
        case.name == name || case.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'))
    };
    for name in names {
        if !ALL.iter().any(|case| is(case, name)) {
            let all: Vec<_> = ALL.iter().map(|case| case.name).collect();
            return Err(io::Error::other(format!(
                "no workload is called {name:?}; there are: {}",
                all.join(", ")
            )));
        }
    }
    let wanted = |case: &&Case| names.is_empty() || names.iter().any(|name| is(case, name));
    Ok(ALL.iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(chosen: &[&Case]) -> Vec<&'static str> {
        chosen.iter().map(|case| case.name).collect()
    }

    #[test]
    fn a_family_is_chosen_by_its_name() {
        let echo = chosen(&["echo".into()]).expect("there is one");
        assert_eq!(names(&echo), ["echo-64", "echo-1000", "echo-10000"]);
        let one = chosen(&["spawn-one".into()]).expect("there is one");
        assert_eq!(names(&one), ["spawn-one"]);
        assert_eq!(chosen(&[]).expect("there are some").len(), ALL.len());
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_the_known_ones() {
        let error = chosen(&["ech".into()]).err().expect("no case is called so").to_string();
        assert!(error.contains("\"ech\"") && error.contains("echo-64"), "{error}");
    }

    #[test]
    fn every_program_has_a_case_and_every_case_a_program() {
        for peer in crate::peer::ALL {
            for (program, _) in peer.programs {
                assert!(ALL.iter().any(|case| case.workload == *program), "{}: {program}", peer.name);
            }
        }
        let greenhub = crate::peer::named("greenhub").expect("it is one of them");
        for case in ALL.iter().filter(|case| case.kind == Kind::Program) {
            assert!(greenhub.programs.iter().any(|(program, _)| *program == case.workload), "{}", case.name);
        }
        for (workload, _) in crate::peer::floor::WHAT {
            assert!(ALL.iter().any(|case| case.workload == *workload), "{workload}");
        }
    }
}
