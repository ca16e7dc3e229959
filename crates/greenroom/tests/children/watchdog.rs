//! Who holds the loop for too long is named, with a stack; who gives way is not.
//!
//! Holding is for real here: until the report was read, of which the closed input tells.

use std::{
    hint::spin_loop,
    io::{Read, stdin},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use greenroom::{debug::watch, hub, sleep, spawn, thread::Builder, yield_now};

use crate::case::{Case, PLAIN};

const LIMIT: Duration = Duration::from_millis(20);

/// For cases in which nobody shall be told of: whom the kernel stops to let others compute holds
/// the loop as well, and on a busy machine that may take a while.
const PATIENT_LIMIT: Duration = Duration::from_millis(250);

static REPORTED: AtomicBool = AtomicBool::new(false);

/// From now on [`REPORTED`] becomes true when everything expected was said.
fn expect_a_report() {
    thread::spawn(|| {
        // At its end, or if it cannot be read, there is nothing to wait for.
        let _ = stdin().read(&mut [0; 1]);
        REPORTED.store(true, Ordering::Release);
    });
}

/// Computes until somebody has told on it.
#[inline(never)]
fn hold_the_loop_until_reported() {
    while !REPORTED.load(Ordering::Acquire) {
        spin_loop();
    }
}

/// Computes for longer than it may, and calls `pause` now and then.
fn compute(pause: fn()) {
    let begin = Instant::now();
    while begin.elapsed() < 2 * PATIENT_LIMIT {
        let slice = Instant::now();
        while slice.elapsed() < PATIENT_LIMIT / 250 {
            spin_loop();
        }
        pause();
    }
}

fn named(name: &str, body: impl FnOnce() + 'static) {
    Builder::new().name(name).spawn(body).unwrap().join().unwrap();
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "watchdog::a_thread_that_holds_the_loop_is_named_with_its_stack",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            named("greedy", hold_the_loop_until_reported);
        },
        says: &[
            "greenroom: green thread \"greedy\" (1) has held the loop of OS thread ",
            "nobody else runs meanwhile",
            "hold_the_loop_until_reported",
            "watchdog.rs:",
        ],
        ..PLAIN
    },
    Case {
        name: "watchdog::a_callback_that_holds_the_loop_is_told",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            hub::call_after_global(Duration::ZERO, hold_the_loop_until_reported);
            sleep(Duration::from_millis(1));
        },
        says: &["greenroom: a hub callback has held the loop", "hold_the_loop_until_reported"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_environment_can_ask_for_it",
        play: || {
            expect_a_report();
            named("greedy", hold_the_loop_until_reported);
        },
        env: &[("GREENROOM_WATCHDOG", "20")],
        says: &["greenroom: green thread \"greedy\" (1) has held the loop"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_environment_asks_for_every_os_thread",
        play: || {
            expect_a_report();
            let other = thread::spawn(|| named("greedy", hold_the_loop_until_reported));
            other.join().unwrap();
        },
        env: &[("GREENROOM_WATCHDOG", "20")],
        says: &["greenroom: green thread \"greedy\" (1) has held the loop"],
        ..PLAIN
    },
    Case {
        name: "watchdog::who_yields_is_not_told_of",
        play: || {
            expect_a_report();
            let _watchdog = watch(PATIENT_LIMIT);
            let company = spawn(|| {
                loop {
                    yield_now();
                }
            });
            named("polite", || compute(yield_now));
            named("greedy", hold_the_loop_until_reported);
            drop(company);
        },
        says: &["\"greedy\""],
        never_says: &["polite"],
        ..PLAIN
    },
    Case {
        name: "watchdog::who_waits_is_not_told_of",
        play: || {
            expect_a_report();
            let _watchdog = watch(PATIENT_LIMIT);
            named("patient", || sleep(2 * PATIENT_LIMIT));
            named("greedy", hold_the_loop_until_reported);
        },
        says: &["\"greedy\""],
        never_says: &["patient"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_root_that_computes_is_not_told_of",
        play: || {
            expect_a_report();
            let _watchdog = watch(PATIENT_LIMIT);
            compute(|| {});
            eprintln!("the root has computed");
            named("greedy", hold_the_loop_until_reported);
        },
        says: &["the root has computed", "\"greedy\""],
        never_says: &["held the loop of OS thread 0"],
        ..PLAIN
    },
    Case {
        name: "watchdog::a_watch_ends_when_it_is_dropped_and_no_other",
        play: || {
            expect_a_report();
            let kept = watch(LIMIT);
            drop(watch(LIMIT / 4));
            named("greedy", hold_the_loop_until_reported);
            drop(kept);
            named("unwatched", || compute(|| {}));
        },
        says: &["\"greedy\""],
        never_says: &["unwatched"],
        ..PLAIN
    },
];
