//! Sleeping and yielding: how long, and who runs meanwhile.

use std::time::Duration;

use greenroom::{
    Instant, hub, sleep, sleep_until, spawn,
    testing::{self, run},
    yield_now,
};

use crate::trace::Trace;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_sleep_takes_as_long_as_was_asked() {
    run(|| {
        let begin = Instant::now();
        sleep(3 * SECOND);
        assert_eq!(begin.elapsed(), 3 * SECOND);
        let slept = spawn(move || {
            sleep(Duration::from_nanos(1));
            begin.elapsed()
        });
        assert_eq!(slept.join().unwrap(), 3 * SECOND + Duration::from_nanos(1));
    });
}

#[test]
fn sleepers_wake_by_their_deadlines_and_equal_ones_in_the_order_they_lay_down() {
    run(|| {
        let trace = Trace::new();
        for (n, seconds) in [(0, 3), (1, 1), (2, 2), (3, 1), (4, 3), (5, 1)] {
            let wakes = trace.telling(n);
            drop(spawn(move || {
                sleep(seconds * SECOND);
                wakes();
            }));
        }
        sleep(4 * SECOND);
        assert_eq!(trace.take(), [1, 3, 5, 2, 0, 4]);
    });
}

#[test]
fn a_sleep_of_no_time_is_a_yield() {
    run(|| {
        let trace = Trace::new();
        drop(spawn(trace.telling("other")));
        sleep(Duration::ZERO);
        assert_eq!(trace.take(), ["other"]);
        assert_eq!(hub::stats().expired, 0);
    });
}

#[test]
fn sleep_until_wakes_at_its_deadline() {
    run(|| {
        let deadline = Instant::now() + 3 * SECOND;
        sleep(SECOND);
        sleep_until(deadline);
        assert_eq!(Instant::now(), deadline);
    });
}

#[test]
fn sleep_until_a_time_that_has_passed_is_a_yield() {
    run(|| {
        let trace = Trace::new();
        let past = Instant::now();
        sleep(SECOND);
        drop(spawn(trace.telling("other")));
        sleep_until(past);
        assert_eq!(trace.take(), ["other"]);
        assert_eq!(past.elapsed(), SECOND);
    });
}

#[test]
fn a_sleep_without_end_keeps_nobody_else_waiting() {
    run(|| {
        let sleeper = spawn(|| sleep(Duration::MAX));
        sleep(1000 * SECOND);
        assert!(!sleeper.is_finished());
    });
}

#[test]
fn whoever_yields_goes_to_the_end_of_the_queue() {
    run(|| {
        let trace = Trace::new();
        for name in ["a", "b", "c"] {
            let tells = trace.telling(name);
            drop(spawn(move || {
                for _ in 0..3 {
                    tells();
                    yield_now();
                }
            }));
        }
        testing::wait_all_parked();
        assert_eq!(trace.take(), ["a", "b", "c", "a", "b", "c", "a", "b", "c"]);
    });
}

#[test]
fn the_root_that_yields_goes_to_the_end_of_the_queue_as_well() {
    run(|| {
        let trace = Trace::new();
        let tells = trace.telling("thread");
        drop(spawn(move || {
            for _ in 0..2 {
                tells();
                yield_now();
            }
        }));
        for _ in 0..2 {
            trace.tell("root");
            yield_now();
        }
        assert_eq!(trace.take(), ["root", "thread", "root", "thread"]);
    });
}

#[test]
fn a_yield_where_there_is_no_hub_makes_none() {
    std::thread::spawn(|| {
        yield_now();
        assert_eq!(hub::stats(), hub::Stats::default());
    })
    .join()
    .unwrap();
}

#[test]
fn instants_can_be_reckoned_with() {
    run(|| {
        let early = Instant::now();
        let late = early + SECOND;
        assert!(early < late);
        assert_eq!((late - early, early - late), (SECOND, Duration::ZERO));
        assert_eq!(
            (late.duration_since(early), early.duration_since(late)),
            (SECOND, Duration::ZERO)
        );
        assert_eq!(late.elapsed(), Duration::ZERO);
        assert_eq!(early + Duration::MAX, late + Duration::MAX);
        assert_eq!((late - SECOND, early - Duration::MAX), (early, late - Duration::MAX));
        assert_eq!(late.checked_duration_since(early), Some(SECOND));
        assert_eq!(early.checked_duration_since(late), None);
        assert_eq!(early.saturating_duration_since(late), Duration::ZERO);
        let mut moved = early;
        moved += 2 * SECOND;
        moved -= SECOND;
        assert_eq!(moved, late);
    });
}
