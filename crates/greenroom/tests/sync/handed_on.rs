//! What holds for everything that is handed from one to the next: order, timeouts, kills, and the
//! special places.
//!
//! One suite for all gates. Knows only their common face.

use std::{panic::Location, rc::Rc, time::Duration};

use greenroom::{
    Elapsed, Instant, JoinHandle, debug, hub, sleep, spawn,
    testing::{run, wait_all_parked},
    with_timeout,
};

use crate::{
    gate::{Gate, Kind, all},
    scenes::{
        SECOND, assert_nothing_left, in_a_callback, in_a_kill, in_a_panic, join_all, panic_if_any,
        panic_of,
    },
    trace::Trace,
};

/// A gate and who got through.
#[derive(Clone)]
struct Scene {
    kind: &'static Kind,
    gate: Rc<dyn Gate>,
    trace: Trace,
}

impl Scene {
    fn of(kind: &'static Kind) -> Scene {
        Scene { kind, gate: (kind.make)().into(), trace: Trace::new() }
    }

    /// Has `name` wait, and come to where it waits.
    fn waiter(&self, name: &'static str) -> JoinHandle<()> {
        self.playing(move |scene| {
            scene.gate.wait();
            scene.trace.tell(name);
        })
    }

    fn timed_waiter(
        &self,
        name: &'static str,
        timeout: Duration,
    ) -> JoinHandle<Result<(), Elapsed>> {
        self.playing(move |scene| {
            scene.gate.wait_timeout(timeout)?;
            scene.trace.tell(name);
            Ok(())
        })
    }

    fn playing<R: 'static>(&self, f: impl FnOnce(&Scene) -> R + 'static) -> JoinHandle<R> {
        let scene = self.clone();
        let thread = spawn(move || f(&scene));
        wait_all_parked();
        thread
    }

    /// Gives, and says who got through.
    fn give(&self) -> Vec<&'static str> {
        self.gate.give();
        wait_all_parked();
        self.trace.take()
    }

    /// Checks that what was given is there, exactly once, where it is kept for the next.
    #[track_caller]
    fn assert_one_is_there(&self) {
        if let Some(is_there) = self.gate.try_wait() {
            assert!(is_there, "what was given is lost");
            assert_eq!(self.gate.try_wait(), Some(false), "it was given twice");
        }
    }

    /// The same after whoever it was given to was killed, unless it was used by then.
    #[track_caller]
    fn assert_one_is_there_unless_used(&self) {
        if self.gate.is_used_at_once() {
            assert_eq!(self.gate.try_wait(), Some(false));
        } else {
            self.assert_one_is_there();
        }
    }
}

/// Plays `scene` for each kind of gate on a hub of its own, after which nothing may be left there.
#[track_caller]
fn for_each_gate(scene: impl Fn(&Scene) + Sync) {
    let at = Location::caller();
    for kind in all() {
        eprintln!("{}, for {at}", kind.name);
        run(|| {
            scene(&Scene::of(kind));
            assert_nothing_left();
        });
    }
}

#[test]
fn those_who_wait_are_served_one_by_one_in_the_order_they_came() {
    for_each_gate(|scene| {
        let names = ["a", "b", "c", "d"];
        let waiters = names.map(|name| scene.waiter(name));
        assert_eq!(scene.trace.take(), [""; 0]);
        for name in names {
            assert_eq!(scene.give(), [name]);
        }
        join_all(waiters);
        scene.gate.give();
        scene.assert_one_is_there();
    });
}

#[test]
fn nobody_comes_between_the_giver_and_whoever_was_chosen() {
    for_each_gate(|scene| {
        let waiter = scene.waiter("waiter");
        scene.gate.give();
        assert_ne!(scene.gate.try_wait(), Some(true));
        if scene.gate.try_wait().is_some() {
            let mine = scene.gate.wait_timeout(Duration::ZERO);
            assert_eq!((mine, scene.trace.take()), (Err(Elapsed), vec!["waiter"]));
        }
        waiter.join().unwrap();
    });
}

#[test]
fn what_is_there_is_had_without_a_wait() {
    for_each_gate(|scene| {
        for has_it in [
            |gate: &dyn Gate| gate.wait(),
            |gate: &dyn Gate| gate.wait_timeout(Duration::ZERO).unwrap(),
            |gate: &dyn Gate| assert_eq!(gate.try_wait(), Some(true)),
        ] {
            if scene.gate.try_wait().is_some() {
                scene.gate.give();
                let before = hub::stats().turns;
                has_it(&*scene.gate);
                assert_eq!(hub::stats().turns, before);
            }
        }
    });
}

#[test]
fn whose_time_is_over_leaves_the_queue() {
    for_each_gate(|scene| {
        let begin = Instant::now();
        let late = scene.timed_waiter("late", SECOND);
        let patient = scene.timed_waiter("patient", 3 * SECOND);
        assert_eq!((late.join().unwrap(), begin.elapsed()), (Err(Elapsed), SECOND));
        assert_eq!(scene.give(), ["patient"]);
        assert_eq!((patient.join().unwrap(), begin.elapsed()), (Ok(()), SECOND));
        scene.gate.give();
        scene.assert_one_is_there();
    });
}

#[test]
fn what_is_given_in_the_moment_in_which_time_is_over_goes_to_one_of_two() {
    for giver_comes_first in [true, false] {
        for_each_gate(|scene| {
            let giver = |scene: &Scene| {
                scene.playing(|scene| {
                    sleep(SECOND);
                    scene.gate.give();
                })
            };
            let early = giver_comes_first.then(|| giver(scene));
            let late = scene.timed_waiter("late", SECOND);
            let giver = early.unwrap_or_else(|| giver(scene));
            let next = scene.waiter("next");
            giver.join().unwrap();
            wait_all_parked();
            assert_eq!((late.join().unwrap(), scene.trace.take()), (Err(Elapsed), vec!["next"]));
            next.join().unwrap();
            scene.gate.give();
            scene.assert_one_is_there();
        });
    }
}

#[test]
fn who_is_killed_while_waiting_leaves_the_queue() {
    for_each_gate(|scene| {
        let (victim, next) = (scene.waiter("victim"), scene.waiter("next"));
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        assert_eq!(scene.give(), ["next"]);
        next.join().unwrap();
        scene.gate.give();
        scene.assert_one_is_there();
    });
}

#[test]
fn what_is_given_to_one_who_is_about_to_be_killed_goes_to_the_next() {
    for_each_gate(|scene| {
        let (victim, next) = (scene.waiter("victim"), scene.waiter("next"));
        victim.kill();
        assert_eq!(scene.give(), ["next"]);
        assert!(victim.join().unwrap_err().is_killed());
        next.join().unwrap();
        scene.gate.give();
        scene.assert_one_is_there();
    });
}

#[test]
fn what_was_given_to_one_who_is_killed_then_goes_to_the_next() {
    for_each_gate(|scene| {
        let (victim, next) = (scene.waiter("victim"), scene.waiter("next"));
        scene.gate.give();
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        wait_all_parked();
        let served = scene.trace.take();
        if scene.gate.is_used_at_once() {
            assert_eq!((served, scene.give()), (vec![], vec!["next"]));
        } else {
            assert_eq!(served, ["next"]);
        }
        next.join().unwrap();
        scene.gate.give();
        scene.assert_one_is_there();
    });
}

#[test]
fn what_was_given_to_one_who_is_killed_then_is_kept_if_nobody_waits() {
    for_each_gate(|scene| {
        let victim = scene.waiter("victim");
        scene.gate.give();
        victim.kill();
        assert!(victim.join().unwrap_err().is_killed());
        scene.assert_one_is_there_unless_used();
    });
}

#[test]
fn a_limit_of_time_throws_out_of_the_wait() {
    for_each_gate(|scene| {
        let begin = Instant::now();
        let limited = scene.playing(|scene| with_timeout(SECOND, || scene.gate.wait()));
        let next = scene.waiter("next");
        assert_eq!((limited.join().unwrap(), begin.elapsed()), (Err(Elapsed), SECOND));
        assert_eq!(scene.give(), ["next"]);
        next.join().unwrap();
        scene.gate.give();
        scene.assert_one_is_there();
    });
}

#[test]
fn what_is_given_in_the_moment_in_which_a_limit_is_over_is_not_lost() {
    for giver_comes_first in [true, false] {
        for_each_gate(|scene| {
            let giver = |scene: &Scene| {
                scene.playing(|scene| {
                    sleep(SECOND);
                    scene.gate.give();
                })
            };
            let early = giver_comes_first.then(|| giver(scene));
            let limited = scene.playing(|scene| with_timeout(SECOND, || scene.gate.wait()));
            let giver = early.unwrap_or_else(|| giver(scene));
            let next = scene.waiter("next");
            giver.join().unwrap();
            assert_eq!(limited.join().unwrap(), Err(Elapsed));
            wait_all_parked();
            assert_eq!(scene.trace.take(), ["next"]);
            next.join().unwrap();
            scene.gate.give();
            scene.assert_one_is_there();
        });
    }
}

#[test]
fn a_callback_may_give_but_not_wait() {
    for_each_gate(|scene| {
        let waiter = scene.waiter("waiter");
        let waits: [fn(&dyn Gate); 2] =
            [|gate| gate.wait(), |gate| gate.wait_timeout(SECOND).unwrap()];
        for wait in waits {
            let gate = Rc::clone(&scene.gate);
            let message = in_a_callback(move || panic_of(|| wait(&*gate)));
            assert!(message.contains("a hub callback may not block"), "{message}");
        }
        let gate = Rc::clone(&scene.gate);
        in_a_callback(move || gate.give());
        assert_eq!(scene.trace.take(), ["waiter"]);
        waiter.join().unwrap();
        let gate = Rc::clone(&scene.gate);
        let tries = in_a_callback(move || {
            gate.give();
            (gate.try_wait(), gate.try_wait())
        });
        assert!(matches!(tries, (None, None) | (Some(true), Some(false))), "{tries:?}");
    });
}

#[test]
fn in_a_destructor_during_a_panic_nothing_waits_and_giving_works() {
    for_each_gate(|scene| {
        let gate = Rc::clone(&scene.gate);
        let theirs = Rc::clone(&scene.gate);
        let played = [
            in_a_panic(|| play_in_a_destructor(&*gate)),
            in_a_kill(move || play_in_a_destructor(&*theirs)),
        ];
        for (message, timed) in played {
            assert_eq!(timed, Err(Elapsed));
            if scene.kind.owes {
                assert_eq!(message, None);
                scene.gate.give();
                continue;
            }
            let message = message.expect("there is nothing to go on with");
            let rule = "in a destructor that runs because of a panic or a kill";
            assert!(message.contains(rule), "{message}");
        }
        let waiter = scene.waiter("waiter");
        in_a_panic(|| scene.gate.give());
        waiter.join().unwrap();
        in_a_panic(|| scene.gate.give());
        scene.assert_one_is_there();
    });
}

/// What a wait panics with, if it does, and what came of one with a timeout.
fn play_in_a_destructor(gate: &dyn Gate) -> (Option<String>, Result<(), Elapsed>) {
    assert_ne!(gate.try_wait(), Some(true));
    (panic_if_any(|| gate.wait()), gate.wait_timeout(SECOND))
}

#[test]
fn the_root_waits_as_a_thread_does() {
    for_each_gate(|scene| {
        let giver = scene.playing(|scene| {
            sleep(SECOND);
            scene.gate.give();
            sleep(SECOND);
            scene.gate.give();
        });
        let begin = Instant::now();
        scene.gate.wait();
        assert_eq!(begin.elapsed(), SECOND);
        assert_eq!(scene.gate.wait_timeout(Duration::from_millis(10)), Err(Elapsed));
        assert_eq!(scene.gate.wait_timeout(SECOND), Ok(()));
        giver.join().unwrap();
    });
}

#[test]
fn a_root_that_can_never_go_on_is_told_and_leaves_the_queue() {
    for_each_gate(|scene| {
        for _ in 0..2 {
            let message = panic_of(|| scene.gate.wait());
            assert!(message.starts_with("deadlock"), "{message}");
        }
        let waiter = scene.waiter("waiter");
        assert_eq!(scene.give(), ["waiter"]);
        waiter.join().unwrap();
        scene.gate.give();
        scene.assert_one_is_there();
    });
}

#[test]
fn what_was_given_to_one_of_many_who_all_end_is_there_afterwards() {
    for_each_gate(|scene| {
        let waiters = ["a", "b", "c"].map(|name| scene.waiter(name));
        scene.gate.give();
        hub::abort();
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap_err().is_killed()));
        assert_eq!(scene.trace.take(), [""; 0]);
        scene.assert_one_is_there_unless_used();
    });
}

#[test]
fn the_dump_says_what_is_waited_for() {
    for kind in all() {
        run(|| {
            let scene = Scene::of(kind);
            let waiter = scene.waiter("waiter");
            let dump = debug::dump().to_string();
            let expected = format!("waits for {}", kind.waits_for);
            assert!(dump.contains(&expected), "{}: {dump}", kind.name);
            waiter.kill();
            assert!(waiter.join().unwrap_err().is_killed());
            assert_nothing_left();
        });
    }
}
