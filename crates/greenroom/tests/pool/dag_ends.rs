//! Tasks that fail, panic or are killed, and what becomes of those that need them.

use std::{rc::Rc, time::Duration};

use greenroom::{
    GreenPool, Instant, JoinError, hub,
    pool::DagPool,
    sleep,
    testing::{run, wait_all_parked},
    yield_now,
};

use crate::{
    dag::add,
    scenes::{Inside, OnDrop, SECOND, Trace, assert_nothing_left, in_callback},
};

#[test]
fn a_failure_reaches_all_who_need_it_and_nobody_else() {
    run(|| {
        let pool = DagPool::new();
        pool.spawn("a", [], |_| {
            sleep(SECOND);
            Err("it is broken")?
        })
        .unwrap();
        add(&pool, "b", &["a", "x"]);
        add(&pool, "c", &["b"]);
        add(&pool, "x", &[]);
        add(&pool, "y", &["x"]);
        // Spawned when the failure is known already.
        pool.wait(["a"]).unwrap_err();
        add(&pool, "late", &["x", "c"]);
        for key in ["a", "b", "c", "late"] {
            let error = pool.wait(["y", key]).unwrap_err();
            assert_eq!((*error.key(), error.is_panic(), error.is_killed()), ("a", false, false));
            assert_eq!(error.to_string(), "the task \"a\" has no result: it is broken");
        }
        assert_eq!(pool.wait(["y"]).unwrap()["y"], "y(x())");
        assert_eq!(pool.waitall().unwrap_err().key(), &"a");
        assert_eq!(pool.keys(), ["a", "b", "c", "x", "late", "y"]);
        assert_nothing_left();
    });
}

#[test]
fn an_error_is_told_at_once_and_the_end_of_all_only_at_the_end() {
    run(|| {
        let pool = DagPool::new();
        add(&pool, "slow", &[]);
        pool.spawn("quick", [], |_| Err("no")?).unwrap();
        let begin = Instant::now();
        assert_eq!(*pool.wait(["slow", "quick"]).unwrap_err().key(), "quick");
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(*pool.waitall().unwrap_err().key(), "quick");
        assert_eq!(begin.elapsed(), SECOND);
    });
}

#[test]
fn a_panic_and_a_kill_are_failures_too() {
    run(|| {
        let pool = DagPool::new();
        pool.spawn("panics", [], |_| panic!("oh no")).unwrap();
        add(&pool, "killed", &[]);
        add(&pool, "p", &["panics"]);
        add(&pool, "k", &["killed"]);
        yield_now();
        assert!(pool.kill(&"killed"));
        assert_eq!(pool.running_keys(), ["killed"], "it has yet to unwind");
        let panicked = pool.wait(["p"]).unwrap_err();
        assert_eq!((*panicked.key(), panicked.is_panic()), ("panics", true));
        assert_eq!(
            panicked.to_string(),
            "the task \"panics\" has no result: the green thread panicked: oh no"
        );
        let source = std::error::Error::source(&panicked).unwrap();
        assert!(source.downcast_ref::<JoinError>().unwrap().is_panic());
        let killed = pool.wait(["k"]).unwrap_err();
        assert_eq!((*killed.key(), killed.is_killed()), ("killed", true));
        assert!(!pool.kill(&"killed") && !pool.kill(&"unknown"));
        assert_nothing_left();
    });
}

#[test]
fn a_task_that_has_failed_waits_for_nothing_any_more() {
    run(|| {
        let pool = DagPool::<_, String>::new();
        add(&pool, "killed", &["nothing that comes"]);
        add(&pool, "failed with it", &["nothing that comes", "killed"]);
        assert_eq!(pool.waiting_for(&"killed"), ["nothing that comes"]);
        pool.kill(&"killed");
        for key in ["killed", "failed with it"] {
            assert_eq!(pool.waiting_for(&key), [""; 0], "{key}");
        }
    });
}

#[test]
fn whatever_a_task_is_doing_it_can_be_killed() {
    run(|| {
        let (below, inside) = (GreenPool::new(1), Inside::default());
        let pool = DagPool::over(&below);
        let theirs = inside.clone();
        pool.spawn("runs", [], move |_| {
            let _entered = theirs.enter();
            sleep(60 * SECOND);
            Ok(String::new())
        })
        .unwrap();
        add(&pool, "has no slot", &[]);
        add(&pool, "needs", &["nothing that comes"]);
        yield_now();
        assert_eq!(inside.now(), 1);
        for key in ["has no slot", "needs", "runs"] {
            assert!(pool.kill(&key), "{key}");
        }
        for key in ["has no slot", "needs", "runs"] {
            assert!(pool.wait([key]).unwrap_err().is_killed(), "{key}");
        }
        assert_eq!(inside.now(), 0);
        wait_all_parked();
        assert_eq!((below.running(), below.waiting()), (0, 0));
        assert_nothing_left();
    });
}

#[test]
fn one_killed_before_it_has_begun_on_its_thread_has_failed() {
    run(|| {
        let pool: DagPool<_, ()> = DagPool::new();
        pool.spawn("a", [], |_| unreachable!("it is killed before")).unwrap();
        pool.spawn("b", ["a"], |_| unreachable!("it needs it")).unwrap();
        assert_eq!(pool.running_keys(), ["a"]);
        assert!(pool.kill(&"a"));
        let error = pool.wait(["b"]).unwrap_err();
        assert!(error.is_killed() && *error.key() == "a", "{error}");
    });
}

#[test]
fn what_has_ended_is_on_no_way_round() {
    run(|| {
        let pool: DagPool<u32, u32> = DagPool::new();
        pool.spawn(1, [2], |_| Ok(1)).unwrap();
        assert!(pool.kill(&1));
        pool.spawn(2, [1], |_| Ok(2)).unwrap();
        assert_eq!(pool.wait([2]).unwrap_err().key(), &1);
    });
}

#[test]
fn a_task_that_is_not_run_is_dropped_where_nothing_is_borrowed() {
    run(|| {
        let (pool, trace) = (DagPool::new(), Trace::new());
        for key in ["b", "c"] {
            let (inner, trace) = (pool.clone(), trace.clone());
            let owned = OnDrop(move || {
                trace.tell((key, inner.keys()));
                // What it spawns as it is dropped is run as any other.
                inner.spawn(if key == "b" { "from b" } else { "from c" }, [], |_| Ok(())).unwrap();
            });
            pool.spawn(key, ["a"], move |_| {
                drop(owned);
                Ok(())
            })
            .unwrap();
        }
        pool.spawn("a", [], |_| Err("no")?).unwrap();
        assert_eq!(pool.waitall().unwrap_err().key(), &"a");
        let keys: Vec<_> = trace.take().into_iter().map(|(key, keys)| (key, keys.len())).collect();
        assert_eq!(keys, [("b", 3), ("c", 3)], "all of it was known before any was dropped");
        assert_eq!(pool.keys(), ["a", "b", "c", "from b", "from c"]);
        assert_nothing_left();
    });
}

#[test]
fn a_task_whose_drop_panics_does_not_keep_the_others_from_ending() {
    run(|| {
        let pool = DagPool::new();
        for key in ["b", "c"] {
            let bomb = OnDrop(|| {
                if !std::thread::panicking() {
                    panic!("it goes off");
                }
            });
            pool.spawn(key, ["a"], move |_| {
                drop(bomb);
                Ok(())
            })
            .unwrap();
        }
        pool.spawn("a", [], |_| Err("no")?).unwrap();
        for key in ["a", "b", "c"] {
            assert_eq!(pool.wait([key]).unwrap_err().key(), &"a");
        }
        wait_all_parked();
        pool.spawn("d", [], |_| Ok(())).unwrap();
        assert!(pool.wait(["d"]).is_ok());
        assert_nothing_left();
    });
}

#[test]
fn a_failure_in_a_callback_starts_nobody_and_tells_everybody() {
    run(|| {
        let pool = DagPool::new();
        pool.spawn("a", ["never"], |_| Ok(())).unwrap();
        pool.spawn("b", ["a"], |_| Ok(())).unwrap();
        let theirs = pool.clone();
        assert!(in_callback(move || theirs.kill(&"a")));
        assert!(pool.wait(["b"]).unwrap_err().is_killed());
    });
}

#[test]
fn tasks_run_on_when_the_last_handle_is_dropped() {
    run(|| {
        let (pool, trace) = (DagPool::new(), Trace::new());
        pool.spawn("a", [], |_| {
            sleep(SECOND);
            Ok(1)
        })
        .unwrap();
        let (theirs, never) = (trace.clone(), Rc::new(()));
        pool.spawn("b", ["a"], move |made| {
            theirs.tell(made["a"]);
            Ok(2)
        })
        .unwrap();
        let owned = Rc::clone(&never);
        pool.spawn("c", ["nobody"], move |_| Ok(Rc::strong_count(&owned).try_into()?)).unwrap();
        drop(pool);
        sleep(2 * SECOND);
        assert_eq!(trace.take(), [1]);
        assert_eq!(Rc::strong_count(&never), 1, "what can never run is gone with the pool");
        assert_nothing_left();
    });
}

#[test]
fn ending_the_hub_ends_all_that_run_and_all_that_need_them() {
    run(|| {
        let below = GreenPool::new(1);
        let pool = DagPool::over(&below);
        add(&pool, "a", &[]);
        add(&pool, "no slot", &[]);
        add(&pool, "b", &["a"]);
        yield_now();
        hub::abort();
        assert!(pool.wait(["b"]).unwrap_err().is_killed());
        assert_eq!(below.running(), 0);
        // The hub works again, and so does the pool.
        add(&pool, "c", &[]);
        assert_eq!(pool.wait(["c"]).unwrap()["c"], "c()");
    });
}
