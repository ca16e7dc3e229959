//! The chores of the house: `cargo xtask <test|tidy|loom|asan|soak|bench>`.
//!
//! Drives cargo and reads text. Must never know how greenroom works: what holds inside a crate is
//! that crate's tests' business.

#![deny(unsafe_code)]

mod args;
mod workspace;

mod invocation;
mod step;
mod tally;

mod asan;
mod guests;
mod plan;
mod soak;
mod tidy;

use std::process::ExitCode;

use args::Chore;
use invocation::Invocation;
use step::Step;
use workspace::Workspace;

/// What became of a chore: nothing to add, or the message to end with.
type Outcome = Result<(), String>;

const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let chore = match args::parse(std::env::args_os().skip(1)) {
        Ok(chore) => chore,
        Err(mistake) => {
            eprintln!("xtask: {mistake}\n\n{}", args::usage());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match Workspace::find().and_then(|workspace| perform(&chore, &workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn perform(chore: &Chore, workspace: &Workspace) -> Outcome {
    match chore {
        Chore::Help => {
            print!("{}", args::usage());
            Ok(())
        }
        Chore::Test { list: true, .. } => {
            print!("{}", step::listing(&plan::test(workspace)?));
            Ok(())
        }
        Chore::Test { list: false, only } => {
            step::run_all("test", &step::chosen(plan::test(workspace)?, only)?, workspace)
        }
        Chore::Tidy => tidy::run(workspace).map(drop),
        Chore::Loom => step::run_all("loom", &[plan::loom(workspace)], workspace),
        Chore::Asan => step::run_all("asan", &asan::plan(workspace)?, workspace),
        Chore::Soak(length) => soak::run(length, workspace),
        Chore::Bench(arguments) => bench(arguments, workspace),
    }
}

fn bench(arguments: &[String], workspace: &Workspace) -> Outcome {
    let scenarios = Invocation::cargo("run --release -p greenroom-benches --features rivals --");
    scenarios.args(arguments).run(workspace).map(drop)
}
