//! The load in a process of its own, from both ends of the pipes.
//!
//! The child writes [`Event`]s to its standard output, a line each, and reads its standard input: a line `begin` starts
//! the measured time, the end of the stream (the parent wants to stop, or is gone) ends the run.

use crate::event::{Event, Outcome};
use crate::options::Options;
use crate::{complain, failed, load, stop};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A load that says nothing for so long is dead or stuck; it speaks every fifth of a second.
const SILENCE: Duration = Duration::from_secs(60);

const BEGIN: &str = "begin";

static MAY_BEGIN: AtomicBool = AtomicBool::new(false);
static PARENT_GONE: AtomicBool = AtomicBool::new(false);

/// The child's `main`. Gives whether everything was verified.
pub(crate) fn main(options: &Options) -> io::Result<bool> {
    thread::Builder::new().name("echo-parent".into()).spawn(|| {
        for line in io::stdin().lock().lines() {
            match line {
                Ok(line) if line == BEGIN => MAY_BEGIN.store(true, Ordering::Relaxed),
                Ok(_unknown) => {}
                Err(_gone) => break,
            }
        }
        PARENT_GONE.store(true, Ordering::Relaxed);
    })?;
    let may_begin = || MAY_BEGIN.load(Ordering::Relaxed);
    let must_stop = || stop::asked() || PARENT_GONE.load(Ordering::Relaxed);
    let outcome = load::drive(options, &may_begin, &must_stop, &mut tell)?;
    let good = outcome.failures == 0;
    tell(Event::Ended(outcome));
    Ok(good)
}

fn tell(event: Event) {
    crate::print(&format!("{event}\n"));
}

/// The parent's end.
pub(crate) struct Load {
    process: Child,
    commands: Option<ChildStdin>,
    events: Receiver<Event>,
    heard: Instant,
}

/// What the parent hears next.
pub(crate) enum Heard {
    /// The child has spoken.
    Event(Event),
    /// It has not.
    Nothing,
    /// It never will again.
    End,
}

impl Load {
    /// Starts the load: this program, with these arguments.
    pub(crate) fn start(arguments: &[String]) -> io::Result<Self> {
        let program =
            std::env::current_exe().map_err(|error| failed("cannot find this program's file", &error))?;
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed("cannot start the load process", &error))?;
        let commands = process.stdin.take();
        let lines = BufReader::new(process.stdout.take().expect("it was asked for"));
        let (sender, events) = channel();
        thread::Builder::new().name("echo-child".into()).spawn(move || {
            for line in lines.lines() {
                let Ok(line) = line else { break };
                let Ok(event) = line.parse() else {
                    complain(&format!("the load process says: {line}"));
                    continue;
                };
                if sender.send(event).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { process, commands, events, heard: Instant::now() })
    }

    /// What the child says, within `limit`.
    pub(crate) fn listen(&mut self, limit: Duration) -> Heard {
        match self.events.recv_timeout(limit) {
            Ok(event) => {
                self.heard = Instant::now();
                Heard::Event(event)
            }
            Err(RecvTimeoutError::Timeout) if self.heard.elapsed() < SILENCE => Heard::Nothing,
            Err(RecvTimeoutError::Timeout) => {
                complain(&format!("the load process has said nothing for {SILENCE:?} and is ended"));
                if let Err(error) = self.process.kill() {
                    complain(&format!("the load process cannot be ended: {error}"));
                }
                Heard::End
            }
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// The measured time may begin.
    pub(crate) fn begin(&mut self) {
        if let Some(commands) = &mut self.commands {
            // If it is gone, its end will be heard.
            let _heard = writeln!(commands, "{BEGIN}").and_then(|()| commands.flush());
        }
    }

    /// Asks for the end; the outcome comes all the same.
    pub(crate) fn stop(&mut self) {
        self.commands = None;
    }

    /// How it ended, once [`Heard::End`] was heard.
    pub(crate) fn wait(mut self) -> io::Result<ExitStatus> {
        self.stop();
        self.process.wait().map_err(|error| failed("cannot wait for the load process", &error))
    }
}

/// What the parent makes of the child's end: the outcome, if it gave one.
pub(crate) fn judge(outcome: Option<Outcome>, status: ExitStatus) -> Option<Outcome> {
    if outcome.is_none() {
        complain(&format!("the load process died before it had a result: {status}"));
    }
    outcome
}
