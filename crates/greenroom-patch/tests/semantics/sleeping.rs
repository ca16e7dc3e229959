//! Time that passes.

use std::time::{Duration, Instant};

use libc::{CLOCK_MONOTONIC, CLOCK_REALTIME, TIMER_ABSTIME, timespec};

use crate::{raw, stage::equal};

const fn nanos(tv_sec: i64, tv_nsec: i64) -> timespec {
    timespec { tv_sec, tv_nsec }
}

#[test]
fn sleeps_last_and_answer_alike() {
    equal(|stage| {
        for name in ["one", "other"] {
            stage.actor(name, |it| {
                let begin = Instant::now();
                raw::nanosleep(it, nanos(0, 5_000_000));
                raw::usleep(it, 5000);
                raw::clock_nanosleep(it, CLOCK_MONOTONIC, 0, nanos(0, 5_000_000));
                raw::clock_nanosleep(it, CLOCK_REALTIME, 0, nanos(0, 5_000_000));
                for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME] {
                    let now = raw::now(clock);
                    raw::clock_nanosleep(it, clock, TIMER_ABSTIME, nanos(now.tv_sec, 0));
                    let end = nanos(now.tv_sec, (now.tv_nsec + 5_000_000).min(999_999_999));
                    raw::clock_nanosleep(it, clock, TIMER_ABSTIME, end);
                }
                it.note(begin.elapsed() >= Duration::from_millis(20));
            });
        }
    });
}

#[test]
fn a_sleep_of_a_second_is_one() {
    equal(|stage| {
        stage.actor("one", |it| {
            let begin = Instant::now();
            raw::sleep(it, 1);
            it.note(begin.elapsed() >= Duration::from_secs(1));
        });
    });
}

#[test]
fn times_that_are_none_are_refused_alike() {
    equal(|stage| {
        stage.actor("one", |it| {
            for time in [nanos(0, 0), nanos(-1, 0), nanos(0, -1), nanos(0, 1_000_000_000)] {
                raw::nanosleep(it, time);
                for flags in [0, TIMER_ABSTIME] {
                    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, libc::CLOCK_BOOTTIME, 99, -1] {
                        raw::clock_nanosleep(it, clock, flags, time);
                    }
                }
            }
            raw::sleep_for_nothing(it);
            raw::sleep(it, 0);
            raw::usleep(it, 0);
            raw::sched_yield(it);
        });
    });
}
