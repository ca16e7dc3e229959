//! Lookups of names: each case is a process of its own, so that the environment can say how the resolver behaves.
//!
//! What is asked on a green thread is asked on an OS thread as well, and must be answered the same.
//! For some cases a small library of C stands between the patch and libc, which takes its time. Knows nothing
//! of the patch's insides.

#![deny(unsafe_code)]
#![allow(missing_docs)]

#[path = "../children/alike.rs"]
mod alike;
#[allow(dead_code, reason = "the other program that has it needs more")]
#[path = "../../../greenroom/tests/children/case.rs"]
mod case;
#[allow(dead_code, reason = "the other program that has it needs more")]
#[path = "../../../greenroom/tests/world/raw.rs"]
mod raw;
#[path = "../../../greenroom/tests/children/runner.rs"]
mod runner;

mod libc_calls;

mod answers;
mod slow;

use std::{
    env,
    process::{Command, ExitCode},
};

use case::Case;
use greenroom_patch as _;

/// In the environment of a process that plays a case: the case's name.
const CASE: &str = "GREENROOM_CASE";

/// The library that takes its time.
const SLOW: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/libslow_names.so");
const SLOW_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/names/slow_names.c");

fn cases() -> Vec<&'static Case> {
    [answers::CASES, slow::CASES].into_iter().flatten().collect()
}

/// With the C compiler that links Rust's programs.
fn make_slow() {
    let mut compiler = Command::new("cc");
    compiler.args(["-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", SLOW, SLOW_SOURCE]);
    let status = compiler.status().expect("there is a C compiler");
    assert!(status.success(), "the library is compiled");
}

fn main() -> ExitCode {
    let Some(name) = env::var_os(CASE) else {
        make_slow();
        return runner::run(&cases());
    };
    let case = cases().into_iter().find(|case| name == case.name);
    (case.expect("the runner asks for cases that there are").play)();
    ExitCode::SUCCESS
}
