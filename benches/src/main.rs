//! `bench`: what the runtime costs.
//!
//! * `bench list` names the workloads and what each one watches.
//! * `bench run` measures them on chosen numbers of hubs, in one mode of migration or both, and prints a table.
//! * `bench probe` runs one primitive a fixed number of times and nothing else, for instruction counting.
//!
//! Numbers are to be compared within one run only: machines differ, and so does the same machine an hour later.

mod args;
mod compute;
mod lateness;
mod probe;
mod process;
mod report;
mod row;
mod server;
mod setting;
mod statistics;
mod workload;

use args::{Arguments, Command};
use clap::Parser;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    match command {
        Command::List => {
            workload::ALL.iter().for_each(|workload| println!("{:<16} {}", workload.name, workload.watches));
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
        Command::Probe { name, count } => probe::run(&name, count),
        Command::ParkedMemory { count, hubs, mode } => workload::parked_memory::child(count, hubs, mode),
    }
}
