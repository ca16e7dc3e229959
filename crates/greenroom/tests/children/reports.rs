//! What is told on standard error when nobody is left to be told otherwise.

use std::{
    fs::File,
    io::Write,
    os::unix::net::UnixStream,
    panic::{panic_any, resume_unwind},
    time::Duration,
};

use greenroom::{
    debug::report_panics,
    hub,
    io::Interest,
    sleep, spawn,
    testing::{self, wait_all_parked},
    thread::Builder,
    yield_now,
};

use crate::case::{Case, PANICKED, PLAIN, Stderr};

/// Panics without the hook's own message.
fn panics_quietly() {
    resume_unwind(Box::new("quietly"));
}

/// Panics as it is dropped, without the hook's own message.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panics_quietly();
    }
}

/// One panic of each kind that nobody but standard error is told of.
fn panic_in_every_way() {
    drop(spawn(panics_quietly));
    drop(spawn(|| PanicsOnDrop));
    let late = spawn(panics_quietly);
    hub::call_after_global(Duration::ZERO, panics_quietly);
    drop(hub::Timer::new(Duration::ZERO, panics_quietly));
    let (mut here, there) = UnixStream::pair().unwrap();
    hub::add(&there, Interest::Read, |_| panics_quietly()).unwrap();
    here.write_all(b"!").unwrap();
    wait_all_parked();
    drop(late);
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "reports::a_panic_nobody_joins_is_told_with_the_threads_name",
        play: || {
            drop(Builder::new().name("worker").spawn(panics_quietly).unwrap());
            yield_now();
        },
        says: &["greenroom: green thread \"worker\" (1) that nobody joined panicked: quietly\n"],
        ..PLAIN
    },
    Case {
        name: "reports::a_panic_of_a_thread_without_a_name_is_told_with_its_number",
        play: || {
            drop(spawn(|| panic!("oh {}", std::hint::black_box("no"))));
            yield_now();
        },
        says: &["greenroom: green thread 1 that nobody joined panicked: oh no\n"],
        ..PLAIN
    },
    Case {
        name: "reports::a_panic_with_something_that_is_no_text_is_told",
        play: || {
            drop(spawn(|| panic_any(7)));
            yield_now();
        },
        says: &["green thread 1 that nobody joined panicked with something that is no text\n"],
        ..PLAIN
    },
    Case {
        name: "reports::a_panic_of_a_thread_sent_to_a_hub_is_told_when_its_handle_is_dropped_before",
        play: || {
            let handle = hub::remote().spawn(|| {
                yield_now();
                panics_quietly();
            });
            let handle = handle.unwrap();
            while hub::stats().threads == 0 {
                yield_now();
            }
            // What is sent by this knows of the thread until it is begun, but will not join it.
            handle.kill().unwrap();
            drop(handle);
            while hub::stats().threads > 0 {
                yield_now();
            }
        },
        says: &["that nobody joined panicked: quietly\n"],
        ..PLAIN
    },
    Case {
        name: "reports::a_panic_of_a_thread_sent_to_a_hub_is_told_when_its_handle_is_dropped_later",
        play: || {
            let handle = hub::remote().spawn(panics_quietly).unwrap();
            while !handle.is_finished() {
                yield_now();
            }
            drop(handle);
            assert!(hub::remote().spawn(panics_quietly).unwrap().join().unwrap_err().is_panic());
        },
        says: &["greenroom: a green thread of another hub that nobody joined panicked: quietly\n"],
        never_says: &["green thread 1 that nobody joined", "green thread 2 that nobody joined"],
        ..PLAIN
    },
    Case {
        name: "reports::a_panic_is_told_when_the_handle_is_dropped_later",
        play: || {
            let handle = Builder::new().name("worker").spawn(panics_quietly).unwrap();
            yield_now();
            eprintln!("it has panicked");
            drop(handle);
        },
        says: &[
            "it has panicked",
            "green thread \"worker\" (1) that nobody joined panicked: quietly",
        ],
        ..PLAIN
    },
    Case {
        name: "reports::a_panic_that_is_joined_is_not_told",
        play: || {
            assert!(spawn(panics_quietly).join().unwrap_err().is_panic());
            drop(spawn(panics_quietly).join_timeout(Duration::from_secs(1000)));
        },
        never_says: &["quietly"],
        ..PLAIN
    },
    Case {
        name: "reports::who_is_killed_or_cancelled_is_not_told_of",
        play: || {
            drop(spawn(|| sleep(Duration::from_secs(1000))));
            yield_now();
            drop(spawn(|| {}));
            hub::abort();
        },
        never_says: &["green thread"],
        ..PLAIN
    },
    Case {
        name: "reports::a_timer_that_panics_is_told_with_where_it_was_armed",
        play: || {
            hub::call_after_global(Duration::ZERO, panics_quietly);
            wait_all_parked();
            eprintln!("the loop goes on");
        },
        says: &[
            "greenroom: a timer's function, armed at ",
            "reports.rs:",
            " panicked: quietly\n",
            "the loop goes on",
        ],
        ..PLAIN
    },
    Case {
        name: "reports::a_listener_that_panics_is_told_once",
        play: || {
            let (mut here, there) = UnixStream::pair().unwrap();
            hub::add(&there, Interest::Read, |_| panics_quietly()).unwrap();
            here.write_all(b"!").unwrap();
            wait_all_parked();
            eprintln!("the loop goes on");
        },
        says: &["a listener's function, armed at ", " panicked: quietly\n", "the loop goes on"],
        ..PLAIN
    },
    Case {
        name: "reports::panics_are_told_of_or_not_as_was_asked_last",
        play: || {
            report_panics(false);
            panic_in_every_way();
            std::thread::spawn(panic_in_every_way).join().unwrap();
            eprintln!("so far in silence");
            report_panics(true);
            panic_in_every_way();
        },
        says: &[
            "so far in silence\n",
            "greenroom: green thread 4 that nobody joined panicked: quietly\n",
            "greenroom: dropping what a green thread returned panicked: quietly\n",
            "greenroom: a timer's function, armed at ",
            "greenroom: a timer's function, armed at ",
            "greenroom: a listener's function, armed at ",
            "greenroom: green thread 6 that nobody joined panicked: quietly\n",
        ],
        never_says: &["green thread 1 ", "green thread 3 "],
        ..PLAIN
    },
    Case {
        name: "reports::what_the_panic_hook_prints_is_not_ours_to_silence",
        play: || {
            report_panics(false);
            drop(Builder::new().name("worker").spawn(|| panic!("loudly")).unwrap());
            yield_now();
        },
        says: &["reports.rs:", "loudly"],
        never_says: &["greenroom: ", "worker"],
        ..PLAIN
    },
    Case {
        name: "reports::a_deadlock_and_a_seed_are_told_whether_or_not_panics_are",
        play: || {
            report_panics(false);
            testing::run_seeded(42, || {
                drop(spawn(|| sleep(Duration::MAX)).join());
            });
        },
        ends: PANICKED,
        says: &[
            "deadlock: the root waits for green thread 1",
            "greenroom: this run's seed is 42\n",
        ],
        ..PLAIN
    },
    Case {
        name: "reports::a_blocking_call_in_a_callback_is_told_with_the_rule",
        play: || {
            hub::call_after_global(Duration::ZERO, || sleep(Duration::MAX));
            wait_all_parked();
        },
        says: &[
            "a hub callback may not block: it runs on the hub's own stack, so everyone would wait \
             with it; spawn a green thread from it instead",
            "greenroom: a timer's function, armed at ",
            "may not block",
        ],
        ..PLAIN
    },
    Case {
        name: "reports::a_deadlock_is_mains_panic_and_lists_everybody",
        play: || {
            let stuck = Builder::new().name("stuck").spawn(|| sleep(Duration::MAX)).unwrap();
            drop(spawn(move || drop(stuck.join())).join());
        },
        ends: PANICKED,
        says: &[
            "deadlock: the root waits for green thread 2 to end, and nothing is left that could \
             wake anyone",
            "green thread 1 stuck: sleeps, spawned at ",
            "green thread 2 -: waits for green thread 1 to end, spawned at ",
        ],
        ..PLAIN
    },
    Case {
        name: "reports::a_seed_is_told_if_its_run_fails",
        play: || {
            testing::run_seeded(41, || {});
            testing::run_seeded(42, || panic!("with this seed"));
        },
        ends: PANICKED,
        says: &["with this seed", "greenroom: this run's seed is 42\n"],
        never_says: &["seed is 41"],
        ..PLAIN
    },
    Case {
        name: "reports::a_standard_error_without_room_does_no_harm",
        play: || {
            let full = File::options().write(true).open("/dev/full").unwrap().write(b"!");
            assert!(full.is_err(), "this is how it fails");
            drop(spawn(panics_quietly));
            drop(spawn(|| panic!("loudly")));
            hub::call_after_global(Duration::ZERO, panics_quietly);
            wait_all_parked();
            assert_eq!(spawn(|| 1).join().unwrap(), 1);
        },
        stderr: Stderr::Full,
        ..PLAIN
    },
];
