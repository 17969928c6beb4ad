//! Watches placement: 2000 connections arrive 1 ms apart at one plain accept + spawn loop and are then kept open. In
//! the default mode a greenlet stays where it starts, so where each is started decides the load for good: no hub may
//! hold less than 0.8 of its fair share.

use super::{Scope, Workload, is_default};
use crate::row::{Goal, Row, Unit};
use crate::server::{Clients, Server};
use std::time::Duration;

pub(super) const WORKLOAD: Workload = Workload {
    name: "accept-skew",
    watches: "2000 connections at one accept loop: the smallest share a hub holds, of its fair share",
    scope: Scope::SeveralHubs,
    measure: |setting| {
        let connections = setting.size(2000, 50);
        let mut shares = Vec::new();
        for _ in 0..setting.samples.min(3) {
            let server = Server::start(setting.runtime()?, Duration::ZERO)?;
            let clients = Clients::connect(server.address(), connections, Duration::from_millis(1))?;
            let held = server.held_by_hub(connections)?;
            let least = held.iter().copied().min().unwrap_or_default() as f64;
            shares.push(least * setting.hubs as f64 / connections as f64);
            drop(clients);
            server.stop();
        }
        let wanted = is_default(setting);
        Ok(vec![Row::plain(Unit::Ratio, shares).part("least share").goal_if(wanted, Goal::NeverBelow(0.8))])
    },
};
