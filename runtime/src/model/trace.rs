//! What happened in an execution, for the report: every step that a reader of the user's code can follow.

use super::seat::{self, Doing};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::panic::Location;

/// How many of the last steps a report shows.
const SHOWN: usize = 200;

struct Step {
    seat: usize,
    what: String,
    object: usize,
    place: Option<&'static Location<'static>>,
}

#[derive(Default)]
struct Trace {
    steps: Vec<Step>,
    /// Objects in the order in which they came up, with the kind that reports call them by.
    objects: Vec<(usize, &'static str)>,
    /// Who holds what.
    held: Vec<(usize, usize)>,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::default();
}

/// A new execution.
pub(crate) fn clear() {
    TRACE.with_borrow_mut(|trace| {
        trace.steps.clear();
        trace.objects.clear();
        trace.held.clear();
    });
}

/// Notes a step of the running greenlet. `what` is `Kind::step`, of the `object` at that address.
pub(crate) fn note(what: &'static str, object: *const (), place: Option<&'static Location<'static>>) {
    let Some((seat, _)) = seat::current() else { return };
    let object = object.addr();
    TRACE.with_borrow_mut(|trace| {
        if what.ends_with(": has it") {
            trace.held.push((object, seat));
        } else if what.ends_with(": gives it back") {
            trace.held.retain(|&(held, _)| held != object);
        }
        trace.see(object, what);
        trace.steps.push(Step { seat, what: what.to_owned(), object, place });
    });
}

/// Notes that the running greenlet waits.
pub(crate) fn note_wait(what: &'static str, object: usize) {
    let Some((seat, _)) = seat::current() else { return };
    TRACE.with_borrow_mut(|trace| {
        trace.see(object, what);
        trace.steps.push(Step { seat, what: format!("waits in {what}"), object, place: None });
    });
}

/// Notes a step of the running greenlet that is about no object.
pub(crate) fn tell(what: String) {
    let Some((seat, _)) = seat::current() else { return };
    TRACE.with_borrow_mut(|trace| trace.steps.push(Step { seat, what, object: 0, place: None }));
}

/// Notes a step that the user's own code takes, with its place there; steps of this crate's own are left out.
#[track_caller]
pub(crate) fn note_of_user(what: &'static str, object: *const ()) {
    let place = Location::caller();
    if !is_ours(place.file()) {
        note(what, object, Some(place));
    }
}

/// Whether a source file is this crate's.
fn is_ours(file: &str) -> bool {
    const HERE: &str = file!();
    let sources = HERE.strip_suffix("model/trace.rs").unwrap_or(HERE);
    file.starts_with(sources)
}

impl Trace {
    fn see(&mut self, object: usize, what: &'static str) {
        let is_greenlet = seat::taken().iter().any(|seat| seat.header.get() == object);
        if object != 0 && !is_greenlet && !self.objects.iter().any(|&(seen, _)| seen == object) {
            let kind = what.split(':').next().unwrap_or(what);
            let kind = match kind {
                "Sender" | "Receiver" => "channel",
                "writes a cell" | "reads a cell" => "cell",
                other => other,
            };
            self.objects.push((object, kind));
        }
    }

    fn label(&self, object: usize) -> Option<String> {
        if let Some(greenlet) = seat::taken().iter().position(|seat| seat.header.get() == object) {
            return Some(short(greenlet));
        }
        let (at, &(_, kind)) = self.objects.iter().enumerate().find(|(_, (seen, _))| *seen == object)?;
        let number = self.objects[..=at].iter().filter(|(_, other)| *other == kind).count();
        Some(format!("{kind} {number}"))
    }
}

/// Every greenlet and what it does, and the schedule so far.
pub(crate) fn report(text: &mut String) {
    TRACE.with_borrow(|trace| {
        let seats = seat::taken();
        if seats.is_empty() {
            return;
        }
        text.push_str("greenlets:\n");
        for seat in seats {
            let name = seat.name.borrow();
            let doing = match seat.doing.get() {
                Doing::Unstarted => "has not started".to_owned(),
                Doing::Running => "runs".to_owned(),
                Doing::Ended => "has ended".to_owned(),
                Doing::Waiting { what, object } => {
                    let mut doing = format!("waits in {what}");
                    if let Some(label) = trace.label(object) {
                        let _ = write!(doing, " for {label}");
                    }
                    if let Some(&(_, holder)) = trace.held.iter().find(|(held, _)| *held == object) {
                        let _ = write!(doing, ", which {} holds", short(holder));
                    }
                    doing
                }
            };
            let _ = writeln!(text, "  {name} {doing}");
        }
        text.push_str("schedule:\n");
        let mut lines: Vec<(String, usize)> = Vec::new();
        let width = (0..seats.len()).map(|seat| short(seat).len()).max().unwrap_or(0);
        for step in &trace.steps {
            let mut line = format!("{:width$}  {}", short(step.seat), step.what);
            if let Some(label) = trace.label(step.object) {
                let _ = write!(line, " ({label})");
            }
            if let Some(place) = step.place {
                let _ = write!(line, " at {}:{}", place.file(), place.line());
            }
            match lines.last_mut() {
                Some((last, times)) if *last == line => *times += 1,
                _ => lines.push((line, 1)),
            }
        }
        let left_out = lines.len().saturating_sub(SHOWN);
        if left_out > 0 {
            let _ = writeln!(text, "  ({left_out} earlier steps left out)");
        }
        for (number, (line, times)) in lines.iter().enumerate().skip(left_out) {
            let _ = write!(text, "  {:>3}  {line}", number + 1);
            let _ = if *times > 1 { writeln!(text, ", {times} times") } else { writeln!(text) };
        }
    });
}

/// The name of a greenlet without its number and spawn place, if it has one.
pub(crate) fn short(seat: usize) -> String {
    let name = seat::at(seat).name.borrow();
    match name.find(" (") {
        Some(end) => name["greenlet ".len()..end].to_owned(),
        None => name.clone(),
    }
}
