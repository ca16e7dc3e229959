//! Who holds the loop for too long is named, with a stack; who gives way is not.
//!
//! Holding is for real here: until the report was read, of which the closed input tells.

use std::{
    hint::spin_loop,
    io::{BufRead, BufReader, PipeReader, Read, Write, pipe, stderr, stdin},
    os::fd::AsFd,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use greenroom::{debug::watch, hub, sleep, spawn, sync::channel, thread::Builder, yield_now};

use rustix::{
    io::{fcntl_dupfd_cloexec, ioctl_fionbio},
    process::Signal,
    thread::gettid,
};

use crate::{
    case::{Case, PLAIN},
    kernel::{
        answer_signals, assert_ended_well, count_signals, defer_signals, fork, interrupt,
        is_signal_deferred, replace_stderr, signals,
    },
};

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

/// Computes as it is dropped.
struct HoldingOnDrop;

impl Drop for HoldingOnDrop {
    fn drop(&mut self) {
        hold_the_loop_until_reported();
    }
}

/// Holds the loop until the watchdog has asked for the stack, and does not answer.
fn hold_the_loop_until_asked() {
    defer_signals();
    while !is_signal_deferred() {
        spin_loop();
    }
}

/// Holds the loop until the watchdog has asked for the stack and had it.
fn hold_the_loop_until_answered() {
    hold_the_loop_until_asked();
    answer_signals();
}

/// Makes standard error a pipe that is full, so that whoever writes to it waits; the end to read it
/// from. Those who wrote before are not affected.
fn choke_stderr() -> PipeReader {
    let (reader, mut writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    ioctl_fionbio(&writer, false).unwrap();
    replace_stderr(writer);
    reader
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
        // What is above and below the thread's own code.
        never_says: &["debug::sample", "thread::spawn::body", "thread::run::"],
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
        never_says: &["patient", "a hub callback", "somebody"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_root_that_computes_while_everyone_waits_is_not_told_of",
        play: || {
            expect_a_report();
            let (sender, receiver) = channel::unbounded();
            let waits = spawn(move || receiver.recv());
            let _watchdog = watch(PATIENT_LIMIT);
            yield_now();
            compute(|| {});
            eprintln!("the root has computed");
            sender.send(()).unwrap();
            waits.join().unwrap().unwrap();
            named("greedy", hold_the_loop_until_reported);
        },
        says: &["the root has computed", "\"greedy\""],
        never_says: &["the root has held", "a hub callback", "somebody"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_root_that_gives_way_is_not_told_of",
        play: || {
            expect_a_report();
            let _watchdog = watch(PATIENT_LIMIT);
            let company = spawn(|| {
                loop {
                    yield_now();
                }
            });
            compute(yield_now);
            company.kill();
            named("greedy", hold_the_loop_until_reported);
        },
        says: &["\"greedy\""],
        never_says: &["the root"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_root_that_keeps_from_running_whom_it_has_spawned_is_told_of",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            let ready = spawn(|| ());
            hold_the_loop_until_reported();
            ready.join().unwrap();
        },
        says: &[
            "greenroom: the root has held the loop of OS thread ",
            "nobody else runs meanwhile",
            "hold_the_loop_until_reported",
        ],
        never_says: &["debug::sample", "a hub callback", "somebody"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_root_that_keeps_from_running_whom_it_has_woken_is_told_of",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            let (sender, receiver) = channel::unbounded();
            let waits = spawn(move || receiver.recv());
            yield_now();
            sender.send(()).unwrap();
            hold_the_loop_until_reported();
            waits.join().unwrap().unwrap();
        },
        says: &["greenroom: the root has held the loop of", "hold_the_loop_until_reported"],
        ..PLAIN
    },
    Case {
        name: "watchdog::the_root_that_leaves_somebody_behind_in_the_loop_is_told_of",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            let company = spawn(|| {
                loop {
                    yield_now();
                }
            });
            yield_now();
            // Blocks the OS thread by other means than ours.
            while !REPORTED.load(Ordering::Acquire) {
                thread::sleep(LIMIT);
            }
            company.kill();
        },
        says: &["greenroom: the root has held the loop of", "sleep"],
        ..PLAIN
    },
    Case {
        name: "watchdog::a_destructor_that_the_loop_runs_is_told_of_as_a_callback",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            let holding = HoldingOnDrop;
            hub::Timer::new(Duration::ZERO, move || {
                let _kept = &holding;
            });
            sleep(Duration::from_millis(1));
        },
        says: &["greenroom: a hub callback has held the loop", "hold_the_loop_until_reported"],
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
    Case {
        name: "watchdog::hubs_that_hang_at_the_same_time_are_all_told_of",
        play: || {
            expect_a_report();
            let hubs = ["first", "second", "third"].map(|name| {
                thread::spawn(move || {
                    let _watchdog = watch(LIMIT);
                    named(name, hold_the_loop_until_reported);
                })
            });
            for hub in hubs {
                hub.join().unwrap();
            }
        },
        says: &[" has held the loop", " has held the loop", " has held the loop"],
        never_says: &["somebody"],
        ..PLAIN
    },
    Case {
        name: "watchdog::nobody_is_missed_while_a_report_cannot_be_written",
        play: || {
            expect_a_report();
            let told_here = fcntl_dupfd_cloexec(stderr().as_fd(), 3).unwrap();
            let choked = choke_stderr();
            let first_was_asked = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _watchdog = watch(LIMIT);
                    named("first", hold_the_loop_until_answered);
                    first_was_asked.wait();
                });
                first_was_asked.wait();
                let _watchdog = watch(LIMIT);
                named("second", hold_the_loop_until_answered);
            });
            // Both were asked: what is in the pipe may go where it is read.
            replace_stderr(told_here);
            thread::spawn(move || {
                for line in BufReader::new(choked).lines().map_while(Result::ok) {
                    if !line.is_empty() {
                        eprintln!("{line}");
                    }
                }
            });
            while !REPORTED.load(Ordering::Acquire) {
                sleep(LIMIT / 20);
            }
        },
        says: &["green thread \"first\" (1) has held", "green thread \"second\" (1) has held"],
        ..PLAIN
    },
    Case {
        name: "watchdog::who_does_not_answer_is_told_of_and_keeps_nobody_else_from_it",
        play: || {
            expect_a_report();
            let first_is_asked = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _watchdog = watch(LIMIT);
                    hub::call_after_global(Duration::ZERO, hold_the_loop_until_asked);
                    sleep(LIMIT / 20);
                    first_is_asked.wait();
                });
                first_is_asked.wait();
                let _watchdog = watch(LIMIT);
                named("second", hold_the_loop_until_reported);
            });
        },
        says: &[
            "greenroom: somebody who does not answer has held the loop",
            "greenroom: green thread \"second\" (1) has held the loop",
        ],
        ..PLAIN
    },
    Case {
        name: "watchdog::who_comes_after_is_not_blamed_for_who_gave_way",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            named("greedy", hold_the_loop_until_asked);
            named("innocent", || {
                answer_signals();
                while !REPORTED.load(Ordering::Acquire) {
                    sleep(LIMIT / 20);
                }
            });
        },
        says: &["greenroom: somebody who gave way before its stack was seen has held the loop"],
        never_says: &["\"innocent\" (2) has"],
        ..PLAIN
    },
    Case {
        name: "watchdog::a_name_too_long_for_the_report_is_cut_between_two_characters",
        play: || {
            expect_a_report();
            let _watchdog = watch(LIMIT);
            // Two bytes each, from an odd place on.
            named(&format!("a{}", "ä".repeat(100)), hold_the_loop_until_reported);
        },
        says: &["ääää\" (1) has held the loop"],
        never_says: &["\u{fffd}"],
        ..PLAIN
    },
    Case {
        name: "watchdog::who_holds_the_loop_is_told_of_once_each_time",
        play: || {
            let told_here = fcntl_dupfd_cloexec(stderr().as_fd(), 3).unwrap();
            let (reports, writer) = pipe().unwrap();
            replace_stderr(writer);
            let _watchdog = watch(LIMIT);
            named("greedy", || {
                hold_the_loop_until_answered();
                let begin = Instant::now();
                while begin.elapsed() < 10 * LIMIT {
                    spin_loop();
                }
            });
            named("last", hold_the_loop_until_answered);
            let lines = BufReader::new(reports).lines().map(Result::unwrap);
            let mut reports = lines.filter(|line| line.contains("has held the loop"));
            let reports = [(); 2].map(|()| reports.next().unwrap());
            replace_stderr(told_here);
            assert!(reports[0].contains("\"greedy\""), "{reports:?}");
            assert!(reports[1].contains("\"last\""), "{reports:?}");
        },
        ..PLAIN
    },
    Case {
        name: "watchdog::a_signal_that_asks_nothing_goes_to_the_handler_that_was_there_before",
        play: || {
            expect_a_report();
            count_signals(Signal::URG);
            let _watchdog = watch(LIMIT);
            named("greedy", hold_the_loop_until_reported);
            assert_eq!(signals(), 0);
            interrupt(gettid(), Signal::URG);
            assert_eq!(signals(), 1);
        },
        says: &["\"greedy\" (1) has held the loop"],
        ..PLAIN
    },
    Case {
        name: "watchdog::a_forked_child_can_be_watched",
        play: || {
            let inherited = watch(LIMIT);
            // A question is open as it forks.
            named("asked in the parent", hold_the_loop_until_asked);
            let child = fork(|| {
                answer_signals();
                drop(inherited);
                expect_a_report();
                let _watchdog = watch(LIMIT);
                named("in the child", hold_the_loop_until_reported);
            });
            assert_ended_well(child);
        },
        says: &["greenroom: green thread \"in the child\" (2) has held the loop"],
        ..PLAIN
    },
];
