//! `bench`: what the runtime costs.
//!
//! * `bench list` names the workloads and what each one watches.
//! * `bench run` measures them on chosen numbers of hubs, in one mode of migration or both, and prints a table.
//! * `bench compare` measures the same workloads in other runtimes beside greenhub, `bench floor` beside what the machine
//!   asks for, `bench scale` on more and more hubs; `bench diff` holds two recorded runs against each other.
//! * `bench probe` runs one primitive a fixed number of times and nothing else, for instruction counting.
//!
//! Numbers are to be compared within one run only: machines differ, and so does the same machine an hour later.

mod args;
mod compare;
mod compute;
mod epoll;
mod lateness;
mod load;
mod peer;
mod probe;
mod process;
mod report;
mod row;
mod server;
mod setting;
mod statistics;
mod workload;

use args::{Arguments, Beside, Command};
use clap::Parser;
use compare::results::Results;
use compare::table::Page;
use peer::Sample;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unknown(runtime: &str) -> io::Error {
    io::Error::other(format!("no runtime of this program is called {runtime:?}"))
}

fn record(beside: &Beside, results: &Results) -> io::Result<()> {
    beside.json.as_ref().map_or(Ok(()), |path| results.write(path))
}

fn run(command: Command) -> io::Result<()> {
    match command {
        Command::List => {
            println!("Alone (run), and the regression each watches:\n");
            workload::ALL.iter().for_each(|workload| println!("{:<16} {}", workload.name, workload.watches));
            println!("\nSide by side (compare, scale, floor):\n");
            compare::case::ALL.iter().for_each(|case| println!("{:<16} {}", case.name, case.what));
            Ok(())
        }
        Command::Run(request) => {
            let chosen = workload::chosen(&request.workloads)?;
            let settings = request.settings();
            report::heading();
            for workload in chosen {
                for setting in settings.iter().filter(|setting| workload.applies(setting)) {
                    for row in (workload.measure)(setting)? {
                        report::row(workload, setting, &row);
                    }
                }
            }
            Ok(())
        }
        Command::Compare(comparison) => {
            // What is wrong with the page shows before the measuring, not after.
            let page = comparison.results.as_deref().map(Page::open).transpose()?;
            let results = comparison.plan()?.run();
            print!("{}", compare::table::page(&results));
            record(&comparison.beside, &results)?;
            if let Some(page) = page {
                page.write(&results)?;
            }
            results.verdict(comparison.beside.is_tiny())
        }
        Command::Scale(scaling) => {
            let results = scaling.plan()?.run();
            print!("{}", compare::table::page(&results));
            record(&scaling.beside, &results)?;
            compare::scale::report(&results, &scaling.out)?;
            println!("\nThe charts: {}", scaling.out.join("index.html").display());
            results.verdict(scaling.beside.is_tiny())
        }
        Command::Floor(beside) => {
            let results = beside.floors()?.run();
            print!("{}", compare::floor::table(&results));
            record(&beside, &results)?;
            results.verdict(beside.is_tiny())
        }
        Command::Diff { a, b } => {
            print!("{}", compare::diff::table(&Results::read(&a)?, &Results::read(&b)?));
            Ok(())
        }
        Command::Sample { runtime, workload, hubs, size, milliseconds } => {
            let peer = peer::named(&runtime).ok_or_else(|| unknown(&runtime))?;
            let span = Duration::from_millis(milliseconds);
            peer::sample(peer, &workload, &Sample { hubs, mode: peer.mode, size, span })
        }
        Command::Serve { runtime, hubs, computing } => {
            let peer = peer::named(&runtime).ok_or_else(|| unknown(&runtime))?;
            peer::serve(peer, &Sample { hubs, mode: peer.mode, size: computing, span: Duration::ZERO })
        }
        Command::Load { port, connections, milliseconds } => {
            load::load(port, connections, Duration::from_millis(milliseconds))
        }
        Command::Probe { name, count } => probe::run(&name, count),
        Command::ParkedMemory { count, hubs, mode } => workload::parked_memory::child(count, hubs, mode),
    }
}
