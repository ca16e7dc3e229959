//! A wait for a result that can never come: what is said then.

use std::{cell::RefCell, fmt, rc::Rc};

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

/// A key whose text uses the pool.
#[derive(Clone)]
struct Talkative(&'static str, Rc<RefCell<Option<DagPool<Talkative, u8>>>>);

impl PartialEq for Talkative {
    fn eq(&self, other: &Talkative) -> bool {
        self.0 == other.0
    }
}

impl Eq for Talkative {}

impl std::hash::Hash for Talkative {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Talkative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pool) = self.1.take() {
            pool.post(Talkative("said", Rc::default()), 1).map_err(|_| fmt::Error)?;
        }
        f.write_str(self.0)
    }
}

#[test]
fn what_is_said_of_the_keys_may_use_the_pool() {
    let test = "stalled::what_is_said_of_the_keys_may_use_the_pool";
    let Some(said) = said_by_child(test, stalls_with_talkative_keys) else { return };
    assert!(said.contains("keys that nobody has spawned or posted: [never]"), "{said}");
}

fn stalls_with_talkative_keys() {
    run(|| {
        let pool = DagPool::new();
        let never = Talkative("never", Rc::new(RefCell::new(Some(pool.clone()))));
        panic_of(|| pool.wait([never]).is_ok());
        assert_eq!(pool.keys(), [Talkative("said", Rc::default())]);
    });
}
