//! One check: loom on an OS thread of its own, and how it ends.
//!
//! A check that fails is not torn down. Unwinding half an execution would run destructors that take further steps of
//! a model that has stopped, which loom answers with panics, and so with an abort. Instead the thread that found the
//! failure reports it to whoever waits for the check and stays where it is for good.

use super::{seat, trace};
use crate::facade::execution::{self, FIRST_SUPPLY, Short};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once, mpsc};
use std::time::{Duration, Instant};

/// How long one execution may be, in steps.
const LONGEST: usize = 20_000;

/// What a check came to.
pub(crate) struct Checked {
    pub(crate) executions: usize,
    pub(crate) took: Duration,
    /// The time limit ended it.
    pub(crate) cut_short: bool,
}

enum Message {
    Passed,
    Failed(String),
    /// The supply of this kind ran short.
    Again(usize),
}

thread_local! {
    /// Set on the OS thread of a check.
    static WAITING: RefCell<Option<mpsc::Sender<Message>>> = const { RefCell::new(None) };
    /// What a panic that ends the check had to say.
    static FOUND: RefCell<Option<String>> = const { RefCell::new(None) };
    static EXECUTION: Cell<usize> = const { Cell::new(0) };
    static BOUND: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Runs `body` in every interleaving with at most `bound` preemptions.
///
/// # Errors
///
/// The report of the first one that fails.
pub(crate) fn run(bound: Option<usize>, body: Arc<dyn Fn() + Send + Sync>) -> Result<Checked, String> {
    install_hook();
    let mut supply = FIRST_SUPPLY;
    loop {
        let started = Instant::now();
        let executions = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = mpsc::channel();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = bound;
        builder.max_branches = builder.max_branches.max(LONGEST);
        // How often loom looks at the clock.
        builder.checkpoint_interval = builder.checkpoint_interval.min(256);
        let limit = builder.max_duration;
        let (body, counted) = (body.clone(), executions.clone());
        let name = std::thread::current().name().unwrap_or("model").to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            WAITING.set(Some(sender.clone()));
            BOUND.set(bound);
            let seats = seat::Table::set();
            let checked = catch_unwind(AssertUnwindSafe(|| {
                builder.check(move || {
                    EXECUTION.set(counted.fetch_add(1, Ordering::Relaxed) + 1);
                    trace::clear();
                    seat::clear();
                    execution::begin(&supply);
                    body();
                    execution::end();
                })
            }));
            // A thread of loom's that ends has none of our frames to stop it in.
            stop_if_found();
            checked.unwrap_or_else(|payload| resume_unwind(payload));
            execution::leave();
            drop(seats);
            // Nobody but whoever waits could have gone.
            let _gone = sender.send(Message::Passed);
        });
        let thread = thread.expect("no thread for a model");
        match receiver.recv() {
            Ok(Message::Passed) => {
                let took = started.elapsed();
                let cut_short = limit.is_some_and(|limit| took >= limit);
                return Ok(Checked { executions: executions.load(Ordering::Relaxed), took, cut_short });
            }
            Ok(Message::Failed(report)) => return Err(report),
            Ok(Message::Again(kind)) => supply[kind] *= 2,
            Err(mpsc::RecvError) => match thread.join() {
                Err(payload) => std::panic::resume_unwind(payload),
                Ok(()) => unreachable!("a check that ends says so"),
            },
        }
    }
}

/// Ends this check with a report, and this thread's part in the program.
pub(crate) fn fail(headline: &str) -> ! {
    stop(Message::Failed(compose(headline)))
}

fn compose(headline: &str) -> String {
    let mut report = format!("{headline}\n(interleaving {}", EXECUTION.get());
    if let Some(bound) = BOUND.get() {
        report.push_str(&format!(", at most {bound} preemptions"));
    }
    report.push_str(")\n");
    trace::report(&mut report);
    report
}

/// Takes a step of loom's. Should it end the check, then here: nothing above is unwound.
pub(crate) fn step<R>(step: impl FnOnce() -> R) -> R {
    stop_if_found();
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(value) => value,
        Err(payload) => {
            stop_if_found();
            resume_unwind(payload)
        }
    }
}

/// The hook itself must not stop: std holds a lock while it runs.
fn stop_if_found() {
    if FOUND.with_borrow(Option::is_some)
        && let Some(report) = FOUND.take()
    {
        stop(Message::Failed(report));
    }
}

/// The supply of loom objects ran short: the check begins again with a larger one.
pub(crate) fn begin_again(short: Short) -> ! {
    stop(Message::Again(short.0))
}

fn stop(message: Message) -> ! {
    let waiting = WAITING.with_borrow(|waiting| waiting.clone());
    let waiting = waiting.expect("a model runs on a check's thread");
    let _gone = waiting.send(message);
    loop {
        std::thread::park();
    }
}

/// Whether this OS thread runs a check.
fn is_check() -> bool {
    WAITING.with_borrow(Option::is_some)
}

/// In a check, a panic of loom's is the end of it, and so is one outside of any greenlet, which nobody would catch. A
/// panic of a greenlet goes its ordinary way.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Panics of models are part of the schedule; a report has the one that matters.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_check() {
                before(info);
            }
        }));
        crate::greenlet::unwind::install_hook();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_check() || judge(info) {
                before(info);
            }
        }));
    });
}

/// Whether the panic goes its ordinary way.
fn judge(info: &PanicHookInfo<'_>) -> bool {
    let message = info.payload_as_str().unwrap_or("a payload that is no string");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let headline = if info.location().is_some_and(|place| is_looms(place.file())) {
        translate(message)
    } else if seat::current().is_some() {
        trace::tell(format!("panics at {place}: {message}"));
        return true;
    } else {
        format!("panicked at {place}: {message}")
    };
    match FOUND.with_borrow(Clone::clone) {
        None => FOUND.set(Some(compose(&headline))),
        // The first was met outside of any step of ours, in a model that calls loom itself, and unwinds; destructors then
        // panic in turn, which ends the process. What was found must be said before that.
        Some(found) => eprintln!("a model panicked at {place}:\n{found}"),
    }
    false
}

/// Whether a source file is loom's.
fn is_looms(file: &str) -> bool {
    file.split(['/', '\\']).any(|part| part == "loom" || part.starts_with("loom-"))
}

/// loom's messages, as this crate's users need them.
fn translate(message: &str) -> String {
    let who = seat::current().map_or_else(|| "a thread".to_owned(), |(index, _)| trace::short(index));
    if message.contains("deadlock;") {
        let root_has_ended = seat::taken().first().is_some_and(|root| root.doing.get() == seat::Doing::Ended);
        return if root_has_ended {
            "leaked greenlet: the root has returned, and a greenlet waits that nobody will ever wake"
                .to_owned()
        } else {
            "deadlock: every greenlet that has not ended waits, and nobody is left to wake one".to_owned()
        };
    }
    if let Some(at) = message.find("Causality violation:") {
        let what = message[at + "Causality violation:".len()..].trim();
        return format!("data race, seen by {who}: {what}");
    }
    if message.contains("maximum number of branches") {
        return format!(
            "model exceeded {LONGEST} steps in one execution: {who} goes round in a loop that waits for another without \
             suspending, or the model is too long"
        );
    }
    if message.contains("Is the model fully deterministic") {
        return "the model behaves differently when it is run again: it depends on a clock, on random numbers, or on a \
                static that an earlier execution has changed"
            .to_owned();
    }
    format!("loom: {message}")
}
