//! The library's own test kit: time that jumps, order from a seed, and a wait for quiet.

use std::{
    cell::Cell,
    io::{Read, Write},
    os::unix::net::UnixStream,
    panic::catch_unwind,
    rc::Rc,
    time::Duration,
};

use greenroom::{
    Instant, hub,
    hub::Backend,
    io::{Interest, trampoline},
    sleep, spawn,
    testing::{run, run_on, run_seeded, wait_all_parked},
    with_timeout, yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_run_returns_what_its_function_returned() {
    let borrowed = [1, 2];
    assert_eq!(run(|| borrowed.len()), 2);
    assert_eq!(run_seeded(1, || borrowed.len()), 2);
}

#[test]
fn a_run_panics_with_what_its_function_panics_with() {
    for runs in [|| run(|| panic!("inside")), || run_seeded(1, || panic!("inside"))] {
        let runs: fn() = runs;
        let payload = catch_unwind(runs).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"inside"));
    }
}

#[test]
fn a_run_has_a_hub_of_its_own_with_the_backend_that_was_asked_for() {
    run(|| {
        let kept = spawn(|| sleep(SECOND));
        for backend in Backend::ALL {
            run_on(backend, || {
                assert_eq!(hub::get().backend(), backend);
                assert_eq!(hub::stats().threads, 0);
            });
        }
        kept.join().unwrap();
    });
}

#[test]
fn a_run_has_the_name_of_the_os_thread_that_asked_for_it() {
    let here = std::thread::current().name().map(str::to_owned);
    assert_eq!(run(|| std::thread::current().name().map(str::to_owned)), here);
}

#[test]
fn time_jumps_to_the_first_deadline_when_everyone_waits() {
    run(|| {
        let begin = Instant::now();
        let trace = Trace::new();
        for days in [3u32, 1, 2] {
            let inner = trace.clone();
            drop(spawn(move || {
                sleep(days * 86_400 * SECOND);
                inner.tell(begin.elapsed().as_secs() / 86_400);
            }));
        }
        sleep(4 * 86_400 * SECOND);
        assert_eq!(trace.take(), [1, 2, 3]);
    });
}

#[test]
fn time_stands_still_while_anybody_runs() {
    run(|| {
        let begin = Instant::now();
        let sleeper = spawn(|| sleep(SECOND));
        for _ in 0..1000 {
            yield_now();
            assert_eq!(begin.elapsed(), Duration::ZERO);
        }
        sleeper.join().unwrap();
        assert_eq!(begin.elapsed(), SECOND);
    });
}

#[test]
fn what_is_ready_comes_before_any_deadline() {
    run(|| {
        let begin = Instant::now();
        let (here, mut there) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            trampoline(&here, Interest::Read, Some(begin + SECOND)).unwrap();
            begin.elapsed()
        });
        yield_now();
        there.write_all(b"!").unwrap();
        sleep(2 * SECOND);
        assert_eq!(reader.join().unwrap(), Duration::ZERO);
    });
}

#[test]
fn quiet_is_when_everyone_is_parked() {
    run(|| {
        let trace = Trace::new();
        let begin = Instant::now();
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let tells = trace.telling("read");
        drop(spawn(move || {
            trampoline(&here, Interest::Read, None).unwrap();
            let _ = here.read(&mut [0; 8]).unwrap();
            for _ in 0..100 {
                yield_now();
            }
            tells();
            sleep(SECOND);
        }));
        drop(spawn(move || there.write_all(b"!").unwrap()));
        wait_all_parked();
        assert_eq!(trace.take(), ["read"]);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(hub::stats().ready, 0);
    });
}

#[test]
fn several_may_wait_for_quiet() {
    run(|| {
        let trace = Trace::new();
        let waiters: Vec<_> = (0..3)
            .map(|n| {
                let tells = trace.telling(n);
                spawn(move || {
                    wait_all_parked();
                    tells();
                })
            })
            .collect();
        wait_all_parked();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(trace.take(), [0, 1, 2]);
    });
}

#[test]
fn a_wait_for_quiet_that_is_over_keeps_nothing_alive() {
    struct UsesTheHubOnDrop(Trace);
    impl Drop for UsesTheHubOnDrop {
        fn drop(&mut self) {
            hub::call_after_global(SECOND, self.0.telling("fired"));
            self.0.tell("dropped");
        }
    }
    run(|| {
        let trace = Trace::new();
        let returned = UsesTheHubOnDrop(trace.clone());
        drop(spawn(move || {
            assert!(catch_unwind(wait_all_parked).is_err(), "it is killed");
            returned
        }));
        yield_now();
        hub::abort();
        assert_eq!(trace.take(), ["dropped"]);
        sleep(2 * SECOND);
        assert_eq!(trace.take(), [""; 0], "what it has armed was cancelled with all else");
    });
}

#[test]
fn a_wait_for_quiet_that_is_killed_leaves_the_others_in_their_places() {
    run(|| {
        let trace = Trace::new();
        let waiters = [0, 1, 2].map(|n| {
            let tells = trace.telling(n);
            spawn(move || {
                wait_all_parked();
                tells();
            })
        });
        yield_now();
        waiters[1].thread().kill();
        for waiter in waiters {
            drop(waiter.join());
        }
        assert_eq!(trace.take(), [0, 2]);
    });
}

#[test]
fn a_wait_for_quiet_that_was_given_up_ends_no_later_wait_of_the_root() {
    // On a hub with a real clock: a virtual one would not let the time pass while somebody runs.
    let thread = std::thread::spawn(|| {
        let given_up = Rc::new(Cell::new(false));
        let theirs = Rc::clone(&given_up);
        let busy = spawn(move || {
            while !theirs.get() {
                yield_now();
            }
        });
        assert!(with_timeout(Duration::from_micros(1), wait_all_parked).is_err());
        given_up.set(true);
        busy.join().unwrap();
        let begin = Instant::now();
        sleep(Duration::from_micros(100));
        assert!(begin.elapsed() >= Duration::from_micros(100));
    });
    thread.join().unwrap();
}

/// Threads that sleep, talk, fire timers and end, and what that looked like.
fn scene(seed: u64) -> Vec<String> {
    run_seeded(seed, || {
        let trace = Trace::new();
        let begin = Instant::now();
        for n in 0..5u32 {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            let (reads, writes, fires) = (trace.clone(), trace.clone(), trace.clone());
            drop(spawn(move || {
                trampoline(&here, Interest::Read, None).unwrap();
                let _ = here.read(&mut [0; 8]).unwrap();
                reads.tell(format!("{n} read at {:?}", begin.elapsed()));
            }));
            drop(spawn(move || {
                sleep(SECOND * (n % 2));
                writes.tell(format!("{n} wrote at {:?}", begin.elapsed()));
                there.write_all(b"!").unwrap();
            }));
            hub::call_after_global(SECOND * (n % 3), move || fires.tell(format!("{n} fired")));
        }
        sleep(5 * SECOND);
        trace.take()
    })
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    for seed in 0..20 {
        assert_eq!(scene(seed), scene(seed), "seed {seed}");
    }
}

#[test]
fn seeds_differ_in_the_order_and_not_in_what_happens() {
    let sorted = |seed| {
        let mut events = scene(seed);
        events.sort();
        events
    };
    assert_eq!(sorted(1), sorted(2));
    let orders: std::collections::HashSet<_> = (0..20).map(scene).collect();
    assert!(orders.len() > 10, "{} orders with 20 seeds", orders.len());
}
