//! What holds for everything that is handed from one to the next between hubs: order, timeouts,
//! kills, and the special places.
//!
//! One suite for all gates. Knows only their common face.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed, debug, hub, sleep, spawn,
    testing::{advance, run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::{
    gate::{ALL, Gate, Kind},
    scenes::{in_a_callback, in_a_kill, in_a_panic, panic_of},
    site::{SECOND, Site, on_os_thread, while_time_passes},
};

/// Plays a scene with a gate of each kind, each on a fresh hub with virtual time.
fn for_all(scene: impl Fn(&'static Kind, Arc<dyn Gate>) + Sync) {
    for kind in &ALL {
        println!("{}", kind.name);
        run(|| scene(kind, (kind.make)()));
    }
}

/// Waits at a gate, for ever.
fn waits(gate: &Arc<dyn Gate>) -> impl FnOnce() -> bool + Send + 'static {
    let gate = Arc::clone(gate);
    move || gate.wait()
}

#[test]
fn whoever_waits_longest_is_next_whatever_hub_it_is_on() {
    for_all(|_, gate| {
        let sites = [Site::start(), Site::start(), Site::start()];
        let (trace, order) = mpsc::channel();
        // By turns, and two on each hub.
        let waiters: Vec<_> = (0..6)
            .map(|n| {
                let (gate, trace) = (Arc::clone(&gate), trace.clone());
                sites[n % 3].waiter(move || {
                    assert!(gate.wait());
                    trace.send(n).unwrap();
                })
            })
            .collect();
        for n in 0..6 {
            gate.give();
            assert_eq!(order.recv(), Ok(n));
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn plain_os_threads_wait_and_give() {
    for_all(|kind, ping| {
        let pong = (kind.make)();
        let theirs = [&ping, &pong].map(Arc::clone);
        let os_thread = thread::spawn(move || {
            let [ping, pong] = theirs;
            for _ in 0..100 {
                assert!(ping.wait());
                give_when_awaited(&*pong);
            }
        });
        for _ in 0..100 {
            give_when_awaited(&*ping);
            assert!(pong.wait());
        }
        os_thread.join().unwrap();
    });

    fn give_when_awaited(gate: &dyn Gate) {
        while !gate.try_give() {
            thread::yield_now();
        }
    }
}

#[test]
fn whoever_is_called_on_the_same_hub_is_ready_at_once() {
    for_all(|_, gate| {
        let waiter = spawn(waits(&gate));
        wait_all_parked();
        gate.give();
        assert_eq!((hub::stats().ready, hub::stats().expected), (1, 0));
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn others_of_the_hub_run_while_one_waits() {
    for_all(|_, gate| {
        let waiter = spawn(waits(&gate));
        let steps = Rc::new(Cell::new(0));
        let count = Rc::clone(&steps);
        let busy = spawn(move || {
            for _ in 0..10 {
                count.set(count.get() + 1);
                sleep(Duration::ZERO);
            }
        });
        busy.join().unwrap();
        assert_eq!((steps.get(), waiter.is_finished()), (10, false));
        let theirs = Arc::clone(&gate);
        on_os_thread(move || theirs.give());
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn what_is_given_to_nobody_is_there_for_the_next() {
    for_all(|kind, gate| {
        if !kind.keeps {
            return;
        }
        gate.give();
        assert!(on_os_thread(|| gate.try_wait()));
        assert!(!gate.try_wait());
        gate.give();
        assert!(on_os_thread(|| gate.wait()));
        assert!(!gate.try_wait());
    });
}

#[test]
fn nothing_is_left_when_the_time_is_over() {
    for_all(|_, gate| {
        let (theirs, thrown) = (Arc::clone(&gate), Arc::clone(&gate));
        assert!(!while_time_passes(SECOND, move || theirs.wait_timeout(SECOND)));
        let thrown = while_time_passes(SECOND, || with_timeout(SECOND, move || thrown.wait()));
        assert_eq!(thrown, Err(Elapsed));
        let stats = hub::stats();
        assert_eq!((stats.expected, stats.timers, stats.ready), (0, 0, 0));
        assert!(!gate.try_wait());
        // And nobody is called who is not there.
        let site = Site::start();
        let next = site.waiter(waits(&gate));
        gate.give();
        assert!(next.join().unwrap());
    });
}

#[test]
fn a_timeout_that_passes_before_it_is_given_on_the_same_hub_but_not_seen_yet_is_in_time() {
    for_all(|_, gate| {
        let theirs = Arc::clone(&gate);
        // Both are woken in one turn, and it runs first since it was there first.
        let giver = spawn(move || {
            sleep(SECOND);
            theirs.give();
        });
        let late = spawn(move || gate.wait_timeout(SECOND));
        advance(SECOND);
        assert!(late.join().unwrap());
        giver.join().unwrap();
    });
}

#[test]
fn a_timeout_that_passes_before_another_os_thread_gives_but_is_not_seen_yet_is_in_time() {
    for_all(|_, gate| {
        let meet = Arc::new(Barrier::new(2));
        let (theirs, ours) = (Arc::clone(&meet), Arc::clone(&gate));
        let giver = spawn(move || {
            sleep(SECOND);
            // The late one is ready to run by now: it waits with its OS thread until it is given.
            theirs.wait();
            theirs.wait();
        });
        let late = spawn(move || ours.wait_timeout(SECOND));
        let other = thread::spawn(move || {
            meet.wait();
            gate.give();
            meet.wait();
        });
        advance(SECOND);
        assert!(late.join().unwrap());
        giver.join().unwrap();
        other.join().unwrap();
        assert_eq!(hub::stats().expected, 0);
    });
}

#[test]
fn one_who_is_killed_while_it_waits_is_passed_over() {
    for_all(|_, gate| {
        let sites = [Site::start(), Site::start()];
        let killed = sites[0].waiter(waits(&gate));
        let next = sites[1].waiter(waits(&gate));
        killed.kill().unwrap();
        assert!(killed.join().unwrap_err().is_killed());
        gate.give();
        assert!(next.join().unwrap());
    });
}

/// Whether the kill comes before what is given, and both before the one who is killed runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    KilledFirst,
    GivenFirst,
}

#[test]
fn what_was_given_to_one_who_is_killed_before_it_runs_goes_to_the_next_on_another_hub() {
    for order in [Order::KilledFirst, Order::GivenFirst] {
        for given_by_another_os_thread in [false, true] {
            for_all(|kind, gate| {
                let sites = [Site::start(), Site::start()];
                let (theirs, after) = (Arc::clone(&gate), Arc::clone(&gate));
                let (first_waits, waits_behind) = mpsc::channel::<()>();
                let (next_waits, go_on) = mpsc::channel::<()>();
                let scene = sites[0].spawn(move || {
                    let gate = Arc::clone(&theirs);
                    let victim = spawn(move || gate.wait());
                    wait_all_parked();
                    first_waits.send(()).unwrap();
                    // With the whole OS thread, so that nobody here runs before both are done.
                    go_on.recv().unwrap();
                    let give = || match given_by_another_os_thread {
                        true => on_os_thread(|| theirs.give()),
                        false => theirs.give(),
                    };
                    if order == Order::GivenFirst {
                        give();
                        victim.thread().kill();
                    } else {
                        victim.thread().kill();
                        give();
                    }
                    assert!(victim.join().unwrap_err().is_killed());
                });
                waits_behind.recv().unwrap();
                let next = sites[1].waiter(waits(&after));
                next_waits.send(()).unwrap();
                scene.join().unwrap();
                if kind.spends {
                    after.give();
                }
                assert!(next.join().unwrap(), "{order:?}");
            });
        }
    }
}

#[test]
fn what_was_given_to_one_who_is_killed_before_it_runs_is_there_if_nobody_waits() {
    for_all(|kind, gate| {
        let theirs = Arc::clone(&gate);
        let victim = spawn(move || theirs.wait());
        wait_all_parked();
        gate.give();
        assert!(!gate.try_wait(), "nobody else can have it");
        victim.thread().kill();
        assert!(victim.join().unwrap_err().is_killed());
        assert_eq!(gate.try_wait(), !kind.spends);
        assert!(!gate.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn the_end_of_a_hub_gives_on_what_its_threads_were_given() {
    for_all(|kind, gate| {
        let site = Site::start();
        let theirs = Arc::clone(&gate);
        let (waits_there, is_there) = mpsc::channel();
        let (given, go_on) = mpsc::channel::<()>();
        let os_thread = thread::spawn(move || {
            drop(spawn(move || theirs.wait()));
            wait_all_parked();
            waits_there.send(()).unwrap();
            go_on.recv().unwrap();
        });
        is_there.recv().unwrap();
        let next = site.waiter(waits(&gate));
        // Its letter is never read.
        gate.give();
        given.send(()).unwrap();
        os_thread.join().unwrap();
        if kind.spends {
            gate.give();
        }
        assert!(next.join().unwrap());
    });
}

#[test]
fn in_a_callback_a_wait_panics_and_what_need_not_wait_works() {
    for_all(|kind, gate| {
        let theirs = Arc::clone(&gate);
        let said = in_a_callback(move || panic_of(|| theirs.wait()));
        assert!(said.starts_with("a hub callback may not block"), "{said}");
        let theirs = Arc::clone(&gate);
        assert!(!in_a_callback(move || theirs.try_wait()));
        let site = Site::start();
        let next = site.waiter(waits(&gate));
        let theirs = Arc::clone(&gate);
        in_a_callback(move || theirs.give());
        assert!(next.join().unwrap());
        if kind.keeps {
            gate.give();
            assert!(in_a_callback(move || gate.wait()));
        }
    });
}

#[test]
fn in_a_destructor_during_a_panic_or_a_kill_nothing_waits_and_what_is_there_is_had() {
    type InDestructor = fn(Box<dyn Fn() -> String + Send>) -> String;
    let during: [InDestructor; 2] = [|scene| in_a_panic(scene), |scene| in_a_kill(scene)];
    for during in during {
        for_all(|kind, gate| {
            let theirs = Arc::clone(&gate);
            let said = during(Box::new(move || {
                assert!(!theirs.wait_timeout(Duration::MAX), "late at once");
                assert!(!theirs.try_wait());
                match kind.panics {
                    true => panic_of(|| theirs.wait()),
                    false => theirs.wait().to_string(),
                }
            }));
            let refusal =
                if kind.panics { "would have to be waited for in a destructor" } else { "false" };
            assert!(said.contains(refusal), "{said}");
            if kind.keeps {
                let theirs = Arc::clone(&gate);
                let had = during(Box::new(move || {
                    theirs.give();
                    theirs.wait().to_string()
                }));
                assert_eq!(had, "true");
            }
            let stats = hub::stats();
            assert_eq!((stats.expected, stats.timers), (0, 0));
        });
    }
}

#[test]
fn the_dump_says_what_is_waited_for() {
    for_all(|kind, gate| {
        let waiter = spawn(waits(&gate));
        yield_now();
        let dump = debug::dump().to_string();
        assert!(dump.contains(&format!("waits for {}", kind.waits_for)), "{dump}");
        gate.give();
        assert!(waiter.join().unwrap());
    });
}
