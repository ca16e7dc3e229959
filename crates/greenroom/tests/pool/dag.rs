//! Tasks that need each other's results: when they run, what they are given, what is refused.

use std::{cell::Cell, io, rc::Rc};

use greenroom::{
    GreenPool, Instant, hub,
    pool::{DagError, DagPool, TaskError},
    sleep, spawn,
    testing::{run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::scenes::{
    Inside, SECOND, Trace, assert_nothing_left, in_callback, in_destructor, panic_of,
};

type Texts = DagPool<&'static str, String>;

/// Spawns a task that takes a second and returns its own key and, in brackets, what it was given.
pub(crate) fn add(pool: &Texts, key: &'static str, needs: &[&'static str]) {
    let needs = needs.to_vec();
    let spawned = pool.spawn(key, needs, move |made| {
        sleep(SECOND);
        let given: Vec<_> = made.iter().map(|(_, value)| value.as_str()).collect();
        Ok(format!("{key}({})", given.join(" ")))
    });
    spawned.unwrap();
}

#[test]
fn each_runs_as_soon_as_what_it_needs_is_there() {
    run(|| {
        let (pool, begin) = (Texts::new(), Instant::now());
        add(&pool, "d", &["b", "c"]);
        add(&pool, "c", &["a"]);
        add(&pool, "b", &[]);
        add(&pool, "a", &[]);
        assert_eq!(pool.waiting_keys(), ["d", "c"]);
        assert_eq!(pool.running_keys(), ["b", "a"]);
        assert_eq!(pool.waiting_for(&"d"), ["b", "c"]);
        assert_eq!(pool.waiting_for(&"a"), [""; 0]);
        let results = pool.wait(["d"]).unwrap();
        assert_eq!((results.len(), results["d"].as_str()), (1, "d(b() c(a()))"));
        assert_eq!(begin.elapsed(), 3 * SECOND);
        assert_eq!(pool.keys(), ["b", "a", "c", "d"]);
        let all = pool.waitall().unwrap();
        let keys: Vec<_> = all.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["d", "b", "c", "a"], "as they were named first");
        assert_nothing_left();
    });
}

#[test]
fn a_chain_of_ten_thousand_is_no_matter_of_stack() {
    run(|| {
        let pool = DagPool::preload([(0, 0)]);
        for n in (1..=10_000).rev() {
            pool.spawn(n, [n - 1], move |made| Ok(made[&(n - 1)] + 1)).unwrap();
        }
        assert_eq!(pool.wait([10_000]).unwrap()[&10_000], 10_000);
        let broken: DagPool<u32, u32> = DagPool::new();
        for n in 1..=10_000 {
            broken.spawn(n, [n - 1], move |made| Ok(made[&(n - 1)] + 1)).unwrap();
        }
        broken.spawn(0, [], |_| Err("no")?).unwrap();
        assert_eq!(*broken.wait([10_000]).unwrap_err().key(), 0);
        assert_nothing_left();
    });
}

#[test]
fn values_may_be_there_before_or_come_without_a_task() {
    run(|| {
        let pool = DagPool::preload([("a", 1), ("b", 2), ("a", 3)]);
        pool.spawn("sum", ["a", "b", "c"], |made| Ok(made["a"] + made["b"] + made["c"])).unwrap();
        wait_all_parked();
        assert_eq!(pool.waiting_for(&"sum"), ["c"]);
        assert!(pool.get(&"sum").is_none() && pool.get(&"other").is_none());
        pool.post("c", 10).unwrap();
        assert_eq!(pool.wait(["sum"]).unwrap()["sum"], 15);
        assert_eq!(*pool.get(&"sum").unwrap().unwrap(), 15);
    });
}

#[test]
fn a_result_is_shared_by_all_who_ask() {
    run(|| {
        let pool = DagPool::new();
        pool.spawn("a", [], |_| Ok(Cell::new(1))).unwrap();
        pool.spawn("b", ["a"], |made| Ok(made["a"].clone())).unwrap();
        let first = Rc::clone(pool.wait(["a"]).unwrap().get("a").unwrap());
        first.set(7);
        assert_eq!(pool.get(&"a").unwrap().unwrap().get(), 7);
        let both: Vec<_> = pool.wait(["b", "a"]).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(both, ["b", "a"]);
    });
}

#[test]
fn a_need_named_twice_is_one_need() {
    run(|| {
        let pool = DagPool::new();
        pool.spawn("b", ["a", "a"], |made| Ok(made.len())).unwrap();
        assert_eq!(pool.waiting_for(&"b"), ["a"]);
        pool.post("a", 0).unwrap();
        assert_eq!(pool.wait(["b"]).unwrap()["b"], 1);
        assert_eq!(pool.wait(["a", "a"]).unwrap().len(), 1);
    });
}

#[test]
fn a_key_is_used_once() {
    run(|| {
        let pool = DagPool::preload([("there", 0)]);
        pool.spawn("waits", ["never"], |_| Ok(0)).unwrap();
        pool.spawn("runs", [], |_| {
            sleep(SECOND);
            Ok(0)
        })
        .unwrap();
        yield_now();
        for key in ["there", "waits", "runs"] {
            let refused = Err(DagError::Collision { key });
            assert_eq!(pool.spawn(key, [], |_| Ok(1)), refused);
            assert_eq!(pool.post(key, 1), refused);
        }
        let text = pool.post("runs", 1).unwrap_err().to_string();
        assert_eq!(text, "the key \"runs\" has a task or a value already; choose another");
        // One that was only named is free.
        pool.post("never", 1).unwrap();
        assert_eq!(pool.waitall().unwrap().len(), 4);
    });
}

#[test]
fn a_task_that_would_need_itself_is_refused_with_the_way_round() {
    run(|| {
        let pool: DagPool<u32, u32> = DagPool::new();
        let path = |outcome| match outcome {
            Err(DagError::Cycle { path }) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(path(pool.spawn(1, [1], |_| Ok(0))), [1, 1]);
        pool.spawn(1, [2, 3], |_| Ok(0)).unwrap();
        pool.spawn(3, [4], |_| Ok(0)).unwrap();
        assert_eq!(path(pool.spawn(4, [5, 1], |_| Ok(0))), [4, 1, 3, 4]);
        let text = pool.spawn(4, [1], |_| Ok(0)).unwrap_err().to_string();
        assert_eq!(text, "the task would wait for its own result: 4 needs 1 needs 3 needs 4");
        // Nothing of it is left: the same key without the cycle will do.
        pool.spawn(4, [5], |_| Ok(4)).unwrap();
        pool.post(2, 2).unwrap();
        pool.post(5, 5).unwrap();
        assert_eq!(pool.waitall().unwrap().len(), 5);
    });
}

#[test]
fn no_more_run_at_once_than_the_pool_below_has_slots() {
    run(|| {
        let (below, inside, trace) = (GreenPool::new(2), Inside::default(), Trace::new());
        let pool = DagPool::over(&below);
        for n in 0..6 {
            let (inside, trace) = (inside.clone(), trace.clone());
            let task = move |_| {
                let _entered = inside.enter();
                trace.tell(n);
                sleep(SECOND);
                Ok(n)
            };
            pool.spawn(n, [], task).unwrap();
        }
        assert_eq!((pool.running_keys().len(), pool.waiting_keys().len()), (2, 4));
        assert_eq!(pool.waiting_for(&5), [0; 0], "it waits for a slot");
        let begin = Instant::now();
        pool.waitall().unwrap();
        assert_eq!((begin.elapsed(), inside.peak()), (3 * SECOND, 2));
        assert_eq!(trace.take(), [0, 1, 2, 3, 4, 5]);
        wait_all_parked();
        assert_eq!((below.running(), below.waiting()), (0, 0));
        assert_nothing_left();
    });
}

#[test]
fn slots_that_others_give_back_are_used() {
    run(|| {
        let below = GreenPool::new(1);
        let other = below.spawn(|| sleep(SECOND));
        let pool = DagPool::over(&below);
        pool.spawn("a", [], |_| Ok(1)).unwrap();
        pool.spawn("b", ["a"], |made| Ok(made["a"] + 1)).unwrap();
        assert_eq!((pool.waiting_keys(), below.running()), (vec!["a", "b"], 1));
        let begin = Instant::now();
        assert_eq!(pool.wait(["b"]).unwrap()["b"], 2);
        assert_eq!(begin.elapsed(), SECOND);
        other.join().unwrap();
        below.waitall();
        wait_all_parked();
        assert_nothing_left();
    });
}

#[test]
fn tasks_spawn_tasks_and_all_are_waited_for() {
    run(|| {
        let pool = DagPool::over(&GreenPool::new(1));
        let inner = pool.clone();
        pool.spawn(0, [], move |_| {
            for n in 1..4 {
                inner.spawn(n, [n - 1], move |made| Ok(made[&(n - 1)] + n))?;
            }
            Ok(0)
        })
        .unwrap();
        let all = pool.waitall().unwrap();
        assert_eq!(all.iter().map(|(_, sum)| *sum).collect::<Vec<_>>(), [0, 1, 3, 6]);
    });
}

#[test]
fn results_come_each_as_they_do() {
    run(|| {
        let pool = DagPool::preload([("there", 0)]);
        for (key, seconds) in [("slow", 3), ("quick", 1), ("other", 2)] {
            pool.spawn(key, [], move |_| {
                sleep(seconds * SECOND);
                Ok(seconds)
            })
            .unwrap();
        }
        let mut each = pool.wait_each(["slow", "quick", "there", "quick"]);
        assert_eq!(each.size_hint(), (0, Some(3)));
        let begin = Instant::now();
        let mut next = || each.next().map(|(key, result)| (key, *result.unwrap()));
        assert_eq!(next(), Some(("there", 0)));
        assert_eq!(next(), Some(("quick", 1)));
        assert_eq!(begin.elapsed(), SECOND);
        assert_eq!(with_timeout(SECOND, &mut next).ok(), None);
        assert_eq!((next(), next()), (Some(("slow", 3)), None));
        let (key, result) = pool.wait_any(["slow", "other"]).unwrap();
        assert_eq!((key, *result.unwrap()), ("other", 2));
        assert!(pool.wait_any([]).is_none());
        assert_nothing_left();
    });
}

#[test]
fn several_wait_for_one_result_and_one_of_them_is_thrown_out() {
    run(|| {
        let pool = DagPool::new();
        pool.spawn("a", [], |_| {
            sleep(2 * SECOND);
            Ok(7)
        })
        .unwrap();
        let waiters = [0, 1, 2].map(|_| {
            let pool = pool.clone();
            spawn(move || pool.wait(["a"]).unwrap()["a"])
        });
        wait_all_parked();
        assert!(with_timeout(SECOND, || pool.waitall().is_ok()).is_err());
        assert!(waiters[1].kill());
        let got = waiters.map(|waiter| waiter.join().ok());
        assert_eq!(got, [Some(7), None, Some(7)]);
        assert_nothing_left();
    });
}

#[test]
fn a_task_may_not_wait_for_its_own_end() {
    run(|| {
        let pool = DagPool::new();
        for (key, wait) in [
            ("itself", (|pool| drop(pool.wait(["itself"]))) as fn(&DagPool<&'static str, String>)),
            ("each", |pool| drop(pool.wait_each(["each"]).next())),
            ("all", |pool| drop(pool.waitall())),
        ] {
            let inner = pool.clone();
            pool.spawn(key, [], move |_| Ok(panic_of(|| wait(&inner)))).unwrap();
        }
        for (key, text) in pool.waitall().unwrap() {
            assert!(text.starts_with("a task cannot wait for"), "{key}: {text}");
        }
        let inner = pool.clone();
        pool.spawn("waits", [], move |_| Ok(inner.wait(["posted"])?["posted"].clone())).unwrap();
        yield_now();
        pool.post("posted", "of another".to_owned()).unwrap();
        assert_eq!(pool.wait(["waits"]).unwrap()["waits"], "of another");
    });
}

#[test]
fn in_a_callback_tasks_are_spawned_and_posted_and_waiting_is_refused() {
    run(|| {
        let pool = DagPool::over(&GreenPool::new(1));
        for waits in [
            (|pool| drop(pool.wait(["a"]))) as fn(&DagPool<&'static str, u32>),
            |pool| drop(pool.wait_any(["a"])),
            |pool| drop(pool.waitall()),
        ] {
            let theirs = pool.clone();
            let text = in_callback(move || {
                // There is somebody to wait for.
                drop(theirs.spawn("a", ["b"], |made| Ok(made["b"] + 1)));
                panic_of(|| waits(&theirs))
            });
            assert!(text.starts_with("a hub callback may not block"), "{text}");
        }
        let theirs = pool.clone();
        in_callback(move || theirs.post("b", 1).unwrap());
        assert_eq!(pool.wait(["a"]).unwrap()["a"], 2);
        assert_nothing_left();
    });
}

#[test]
fn in_a_destructor_what_is_there_is_given_and_else_it_is_an_error() {
    run(|| {
        let pool = DagPool::preload([("there", 1)]);
        let outcome = in_destructor(|| {
            pool.spawn("late", ["there"], |made| Ok(made["there"] + 1)).unwrap();
            let there = pool.wait(["there"]).map(|made| made["there"]).ok();
            let late = pool.wait(["there", "late"]).unwrap_err();
            let all = pool.waitall().unwrap_err().to_string();
            (there, *late.key(), late.to_string(), all, pool.wait_any(["late"]).is_none())
        });
        let says =
            "the task \"late\" has no result: a thread that unwinds from a panic cannot wait";
        assert_eq!(outcome, (Some(1), "late", says.to_owned(), says.to_owned(), true));
        assert_eq!(pool.wait(["late"]).unwrap()["late"], 2);
    });
}

#[test]
fn any_error_will_do_and_is_found_again() {
    run(|| {
        let pool: DagPool<&str, ()> = DagPool::new();
        pool.spawn("io", [], |_| Err(io::Error::from_raw_os_error(2))?).unwrap();
        pool.spawn("text", [], |_| Err("text")?).unwrap();
        pool.spawn("boxed", [], |_| Err(TaskError::from("boxed"))).unwrap();
        let inner = pool.clone();
        pool.spawn("passed on", [], move |_| {
            inner.wait(["io"])?;
            Ok(())
        })
        .unwrap();
        let error = |key| pool.wait([key]).unwrap_err();
        let source = |error: &dyn std::error::Error| {
            let found = error.source().and_then(|source| source.downcast_ref::<io::Error>());
            found.and_then(io::Error::raw_os_error)
        };
        assert_eq!(source(&error("io")), Some(2));
        assert_eq!(error("text").to_string(), "the task \"text\" has no result: text");
        assert_eq!(error("boxed").to_string(), "the task \"boxed\" has no result: boxed");
        let passed = error("passed on");
        assert_eq!(*passed.key(), "passed on");
        assert!(passed.to_string().contains("the task \"io\" has no result"), "{passed}");
        fn fits<E: std::error::Error + Send + Sync + 'static>(_: &E) {}
        fits(&passed);
        hub::abort();
    });
}
