//! Starting green threads: when they run, what they may hold, what they are called.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
};

use greenroom::{
    hub, spawn,
    testing::{self, run},
    thread::{self, Builder},
    yield_now,
};

use crate::trace::Trace;

#[test]
fn a_thread_first_runs_when_its_spawner_waits() {
    run(|| {
        let trace = Trace::new();
        let handle = spawn(trace.telling("thread"));
        trace.tell("spawner");
        handle.join().unwrap();
        assert_eq!(trace.take(), ["spawner", "thread"]);
    });
}

#[test]
fn threads_first_run_in_the_order_they_were_spawned() {
    run(|| {
        let trace = Trace::new();
        for n in 0..100 {
            drop(spawn(trace.telling(n)));
        }
        testing::wait_all_parked();
        assert_eq!(trace.take(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_closure_needs_no_send_and_neither_does_what_it_returns() {
    run(|| {
        let shared = Rc::new(RefCell::new(vec![1]));
        let theirs = Rc::clone(&shared);
        let returned = spawn(move || {
            theirs.borrow_mut().push(2);
            yield_now();
            theirs.borrow_mut().push(3);
            theirs
        });
        let returned = returned.join().unwrap();
        assert!(Rc::ptr_eq(&returned, &shared));
        assert_eq!(*shared.borrow(), [1, 2, 3]);
    });
}

#[test]
fn a_closure_is_dropped_once() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("dropped");
        let inner = trace.clone();
        let handle = spawn(move || {
            let _owned = owned;
            inner.tell("ran");
        });
        handle.join().unwrap();
        assert_eq!(trace.take(), ["ran", "dropped"]);
    });
}

#[test]
fn a_thread_may_outlive_its_spawner() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let parent = spawn(move || {
            let child = inner.telling("child");
            drop(spawn(move || {
                yield_now();
                child();
            }));
            inner.tell("parent");
        });
        parent.join().unwrap();
        assert_eq!(trace.take(), ["parent"]);
        testing::wait_all_parked();
        assert_eq!(trace.take(), ["child"]);
    });
}

#[test]
fn a_thread_knows_its_name() {
    run(|| {
        let handle = Builder::new().name("reader").spawn(|| thread::current().name()).unwrap();
        assert_eq!(handle.thread().name().as_deref(), Some("reader"));
        assert_eq!(handle.join().unwrap().as_deref(), Some("reader"));
    });
}

#[test]
fn a_thread_that_was_given_no_name_has_none() {
    run(|| {
        let handle = spawn(|| thread::current().name());
        assert_eq!(handle.thread().name(), None);
        assert_eq!(handle.join().unwrap(), None);
    });
}

#[test]
fn on_the_root_the_name_is_the_os_threads() {
    let os_thread = std::thread::Builder::new().name("worker".into());
    let name = os_thread.spawn(|| thread::current().name().map(|name| name.to_string()));
    assert_eq!(name.unwrap().join().unwrap().as_deref(), Some("worker"));
}

#[test]
fn ids_are_unique_although_stacks_are_used_again() {
    run(|| {
        let mut ids = HashSet::from([thread::current().id()]);
        for _ in 0..1000 {
            let handle = spawn(|| thread::current().id());
            let id = handle.thread().id();
            assert_eq!(handle.join().unwrap(), id);
            assert!(ids.insert(id), "{id} was given twice");
        }
        assert_eq!(hub::stats().threads_peak, 1);
    });
}

#[test]
fn the_root_is_number_zero_and_not_green() {
    run(|| {
        assert_eq!(thread::current().id().to_string(), "0");
        assert!(!thread::is_green());
        assert!(spawn(thread::is_green).join().unwrap());
    });
}

#[test]
fn a_thread_can_be_told_from_others_after_it_ended() {
    run(|| {
        let handle = Builder::new().name("gone").spawn(|| {}).unwrap();
        let thread = handle.thread();
        handle.join().unwrap();
        for _ in 0..10 {
            spawn(|| {}).join().unwrap();
        }
        assert_eq!(thread.name().as_deref(), Some("gone"));
        assert_eq!(thread.to_string(), format!("green thread \"gone\" ({})", thread.id()));
        assert_eq!(thread.clone().id(), thread.id());
    });
}

#[test]
fn a_current_thread_is_still_itself_after_a_wait() {
    run(|| {
        let threads: Vec<_> = (0..10)
            .map(|n| {
                let body = move || {
                    let before = thread::current().id();
                    for _ in 0..n {
                        yield_now();
                    }
                    assert_eq!(thread::current().id(), before);
                    before
                };
                spawn(body)
            })
            .collect();
        for thread in threads {
            let id = thread.thread().id();
            assert_eq!(thread.join().unwrap(), id);
        }
    });
}

#[test]
fn stats_count_the_living_and_their_peak() {
    run(|| {
        let handles: Vec<_> = (0..7).map(|_| spawn(|| {})).collect();
        assert_eq!((hub::stats().threads, hub::stats().ready), (7, 7));
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!((hub::stats().threads, hub::stats().threads_peak), (0, 7));
    });
}

#[test]
fn a_thread_may_spawn_while_a_destructor_runs() {
    struct Spawns(Rc<Cell<bool>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let ran = Rc::clone(&self.0);
            drop(spawn(move || ran.set(true)));
        }
    }
    run(|| {
        let ran = Rc::new(Cell::new(false));
        let spawns = Spawns(Rc::clone(&ran));
        spawn(move || drop(spawns)).join().unwrap();
        testing::wait_all_parked();
        assert!(ran.get());
    });
}
