//! The load: connections that send, and verify every byte that comes back.
//!
//! * [`connection`]: what one connection does. [`clients`]: who holds them, greenlets or threads.
//! * [`run`]: what they share. [`lane`]: what they measure. [`gate`]: how they begin together.
//! * [`drive`]: from opening to the outcome, told in [`Event`]s.

mod clients;
mod connection;
mod gate;
mod lane;
mod run;

use crate::display::{Progress, Screen};
use crate::event::{Event, Outcome};
use crate::limits::{Limits, Need, plan};
use crate::numbers::{count, rate};
use crate::options::{Client, Options, Role};
use crate::{failed, runtime, stop, summary};
use connection::PATIENCE;
use gate::{Gate, GreenletGate, ThreadGate};
use run::{Order, Run};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often the state of the run is looked at, and how often it is told.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const TELL_EVERY: Duration = Duration::from_millis(200);

/// How long connections may take to end beyond what their own timeouts allow.
const GRACE: Duration = Duration::from_secs(10);

/// The most lanes that threads spread over.
const MOST_LANES: usize = 4096;

/// How long the runtime may take to end once all connections have.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// The load alone, against any echo server. Gives whether everything was verified.
pub(crate) fn alone(options: &Options) -> io::Result<bool> {
    let mut screen = Screen::new();
    let mut last = (Instant::now(), 0);
    let begun = Instant::now();
    let wanted = options.connections() as u64;
    let outcome = drive(options, &|| true, &stop::asked, &mut |event| match event {
        Event::Opening(open) => screen.show(&Progress::opening(open, wanted), &[], begun.elapsed()),
        Event::Running(requests) => {
            let now = Instant::now();
            let each_second = rate(requests - last.1, now - last.0);
            last = (now, requests);
            screen.show(&Progress::running(requests, each_second), &[], begun.elapsed());
        }
        Event::Note(text) | Event::Failure(text) => screen.say(&text),
        Event::Ready(_) | Event::Ended(_) => {}
    })?;
    drop(screen);
    crate::print(&summary::load(options, &outcome));
    Ok(summary::is_good(&outcome))
}

/// Drives connections at the servers in the options. `may_begin` says when to start measuring once all connections
/// are open, `must_stop` when to end early.
pub(crate) fn drive(
    options: &Options,
    may_begin: &dyn Fn() -> bool,
    must_stop: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Event),
) -> io::Result<Outcome> {
    let limits = Limits::raise_and_read()?;
    let runtime = match options.client {
        Client::Greenlets => Some(runtime::start(options)?),
        Client::Std => None,
    };
    let hubs = runtime.as_ref().map_or(0, |runtime| runtime.metrics().hubs.len());
    let addresses = Some(options.connect.len());
    let plan = plan(&limits, Need { connections: options.connections(), hubs, addresses });
    // What was cut for both sides the parent has said.
    if options.role() != Role::Child || plan.connections < options.connections() {
        plan.cuts.into_iter().for_each(|cut| tell(Event::Note(cut)));
    }
    let order = Order {
        seed: options.seed,
        size: options.size(),
        targets: options.connect.clone(),
        connections: plan.connections,
        at_once: plan.at_once,
    };
    let (gate, lanes): (Box<dyn Gate>, usize) = match options.client {
        Client::Greenlets => (Box::new(GreenletGate::default()), hubs),
        Client::Std => (Box::new(ThreadGate::default()), plan.connections.clamp(1, MOST_LANES)),
    };
    let run = Arc::new(Run::new(order, gate, lanes));
    let client = {
        let run = run.clone();
        thread::Builder::new().name("echo-load".into()).spawn(move || match runtime {
            Some(runtime) => {
                clients::greenlets(&runtime, &run);
                if !runtime.shutdown_timeout(SHUTDOWN) {
                    run.fail(format!("the load's runtime did not end within {SHUTDOWN:?}"));
                }
            }
            None => clients::threads(&run),
        })
    };
    let client = client.map_err(|error| failed("cannot start the load's thread", &error))?;
    let all_ended = watch(&run, &client, options.seconds, may_begin, must_stop, tell);
    if all_ended && client.join().is_err() {
        run.fail("the load panicked, see above".into());
    }
    if !all_ended {
        run.fail(format!("{} connections never ended: the load is stuck", count(run.live())));
    }
    run.news().into_iter().for_each(&mut *tell);
    Ok(run.outcome())
}

/// Sees a run through its phases until `client` has ended. `false`: it does not.
fn watch(
    run: &Run,
    client: &thread::JoinHandle<()>,
    measure: Duration,
    may_begin: &dyn Fn() -> bool,
    must_stop: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Event),
) -> bool {
    enum Phase {
        Opening,
        Ready,
        Running { until: Instant },
        Ending { since: Instant },
    }
    let mut phase = Phase::Opening;
    let mut told = Instant::now();
    while !client.is_finished() {
        thread::sleep(LOOK_EVERY);
        run.news().into_iter().for_each(&mut *tell);
        let now = Instant::now();
        if must_stop() && !matches!(phase, Phase::Ending { .. }) {
            run.end();
            phase = Phase::Ending { since: now };
        }
        phase = match phase {
            Phase::Opening if run.all_settled() => {
                tell(Event::Ready(run.opened()));
                Phase::Ready
            }
            Phase::Ready if may_begin() => {
                run.begin();
                Phase::Running {
                    until: now.checked_add(measure).unwrap_or(now + Duration::from_secs(1 << 32)),
                }
            }
            Phase::Running { until } if now >= until => {
                run.end();
                Phase::Ending { since: now }
            }
            Phase::Ending { since } if now >= since + PATIENCE + GRACE => return false,
            same => same,
        };
        if now >= told + TELL_EVERY {
            told = now;
            tell(match phase {
                Phase::Opening => Event::Opening(run.opened()),
                _ => Event::Running(run.requests()),
            });
        }
    }
    true
}
