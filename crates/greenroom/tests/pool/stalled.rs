//! A wait for a result that can never come: what is said then.

use greenroom::{pool::DagPool, testing::run};

use crate::{child::said_by_child, scenes::panic_of};

#[test]
fn a_wait_that_can_never_end_says_which_task_needs_what() {
    let test = "stalled::a_wait_that_can_never_end_says_which_task_needs_what";
    let Some(said) = said_by_child(test, stalls) else { return };
    let lines = [
        "keys that nobody has spawned or posted: [\"never\"]",
        "the task \"b\" needs [\"never\"]",
        "the task \"c\" needs [\"b\"]",
    ];
    for line in lines {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
}

fn stalls() {
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
