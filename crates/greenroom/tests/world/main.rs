//! The world around: signals, child processes, pipes, standard input, files. Each case is a
//! process of its own, for most of these things a process has only once.
//!
//! This program has two lives, as `tests/children` has, and shares its runner. A case may also start
//! this program over again, to be a child that it knows. Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

#[path = "../children/case.rs"]
#[allow(dead_code)]
mod case;
#[path = "../children/kernel.rs"]
#[allow(dead_code)]
mod kernel;
#[path = "../children/runner.rs"]
mod runner;
#[path = "../core/seeds.rs"]
mod seeds;

mod raw;
mod stage;

mod files;
mod pipes;
mod processes;
mod seeded_signals;
mod select;
mod signals;
mod signals_at_rest;
mod standard_input;

use std::{env, process::ExitCode};

use case::Case;

/// In the environment of a process that plays a case: the case's name.
const CASE: &str = "GREENROOM_WORLD_CASE";

fn cases() -> Vec<&'static Case> {
    let topics = [
        signals::CASES,
        signals_at_rest::CASES,
        seeded_signals::CASES,
        select::CASES,
        processes::CASES,
        pipes::CASES,
        standard_input::CASES,
        files::CASES,
    ];
    topics.into_iter().flatten().collect()
}

fn main() -> ExitCode {
    let Some(name) = env::var_os(CASE) else { return runner::run(&cases()) };
    let case = cases().into_iter().find(|case| name == case.name);
    (case.expect("the runner asks for cases that there are").play)();
    ExitCode::SUCCESS
}
