//! `greenroom-bench`: the same scenarios on greenroom and on its rivals, in one run, pinned the same way.
//!
//! Knows commands and who carries them out. Must never know how a scenario or an engine works.
//!
//! A bout takes one case of one scenario after another. For each it goes round the engines, R times,
//! and every measurement is a process of its own: this binary again, with a hidden command, printing
//! one line of JSON. So no engine inherits another's heap, stacks or threads, and slow drifts of
//! the machine fall on all of them alike. Figures are CPU time of the measured process where the work is
//! CPU: on a machine that others use too, wall time says more about them than about us.

#![deny(unsafe_code)]

mod args;
mod rounds;

mod scenario;

mod engine;

mod child;
mod cores;
mod load;
mod meter;
mod server;

mod report;
mod statistics;
mod table;

use std::process::ExitCode;

use args::Command;

/// What can go wrong here is told to a person, never matched on.
pub(crate) type Fallible<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)).and_then(carry_out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greenroom-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Fallible {
    match command {
        Command::Help => println!("{}", args::HELP),
        Command::List => list(),
        Command::Bout(plan) => {
            let json = plan.json.clone();
            let report = rounds::bout(&plan)?;
            print!("{}", table::render(&report));
            if let Some(path) = json {
                std::fs::write(&path, report.to_json()? + "\n")
                    .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            }
        }
        Command::One { engine, scenario, param, size } => {
            child::die_with_parent();
            let case = scenario.case(param)?;
            let sample = (scenario.run)(engine, case, size)?;
            println!("{}", serde_json::to_string(&sample)?);
            // Whoever is still parked stays so: tearing a million tasks down is nobody's figure.
            std::process::exit(0);
        }
        Command::Serve { engine } => server::serve(engine)?,
    }
    Ok(())
}

fn list() {
    for scenario in scenario::ALL {
        println!("{:<12} {}", scenario.name, scenario.about);
    }
    for entry in engine::ALL {
        let note = if entry.is_built() { "" } else { " (not built in)" };
        println!("{:<12} {}{note}", entry.name, entry.about);
    }
}
