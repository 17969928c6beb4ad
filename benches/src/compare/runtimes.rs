//! [`Runtime`]: who takes part, in which version, and how its programs are run.

use super::case::{Case, Kind};
use crate::peer;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Somebody to measure.
#[derive(Clone)]
pub(crate) struct Runtime {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Whether its tasks have stacks of their own.
    pub(crate) stackful: bool,
    /// It knows no number of hubs, so it gets as many cores.
    pub(crate) unbounded: bool,
    pub(crate) how: How,
}

/// Where its programs are.
#[derive(Clone)]
pub(crate) enum How {
    /// Part of this one.
    Here,
    /// One of another language; it has all workloads but these.
    Elsewhere { program: PathBuf, arguments: Vec<String>, lacks: &'static [&'static str], one_core: bool },
}

const LOCK: &str = include_str!("../../../Cargo.lock");

/// All names, in the table's order.
pub(crate) const NAMES: &[&str] =
    &["greenhub", "greenhub-migrate", "tokio", "may", "smol", "threads", "rayon", "go", "gevent", FLOOR];

/// Those that are compared if nobody is named.
pub(crate) const COMPARED: &[&str] =
    &["greenhub", "greenhub-migrate", "tokio", "may", "smol", "threads", "rayon", "go", "gevent"];

/// The runtime that is none.
pub(crate) const FLOOR: &str = "floor";

/// What gevent has no program for: it has one thread, and a tree of a million takes it too long.
const GEVENT_LACKS: &[&str] =
    &["spawn-outside", "fork-join", "rt-spawn-busy", "rt-yield-many", "rt-ping-pong", "skew"];

impl Runtime {
    /// Whether it has a program for that, and whether that number of hubs is one of its.
    pub(crate) fn takes_part(&self, case: &Case, hubs: usize) -> bool {
        let on = match &self.how {
            How::Elsewhere { lacks, one_core, .. } => {
                !lacks.contains(&case.workload) && (hubs == 1 || !one_core)
            }
            // A floor is that of one thread.
            How::Here if self.name == FLOOR => hubs == 1 && self.has(case),
            How::Here => self.has(case),
        };
        on && case.on_hubs(hubs)
    }

    /// Whether it has a program for that in this one.
    fn has(&self, case: &Case) -> bool {
        peer::named(&self.name).is_some_and(|peer| match case.kind {
            Kind::Program => peer.programs.iter().any(|(program, _)| *program == case.workload),
            Kind::Server { .. } => peer.serve.is_some(),
        })
    }
}

/// Whether a runtime of that name is one of ours.
pub(crate) fn is_greenhub(name: &str) -> bool {
    name.starts_with("greenhub")
}

/// The runtimes of these names; and why some of them are not there.
pub(crate) fn chosen(names: &[String]) -> io::Result<(Vec<Runtime>, Vec<String>)> {
    if let Some(name) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(io::Error::other(format!(
            "no runtime is called {name:?}; there are: {}",
            NAMES.join(", ")
        )));
    }
    let wanted = |name: &&&str| names.iter().any(|wanted| wanted == **name);
    let mut runtimes: Vec<_> = peer::ALL.iter().filter(|peer| wanted(&&peer.name)).map(here).collect();
    let mut missing = Vec::new();
    let elsewhere: Vec<_> = ["go", "gevent"].iter().filter(wanted).copied().collect();
    if !elsewhere.is_empty() {
        let (found, why_not) = set_up(&elsewhere)?;
        runtimes.extend(found);
        missing = why_not;
    }
    runtimes.sort_by_key(|runtime| NAMES.iter().position(|name| *name == runtime.name));
    Ok((runtimes, missing))
}

fn here(peer: &peer::Peer) -> Runtime {
    let version = match peer.name {
        "greenhub" | "greenhub-migrate" => env!("CARGO_PKG_VERSION").to_string(),
        "threads" => super::machine::COMPILER.to_string(),
        "floor" => {
            format!("corosensei {}, crossbeam-deque {}", locked("corosensei"), locked("crossbeam-deque"))
        }
        "smol" => format!("{} (async-executor {})", locked("smol"), locked("async-executor")),
        name => locked(name),
    };
    Runtime {
        name: peer.name.to_string(),
        version,
        stackful: peer.stackful,
        unbounded: peer.name == "threads",
        how: How::Here,
    }
}

/// The version of a crate this program was built with.
fn locked(name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = LOCK.split_once(&entry).and_then(|(_, rest)| rest.split_once('"'));
    version.map_or_else(|| "?".to_string(), |(version, _)| version.to_string())
}

/// Installs the runtimes of other languages, or finds out why that cannot be: the script says one line of each.
fn set_up(names: &[&str]) -> io::Result<(Vec<Runtime>, Vec<String>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/set-up.sh");
    let place = std::env::current_exe()?.with_file_name("peers");
    eprintln!("bench: setting up {} in {}", names.join(" and "), place.display());
    let output =
        Command::new("bash").arg(&script).arg(&place).args(names).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for &name in names {
        let said = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        match said.and_then(|said| said.strip_prefix("version ")) {
            Some(version) => found.push(elsewhere(name, version, &place)),
            None => missing.push(format!("{name} is left out: {}", said.unwrap_or("its set-up failed"))),
        }
    }
    Ok((found, missing))
}

fn elsewhere(name: &str, version: &str, place: &Path) -> Runtime {
    let how = if name == "go" {
        How::Elsewhere { program: place.join("go-peer"), arguments: Vec::new(), lacks: &[], one_core: false }
    } else {
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/gevent/main.py");
        How::Elsewhere {
            program: place.join("environment/bin/python"),
            arguments: vec![main.display().to_string()],
            lacks: GEVENT_LACKS,
            one_core: true,
        }
    };
    Runtime { name: name.to_string(), version: version.to_string(), stackful: true, unbounded: false, how }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        for name in ["tokio", "may", "smol", "rayon", "corosensei", "crossbeam-deque", "async-executor"] {
            let version = locked(name);
            assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{name}: {version}");
        }
        assert_eq!(locked("no-such-crate"), "?");
    }

    #[test]
    fn an_unknown_runtime_is_an_error_that_names_the_known_ones() {
        let error = chosen(&["tokyo".into()]).err().expect("there is none").to_string();
        assert!(error.contains("\"tokyo\"") && error.contains("tokio"), "{error}");
    }
}
