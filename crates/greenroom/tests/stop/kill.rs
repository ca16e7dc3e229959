//! Killing: who is unwound, where, and what those see who wait for it.

use std::{
    cell::Cell,
    io::Read,
    os::unix::net::UnixStream as StdStream,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::Duration,
};

use greenroom::{
    Elapsed, JoinHandle, hub,
    io::{Interest, trampoline},
    net::UnixStream,
    offload, sleep, spawn, spawn_after,
    testing::{run, wait_all_parked},
    thread::{self, End, catch_panic},
    with_timeout, yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

/// Everything a green thread can wait in.
const WAITS: &[(&str, fn())] = &[
    ("sleep", || sleep(Duration::MAX)),
    ("yield", || {
        loop {
            yield_now();
        }
    }),
    ("join", || drop(spawn(|| sleep(Duration::MAX)).join())),
    ("join with a timeout", || drop(spawn(|| sleep(Duration::MAX)).join_timeout(Duration::MAX))),
    ("read", || {
        let (mut here, _there) = UnixStream::pair().unwrap();
        let _ = here.read(&mut [0]);
    }),
    ("trampoline", || {
        let (here, _there) = StdStream::pair().unwrap();
        let _ = trampoline(&here, Interest::Read, None);
    }),
    ("offload", || {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let _sender = sender;
        let _ = offload(move || receiver.recv());
    }),
    ("quiet", || {
        drop(spawn(|| {
            loop {
                yield_now();
            }
        }));
        wait_all_parked();
    }),
];

#[test]
fn whatever_a_thread_waits_in_it_is_unwound_from_there() {
    for &(name, wait) in WAITS {
        run(move || {
            let trace = Trace::new();
            let bomb = trace.on_drop("unwound");
            let inner = trace.clone();
            let thread = spawn(move || {
                let _bomb = bomb;
                wait();
                inner.tell("went on");
            });
            yield_now();
            yield_now();
            assert!(thread.kill(), "{name}");
            let error = thread.join().unwrap_err();
            assert!(error.is_killed() && !error.is_cancelled() && !error.is_panic(), "{name}");
            assert_eq!(error.to_string(), "the green thread was killed");
            assert_eq!(trace.take(), ["unwound"], "{name}");
            hub::abort();
            let stats = hub::stats();
            let left = (stats.threads, stats.timers, stats.listeners, stats.expected);
            assert_eq!(left, (0, 0, 0, 0), "{name}");
        });
    }
}

#[test]
fn killing_does_not_wait_for_the_end() {
    run(|| {
        let trace = Trace::new();
        let bomb = trace.on_drop("unwound");
        let thread = spawn(move || {
            let _bomb = bomb;
            sleep(SECOND);
        });
        yield_now();
        assert!(thread.kill());
        assert!(!thread.is_finished() && trace.take().is_empty());
        yield_now();
        assert!(thread.is_finished());
        assert_eq!(trace.take(), ["unwound"]);
    });
}

#[test]
fn one_that_has_ended_cannot_be_killed_and_keeps_its_result() {
    run(|| {
        let thread = spawn(|| 7);
        yield_now();
        assert!(!thread.kill());
        assert!(!thread.thread().kill());
        assert_eq!(thread.join().unwrap(), 7);
    });
}

#[test]
fn one_that_has_not_started_never_runs_and_what_it_owns_is_dropped() {
    run(|| {
        let trace = Trace::new();
        let owned = trace.on_drop("dropped");
        let inner = trace.clone();
        let thread = spawn(move || {
            let _owned = owned;
            inner.tell("ran");
        });
        assert!(thread.kill());
        let error = thread.join().unwrap_err();
        assert!(error.is_killed() && error.is_cancelled());
        assert_eq!(error.to_string(), "the green thread was killed before it started");
        assert_eq!(trace.take(), ["dropped"]);
    });
}

#[test]
fn one_whose_start_is_delayed_ends_now_and_leaves_no_timer() {
    run(|| {
        let thread = spawn_after(SECOND, || unreachable!("it was killed"));
        assert!(thread.kill());
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(hub::stats().timers, 0);
    });
}

#[test]
fn one_that_is_killed_while_it_runs_goes_on_until_its_next_wait() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let thread = spawn(move || {
            assert!(thread::current().kill());
            inner.tell("goes on");
            sleep(Duration::ZERO);
            inner.tell("went on too far");
        });
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["goes on"]);
    });
}

#[test]
fn one_that_returns_before_its_next_wait_was_not_killed() {
    run(|| {
        let thread = spawn(|| {
            thread::current().kill();
            5
        });
        assert_eq!(thread.join().unwrap(), 5);
    });
}

#[test]
fn one_that_was_woken_but_has_not_gone_on_is_unwound() {
    run(|| {
        let sleeper = spawn(|| sleep(SECOND));
        let killer: Rc<Cell<Option<JoinHandle<()>>>> = Rc::default();
        let victim = Rc::clone(&killer);
        // Fires in the same turn, before the sleeper: it was armed first.
        hub::call_after_global(SECOND, move || {
            let sleeper: JoinHandle<()> = victim.take().unwrap();
            assert!(sleeper.kill());
            victim.set(Some(sleeper));
        });
        killer.set(Some(sleeper));
        sleep(2 * SECOND);
        assert!(killer.take().unwrap().join().unwrap_err().is_killed());
    });
}

#[test]
fn killing_twice_is_killing_once() {
    run(|| {
        let trace = Trace::new();
        let bomb = trace.on_drop("unwound");
        let thread = spawn(move || {
            let _bomb = bomb;
            sleep(SECOND);
        });
        yield_now();
        assert!(thread.kill() && thread.kill());
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["unwound"]);
    });
}

#[test]
fn one_that_swallows_the_unwinding_is_thrown_out_of_its_next_wait() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let thread = spawn(move || {
            for _ in 0..3 {
                assert!(catch_unwind(|| sleep(SECOND)).is_err());
                inner.tell("caught");
            }
            sleep(SECOND);
            inner.tell("went on");
        });
        yield_now();
        thread.kill();
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["caught"; 3]);
    });
}

#[test]
fn catching_panics_alone_lets_a_kill_and_the_end_of_time_pass() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let worker = spawn(move || {
            assert!(catch_panic(|| 7).is_ok_and(|value| value == 7));
            let panic = catch_panic(|| panic!("a job")).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"a job"));
            let late = with_timeout(SECOND, || catch_panic(|| sleep(Duration::MAX)).is_ok());
            assert_eq!(late, Err(Elapsed));
            inner.tell("waits to be killed");
            let _ = catch_panic(|| sleep(Duration::MAX));
            inner.tell("went on");
        });
        sleep(2 * SECOND);
        assert!(worker.kill());
        assert!(worker.join().unwrap_err().is_killed());
        assert_eq!(trace.take(), ["waits to be killed"]);
    });
}

#[test]
fn one_that_swallows_it_and_returns_has_returned() {
    run(|| {
        let thread = spawn(|| {
            assert!(catch_unwind(|| sleep(SECOND)).is_err());
            8
        });
        yield_now();
        thread.kill();
        assert_eq!(thread.join().unwrap(), 8);
    });
}

#[test]
fn one_that_panics_as_it_is_unwound_has_panicked() {
    run(|| {
        let thread = spawn(|| {
            if catch_unwind(|| sleep(SECOND)).is_err() {
                panic!("instead");
            }
        });
        yield_now();
        thread.kill();
        assert!(thread.join().unwrap_err().is_panic());
    });
}

#[test]
fn destructors_of_one_that_is_killed_do_not_wait() {
    struct Naps(Trace);
    impl Drop for Naps {
        fn drop(&mut self) {
            sleep(SECOND);
            self.0.tell("did not wait");
        }
    }
    run(|| {
        let trace = Trace::new();
        let naps = Naps(trace.clone());
        let begin = greenroom::Instant::now();
        let thread = spawn(move || {
            let _naps = naps;
            sleep(Duration::MAX);
        });
        yield_now();
        thread.kill();
        assert!(thread.join().unwrap_err().is_killed());
        assert_eq!((trace.take(), begin.elapsed()), (vec!["did not wait"], Duration::ZERO));
    });
}

#[test]
fn a_kill_reaches_one_that_waits_for_a_killed_one() {
    run(|| {
        let inner = Rc::new(Cell::new(None));
        let seen = Rc::clone(&inner);
        let outer = spawn(move || {
            let child = spawn(|| sleep(Duration::MAX));
            seen.set(Some(child.thread()));
            child.join()
        });
        yield_now();
        yield_now();
        let child = inner.take().unwrap();
        assert!(child.kill());
        assert!(outer.kill());
        assert!(outer.join().unwrap_err().is_killed());
        assert!(child.is_finished());
    });
}

#[test]
fn a_callback_and_a_destructor_may_kill() {
    struct Kills(Option<JoinHandle<()>>);
    impl Drop for Kills {
        fn drop(&mut self) {
            assert!(self.0.as_ref().unwrap().kill());
        }
    }
    run(|| {
        let first = spawn(|| sleep(Duration::MAX));
        let thread = first.thread();
        hub::call_after_global(SECOND, move || assert!(thread.kill()));
        assert!(first.join().unwrap_err().is_killed());

        let second = spawn(|| sleep(Duration::MAX));
        let thread = second.thread();
        yield_now();
        let kills = Kills(Some(second));
        let panics = catch_unwind(AssertUnwindSafe(move || {
            let _kills = kills;
            panic!("the destructor kills");
        }));
        assert!(panics.is_err());
        yield_now();
        assert!(thread.is_finished());
    });
}

#[test]
#[should_panic(expected = "an OS thread's own stack cannot be killed")]
fn the_root_cannot_be_killed() {
    run(|| thread::current().kill());
}

#[test]
fn others_go_on() {
    run(|| {
        let victim = spawn(|| sleep(Duration::MAX));
        let other = spawn(|| {
            sleep(SECOND);
            1
        });
        yield_now();
        victim.kill();
        assert_eq!(other.join().unwrap(), 1);
        assert_eq!(spawn(|| 2).join().unwrap(), 2);
        let ends = Rc::new(Cell::new(None));
        let seen = Rc::clone(&ends);
        victim.link(move |_, end| seen.set(Some(end)));
        assert_eq!(ends.get(), Some(End::Killed));
    });
}

#[test]
fn what_one_that_has_not_started_owns_may_wait_as_it_is_dropped_and_be_killed_meanwhile() {
    struct Naps(u64, Trace);
    impl Drop for Naps {
        fn drop(&mut self) {
            sleep(Duration::from_secs(self.0));
            self.1.tell("waited");
        }
    }
    run(|| {
        let trace = Trace::new();
        for cancels in [false, true] {
            for seconds in [1, 1000] {
                let naps = Naps(seconds, trace.clone());
                let thread = spawn(move || drop(naps));
                assert!(if cancels { thread.cancel() } else { thread.kill() });
                sleep(2 * SECOND);
                if seconds == 1000 {
                    assert!(thread.kill());
                }
                let error = thread.join().unwrap_err();
                assert_eq!((error.is_killed(), error.is_cancelled()), (!cancels, true));
                assert_eq!(trace.take().len(), usize::from(seconds == 1));
            }
        }
    });
}

#[test]
fn one_that_was_killed_before_it_started_was_killed_if_its_hub_is_aborted_too() {
    run(|| {
        let thread = spawn(|| unreachable!("it was killed"));
        thread.kill();
        hub::abort();
        assert!(thread.join().unwrap_err().is_killed());
    });
}
