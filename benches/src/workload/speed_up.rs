//! Watches what a second hub is worth to a server: 2000 open connections, 100 µs of computing a request, on one hub
//! and then on two, in turns. The client runs on the same machine, so on two cores two hubs cannot be worth two.

use super::{Scope, Workload};
use crate::row::{Goal, Row, Unit};
use crate::server::{Clients, Server};
use crate::setting::Setting;
use std::io;
use std::time::Duration;

const COMPUTING: Duration = Duration::from_micros(100);

/// How long the requests take on that many hubs.
fn serve(setting: &Setting, hubs: usize, requests: usize) -> io::Result<Duration> {
    let connections = setting.size(2000, 50);
    let server = Server::start(setting.runtime_on(hubs)?, COMPUTING)?;
    // They come slowly enough for the server to see what it holds when it places the next one.
    let mut clients = Clients::connect(server.address(), connections, Duration::from_micros(200))?;
    server.held_by_hub(connections)?;
    clients.exchange(requests / 10)?;
    let took = clients.exchange(requests)?;
    drop(clients);
    server.stop();
    Ok(took)
}

pub(super) const WORKLOAD: Workload = Workload {
    name: "speed-up",
    watches: "requests of 100 µs of computing: two hubs against one",
    scope: Scope::OwnHubs,
    measure: |setting| {
        let requests = setting.size(20_000, 100);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        for _ in 0..setting.samples {
            one.push(serve(setting, 1, requests)?);
            two.push(serve(setting, 2, requests)?);
        }
        let speed_up = one.iter().zip(&two).map(|(one, two)| one.as_secs_f64() / two.as_secs_f64()).collect();
        let goal = Goal::AtLeast(1.7);
        Ok(vec![
            Row::timed(requests as u64, one).part("1 hub, a request"),
            Row::timed(requests as u64, two).part("2 hubs, a request"),
            Row::plain(Unit::Ratio, speed_up).part("1 to 2 hubs").goal(goal),
        ])
    },
};
