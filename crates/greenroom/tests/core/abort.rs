//! Ending everything on a hub: who is unwound, what is dropped, and that the hub works again.

use std::{
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    JoinHandle, hub,
    io::{Interest, trampoline},
    sleep, spawn,
    testing::{run, wait_all_parked},
    yield_now,
};

use crate::trace::{Trace, owning};

const SECOND: Duration = Duration::from_secs(1);

/// Nothing is left, and everything works as before.
#[track_caller]
fn assert_works_again() {
    let stats = hub::stats();
    let left = (stats.threads, stats.timers, stats.listeners, stats.expected);
    assert_eq!(left, (0, 0, 0, 0));
    let nap = spawn(|| {
        sleep(SECOND);
        7
    });
    assert_eq!(nap.join().unwrap(), 7);
    assert_eq!(hub::stats().ready, 0);
}

/// A thread that tells when its stack is unwound.
fn sleeper(trace: &Trace) -> JoinHandle<()> {
    let unwound = trace.on_drop("unwound");
    spawn(move || {
        let _unwound = unwound;
        sleep(Duration::MAX);
        unreachable!("nobody wakes it");
    })
}

#[test]
fn from_the_root_it_is_done_when_it_returns() {
    run(|| {
        let trace = Trace::new();
        let (first, second) = (sleeper(&trace), sleeper(&trace));
        wait_all_parked();
        hub::abort();
        assert_eq!(trace.take(), ["unwound", "unwound"]);
        assert!(first.is_finished() && second.is_finished());
        assert!(first.join().unwrap_err().is_killed());
        assert_eq!(second.join().unwrap_err().to_string(), "the green thread was killed");
        assert_works_again();
    });
}

#[test]
fn a_thread_is_unwound_from_inside_out() {
    run(|| {
        let trace = Trace::new();
        let drops = ["first", "second", "third"].map(|name| trace.on_drop(name));
        drop(spawn(move || {
            let [first, second, third] = drops;
            let _first = first;
            let _second = second;
            let inner = || {
                let _third = third;
                sleep(SECOND);
            };
            inner();
        }));
        wait_all_parked();
        hub::abort();
        assert_eq!(trace.take(), ["third", "second", "first"]);
        assert_works_again();
    });
}

#[test]
fn it_ends_every_kind_of_wait() {
    run(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let sleeper = spawn(|| sleep(Duration::MAX));
        let joiner = spawn(move || drop(sleeper.join()));
        let reader = spawn(move || drop(trampoline(&here, Interest::Read, None)));
        let yielder = spawn(|| {
            loop {
                yield_now();
            }
        });
        let quiet = spawn(wait_all_parked);
        for _ in 0..5 {
            yield_now();
        }
        hub::abort();
        for thread in [joiner, reader, yielder, quiet] {
            assert!(thread.join().unwrap_err().is_killed());
        }
        assert_works_again();
    });
}

#[test]
fn a_thread_that_never_ran_is_dropped_unrun() {
    run(|| {
        let owned = Rc::new(());
        let theirs = Rc::clone(&owned);
        let unborn = spawn(move || unreachable!("{theirs:?}"));
        hub::abort();
        assert!(unborn.join().unwrap_err().is_cancelled());
        assert_eq!(Rc::strong_count(&owned), 1);
        assert_works_again();
    });
}

#[test]
fn it_cancels_timers_and_removes_listeners_with_what_they_own() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("timer");
        let timer = hub::call_after_global(SECOND, move || drop(owned));
        let (here, _there) = UnixStream::pair().unwrap();
        let listener = hub::add(&here, Interest::Read, owning(trace.on_drop("listener"))).unwrap();
        hub::abort();
        assert_eq!(trace.take(), ["timer", "listener"]);
        assert!(!timer.is_pending() && !listener.is_listening());
        assert_works_again();
    });
}

#[test]
fn a_timer_that_is_due_but_was_not_called_is_cancelled_too() {
    run(|| {
        let trace = Trace::new();
        let (called, owned) = (trace.telling("called"), trace.on_drop("dropped"));
        drop(spawn(move || {
            hub::call_after_global(SECOND, move || {
                drop(owned);
                called();
            });
        }));
        // Was armed first, so the root goes on while the timer is queued.
        sleep(SECOND);
        assert_eq!(hub::stats().ready, 1);
        hub::abort();
        assert_eq!(trace.take(), ["dropped"]);
        assert_works_again();
    });
}

#[test]
fn from_a_green_thread_it_unwinds_that_thread_at_its_next_wait() {
    run(|| {
        let trace = Trace::new();
        let other = sleeper(&trace);
        let inner = trace.clone();
        let caller = spawn(move || {
            let _unwound = inner.on_drop("caller unwound");
            hub::abort();
            inner.tell("goes on to its next wait");
            sleep(SECOND);
            unreachable!("it was killed");
        });
        assert!(caller.join().unwrap_err().is_killed());
        assert!(other.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["goes on to its next wait", "unwound", "caller unwound"]);
        assert_works_again();
    });
}

#[test]
fn from_a_callback_it_is_done_at_the_end_of_the_turn() {
    run(|| {
        let trace = Trace::new();
        let thread = sleeper(&trace);
        hub::call_after_global(SECOND, hub::abort);
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["unwound"]);
        assert_works_again();
    });
}

#[test]
fn the_roots_own_wait_goes_on() {
    run(|| {
        let begin = greenroom::Instant::now();
        hub::call_after_global(SECOND, hub::abort);
        sleep(3 * SECOND);
        assert_eq!(begin.elapsed(), 3 * SECOND);
        let (here, there) = UnixStream::pair().unwrap();
        drop(spawn(move || {
            hub::abort();
            drop(there);
        }));
        trampoline(&here, Interest::Read, None).unwrap();
        assert_works_again();
    });
}

#[test]
fn a_thread_that_catches_what_it_is_thrown_may_still_return() {
    run(|| {
        let stubborn = spawn(|| {
            let caught = catch_unwind(|| sleep(Duration::MAX)).is_err();
            let again = catch_unwind(|| sleep(Duration::MAX)).is_err();
            (caught, again)
        });
        wait_all_parked();
        hub::abort();
        assert_eq!(stubborn.join().unwrap(), (true, true));
        assert_works_again();
    });
}

#[test]
fn a_panic_while_a_thread_is_unwound_after_a_catch_is_its_join_result() {
    run(|| {
        let changed = spawn(|| {
            let caught = catch_unwind(AssertUnwindSafe(|| sleep(Duration::MAX)));
            assert!(caught.is_ok(), "the sleep was disturbed");
        });
        wait_all_parked();
        hub::abort();
        let error = changed.join().unwrap_err();
        assert!(error.is_panic() && error.to_string().contains("disturbed"), "{error}");
        assert_works_again();
    });
}

#[test]
fn threads_that_destructors_spawn_end_as_well() {
    struct SpawnsOnDrop(u32, Trace);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            self.1.tell("dropped");
            if self.0 > 0 {
                let next = SpawnsOnDrop(self.0 - 1, self.1.clone());
                drop(spawn(move || drop(next)));
            }
        }
    }
    run(|| {
        let trace = Trace::new();
        let spawns = SpawnsOnDrop(3, trace.clone());
        drop(spawn(move || {
            let _spawns = spawns;
            sleep(Duration::MAX);
        }));
        wait_all_parked();
        hub::abort();
        assert_eq!(trace.take(), ["dropped"; 4]);
        assert_works_again();
    });
}

#[test]
fn what_destructors_arm_is_cancelled_as_well() {
    struct ArmsOnDrop(Trace);
    impl Drop for ArmsOnDrop {
        fn drop(&mut self) {
            hub::call_after_global(Duration::ZERO, self.0.telling("fired"));
        }
    }
    run(|| {
        let trace = Trace::new();
        let arms = ArmsOnDrop(trace.clone());
        drop(spawn(move || {
            let _arms = arms;
            sleep(Duration::MAX);
        }));
        wait_all_parked();
        hub::abort();
        assert_works_again();
        assert_eq!(trace.take(), [""; 0]);
    });
}

#[test]
fn a_destructor_that_asks_for_it_again_does_not_end_what_comes_later() {
    struct AbortsOnDrop;
    impl Drop for AbortsOnDrop {
        fn drop(&mut self) {
            hub::abort();
        }
    }
    run(|| {
        drop(spawn(|| {
            let _aborts = AbortsOnDrop;
            sleep(Duration::MAX);
        }));
        wait_all_parked();
        hub::abort();
        assert_works_again();
    });
}

#[test]
fn in_a_destructor_that_runs_because_of_a_panic_it_waits_for_the_next_turn() {
    struct AbortsOnDrop;
    impl Drop for AbortsOnDrop {
        fn drop(&mut self) {
            hub::abort();
        }
    }
    run(|| {
        let trace = Trace::new();
        let thread = sleeper(&trace);
        wait_all_parked();
        let panics = catch_unwind(|| {
            let _aborts = AbortsOnDrop;
            panic!("and out");
        });
        assert!(panics.is_err());
        assert_eq!(trace.take(), [""; 0], "others ran in the middle of a panic");
        yield_now();
        yield_now();
        assert!(thread.join().unwrap_err().is_killed());
        assert_works_again();
    });
}

#[test]
fn without_anything_to_end_it_does_nothing() {
    run(|| {
        hub::abort();
        assert_works_again();
    });
    std::thread::spawn(|| {
        hub::abort();
        assert_eq!(hub::stats(), hub::Stats::default());
    })
    .join()
    .unwrap();
}
