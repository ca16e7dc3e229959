//! Scopes: who may borrow, and that nobody is left when they end.

use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
    thread::panicking,
    time::Duration,
};

use greenroom::{
    Elapsed, Instant, hub, scope, sleep, spawn,
    testing::{run, run_seeded},
    thread::{self, Builder, ScopedJoinHandle},
    with_timeout, yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

/// Counts those who are inside of it.
struct Inside<'a>(&'a Cell<usize>);

impl<'a> Inside<'a> {
    fn enter(count: &'a Cell<usize>) -> Inside<'a> {
        count.set(count.get() + 1);
        Inside(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Runs a scene on the root and on a green thread.
#[track_caller]
fn everywhere(scene: fn()) {
    run(move || {
        scene();
        spawn(scene).join().unwrap();
        assert_eq!((hub::stats().timers, hub::stats().threads), (0, 0));
    });
}

#[test]
fn threads_borrow_from_the_callers_stack_and_are_joined_at_the_end() {
    everywhere(|| {
        let mut squares = [0; 10];
        let factor = 3;
        scope(|s| {
            for (n, square) in squares.iter_mut().enumerate() {
                s.spawn(move || {
                    sleep(SECOND);
                    *square = factor * n;
                });
            }
            assert_eq!(s.alive(), 10);
        });
        assert_eq!(squares[9], 27);
    });
}

#[test]
fn a_handle_gives_what_the_thread_returned_borrowed_or_not() {
    everywhere(|| {
        let text = String::from("one two");
        let words = scope(|s| {
            let first = s.spawn(|| text.split(' ').next().unwrap());
            let second = s.spawn(|| {
                sleep(SECOND);
                text.split(' ').nth(1).unwrap()
            });
            assert!(!second.is_finished());
            [first.join().unwrap(), second.join().unwrap()]
        });
        assert_eq!(words, ["one", "two"]);
    });
}

#[test]
fn what_the_body_returns_may_borrow_too() {
    everywhere(|| {
        let list = [1, 2, 3];
        let last = scope(|s| s.spawn(|| list.last()).join().unwrap());
        assert_eq!(last, Some(&3));
    });
}

#[test]
fn threads_spawn_others_in_the_same_scope() {
    everywhere(|| {
        let count = Cell::new(0);
        scope(|s| {
            s.spawn(|| {
                yield_now();
                s.spawn(|| {
                    sleep(SECOND);
                    s.spawn(|| count.set(count.get() + 1));
                    count.set(count.get() + 1);
                });
                count.set(count.get() + 1);
            });
        });
        assert_eq!(count.get(), 3);
    });
}

#[test]
fn scopes_nest() {
    everywhere(|| {
        let mut sum = 0;
        scope(|outer| {
            outer.spawn(|| {
                let mut parts = [0; 3];
                scope(|inner| {
                    for part in &mut parts {
                        inner.spawn(|| {
                            sleep(SECOND);
                            *part = 2;
                        });
                    }
                });
                sum = parts.iter().sum();
            });
        });
        assert_eq!(sum, 6);
    });
}

#[test]
fn when_the_body_panics_its_threads_are_killed_before_the_panic_goes_on() {
    everywhere(|| {
        let inside = Cell::new(0);
        let begin = Instant::now();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        let _inside = Inside::enter(&inside);
                        sleep(Duration::MAX);
                    });
                }
                s.spawn(|| sleep(Duration::MAX));
                yield_now();
                assert_eq!(inside.get(), 3);
                panic!("the body");
            });
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the body"));
        assert_eq!((inside.get(), begin.elapsed()), (0, Duration::ZERO));
    });
}

#[test]
fn those_who_have_not_started_are_dropped_when_the_body_panics() {
    everywhere(|| {
        let inside = Cell::new(0);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                let held = Inside::enter(&inside);
                s.spawn(move || {
                    let _held = held;
                    unreachable!("it was killed before it started");
                });
                panic!("the body");
            });
        }));
        assert!(panic.is_err());
        assert_eq!(inside.get(), 0);
    });
}

#[test]
fn a_panic_of_a_child_that_nobody_joined_comes_out_when_all_have_ended() {
    everywhere(|| {
        let done = Cell::new(false);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| panic!("the child"));
                s.spawn(|| {
                    sleep(SECOND);
                    done.set(true);
                });
            });
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a scoped green thread panicked"));
        assert!(done.get());
    });
}

#[test]
fn a_panic_of_a_child_is_seen_however_its_handle_is_lost() {
    everywhere(|| {
        for (lose_late, forget) in [(false, false), (true, false), (false, true), (true, true)] {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    let handle = s.spawn(|| panic!("the child"));
                    if lose_late {
                        yield_now();
                        assert!(handle.is_finished());
                    }
                    if forget {
                        std::mem::forget(handle);
                    } else {
                        drop(handle);
                    }
                });
            }));
            assert!(panic.is_err(), "lost late: {lose_late}, forgotten: {forget}");
        }
    });
}

#[test]
fn a_panic_of_a_child_that_was_joined_is_the_joiners_affair() {
    everywhere(|| {
        scope(|s| {
            let child = s.spawn(|| panic!("the child"));
            assert!(child.join().unwrap_err().is_panic());
        });
    });
}

#[test]
fn a_child_can_be_killed_and_cancelled_alone() {
    everywhere(|| {
        scope(|s| {
            let killed = s.spawn(|| sleep(Duration::MAX));
            yield_now();
            let unborn = s.spawn(|| unreachable!("it was cancelled"));
            assert!(killed.kill() && unborn.cancel());
            assert!(killed.join().unwrap_err().is_killed());
            assert!(unborn.join().unwrap_err().is_cancelled());
        });
    });
}

#[test]
fn kill_all_ends_a_scope_early() {
    everywhere(|| {
        let begin = Instant::now();
        scope(|s| {
            for _ in 0..5 {
                s.spawn(|| sleep(Duration::MAX));
            }
            sleep(SECOND);
            assert_eq!(s.kill_all(), 5);
        });
        assert_eq!(begin.elapsed(), SECOND);
    });
}

#[test]
fn when_the_one_that_runs_the_scope_is_killed_its_threads_are_first() {
    // In the body and at the end of it.
    for at_the_end in [false, true] {
        run(move || {
            let trace = Trace::new();
            let inner = trace.clone();
            let parent = spawn(move || {
                let here = Cell::new(0);
                let _last = inner.on_drop("the parent");
                scope(|s| {
                    for _ in 0..2 {
                        s.spawn(|| {
                            let _inside = Inside::enter(&here);
                            let _bomb = inner.on_drop("a child");
                            sleep(Duration::MAX);
                        });
                    }
                    if !at_the_end {
                        sleep(Duration::MAX);
                    }
                });
                inner.tell("went on");
            });
            yield_now();
            yield_now();
            parent.kill();
            assert!(parent.join().unwrap_err().is_killed());
            assert_eq!(trace.take(), ["a child", "a child", "the parent"]);
            assert_eq!(hub::stats().threads, 0);
        });
    }
}

#[test]
fn when_its_time_is_over_its_threads_are_killed_and_the_timeout_arrives() {
    everywhere(|| {
        let inside = Cell::new(0);
        let begin = Instant::now();
        let outcome = with_timeout(SECOND, || {
            scope(|s| {
                s.spawn(|| {
                    let _inside = Inside::enter(&inside);
                    sleep(Duration::MAX);
                });
            });
        });
        assert_eq!((outcome, inside.get(), begin.elapsed()), (Err(Elapsed), 0, SECOND));
    });
}

#[test]
fn a_child_that_takes_its_time_to_die_is_waited_for() {
    everywhere(|| {
        let inside = Cell::new(0);
        let outcome = with_timeout(SECOND, || {
            scope(|s| {
                s.spawn(|| {
                    let _inside = Inside::enter(&inside);
                    // It is thrown out of each, and no borrow of it is left when the scope ends.
                    for _ in 0..5 {
                        let _ = catch_unwind(|| sleep(Duration::MAX));
                    }
                });
            });
        });
        assert_eq!((outcome, inside.get()), (Err(Elapsed), 0));
    });
}

#[test]
fn those_spawned_while_all_are_being_killed_are_killed_too() {
    struct Spawns<F: FnMut()>(F);
    impl<F: FnMut()> Drop for Spawns<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    everywhere(|| {
        let begin = Instant::now();
        let outcome = with_timeout(SECOND, || {
            scope(|s| {
                s.spawn(|| {
                    let _late = Spawns(|| {
                        s.spawn(|| sleep(Duration::MAX));
                    });
                    sleep(Duration::MAX);
                });
            });
        });
        assert_eq!((outcome, begin.elapsed()), (Err(Elapsed), SECOND));
    });
}

#[test]
fn a_deadlock_inside_kills_the_threads_before_it_comes_out() {
    run(|| {
        let inside = Cell::new(0);
        let panic = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| {
                    let _inside = Inside::enter(&inside);
                    sleep(Duration::MAX);
                });
            });
        }));
        let payload = panic.unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.starts_with("deadlock: the root waits for its scope to end"), "{text}");
        assert_eq!((inside.get(), hub::stats().threads), (0, 0));
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn an_abort_of_the_hub_ends_a_scope_and_its_threads() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let parent = spawn(move || {
            let count = Cell::new(0);
            scope(|s| {
                s.spawn(|| {
                    let _inside = Inside::enter(&count);
                    let _bomb = inner.on_drop("the child");
                    sleep(Duration::MAX);
                });
            });
        });
        yield_now();
        yield_now();
        hub::abort();
        assert!(parent.join().unwrap_err().is_killed());
        assert_eq!((trace.take(), hub::stats().threads), (vec!["the child"], 0));
    });
}

#[test]
fn links_of_a_scoped_thread_have_run_when_the_scope_ends() {
    everywhere(|| {
        let trace = Trace::new();
        let told = trace.clone();
        scope(|s| {
            let child = s.spawn(|| ());
            child.thread().link(move |_, _| {
                sleep(SECOND);
                told.tell("linked");
            });
        });
        assert_eq!(trace.take(), ["linked"]);
    });
}

#[test]
fn in_a_destructor_during_a_panic_threads_run_at_once_on_the_callers_stack() {
    struct Scopes<'a>(&'a RefCell<Vec<i32>>);
    impl Drop for Scopes<'_> {
        fn drop(&mut self) {
            assert!(panicking());
            scope(|s| {
                let first = s.spawn(|| self.0.borrow_mut().push(1));
                let second = s.spawn(|| {
                    sleep(SECOND);
                    self.0.borrow_mut().push(2);
                    7
                });
                let third = s.spawn(|| 8);
                self.0.borrow_mut().push(3);
                drop(first);
                assert_eq!(second.join().unwrap(), 7);
                assert_eq!(third.join_timeout(SECOND).unwrap().unwrap(), 8);
            });
        }
    }
    run(|| {
        let list = RefCell::new(Vec::new());
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _scopes = Scopes(&list);
            panic!("the destructor opens a scope");
        }));
        assert!(panic.is_err());
        assert_eq!(*list.borrow(), [1, 2, 3]);
    });
}

#[test]
fn a_callback_may_not_open_one() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        hub::call_after_global(SECOND, move || {
            let panic = catch_unwind(|| scope(|s| drop(s.spawn(|| ()))));
            let text = *panic.unwrap_err().downcast::<&str>().unwrap();
            inner.tell(text);
        });
        sleep(2 * SECOND);
        let texts = trace.take();
        assert!(texts[0].starts_with("a hub callback may not wait"), "{texts:?}");
        assert_eq!(hub::stats().threads, 0);
    });
}

#[test]
fn a_builder_names_a_scoped_thread() {
    everywhere(|| {
        let word = String::from("borrowed");
        scope(|s| {
            let body = || {
                sleep(SECOND);
                word.len()
            };
            let child = Builder::new().name("child").spawn_scoped(s, body).unwrap();
            assert_eq!(child.thread().name().as_deref(), Some("child"));
            let child = child.join_timeout(Duration::ZERO).map_err(ScopedJoinHandle::join);
            assert_eq!(child.unwrap_err().unwrap(), 8);
        });
    });
}

#[test]
fn many_short_threads_leave_nothing_behind() {
    everywhere(|| {
        let count = Cell::new(0);
        scope(|s| {
            for n in 0..10_000 {
                s.spawn(|| count.set(count.get() + 1));
                if n % 100 == 0 {
                    yield_now();
                }
            }
        });
        assert_eq!(count.get(), 10_000);
        assert!(hub::stats().stacks_idle <= 200, "{}", hub::stats().stacks_idle);
    });
}

#[test]
fn in_any_order_no_borrow_outlives_a_scope() {
    for seed in 0..50 {
        run_seeded(seed, || {
            let inside = Cell::new(0);
            let parents: Vec<_> = (0..4u32)
                .map(|n| {
                    spawn(move || {
                        let mine = Cell::new(0);
                        let _ = with_timeout((n + 1) * SECOND, || {
                            scope(|s| {
                                for m in 0..5u32 {
                                    s.spawn({
                                        let mine = &mine;
                                        move || {
                                            let _inside = Inside::enter(mine);
                                            sleep(m * SECOND);
                                        }
                                    });
                                }
                            });
                        });
                        mine.get()
                    })
                })
                .collect();
            for parent in parents {
                inside.set(inside.get() + parent.join().unwrap());
            }
            assert_eq!(inside.get(), 0);
        });
    }
}

#[test]
fn a_panic_that_was_joined_does_not_hide_one_that_was_not() {
    everywhere(|| {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                let joined = s.spawn(|| panic!("joined"));
                s.spawn(|| panic!("not joined"));
                assert!(joined.join().unwrap_err().is_panic());
            });
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"a scoped green thread panicked"));
    });
}

#[test]
fn a_throw_that_was_asked_for_before_the_end_kills_the_threads_at_once() {
    everywhere(|| {
        let inside = Cell::new(0);
        let begin = Instant::now();
        let late = || {
            scope(|s| {
                s.spawn(|| {
                    let _inside = Inside::enter(&inside);
                    sleep(Duration::MAX);
                });
            });
        };
        assert_eq!(with_timeout(Duration::ZERO, late), Err(Elapsed));
        let swallowed = || {
            assert!(catch_unwind(|| sleep(Duration::MAX)).is_err());
            late();
        };
        assert_eq!(with_timeout(SECOND, swallowed), Err(Elapsed));
        assert_eq!((inside.get(), begin.elapsed()), (0, SECOND));
    });
    run(|| {
        let thread = spawn(|| {
            thread::current().kill();
            scope(|s| drop(s.spawn(|| sleep(Duration::MAX))));
        });
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(hub::stats().threads, 0);
    });
}
