//! A scene that is played by a child process, whose standard error is looked at.
//!
//! The child is this very test binary, told by its environment to run the very test that asks.

use std::{env, process::Command};

const PLAYS: &str = "GREENROOM_TEST_PLAYS";

/// Has a child play `scene`, and returns what it said. In the child: plays it, and returns `None`.
///
/// `test` is the full name of the test that calls this.
#[track_caller]
pub(crate) fn said_by_child(test: &str, scene: fn()) -> Option<String> {
    if env::var_os(PLAYS).is_some() {
        scene();
        return None;
    }
    let myself = env::current_exe().expect("a test knows where it is");
    let mut child = Command::new(myself);
    child.args(["--exact", test, "--nocapture"]).env(PLAYS, "1");
    let output = child.output().expect("a test can be run again");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 passed"), "no test is called {test:?}: {told}");
    Some(said)
}
