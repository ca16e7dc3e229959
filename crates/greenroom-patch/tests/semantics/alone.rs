//! Runs a test in a process of its own: one that uses what all tests of a process share, such as numbers of files
//! that are free.

use std::{
    env,
    process::{Command, ExitStatus},
};

/// In the environment of such a process: which part of the test it is to run.
const PART: &str = "GREENROOM_ALONE";

/// Runs the whole of the test of this name there.
pub(crate) fn alone(test: &str, play: fn()) {
    if part().is_some() {
        return play();
    }
    let (status, output) = process(test, "all");
    assert!(status.success(), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

/// What this process is to run, if it is one of these.
pub(crate) fn part() -> Option<String> {
    env::var(PART).ok()
}

/// Runs a part of a test there. How it ended, and what it said.
pub(crate) fn process(test: &str, part: &str) -> (ExitStatus, String) {
    let output = Command::new(env::current_exe().expect("it is running"))
        .args(["--exact", test, "--nocapture"])
        .env(PART, part)
        .output()
        .expect("it can be started again");
    (output.status, format!("{output:#?}"))
}
