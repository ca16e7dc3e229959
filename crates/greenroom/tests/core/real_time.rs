//! The one test that waits for real: timers from now to two seconds ahead, and how late they are.

use std::time::{Duration, Instant};

use greenroom::{
    hub::{self, call_after_global},
    sleep, spawn,
};
use greenroom_hub::Chance;

use crate::trace::Trace;

const TIMERS: usize = 4000;
const SPAN: Duration = Duration::from_secs(2);

/// Loose, for the machine may be busy with others. An idle one needs some tens of microseconds.
const MEDIAN_LATENESS_MAX: Duration = Duration::from_millis(5);

/// Sets timers and sleepers at random times, and returns how late each was. Panics if one is early.
fn lateness_of_all() -> Vec<Duration> {
    let mut chance = Chance::from_seed(2);
    let trace = Trace::new();
    for n in 0..TIMERS {
        let delay = Duration::from_nanos(chance.next_u64() % SPAN.as_nanos() as u64);
        let (begin, inner) = (Instant::now(), trace.clone());
        let note = move || {
            let passed = begin.elapsed();
            inner.tell(passed.checked_sub(delay).expect("a timer is never early"));
        };
        if n % 2 == 0 {
            call_after_global(delay, note);
        } else {
            drop(spawn(move || {
                sleep(delay.saturating_sub(begin.elapsed()));
                note();
            }));
        }
    }
    sleep(SPAN + Duration::from_millis(1));
    while hub::stats().timers > 0 || hub::stats().ready > 0 {
        sleep(Duration::from_millis(1));
    }
    trace.take()
}

#[test]
fn timers_are_never_early_and_seldom_late() {
    let mut lateness = std::thread::spawn(lateness_of_all).join().unwrap();
    assert_eq!(lateness.len(), TIMERS);
    lateness.sort_unstable();
    let at = |percent: usize| lateness[(TIMERS - 1) * percent / 100];
    println!(
        "lateness of {TIMERS} timers over {SPAN:?}: p50 {:?}, p90 {:?}, p99 {:?}, worst {:?}",
        at(50),
        at(90),
        at(99),
        at(100)
    );
    assert!(at(50) < MEDIAN_LATENESS_MAX, "the median is {:?} late", at(50));
}
