//! One sample: a process of its own for the workload, or two, for a server and its load.

use super::case::{Case, Kind};
use super::runtimes::{How, Runtime};
use crate::process::{Child as _, allowed};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How much a sample does.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// How long the measured part takes, about.
    pub(crate) span: Duration,
    /// Sizes at which it is only seen that everything works.
    pub(crate) tiny: bool,
}

/// How long a process may take over a sample before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// Names and numbers.
pub(crate) type Readings = BTreeMap<String, f64>;

/// Takes one.
pub(crate) fn take(case: &Case, runtime: &Runtime, hubs: usize, effort: Effort) -> io::Result<Readings> {
    let size = if effort.tiny { case.tiny } else { case.size };
    match case.kind {
        Kind::Program => {
            let span = if effort.tiny { Duration::ZERO } else { effort.span };
            let mut command = program(
                runtime,
                &[
                    "sample",
                    &runtime.name,
                    case.workload,
                    &hubs.to_string(),
                    &size.to_string(),
                    &span.as_millis().to_string(),
                ],
            )?;
            if runtime.unbounded {
                command.pinned(&first_cores(hubs)?);
            }
            numbers(Running::start(command)?)
        }
        Kind::Server { connections } => {
            let connections = if effort.tiny { connections.min(64) } else { connections };
            served(case, runtime, hubs, connections, effort.span)
        }
    }
}

/// The command line of a runtime's program: those of other languages are told all but that they are one of many.
fn program(runtime: &Runtime, arguments: &[&str]) -> io::Result<Command> {
    match &runtime.how {
        How::Here => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(arguments);
            Ok(command)
        }
        How::Elsewhere { program, arguments: first, .. } => {
            let mut command = Command::new(program);
            command.args(first).args(arguments.iter().filter(|&&argument| argument != runtime.name));
            Ok(command)
        }
    }
}

fn first_cores(count: usize) -> io::Result<Vec<usize>> {
    Ok(allowed()?.into_iter().take(count).collect())
}

fn served(
    case: &Case,
    runtime: &Runtime,
    hubs: usize,
    connections: u64,
    span: Duration,
) -> io::Result<Readings> {
    let computing = case.size.to_string();
    let mut server = program(runtime, &["serve", &runtime.name, &hubs.to_string(), &computing])?;
    let mut load = Command::new(std::env::current_exe()?);
    // With fewer cores than two there is nothing to choose.
    if let (true, [first, second, ..]) = (case.workload == "echo", &allowed()?[..]) {
        server.pinned(&[*first]);
        load.pinned(&[*second]);
    } else if runtime.unbounded {
        server.pinned(&first_cores(hubs)?);
    }
    let mut server = Running::start(server)?;
    let port = server.line()?;
    let port = port.strip_prefix("port ").map(str::trim);
    let port = port.ok_or_else(|| server.failed("it does not say its port"))?;
    // Long enough for the quantiles of the many connections to mean something.
    let span = span.max(Duration::from_millis(20)) * if connections >= 1000 { 10 } else { 5 };
    load.args(["load", port, &connections.to_string(), &span.as_millis().to_string()]);
    // What goes wrong shows in the load; the server ends with its handle.
    numbers(Running::start(load)?)
}

fn numbers(mut running: Running) -> io::Result<Readings> {
    let text = running.rest()?;
    let reading = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_string(), value.trim().parse().ok()?))
    };
    let readings: Option<Readings> = text.lines().map(reading).collect();
    match readings {
        Some(readings) if !readings.is_empty() => Ok(readings),
        _ => Err(running.failed(&format!("it said {text:?}"))),
    }
}

/// A child that does not outlive its handle.
struct Running {
    child: Child,
    /// What it says, line by line, and its end.
    said: mpsc::Receiver<String>,
    complaint: Option<thread::JoinHandle<String>>,
}

impl Running {
    fn start(mut command: Command) -> io::Result<Self> {
        command.dies_with_us();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error}", command.get_program().display())))?;
        let (line, said) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            // Who has stopped listening has killed the child.
            lines.map_while(Result::ok).all(|text| line.send(text).is_ok())
        });
        let complaint = thread::spawn(move || {
            let mut text = String::new();
            // What cannot be read of a complaint is not worth another.
            let _read = stderr.map(|mut stderr| stderr.read_to_string(&mut text));
            text
        });
        Ok(Self { child, said, complaint: Some(complaint) })
    }

    fn line(&mut self) -> io::Result<String> {
        self.said.recv_timeout(PATIENCE).map_err(|_| self.failed("it says nothing"))
    }

    /// What it says until it ends, and that it ends well.
    fn rest(&mut self) -> io::Result<String> {
        let mut text = String::new();
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => text.extend([&line, "\n"]),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(io::Error::other(format!("not done after {} s", PATIENCE.as_secs())));
                }
            }
        }
        let status = self.child.wait()?;
        if status.success() { Ok(text) } else { Err(self.failed(&status.to_string())) }
    }

    /// An error that gives the gist of its complaint too.
    fn failed(&mut self, what: &str) -> io::Error {
        // It may be over already.
        let _killed = self.child.kill();
        let complaint = self.complaint.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        match gist(&complaint) {
            Some(line) => io::Error::other(format!("{what}: {line}")),
            None => io::Error::other(what.to_string()),
        }
    }
}

/// The first line that says something; of a panic, what it says, and not the place, which is a path of this machine.
fn gist(complaint: &str) -> Option<&str> {
    let mut lines = complaint.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next()?;
    if first.contains(" panicked at ") { lines.next() } else { Some(first) }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be over already; and then it is waited for, so that it does not stay a zombie.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::gist;

    #[test]
    fn of_a_panic_the_message_is_what_counts() {
        let panic = "\nthread 'main' (7) panicked at /some/place.rs:321:51:\nout of stacks\nnote: run with\n";
        assert_eq!(gist(panic), Some("out of stacks"));
        assert_eq!(gist("\nno such port\nat all\n"), Some("no such port"));
        assert_eq!(gist("\n"), None);
    }
}
