//! What ends a process, or changes all of it: each case is a process of its own, from its `main`.
//!
//! This program has two lives. Run by `cargo test` it runs itself over again, once for each case,
//! and judges how that ended. Told by the environment to be a case, it plays that case on the
//! stack of its `main`, with no test harness around it. Knows nothing of the library's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

mod case;
mod runner;

mod kernel;

mod dumps;
mod endings;
mod forks;
mod interrupted;
mod lack;
mod limits;
mod overflow;
mod reports;
mod settings;
mod shared;
mod stubborn;
mod watchdog;

use std::{env, process::ExitCode};

use case::Case;

/// In the environment of a process that plays a case: the case's name.
const CASE: &str = "GREENROOM_CASE";

fn cases() -> Vec<&'static Case> {
    let topics = [
        dumps::CASES,
        endings::CASES,
        reports::CASES,
        overflow::CASES,
        stubborn::CASES,
        settings::CASES,
        shared::CASES,
        watchdog::CASES,
        forks::CASES,
        interrupted::CASES,
        limits::CASES,
        lack::CASES,
    ];
    topics.into_iter().flatten().collect()
}

fn main() -> ExitCode {
    let Some(name) = env::var_os(CASE) else { return runner::run(&cases()) };
    let case = cases().into_iter().find(|case| name == case.name);
    (case.expect("the runner asks for cases that there are").play)();
    ExitCode::SUCCESS
}
