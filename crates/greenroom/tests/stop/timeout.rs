//! `with_timeout`: when it throws, to where, and what it leaves behind.

use std::{
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use greenroom::{
    Elapsed, Instant, hub,
    net::UnixStream,
    sleep, spawn,
    testing::{run, wait_all_parked},
    with_timeout, yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

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
fn what_is_done_in_time_is_returned() {
    everywhere(|| {
        let begin = Instant::now();
        let value = with_timeout(2 * SECOND, || {
            sleep(SECOND);
            7
        });
        assert_eq!((value, begin.elapsed()), (Ok(7), SECOND));
        assert_eq!(hub::stats().timers, 0);
    });
}

#[test]
fn what_is_not_is_unwound_when_the_time_is_over() {
    everywhere(|| {
        let begin = Instant::now();
        let trace = Trace::new();
        let outcome = with_timeout(SECOND, || {
            let _bomb = trace.on_drop("unwound");
            sleep(Duration::MAX);
            trace.tell("went on");
        });
        assert_eq!((outcome, begin.elapsed()), (Err(Elapsed), SECOND));
        assert_eq!(trace.take(), ["unwound"]);
        sleep(SECOND);
    });
}

#[test]
fn a_join_is_thrown_out_of_and_the_one_that_was_joined_goes_on() {
    everywhere(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let outcome = with_timeout(SECOND, || {
            let child = spawn(move || {
                sleep(3 * SECOND);
                inner.tell("the child ended");
            });
            child.join().unwrap();
            trace.tell("went on");
        });
        assert_eq!((outcome, trace.take().len()), (Err(Elapsed), 0));
        sleep(3 * SECOND);
        assert_eq!(trace.take(), ["the child ended"]);
    });
}

#[test]
fn zero_throws_at_the_first_wait_and_not_before() {
    everywhere(|| {
        assert_eq!(with_timeout(Duration::ZERO, || 1), Ok(1));
        sleep(SECOND);
        assert_eq!(with_timeout(Duration::ZERO, yield_now), Err(Elapsed));
        assert_eq!(with_timeout(Duration::ZERO, || sleep(SECOND)), Err(Elapsed));
        yield_now();
    });
}

#[test]
fn no_limit_never_throws_and_arms_nothing() {
    everywhere(|| {
        let outcome = with_timeout(Duration::MAX, || {
            assert_eq!(hub::stats().timers, 0);
            sleep(1000 * SECOND);
        });
        assert_eq!(outcome, Ok(()));
    });
}

#[test]
fn an_inner_time_that_is_over_first_ends_only_what_is_inside() {
    everywhere(|| {
        let outcome = with_timeout(5 * SECOND, || {
            let inner = with_timeout(SECOND, || sleep(Duration::MAX));
            sleep(SECOND);
            inner
        });
        assert_eq!(outcome, Ok(Err(Elapsed)));
    });
}

#[test]
fn an_outer_time_that_is_over_first_passes_through_the_inner() {
    everywhere(|| {
        let trace = Trace::new();
        let begin = Instant::now();
        let outcome = with_timeout(SECOND, || {
            let inner = with_timeout(5 * SECOND, || sleep(Duration::MAX));
            trace.tell("the inner one returned");
            inner
        });
        assert_eq!((outcome, begin.elapsed()), (Err(Elapsed), SECOND));
        assert!(trace.take().is_empty());
    });
}

#[test]
fn nested_in_any_order_each_limit_ends_its_own() {
    // For each order of three limits: at what level the first throw arrives.
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for limits in orders {
        run(move || {
            let begin = Instant::now();
            let trace = Trace::new();
            let nap = || sleep(Duration::MAX);
            let first = with_timeout(limits[0] * SECOND, || {
                let second = with_timeout(limits[1] * SECOND, || {
                    let third = with_timeout(limits[2] * SECOND, nap);
                    assert_eq!(third, Err(Elapsed));
                    trace.tell((2, begin.elapsed().as_secs()));
                    nap();
                });
                assert_eq!(second, Err(Elapsed));
                trace.tell((1, begin.elapsed().as_secs()));
                nap();
            });
            assert_eq!(first, Err(Elapsed));
            trace.tell((0, begin.elapsed().as_secs()));
            // Each level ends when its own time is over or that of one further out.
            let ends: Vec<_> = (0..3usize)
                .rev()
                .map(|level| (level, u64::from(*limits[..=level].iter().min().unwrap())))
                .collect();
            // Those that end together are told by the outermost alone.
            let mut expected: Vec<(usize, u64)> = Vec::new();
            for (level, at) in ends {
                expected.retain(|&(_, other)| other != at);
                expected.push((level, at));
            }
            assert_eq!(trace.take(), expected, "{limits:?}");
        });
    }
}

#[test]
fn two_that_are_over_at_the_same_time_end_at_the_outer() {
    everywhere(|| {
        let trace = Trace::new();
        let outcome = with_timeout(SECOND, || {
            let _ = with_timeout(SECOND, || sleep(Duration::MAX));
            trace.tell("went on");
            sleep(Duration::ZERO);
            trace.tell("too far");
        });
        assert_eq!(outcome, Err(Elapsed));
        assert!(trace.take().len() <= 1);
    });
}

#[test]
fn an_outer_one_that_is_over_meanwhile_throws_at_the_next_wait() {
    everywhere(|| {
        let trace = Trace::new();
        let outcome = with_timeout(2 * SECOND, || {
            let inner = with_timeout(SECOND, || {
                let late = catch_unwind(|| sleep(Duration::MAX));
                assert!(late.is_err());
                // Thrown again at once, however long the wait was to be.
                sleep(Duration::MAX);
            });
            assert_eq!(inner, Err(Elapsed));
            trace.tell("inner");
            sleep(Duration::MAX);
        });
        assert_eq!((outcome, trace.take()), (Err(Elapsed), vec!["inner"]));
    });
}

#[test]
fn a_swallowed_throw_is_thrown_again_until_it_arrives() {
    everywhere(|| {
        let outcome = with_timeout(SECOND, || {
            for _ in 0..10 {
                assert!(catch_unwind(|| sleep(SECOND)).is_err());
            }
            5
        });
        // It caught them all, and returned.
        assert_eq!(outcome, Ok(5));
        sleep(SECOND);
    });
}

#[test]
fn a_panic_comes_out_as_it_is() {
    everywhere(|| {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _: Result<(), Elapsed> = with_timeout(SECOND, || panic!("oh no"));
        }));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"oh no"));
        assert_eq!(hub::stats().timers, 0);
        sleep(2 * SECOND);
    });
}

#[test]
fn a_kill_passes_through_every_limit() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        let thread = spawn(move || {
            let _ = with_timeout(SECOND, || with_timeout(2 * SECOND, || sleep(Duration::MAX)));
            inner.tell("went on");
        });
        yield_now();
        thread.kill();
        assert!(thread.join().unwrap_err().is_killed());
        assert!(trace.take().is_empty());
        assert_eq!(hub::stats().timers, 0);
    });
}

#[test]
fn each_thread_has_limits_of_its_own() {
    run(|| {
        let begin = Instant::now();
        let naps = [1, 3, 2].map(|n| {
            spawn(move || {
                let outcome = with_timeout(n * SECOND, || sleep(Duration::MAX));
                (outcome, begin.elapsed())
            })
        });
        let outcomes = naps.map(|nap| nap.join().unwrap());
        assert_eq!(outcomes, [1, 3, 2].map(|n| (Err(Elapsed), n * SECOND)));
    });
}

#[test]
fn a_child_is_not_under_the_limit_of_its_parent() {
    run(|| {
        let child = with_timeout(SECOND, || {
            spawn(|| {
                sleep(5 * SECOND);
                1
            })
        });
        assert_eq!(child.unwrap().join().unwrap(), 1);
    });
}

#[test]
fn a_socket_is_usable_after_a_read_that_ran_out_of_time() {
    run(|| {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let outcome = with_timeout(SECOND, || here.read(&mut [0; 4]).unwrap());
        assert_eq!(outcome, Err(Elapsed));
        assert_eq!(hub::stats().listeners, 0);
        std::io::Write::write_all(&mut there, b"late").unwrap();
        let mut bytes = [0; 4];
        here.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"late");
    });
}

#[test]
fn the_same_moment_may_bring_the_wake_up_and_the_end_of_time() {
    run(|| {
        let begin = Instant::now();
        let outcome = with_timeout(SECOND, || sleep(SECOND));
        assert_eq!(begin.elapsed(), SECOND);
        // Which of the two was armed first decides; nothing is left of the other.
        assert_eq!(outcome, Err(Elapsed));
        assert_eq!(hub::stats().timers, 0);
        wait_all_parked();
    });
}

#[test]
fn in_a_destructor_during_a_panic_there_is_no_limit_and_no_wait() {
    struct Limited<'a>(&'a Trace<Result<u8, Elapsed>>);
    impl Drop for Limited<'_> {
        fn drop(&mut self) {
            self.0.tell(with_timeout(Duration::ZERO, || {
                sleep(SECOND);
                1
            }));
        }
    }
    run(|| {
        let trace = Trace::new();
        let panics = catch_unwind(AssertUnwindSafe(|| {
            let _limited = Limited(&trace);
            panic!("the destructor has a limit");
        }));
        assert!(panics.is_err());
        assert_eq!(trace.take(), [Ok(1)]);
    });
}

#[test]
fn in_a_callback_a_limit_does_no_harm() {
    run(|| {
        let trace = Trace::new();
        let inner = trace.clone();
        hub::call_after_global(SECOND, move || inner.tell(with_timeout(Duration::ZERO, || 1)));
        sleep(2 * SECOND);
        assert_eq!(trace.take(), [Ok(1)]);
    });
}

#[test]
fn no_time_at_all_inside_a_limit_that_is_over_ends_at_the_outer() {
    everywhere(|| {
        let outcome = with_timeout(SECOND, || {
            assert!(catch_unwind(|| sleep(Duration::MAX)).is_err());
            let inner = with_timeout(Duration::ZERO, || sleep(SECOND));
            unreachable!("the inner one returned {inner:?}");
        });
        assert_eq!(outcome, Err::<(), _>(Elapsed));
        let both = with_timeout(Duration::ZERO, || with_timeout(Duration::ZERO, yield_now));
        assert_eq!(both, Err(Elapsed));
        yield_now();
    });
}
