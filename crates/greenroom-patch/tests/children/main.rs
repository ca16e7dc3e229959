//! Waits for children, and forks: each case is a process of its own, for children are the process's.
//!
//! What is played on a green thread is played on an OS thread as well, and must come to the same.
//! Knows nothing of the patch's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

#[allow(dead_code, reason = "the other program that has it needs more")]
#[path = "../../../greenroom/tests/children/case.rs"]
mod case;
#[path = "../../../greenroom/tests/children/runner.rs"]
mod runner;

mod alike;
mod kernel;

mod forks;
mod many;
mod reports;
mod stops;

use std::{env, process::ExitCode};

use case::Case;
use greenroom_patch as _;

/// In the environment of a process that plays a case: the case's name.
const CASE: &str = "GREENROOM_CASE";

fn cases() -> Vec<&'static Case> {
    [reports::CASES, many::CASES, stops::CASES, forks::CASES].into_iter().flatten().collect()
}

fn main() -> ExitCode {
    let Some(name) = env::var_os(CASE) else { return runner::run(&cases()) };
    let case = cases().into_iter().find(|case| name == case.name);
    (case.expect("the runner asks for cases that there are").play)();
    ExitCode::SUCCESS
}
