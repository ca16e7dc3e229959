//! A dump whenever a signal comes.

use std::time::Duration;

use greenroom::{
    debug::dump_on_signal, hub, signal::Signal, sleep, spawn, testing::wait_all_parked,
    thread::Builder, yield_now,
};
use rustix::process::{Signal as KernelSignal, getpid, kill_process};

use crate::case::{Case, Ends, PLAIN};

#[inline(never)]
fn waits_here() {
    sleep(Duration::MAX);
    std::hint::black_box(());
}

fn ask() {
    kill_process(getpid(), KernelSignal::USR1).expect("this process is there");
}

/// Waits until the dump was printed: then its thread waits again.
fn wait_for_the_answer() {
    let heard = hub::stats().fd_ready;
    while hub::stats().fd_ready == heard {
        yield_now();
    }
    wait_all_parked();
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "dumps::a_signal_prints_who_waits_where_each_time_it_comes",
        play: || {
            let dumps = dump_on_signal(Signal::USR1).unwrap();
            drop(Builder::new().name("sleeper").spawn(waits_here).unwrap());
            yield_now();
            for _ in 0..2 {
                ask();
                wait_for_the_answer();
            }
            drop(dumps);
        },
        says: &[
            "greenroom: on SIGUSR1:",
            "sleeper: sleeps",
            "waits_here",
            "greenroom: on SIGUSR1:",
            "sleeper: sleeps",
            "waits_here",
        ],
        ..PLAIN
    },
    Case {
        name: "dumps::when_its_handle_is_gone_the_signal_does_what_it_did_before",
        play: || {
            let dumps = dump_on_signal(Signal::USR1).unwrap();
            spawn(yield_now).join().unwrap();
            drop(dumps);
            while hub::stats().threads > 0 {
                yield_now();
            }
            ask();
        },
        ends: Ends::Signal(libc::SIGUSR1),
        never_says: &["greenroom: on"],
        ..PLAIN
    },
    Case {
        name: "dumps::a_signal_that_cannot_be_waited_for_is_refused",
        play: || {
            let refused = dump_on_signal(Signal::KILL).unwrap_err();
            assert!(refused.to_string().starts_with("SIGKILL cannot be waited for"), "{refused}");
            assert_eq!(hub::stats().threads, 0);
        },
        ..PLAIN
    },
];
