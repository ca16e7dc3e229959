//! Virtual time that a test lets pass: deadline by deadline, also while another OS thread is waited
//! for.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    time::Duration,
};

use greenroom::{
    Elapsed, Instant, JoinHandle, hub, offload, sleep, spawn,
    sync::shared::Semaphore,
    testing::{advance, run, run_seeded, wait_all_parked},
    with_timeout, yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

/// Has somebody wait for another OS thread while `scene` is played, so that time does not jump.
fn while_another_works(scene: impl FnOnce() + Send) {
    run(|| {
        let (end, ended) = mpsc::channel::<()>();
        let waits = spawn(move || offload(move || ended.recv().is_err()));
        yield_now();
        assert_eq!(hub::stats().expected, 1);
        scene();
        drop(end);
        assert!(waits.join().unwrap());
    });
}

/// Sleeps, and tells its name and when it woke.
fn nap(trace: &Trace<(u32, Duration)>, name: u32, time: Duration) -> JoinHandle<()> {
    let (trace, begin) = (trace.clone(), Instant::now());
    spawn(move || {
        sleep(time);
        trace.tell((name, begin.elapsed()));
    })
}

#[test]
fn deadlines_in_the_span_are_met_in_order_and_each_at_its_own_time() {
    while_another_works(|| {
        let trace = Trace::new();
        for n in [4, 1, 3, 2] {
            drop(nap(&trace, n, n * SECOND));
        }
        let begin = Instant::now();
        advance(3 * SECOND);
        assert_eq!(begin.elapsed(), 3 * SECOND);
        assert_eq!(trace.take(), [(1, SECOND), (2, 2 * SECOND), (3, 3 * SECOND)]);
        advance(SECOND - Duration::from_nanos(1));
        assert_eq!(trace.take(), []);
        advance(Duration::from_nanos(1));
        assert_eq!(trace.take(), [(4, 4 * SECOND)]);
    });
}

#[test]
fn equal_deadlines_are_met_in_the_order_in_which_they_were_armed() {
    while_another_works(|| {
        let trace = Trace::new();
        // More than are fired in one turn.
        for n in 0..1000 {
            drop(nap(&trace, n, SECOND));
        }
        advance(2 * SECOND);
        assert!(trace.take().into_iter().eq((0..1000).map(|n| (n, SECOND))));
    });
}

#[test]
fn whoever_sleeps_again_and_again_does_so_as_often_as_in_real_time() {
    while_another_works(|| {
        let (trace, begin) = (Trace::new(), Instant::now());
        let theirs = trace.clone();
        let ticks = spawn(move || {
            loop {
                sleep(SECOND);
                theirs.tell(begin.elapsed());
            }
        });
        advance(4 * SECOND + SECOND / 2);
        assert_eq!(trace.take(), [1, 2, 3, 4].map(|n| n * SECOND));
        assert_eq!(begin.elapsed(), 4 * SECOND + SECOND / 2);
        ticks.thread().kill();
        assert!(ticks.join().unwrap_err().is_killed());
    });
}

#[test]
fn without_it_time_stands_still_while_another_os_thread_is_waited_for() {
    while_another_works(|| {
        let begin = Instant::now();
        let sleeper = nap(&Trace::new(), 1, SECOND);
        assert_eq!(offload(|| 1), 1);
        assert_eq!((begin.elapsed(), sleeper.is_finished()), (Duration::ZERO, false));
        advance(SECOND);
        assert!(sleeper.is_finished());
    });
}

#[test]
fn a_timeout_passes_while_what_it_limits_waits_for_another_os_thread() {
    run(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let theirs = Arc::clone(&semaphore);
        let thrown = spawn(move || with_timeout(SECOND, || theirs.acquire().forget()));
        let theirs = Arc::clone(&semaphore);
        let late = spawn(move || theirs.acquire_timeout(2 * SECOND).map(|_| ()));
        advance(SECOND);
        assert!(thrown.is_finished() && !late.is_finished());
        advance(SECOND);
        assert!(late.is_finished());
        assert_eq!(thrown.join().unwrap(), Err(Elapsed));
        assert_eq!(late.join().unwrap(), Err(Elapsed));
    });
}

#[test]
fn timers_that_are_set_by_those_who_run_are_met_too_and_cancelled_ones_are_not() {
    while_another_works(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        hub::call_after_global(SECOND, move || {
            hub::call_after_global(SECOND, inner.telling("second"));
            inner.tell("first");
        });
        // All in one moment, and far enough ahead to be looked for.
        let cancelled: Vec<_> = (0..100)
            .map(|n| {
                let time = 100 * SECOND + Duration::from_nanos(n);
                hub::call_after_global(time, trace.telling("cancelled"))
            })
            .collect();
        assert!(cancelled.iter().all(hub::Timer::cancel));
        advance(200 * SECOND);
        assert_eq!(trace.take(), ["first", "second"]);
    });
}

#[test]
fn what_it_shows_is_what_a_sleep_shows() {
    let scene = |seed, pass: fn(Duration)| {
        run_seeded(seed, || {
            let trace = Trace::new();
            for n in 0..8 {
                let (trace, begin) = (trace.clone(), Instant::now());
                drop(spawn(move || {
                    for _ in 0..5 {
                        sleep(SECOND * (n % 3 + 1));
                        trace.tell((begin.elapsed(), n));
                    }
                }));
            }
            // After those who wake at the end.
            pass(12 * SECOND);
            let mut seen = trace.take();
            seen.sort_unstable();
            seen
        })
    };
    for seed in 0..20 {
        let slept = scene(seed, |time| sleep(time + Duration::from_nanos(1)));
        assert_eq!(scene(seed, advance), slept, "seed {seed}");
        assert_eq!(slept.len(), 3 * 5 + 3 * 5 + 2 * 4, "seed {seed}");
    }
}

#[test]
fn of_two_who_let_time_pass_at_once_neither_waits_for_the_other() {
    run(|| {
        let (trace, begin) = (Trace::new(), Instant::now());
        let threads = [5, 3].map(|n| {
            let trace = trace.clone();
            spawn(move || {
                advance(n * SECOND);
                trace.tell(n);
            })
        });
        let naps = nap(&Trace::new(), 1, SECOND);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(begin.elapsed(), 5 * SECOND);
        assert!(naps.is_finished() && trace.take().len() == 2);
    });
}

#[test]
fn no_time_at_all_is_a_wait_for_quiet() {
    run(|| {
        let begin = Instant::now();
        let thread = spawn(|| {
            yield_now();
            sleep(SECOND);
        });
        advance(Duration::ZERO);
        assert_eq!((begin.elapsed(), hub::stats().timers), (Duration::ZERO, 1));
        assert!(!thread.is_finished());
    });
}

#[test]
fn whoever_is_thrown_out_of_it_leaves_the_clock_where_it_is() {
    while_another_works(|| {
        let begin = Instant::now();
        assert_eq!(with_timeout(2 * SECOND, || advance(5 * SECOND)), Err(Elapsed));
        assert_eq!(begin.elapsed(), 2 * SECOND);
        let advances = spawn(|| advance(5 * SECOND));
        let victim = advances.thread();
        hub::call_after_global(SECOND, move || {
            victim.kill();
        });
        assert!(advances.join().unwrap_err().is_killed());
        assert_eq!(begin.elapsed(), 3 * SECOND);
    });
}

#[test]
fn in_a_destructor_during_a_panic_the_clock_goes_to_the_end_and_nobody_runs() {
    struct AdvancesOnDrop;
    impl Drop for AdvancesOnDrop {
        fn drop(&mut self) {
            advance(5 * SECOND);
        }
    }
    while_another_works(|| {
        let (trace, begin) = (Trace::new(), Instant::now());
        drop(nap(&trace, 1, SECOND));
        yield_now();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _advances = AdvancesOnDrop;
            panic!("in the middle");
        }));
        assert!(outcome.is_err());
        assert_eq!((begin.elapsed(), trace.take()), (5 * SECOND, vec![]));
        wait_all_parked();
        assert_eq!(trace.take(), [(1, 5 * SECOND)], "it was due long ago");
    });
}

/// What `f` panics with.
fn refusal(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it was to be refused");
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).expect("a panic is text")
}

#[test]
fn it_is_refused_on_a_real_clock_in_a_callback_and_beyond_the_end_of_time() {
    std::thread::spawn(|| {
        let said = refusal(|| advance(Duration::ZERO));
        assert!(said.starts_with("only virtual time can be advanced"), "{said}");
        assert_eq!(spawn(|| 1).join().unwrap(), 1, "the hub works on");
    })
    .join()
    .unwrap();
    run(|| {
        let said = refusal(|| advance(Duration::MAX));
        assert!(said.starts_with("virtual time is over before"), "{said}");
        let (begin, said) = (Instant::now(), std::rc::Rc::new(RefCell::new(String::new())));
        let theirs = std::rc::Rc::clone(&said);
        hub::call_after_global(SECOND, move || {
            theirs.replace(refusal(|| advance(SECOND)));
        });
        sleep(2 * SECOND);
        assert!(said.borrow().starts_with("a hub callback may not block"), "{}", said.borrow());
        assert_eq!(begin.elapsed(), 2 * SECOND);
    });
}
