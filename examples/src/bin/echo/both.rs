//! The main job: the server here, the load in a child process, and the summary of both. And the server alone.

use crate::child::{self, Heard, Load};
use crate::display::{Progress, Screen};
use crate::event::{Event, Outcome};
use crate::limits::{Limits, Need, plan};
use crate::memory::Memory;
use crate::numbers::{bytes, count, rate};
use crate::options::Options;
use crate::server::{self, Server};
use crate::table::{Row, Sample, Watch};
use crate::{complain, runtime, stop, summary};
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How long the server may take to notice that the load is gone, and to end.
const GRACE: Duration = Duration::from_secs(10);

/// What was seen of a run.
#[derive(Default)]
struct Seen {
    outcome: Option<Outcome>,
    /// The server's memory with all connections open and idle, and how many those are.
    full: Option<(Memory, u64)>,
    /// The last rows while requests ran.
    rows: Vec<Row>,
}

/// Server and load. Gives whether everything was verified.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    let limits = Limits::raise_and_read()?;
    let runtime = runtime::start(options)?;
    let hubs = runtime.metrics().hubs.len();
    let plan = plan(&limits, Need { connections: options.connections(), hubs, addresses: None });
    plan.cuts.iter().for_each(|cut| complain(cut));
    if plan.connections == 0 {
        return Err(io::Error::other("these limits leave no room for a single connection"));
    }
    let listeners = server::listen_on_loopback(plan.addresses)?;
    let server = Server::start(runtime, listeners, options.size());
    let addresses = server.addresses()?;
    complain(&format!(
        "serving on {} with {hubs} hubs, {} connections from a process of their own",
        span(&addresses),
        count(plan.connections as u64)
    ));
    let before = Memory::now();
    let mut watch = Watch::new(Some(options.size() as u64));
    let mut load = Load::start(&options.for_child(plan.connections, &addresses))?;
    let seen = follow(options, &server, &mut load, &mut watch, plan.connections as u64);
    let status = load.wait()?;
    let outcome = child::judge(seen.outcome, status);

    let left = server.wait_until_idle(GRACE);
    let (total, end) = (server.total(), Sample::of(&server));
    let mut good = status.success() && left == 0;
    if let Some(outcome) = &outcome {
        let mut text = summary::load(options, outcome);
        if let (Some(before), Some((after, connections))) = (before, seen.full) {
            text += &summary::memory(before, after, connections);
        }
        text += &summary::hubs(&watch, &end, &seen.rows);
        crate::print(&text);
        good &= summary::is_good(outcome);
        // Where a connection failed, what was on its way is anybody's guess.
        if outcome.failures == 0 && left == 0 && total.bytes != outcome.bytes {
            let (echoed, verified) = (count(total.bytes), count(outcome.bytes));
            complain(&format!("the server echoed {echoed} bytes, and the load verified {verified}"));
            good = false;
        }
    }
    if left > 0 {
        complain(&format!(
            "{} connections still live on the server {GRACE:?} after the load ended",
            count(left)
        ));
    }
    if !server.stop(GRACE) {
        complain("the server's runtime did not end in time");
        good = false;
    }
    Ok(good && outcome.is_some())
}

/// Shows what the load and the server do until the load has ended.
fn follow(options: &Options, server: &Server, load: &mut Load, watch: &mut Watch, wanted: u64) -> Seen {
    let mut screen = Screen::new();
    let mut seen = Seen::default();
    let started = Instant::now();
    let (mut drawn, mut begun) = (started, None);
    let (mut open, mut requests) = (0, 0);
    loop {
        if stop::asked() {
            load.stop();
        }
        match load.listen(DRAW_EVERY) {
            Heard::Event(Event::Opening(connections)) => open = connections,
            Heard::Event(Event::Ready(connections)) => {
                open = connections;
                seen.full = Memory::now().map(|memory| (memory, connections));
                begun = Some(Instant::now());
                load.begin();
            }
            Heard::Event(Event::Running(number)) => requests = number,
            Heard::Event(Event::Note(text) | Event::Failure(text)) => screen.say(&text),
            Heard::Event(Event::Ended(outcome)) => seen.outcome = Some(outcome),
            Heard::Nothing => {}
            Heard::End => return seen,
        }
        if drawn.elapsed() >= DRAW_EVERY && seen.outcome.is_none() {
            drawn = Instant::now();
            let rows = watch.look(server);
            let progress = match begun {
                None => Progress::opening(open, wanted),
                Some(begun) => Progress::running(requests, rows.iter().map(|row| row.rate).sum())
                    .within(begun.elapsed(), options.seconds),
            };
            screen.show(&progress, &rows, started.elapsed());
            if begun.is_some_and(|begun| begun.elapsed() < options.seconds) && !stop::asked() {
                seen.rows = rows;
            }
        }
    }
}

/// The server alone, until Ctrl-C. Gives whether it ended in good order.
pub(crate) fn serve(options: &Options, address: SocketAddr) -> io::Result<bool> {
    let limits = Limits::raise_and_read()?;
    let runtime = runtime::start(options)?;
    let hubs = runtime.metrics().hubs.len();
    let server = Server::start(runtime, vec![server::listen_on(address)?], server::ANY_BUFFER);
    let address = server.addresses()?[0];
    complain(&format!(
        "serving on {address} with {hubs} hubs, room for {} connections; try `nc {} {}`, end with Ctrl-C",
        count(limits.descriptors_for_connections(hubs, 1) as u64),
        address.ip(),
        address.port()
    ));
    let before = Memory::now();
    let mut watch = Watch::new(None);
    let mut screen = Screen::new();
    let started = Instant::now();
    let mut rows = Vec::new();
    while !stop::asked() {
        thread::sleep(DRAW_EVERY);
        rows = watch.look(&server);
        let total = server.total();
        let live = total.accepted.saturating_sub(total.ended);
        let progress = Progress::serving(live, rows.iter().map(|row| row.rate).sum());
        screen.show(&progress, &rows, started.elapsed());
    }
    drop(screen);
    let total = server.total();
    let mut text = summary::served(&total);
    if total.echoes > 0 {
        let each_second = count(rate(total.echoes, started.elapsed()));
        text += &format!("  requests/s  {each_second}   (over the whole time)\n");
    }
    if let (Some(before), Some(after)) = (before, Memory::now()) {
        let (now, then) = (bytes(after.resident as f64), bytes(before.resident as f64));
        text += &format!("  memory      {now} resident, {then} before the first connection\n");
    }
    text += &summary::hubs(&watch, &Sample::of(&server), &rows);
    crate::print(&text);
    let ended = server.stop(GRACE);
    if !ended {
        complain("the server's runtime did not end in time");
    }
    Ok(ended)
}

/// `127.0.0.1:4000`, or `127.0.0.1:4000 to 127.0.0.3:4000`.
fn span(addresses: &[SocketAddr]) -> String {
    match addresses {
        [] => "nothing".to_owned(),
        [only] => only.to_string(),
        [first, .., last] => format!("{first} to {last}"),
    }
}
