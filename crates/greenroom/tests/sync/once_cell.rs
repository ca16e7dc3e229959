//! Cells that are set once: one makes the value, the others wait, and if it fails the next one
//! makes it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    Elapsed, JoinHandle, hub, sleep, spawn,
    sync::OnceCell,
    testing::{run, wait_all_parked},
    thread::Thread,
    with_timeout,
};

use crate::scenes::{SECOND, assert_nothing_left, in_a_callback, in_a_kill, in_a_panic, panic_of};

type Shared = Rc<OnceCell<&'static str>>;

/// Has somebody who needs the value get it, or make `value` in a second.
fn needy(cell: &Shared, value: &'static str) -> JoinHandle<&'static str> {
    let cell = Rc::clone(cell);
    let needy = spawn(move || {
        *cell.get_or_init(|| {
            sleep(SECOND);
            value
        })
    });
    wait_all_parked();
    needy
}

#[test]
fn one_makes_the_value_and_the_others_wait_for_it() {
    run(|| {
        let cell = Shared::default();
        let all = ["a", "b", "c"].map(|name| needy(&cell, name));
        assert_eq!(cell.get(), None);
        assert_eq!(all.map(|needy| needy.join().unwrap()), ["a"; 3]);
        assert_eq!((cell.get(), cell.get_or_init(|| "d")), (Some(&"a"), &"a"));
        assert_nothing_left();
    });
}

/// How the making of a value fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Panic,
    Error,
    Kill,
    TimeIsOver,
}

#[test]
fn when_it_fails_whoever_waits_longest_makes_it() {
    for how in [Failure::Panic, Failure::Error, Failure::Kill, Failure::TimeIsOver] {
        run(|| {
            let cell = Shared::default();
            let theirs = Rc::clone(&cell);
            let first = spawn(move || {
                with_timeout(SECOND, || {
                    let make = || {
                        match how {
                            Failure::Panic => panic!("no value"),
                            Failure::Error => return Err("no value"),
                            Failure::Kill | Failure::TimeIsOver => sleep(Duration::MAX),
                        }
                        Ok("first")
                    };
                    // Others come meanwhile.
                    theirs
                        .get_or_try_init(|| {
                            sleep(SECOND / 2);
                            make()
                        })
                        .copied()
                })
            });
            wait_all_parked();
            let others = ["second", "third"].map(|name| needy(&cell, name));
            sleep(SECOND / 2);
            if let Failure::Kill = how {
                first.kill();
            }
            assert!(!matches!(first.join(), Ok(Ok(Ok(_)))), "{how:?}");
            assert_eq!(others.map(|needy| needy.join().unwrap()), ["second"; 2], "{how:?}");
            assert_nothing_left();
        });
    }
}

#[test]
fn one_who_is_to_make_it_and_is_killed_leaves_that_to_the_next() {
    run(|| {
        let cell = Shared::default();
        let doomed = Rc::new(RefCell::new(None::<Thread>));
        let (fails, kills) = (Rc::clone(&cell), Rc::clone(&doomed));
        let first = spawn(move || {
            let make = || {
                sleep(SECOND);
                Err(())
            };
            // The next in the queue has been called by now, and has not run since.
            assert!(fails.get_or_try_init(make).is_err());
            kills.take().expect("somebody waits").kill();
        });
        wait_all_parked();
        let [victim, next] = ["victim", "next"].map(|name| needy(&cell, name));
        doomed.replace(Some(victim.thread()));
        first.join().unwrap();
        assert!(victim.join().unwrap_err().is_killed());
        assert_eq!(next.join().unwrap(), "next");
        assert_nothing_left();
    });
}

#[test]
fn who_is_killed_while_waiting_changes_nothing() {
    run(|| {
        let cell = Shared::default();
        let [maker, victim, other] = ["maker", "victim", "other"].map(|name| needy(&cell, name));
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        assert_eq!([maker, other].map(|needy| needy.join().unwrap()), ["maker"; 2]);
    });
}

#[test]
fn a_limit_of_time_throws_out_of_the_wait() {
    run(|| {
        let cell = Shared::default();
        let maker = needy(&cell, "maker");
        assert_eq!(with_timeout(SECOND / 2, || *cell.get_or_init(|| "root")), Err(Elapsed));
        assert_eq!(maker.join().unwrap(), "maker");
        assert_nothing_left();
    });
}

#[test]
fn a_cell_that_nobody_could_fill_is_empty_again() {
    run(|| {
        let cell = Shared::default();
        assert_eq!(cell.get_or_try_init(|| Err(3)), Err(3));
        assert_eq!(panic_of(|| cell.get_or_init(|| panic!("no value"))), "no value");
        assert_eq!(cell.get(), None);
        assert_eq!(cell.set("x"), Ok(()));
        assert_eq!(cell.get_or_init(|| "y"), &"x");
    });
}

#[test]
fn setting_it_while_it_is_made_is_refused() {
    run(|| {
        let cell = Shared::default();
        let maker = needy(&cell, "maker");
        assert_eq!(cell.set("mine"), Err("mine"));
        maker.join().unwrap();
        assert_eq!(cell.set("mine"), Err("mine"));
    });
}

#[test]
fn a_function_that_needs_what_it_makes_is_found_out() {
    run(|| {
        let cell = Shared::default();
        let message = panic_of(|| cell.get_or_init(|| cell.get_or_init(|| "inner")));
        let text =
            "deadlock: the root needs a value to make that very value, so it would wait for itself";
        assert_eq!(message, text);
        assert_eq!(cell.get_or_init(|| "outer"), &"outer");
    });
}

#[test]
fn what_is_there_is_had_anywhere_and_without_a_turn() {
    run(|| {
        let cell = Rc::new(OnceCell::from(5));
        let turns = hub::stats().turns;
        assert_eq!((cell.get_or_init(|| 6), cell.get()), (&5, Some(&5)));
        assert_eq!(hub::stats().turns, turns);
        assert_eq!(in_a_panic(|| *cell.get_or_init(|| 7)), 5);
        let mut cell = in_a_callback(move || {
            assert_eq!(cell.get_or_init(|| 8), &5);
            Rc::into_inner(cell).unwrap()
        });
        *cell.get_mut().unwrap() += 1;
        assert_eq!((cell.take(), cell.get()), (Some(6), None));
        assert_eq!((format!("{cell:?}"), cell.into_inner()), ("OnceCell(None)".into(), None));
    });
}

#[test]
fn it_is_made_but_not_waited_for_in_callbacks_and_destructors_during_a_panic() {
    run(|| {
        let cell = Shared::default();
        let maker = needy(&cell, "maker");
        let theirs = Rc::clone(&cell);
        let message = in_a_callback(move || panic_of(|| theirs.get_or_init(|| "callback")));
        assert!(message.contains("a hub callback may not block"), "{message}");
        for message in [in_a_panic(|| panic_of(|| cell.get_or_init(|| "panic"))), {
            let theirs = Rc::clone(&cell);
            in_a_kill(move || panic_of(|| theirs.get_or_init(|| "kill")))
        }] {
            assert!(message.starts_with("a value would have to be waited for"), "{message}");
        }
        assert_eq!(maker.join().unwrap(), "maker");
        assert_eq!(in_a_callback(|| *OnceCell::new().get_or_init(|| 1)), 1);
        assert_eq!(in_a_panic(|| *OnceCell::new().get_or_init(|| 1)), 1);
    });
}

#[test]
fn a_root_that_waits_for_ever_is_told_and_leaves_the_queue() {
    run(|| {
        let cell = Shared::default();
        let theirs = Rc::clone(&cell);
        let is_stuck = Rc::new(Cell::new(true));
        let stuck = Rc::clone(&is_stuck);
        let maker = spawn(move || {
            *theirs.get_or_init(|| {
                while stuck.get() {
                    sleep(Duration::MAX);
                }
                "maker"
            })
        });
        wait_all_parked();
        assert!(panic_of(|| cell.get_or_init(|| "root")).contains("the root waits for a value"));
        let next = needy(&cell, "next");
        maker.kill();
        assert!(maker.join().unwrap_err().is_killed());
        assert_eq!(next.join().unwrap(), "next");
        is_stuck.set(false);
        assert_nothing_left();
    });
}

#[test]
fn whoever_waits_for_a_value_has_it_however_it_comes() {
    for set in [true, false] {
        run(move || {
            let cell = Shared::default();
            let waits = [(); 2].map(|()| {
                let cell = Rc::clone(&cell);
                spawn(move || *cell.wait())
            });
            wait_all_parked();
            if set {
                cell.set("value").unwrap();
            } else {
                needy(&cell, "value").join().unwrap();
            }
            assert_eq!(waits.map(|waits| waits.join().unwrap()), ["value"; 2]);
            assert_eq!((cell.wait(), cell.wait_timeout(Duration::ZERO)), (&"value", Ok(&"value")));
            assert_nothing_left();
        });
    }
}

#[test]
fn whoever_only_waits_does_not_make_the_value_if_the_maker_fails() {
    run(|| {
        let cell = Shared::default();
        let maker = needy(&cell, "first");
        let theirs = Rc::clone(&cell);
        let waits = spawn(move || theirs.wait_timeout(3 * SECOND).copied());
        wait_all_parked();
        let next = needy(&cell, "second");
        maker.kill();
        assert_eq!((waits.join().unwrap(), next.join().unwrap()), (Ok("second"), "second"));
        assert_nothing_left();
    });
}

#[test]
fn a_wait_for_a_value_that_does_not_come_ends_with_its_time_or_its_thread() {
    run(|| {
        let cell = Shared::default();
        let theirs = Rc::clone(&cell);
        let killed = spawn(move || *theirs.wait());
        wait_all_parked();
        assert_eq!(cell.wait_timeout(SECOND), Err(Elapsed));
        assert_eq!(with_timeout(SECOND, || *cell.wait()), Err(Elapsed));
        killed.kill();
        assert!(killed.join().unwrap_err().is_killed());
        let text = panic_of(|| *cell.get_or_init(|| *cell.wait()));
        assert!(text.contains("waits for a value that it is to make"), "{text}");
        assert_nothing_left();
    });
}
