//! A wait for a result that can never come: what is said then.
//!
//! The scene is played by a child process, whose standard error is looked at. The child is this very
//! test binary, told by its environment to run this very test.

use std::{env, process::Command};

use greenroom::{pool::DagPool, testing::run};

use crate::scenes::panic_of;

const PLAYS: &str = "GREENROOM_TEST_PLAYS_STALLED";

#[test]
fn a_wait_that_can_never_end_says_which_task_needs_what() {
    if env::var_os(PLAYS).is_some() {
        return play();
    }
    let child = Command::new(env::current_exe().unwrap())
        .args(["a_wait_that_can_never_end_says_which_task_needs_what", "--nocapture"])
        .env(PLAYS, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    let lines = [
        "keys that nobody has spawned or posted: [\"never\"]",
        "the task \"b\" needs [\"never\"]",
        "the task \"c\" needs [\"b\"]",
    ];
    for line in lines {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
}

fn play() {
    run(|| {
        let pool = DagPool::new();
        pool.spawn("a", [], |_| Ok(1)).unwrap();
        pool.spawn("b", ["a", "never"], |made| Ok(made["a"] + made["never"])).unwrap();
        pool.spawn("c", ["b"], |made| Ok(made["b"] + 1)).unwrap();
        let text = panic_of(|| pool.waitall().is_ok());
        assert!(
            text.starts_with("deadlock: the root waits for the result of a task, and nothing"),
            "{text}"
        );
        // Nothing is broken by it.
        pool.post("never", 1).unwrap();
        assert_eq!(pool.wait(["c"]).unwrap()["c"], 3);
    });
}
