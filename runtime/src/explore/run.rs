//! Running an exploration: a hub of its own, one schedule after the other, and somebody outside who waits.

use super::builder::{Explored, Seeds};
use super::explorer::{Explorer, Found, State, Terms};
use super::report::{Details, Failure, Problem, describe_greenlets};
use super::strategy::mix;
use super::{GoingOn, Seed};
use crate::greenlet::header::{Extra, Kind};
use crate::greenlet::join::JoinHandle;
use crate::greenlet::kill::kill;
use crate::greenlet::spawn::{Order, spawn_with};
use crate::greenlet::{current, join_error};
use crate::hub::Hub;
use crate::runtime;
use std::mem;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long one step may take before it is said that it takes long.
const STEP: Duration = Duration::from_secs(10);

/// Explores `f` on a hub of its own, whose runtime ends with the exploration.
pub(super) fn explore<F>(
    terms: Terms,
    seeds: Seeds,
    f: F,
    explored_at: &'static Location<'static>,
) -> Result<Explored, Failure>
where
    F: Fn() + Send + Sync + 'static,
{
    assert!(
        current::hub().is_none(),
        "explore was called in a greenlet, whose hub it would block: call it on a plain OS thread"
    );
    let _going_on = GoingOn::new();
    let (send, outcome) = mpsc::channel();
    let progress = Arc::new(AtomicU64::new(0));
    let thread = std::thread::current().name().map(str::to_owned);
    let course = Course { seeds, f: Arc::new(f), explored_at, thread };
    let counted = progress.clone();
    let drive = move |hub: &Hub| {
        let explorer = hub.become_explorer(Explorer::new(terms, counted));
        // Whoever waits for it is there until the thread has ended.
        let _received = send.send(course.run(hub, explorer));
    };
    let runtime = match runtime::Builder::new().build_exploring(drive) {
        Ok(runtime) => runtime,
        Err(error) => panic!("greenhub::explore: no runtime to explore on: {error}"),
    };
    let outcome = wait(&outcome, &progress);
    if outcome.is_err() {
        runtime.abandon();
    }
    outcome
}

/// Waits for the outcome, and says so if it seems to be stuck.
fn wait(
    outcome: &mpsc::Receiver<Result<Explored, Failure>>,
    progress: &AtomicU64,
) -> Result<Explored, Failure> {
    let (mut seen, mut since, mut said) = (0, Instant::now(), false);
    loop {
        match outcome.recv_timeout(STEP / 10) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                panic!("greenhub::explore: its thread has ended without a word")
            }
        }
        let steps = progress.load(Ordering::Relaxed);
        if steps != seen {
            (seen, since, said) = (steps, Instant::now(), false);
        } else if since.elapsed() >= STEP && !said {
            said = true;
            eprintln!(
                "greenhub: an exploration has been in one step for {STEP:?}: a greenlet in it blocks the OS thread (on \
                 a std lock that another greenlet holds?) or computes for long"
            );
        }
    }
}

/// The schedules of one exploration.
struct Course<F> {
    seeds: Seeds,
    f: Arc<F>,
    explored_at: &'static Location<'static>,
    thread: Option<String>,
}

impl<F: Fn() + Send + Sync + 'static> Course<F> {
    /// On the hub's own stack.
    fn run(mut self, hub: &Hub, explorer: &Explorer) -> Result<Explored, Failure> {
        let mut explored = Explored { iterations: 0, steps: 0, longest: 0, fingerprint: 0 };
        while let Some(seed) = self.seeds.next(explored.longest) {
            let mut state = self.run_once(hub, explorer, seed);
            if let Some(found) = state.found.take() {
                let greenlets = describe_greenlets(hub.runtime(), &mut state);
                hub.leave_schedule(explorer);
                return Err(self.failure(seed, explored.iterations, state, found, greenlets));
            }
            explored.iterations += 1;
            explored.steps += state.steps;
            explored.longest = explored.longest.max(state.steps);
            explored.fingerprint = mix(explored.fingerprint ^ state.fingerprint);
        }
        Ok(explored)
    }

    /// One schedule, from the spawn of the root until nobody can run any more.
    fn run_once(&self, hub: &Hub, explorer: &Explorer, seed: Seed) -> State {
        *explorer.state.borrow_mut() = State::new(seed);
        // Not far from the clock on the wall, for code that reads it.
        explorer.now.set(crate::timer::clock::nanos(Instant::now()));
        let mut root = Some(self.spawn_root());
        while hub.explore_step(explorer) {
            if let Some(ended) = root.take_if(|root| root.is_finished()) {
                note_end(explorer, ended);
                if explorer.terms.kill_leftovers {
                    hub.runtime().greenlets().iter().for_each(|greenlet| kill(greenlet));
                }
            }
        }
        if hub.runtime().live() > 0 {
            let (problem, message) = match root {
                Some(_) => (Problem::Deadlock, "everybody waits, and nobody is left who could wake one"),
                None => (Problem::Leak, "the root has ended, and somebody is left who waits for ever"),
            };
            explorer.found(problem, message.to_owned());
        }
        mem::replace(&mut *explorer.state.borrow_mut(), State::new(seed))
    }

    fn spawn_root(&self) -> JoinHandle<()> {
        let f = self.f.clone();
        let mut order = Order::new(Kind::Free, self.explored_at);
        order.extra = Some(Box::new(Extra { name: Some("root".into()), ..Extra::default() }));
        // SAFETY: the closure is `'static` and `Send`.
        unsafe { spawn_with(order, move || f()) }
    }

    fn failure(
        &self,
        seed: Seed,
        iteration: usize,
        state: State,
        found: Found,
        greenlets: Vec<String>,
    ) -> Failure {
        Failure(Box::new(Details {
            problem: found.problem,
            message: found.message,
            seed,
            iteration,
            fingerprint: state.fingerprint,
            greenlets,
            trace: state.trace,
            explored_at: self.explored_at,
            thread: self.thread.clone(),
        }))
    }
}

/// The root has ended: well, or not.
fn note_end(explorer: &Explorer, root: JoinHandle<()>) {
    if let Err(error) = root.join() {
        let message = match error.try_into_panic() {
            Ok(payload) => {
                let message = format!("the root panicked: {}", join_error::message(&*payload));
                crate::greenlet::unwind::discard(payload);
                message
            }
            Err(error) => error.to_string(),
        };
        explorer.found(Problem::Panic, message);
    }
}
