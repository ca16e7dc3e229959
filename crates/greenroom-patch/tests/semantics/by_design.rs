//! Where green threads differ by design. The documents list these rows, with the reasons.
//!
//! Each difference is played and asserted, so a row cannot outlive it.

use std::{os::fd::IntoRawFd, thread, time::Duration};

use rustix::net::sockopt;

use crate::{
    calls::borrow,
    files::{Kind, bytes, narrow_pair, pair, set_nonblocking},
    raw, signals,
    stage::{Cast, Stage, nap, perform},
};

struct Row {
    /// As the documents say it, where the reason stands beside it.
    what: &'static str,
    /// The first actor is the one whose notes count.
    script: fn(&mut Stage),
    plain: &'static [&'static str],
    green: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        what: "whoever waits for an fd that is closed, or made to mean another file by `dup2`, hears `EBADF`",
        script: closed_under_a_wait,
        plain: &["recv(8, 0x0) = 5, untouched", "\"hello\""],
        green: &["recv(8, 0x0) = -1, Bad file descriptor (os error 9)", "\"\""],
    },
    Row {
        what: "whoever waits for an fd that is closed, or made to mean another file by `dup2`, hears `EBADF`",
        script: replaced_under_a_wait,
        plain: &["recv(8, 0x0) = 5, untouched", "\"hello\""],
        green: &["recv(8, 0x0) = -1, Bad file descriptor (os error 9)", "\"\""],
    },
    Row {
        what: "a signal ends no wait: `EINTR` is not seen, and a sleep goes on",
        script: interrupted,
        plain: &["recv(8, 0x0) = -1, Interrupted system call (os error 4)", "\"\""],
        green: &["recv(8, 0x0) = 5, untouched", "\"hello\""],
    },
    Row {
        what: "a signal ends no wait: `EINTR` is not seen, and a sleep goes on",
        script: sleep_interrupted,
        plain: &["nanosleep = -1, Interrupted system call (os error 4)"],
        green: &["nanosleep = 0, untouched"],
    },
    Row {
        what: "`SO_RCVLOWAT` does not hold back bytes that are there",
        script: low_water_mark,
        plain: &["recv(16, 0x0) = 12, untouched", "\"half-is-here\""],
        green: &["recv(16, 0x0) = 4, untouched", "\"half\""],
    },
    Row {
        what: "a pipe that is made non-blocking in the middle of a write takes all of it",
        script: pipe_made_nonblocking,
        plain: &["write of 40000: some, untouched"],
        green: &["write of 40000: all, untouched"],
    },
];

fn closed_under_a_wait(stage: &mut Stage) {
    let (one, other) = pair(Kind::Unix);
    let other = stage.keep(other);
    let one = one.into_raw_fd();
    stage.actor("one", move |it| {
        it.step(1);
        it.recv(one, 8, 0);
        it.step(2);
    });
    stage.actor("closer", move |it| {
        it.while_waiting(1);
        it.close(one);
        nap();
        // Who is still there hears it.
        let _ = raw::send(other, b"hello", libc::MSG_NOSIGNAL);
        it.after(2);
    });
}

fn replaced_under_a_wait(stage: &mut Stage) {
    let (one, other) = pair(Kind::Unix);
    let (another, _end) = pair(Kind::Unix);
    let (one, other, another) = (stage.keep(one), stage.keep(other), stage.keep(another));
    stage.actor("one", move |it| {
        it.step(1);
        it.recv(one, 8, 0);
        it.step(2);
    });
    stage.actor("replacer", move |it| {
        it.while_waiting(1);
        raw::replace(one, another);
        nap();
        let _ = raw::send(other, b"hello", libc::MSG_NOSIGNAL);
        it.after(2);
    });
}

fn interrupted(stage: &mut Stage) {
    let [_, interrupting] = signals::restarting_and_interrupting();
    let (one, other) = pair(Kind::Unix);
    let (one, other) = (stage.keep(one), stage.keep(other));
    let (give, take) = std::sync::mpsc::channel();
    stage.actor("one", move |it| {
        give.send(signals::address()).expect("it is taken");
        it.step(1);
        it.recv(one, 8, 0);
        it.step(2);
    });
    stage.actor("signaller", move |it| {
        it.while_waiting(1);
        signals::send(take.recv().expect("it is given"), interrupting);
        nap();
        it.send(other, b"hello", 0);
        it.after(2);
    });
}

fn sleep_interrupted(stage: &mut Stage) {
    let [restarting, _] = signals::restarting_and_interrupting();
    let (give, take) = std::sync::mpsc::channel();
    stage.actor("one", move |it| {
        give.send(signals::address()).expect("it is taken");
        it.step(1);
        raw::nanosleep(it, libc::timespec { tv_sec: 0, tv_nsec: 200_000_000 });
        it.step(2);
    });
    stage.actor("signaller", move |it| {
        it.while_waiting(1);
        signals::send(take.recv().expect("it is given"), restarting);
        it.after(2);
    });
}

fn low_water_mark(stage: &mut Stage) {
    let (one, other) = pair(Kind::Tcp);
    raw::set_low_water_mark(&one, 8);
    let (one, other) = (stage.keep(one), stage.keep(other));
    stage.actor("one", move |it| {
        it.after(1);
        it.recv(one, 16, 0);
    });
    stage.actor("sender", move |it| {
        it.send(other, b"half", 0);
        nap();
        it.step(1);
        thread::sleep(Duration::from_millis(50));
        it.send(other, b"-is-here", 0);
    });
}

fn pipe_made_nonblocking(stage: &mut Stage) {
    let (reader, writer) = narrow_pair(Kind::Pipe);
    let (reader, writer) = (stage.keep(reader), stage.keep(writer));
    stage.actor("one", move |it| {
        it.step(1);
        it.write_some(writer, &bytes(40_000));
        it.step(2);
    });
    stage.actor("reader", move |it| {
        it.while_waiting(1);
        set_nonblocking(borrow(writer), true);
        set_nonblocking(borrow(reader), true);
        for _ in 0..30 {
            nap();
            let _ = raw::read(reader, &mut [0; 5000]);
        }
        it.after(2);
    });
}

#[test]
fn what_differs_by_design_differs_as_it_says() {
    for row in ROWS {
        for (cast, expected) in [(Cast::Nobody, row.plain), (Cast::Only(0), row.green)] {
            let noted = perform(cast, &row.script);
            assert_eq!(noted["one"], expected, "{cast:?}: {}", row.what);
        }
    }
}

#[test]
fn the_documents_say_what_differs() {
    let documents = include_str!("../../CALLS.md");
    let (_, list) =
        documents.split_once("## What differs by design").expect("the section is there");
    for row in ROWS {
        assert!(list.contains(&format!("| {} | ", row.what)), "{}", row.what);
    }
}

/// With a handler that has calls begin again there is no difference.
#[test]
fn a_signal_whose_handler_restarts_calls_is_not_noticed() {
    crate::stage::equal_for(&[Kind::Unix, Kind::Tcp, Kind::Udp], |stage, kind| {
        let [restarting, _] = signals::restarting_and_interrupting();
        let (one, other) = pair(kind);
        sockopt::set_socket_keepalive(&one, true).expect("a socket");
        let (one, other) = (stage.keep(one), stage.keep(other));
        let (give, take) = std::sync::mpsc::channel();
        stage.actor("one", move |it| {
            give.send(signals::address()).expect("it is taken");
            it.step(1);
            it.recv(one, 8, libc::MSG_WAITALL);
        });
        stage.actor("signaller", move |it| {
            it.while_waiting(1);
            let to = take.recv().expect("it is given");
            for _ in 0..5 {
                signals::send(to, restarting);
                nap();
            }
            it.send(other, b"hello...", 0);
        });
    });
}
