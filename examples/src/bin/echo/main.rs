//! `echo`: the main job. A server on all hubs, a load that checks every byte, and what each hub did.
//!
//! ```text
//! cargo run --release --bin echo                          both, 10,000 connections, 10 seconds
//! cargo run --release --bin echo -- --listen 127.0.0.1:7000     the server alone; try it with nc
//! cargo run --release --bin echo -- --connect 127.0.0.1:7000    the load alone
//! cargo run --release --bin echo -- --client std          the load from plain threads, without greenhub
//! ```
//!
//! The server is what a user would write: accept, spawn, read, write ([`server`]). The load ([`load`]) runs in a child
//! process ([`child`]), so that each side has its own limit of descriptors, and talks to its parent in lines
//! ([`event`]). What the machine allows is found out before anything starts ([`limits`]).

mod both;
mod child;
mod display;
mod event;
mod limits;
mod load;
mod memory;
mod numbers;
mod options;
mod pattern;
mod runtime;
mod server;
mod stop;
mod summary;
mod table;

use clap::Parser as _;
use options::{Options, Role};
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = stop::on_signals().and_then(|()| match options.role() {
        Role::Both => both::run(&options),
        Role::Serve(address) => both::serve(&options, address),
        Role::Load => load::alone(&options),
        Role::Child => child::main(&options),
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Says on standard error what is wrong.
fn complain(message: &str) {
    // If standard error is gone, there is nobody left to tell.
    let _told = writeln!(std::io::stderr(), "echo: {message}");
}

/// Writes to standard output. A reader that has gone away (`| head`) is no reason to fail.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _read = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// An error that says what was being done.
fn failed(doing: impl std::fmt::Display, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{doing}: {error}"))
}
