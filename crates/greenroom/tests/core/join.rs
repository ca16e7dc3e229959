//! Waiting for a thread's end: what it returned, what it panicked with, and who may wait.

use std::{cell::RefCell, panic::panic_any, rc::Rc, time::Duration};

use greenroom::{
    Instant, JoinHandle, hub, sleep, spawn,
    testing::{self, run},
    yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn join_returns_what_the_thread_returned() {
    run(|| {
        let handle = spawn(|| {
            sleep(SECOND);
            vec![1, 2]
        });
        assert_eq!(handle.join().unwrap(), [1, 2]);
    });
}

#[test]
fn joining_a_thread_that_has_ended_does_not_wait() {
    run(|| {
        let handle = spawn(|| 1);
        yield_now();
        assert!(handle.is_finished());
        let turns = hub::stats().turns;
        assert_eq!(handle.join().unwrap(), 1);
        assert_eq!(hub::stats().turns, turns);
    });
}

#[test]
fn a_panic_is_the_join_result_with_what_it_carried() {
    run(|| {
        let word = "no".to_owned();
        let text = spawn(move || panic!("oh {word}")).join().unwrap_err();
        assert_eq!(text.to_string(), "the green thread panicked: oh no");
        let payload = text.into_panic().unwrap();
        assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("oh no"));

        let other = spawn(|| panic_any(7)).join().unwrap_err();
        assert_eq!(other.to_string(), "the green thread panicked with something that is no text");
        assert_eq!(other.into_panic().unwrap().downcast_ref(), Some(&7));
    });
}

#[test]
fn a_panic_harms_nobody_else() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let other = spawn(move || {
            yield_now();
            inner.tell("still here");
            sleep(SECOND);
        });
        assert!(spawn(|| panic!("alone")).join().unwrap_err().is_panic());
        other.join().unwrap();
        assert_eq!(trace.take(), ["still here"]);
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_panic_after_a_wait_is_the_join_result_too() {
    run(|| {
        let handle = spawn(|| {
            sleep(SECOND);
            panic!("later");
        });
        assert!(handle.join().unwrap_err().is_panic());
    });
}

#[test]
fn an_error_answers_one_question_with_yes() {
    run(|| {
        let panicked = spawn(|| panic!("!")).join().unwrap_err();
        let sleeper = spawn(|| sleep(SECOND));
        yield_now();
        let unborn = spawn(|| {});
        hub::abort();
        let (killed, cancelled) = (sleeper.join().unwrap_err(), unborn.join().unwrap_err());
        let answers = [panicked, killed, cancelled]
            .map(|error| (error.is_panic(), error.is_killed(), error.is_cancelled()));
        assert_eq!(answers, [(true, false, false), (false, true, false), (false, false, true)]);
    });
}

#[test]
fn an_error_that_is_no_panic_carries_none() {
    run(|| {
        let sleeper = spawn(|| sleep(SECOND));
        yield_now();
        hub::abort();
        let error = sleeper.join().unwrap_err().into_panic().unwrap_err();
        assert!(error.is_killed());
    });
}

#[test]
fn join_timeout_gives_the_handle_back_when_the_time_is_over() {
    run(|| {
        let begin = Instant::now();
        let handle = spawn(|| {
            sleep(10 * SECOND);
            7
        });
        let handle = handle.join_timeout(3 * SECOND).unwrap_err();
        assert_eq!(begin.elapsed(), 3 * SECOND);
        assert!(!handle.is_finished());
        assert_eq!(handle.join().unwrap(), 7);
        assert_eq!(begin.elapsed(), 10 * SECOND);
    });
}

#[test]
fn join_timeout_returns_as_soon_as_the_thread_has_ended() {
    run(|| {
        let begin = Instant::now();
        let nap = spawn(|| sleep(SECOND)).join_timeout(10 * SECOND);
        nap.unwrap().unwrap();
        assert_eq!(begin.elapsed(), SECOND);
        let panicked = spawn(|| panic!("!")).join_timeout(SECOND).unwrap();
        assert!(panicked.unwrap_err().is_panic());
        assert_eq!(begin.elapsed(), SECOND);
        assert_eq!(hub::stats().timers, 0);
    });
}

#[test]
fn join_timeout_of_no_time_lets_the_thread_run_once() {
    run(|| {
        assert_eq!(spawn(|| 1).join_timeout(Duration::ZERO).unwrap().unwrap(), 1);
        let handle = spawn(|| sleep(SECOND));
        assert!(handle.join_timeout(Duration::ZERO).is_err());
    });
}

#[test]
fn a_thread_is_finished_when_its_function_has_returned() {
    run(|| {
        let handle = spawn(|| sleep(SECOND));
        assert!(!handle.is_finished());
        yield_now();
        assert!(!handle.is_finished());
        sleep(SECOND * 2);
        assert!(handle.is_finished());
        handle.join().unwrap();
    });
}

#[test]
fn a_thread_that_joins_itself_is_told_that_it_cannot() {
    run(|| {
        let own = Rc::new(RefCell::new(None::<JoinHandle<()>>));
        let theirs = Rc::clone(&own);
        let handle = spawn(move || {
            let own = theirs.take().expect("the handle was put there");
            own.join().unwrap();
        });
        let observer = handle.thread();
        own.replace(Some(handle));
        testing::wait_all_parked();
        // Its own handle was dropped by the panic, so that was told to nobody but standard error.
        drop(observer);
        assert_eq!(hub::stats().threads, 0);
    });
}

#[test]
fn the_root_may_join_one_that_joins_another() {
    run(|| {
        let begin = Instant::now();
        let mut last = spawn(|| {
            sleep(SECOND);
            0
        });
        for _ in 0..50 {
            let before = last;
            last = spawn(move || before.join().unwrap() + 1);
        }
        assert_eq!(last.join().unwrap(), 50);
        assert_eq!(begin.elapsed(), SECOND);
    });
}

#[test]
fn threads_may_be_joined_in_any_order() {
    run(|| {
        let handles: Vec<_> = (0..100)
            .map(|n| {
                spawn(move || {
                    sleep(SECOND * (n * 37 % 100));
                    n
                })
            })
            .collect();
        for (n, handle) in handles.into_iter().enumerate().rev() {
            assert_eq!(handle.join().unwrap(), u32::try_from(n).unwrap());
        }
    });
}

#[test]
fn a_thread_whose_joiner_gave_up_ends_by_itself() {
    run(|| {
        let slow = spawn(|| sleep(3 * SECOND));
        let joiner = spawn(move || slow.join_timeout(SECOND).is_err());
        assert!(joiner.join().unwrap());
        assert_eq!(hub::stats().threads, 1);
        sleep(3 * SECOND);
        assert_eq!(hub::stats().threads, 0);
    });
}

#[test]
fn a_thread_whose_handle_is_dropped_runs_on() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        drop(spawn(move || {
            sleep(SECOND);
            inner.tell("ran on");
        }));
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["ran on"]);
    });
}

#[test]
fn what_a_detached_thread_returns_is_dropped_at_its_end() {
    run(|| {
        let trace = Trace::new();
        let value = trace.on_drop("value");
        let inner = trace.clone();
        drop(spawn(move || {
            inner.tell("end");
            value
        }));
        testing::wait_all_parked();
        assert_eq!(trace.take(), ["end", "value"]);
    });
}

/// Sleeps as it is dropped.
struct Sleepy(Trace);

impl Drop for Sleepy {
    fn drop(&mut self) {
        sleep(SECOND);
        self.0.tell("slept");
    }
}

#[test]
fn the_destructor_of_what_a_detached_thread_returns_may_wait() {
    run(|| {
        let trace = Trace::new();
        let sleepy = Sleepy(trace.clone());
        drop(spawn(move || sleepy));
        sleep(2 * SECOND);
        assert_eq!(trace.take(), ["slept"]);
    });
}

#[test]
fn what_a_thread_returned_is_dropped_with_its_handle() {
    run(|| {
        let trace = Trace::new();
        let value = trace.on_drop("value");
        let handle = spawn(move || value);
        testing::wait_all_parked();
        assert_eq!(trace.take(), [""; 0]);
        drop(handle);
        assert_eq!(trace.take(), ["value"]);
    });
}

#[test]
fn a_handle_shows_its_thread() {
    run(|| {
        let handle = greenroom::thread::Builder::new().name("shown").spawn(|| {}).unwrap();
        let text = format!("{handle:?}");
        assert!(text.contains("\"shown\"") && text.contains("finished: false"), "{text}");
        handle.join().unwrap();
    });
}
