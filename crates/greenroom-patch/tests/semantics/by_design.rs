//! Where green threads differ by design. The documents list these rows, with the reasons.
//!
//! Each difference is played and asserted, so a row cannot outlive it.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    os::fd::IntoRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{MemfdFlags, memfd_create},
    net::{AddressFamily, SocketType, socket, sockopt},
};

use crate::{
    alone::alone,
    calls::borrow,
    files::{Kind, bytes, narrow_pair, pair, receive_timeout, set_nonblocking},
    raw, signals,
    stage::{Actor, Cast, Stage, nap, perform},
};

/// What no script can compare, since it is about who runs meanwhile, about a stop that OS threads do not know, or
/// about the end of the process: as the documents say it, with the words that the file has which plays it.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "a thread that is to be stopped hears `ECANCELED` or `ETIMEDOUT`, and a sleep of its ends early",
        include_str!("stops.rs"),
        "fn a_kill_is_told_by_each_call_until_a_wait_that_can_unwind()",
    ),
    (
        "a thread that is to be stopped hears `ECANCELED` or `ETIMEDOUT`, and a sleep of its ends early",
        include_str!("stops.rs"),
        "fn a_limit_is_told_by_each_call_until_a_wait_that_can_unwind()",
    ),
    (
        "names are looked up on another OS thread: what an OS thread has set for itself (`res_init`, `setns`, `uselocale`) does not count",
        include_str!("../names/slow.rs"),
        "\"slow::what_an_os_thread_has_set_for_itself_does_not_count_for_its_green_threads\"",
    ),
    (
        "who makes 128 calls in a row that need no wait gives way before the next",
        include_str!("stops.rs"),
        "fn who_makes_128_calls_in_a_row_gives_way_before_the_next()",
    ),
    (
        "in a destructor that runs because of a panic a wait blocks the OS thread, for a tenth of a second at most, and then says `ECANCELED`",
        include_str!("stops.rs"),
        "fn a_destructor_during_a_panic_waits_for_a_short_while_and_does_not_switch()",
    ),
    (
        "during `accept` and `connect` the file is non-blocking for a moment, which a process that shares it can see",
        include_str!("mode.rs"),
        "fn the_mode_of_a_listener_is_another_for_moments()",
    ),
    (
        "during `accept` and `connect` the file is non-blocking for a moment, which a process that shares it can see",
        include_str!("mode.rs"),
        "fn the_mode_of_a_socket_that_connects_is_another_for_moments()",
    ),
    (
        "`readv`, `writev`, and receives with `MSG_WAITALL`, whose parts or header are not there, are a fault, as are a sleep and a `recvmmsg` whose time and a `sendfile` whose place is not there (a null pointer is not)",
        include_str!("waits.rs"),
        "fn what_is_not_there_is_refused_to_os_threads_and_a_fault_on_green_threads()",
    ),
    (
        "`close` of a socket with `SO_LINGER` keeps the OS thread until its bytes are sent or the time is over",
        include_str!("closing.rs"),
        "fn a_close_that_lingers_keeps_the_os_thread()",
    ),
    (
        "a `connect` between virtual machines (`AF_VSOCK`) keeps the OS thread",
        include_str!("connections.rs"),
        "fn a_connection_between_virtual_machines_keeps_the_os_thread()",
    ),
    (
        "`clock_nanosleep` by another clock than the monotonic one or the time of day keeps the OS thread",
        include_str!("scenes/passes.c"),
        "{\"a sleep by another clock\"",
    ),
    (
        "a write to an eventfd keeps the OS thread if there is room for one and not for the number written",
        include_str!("scenes/passes.c"),
        "{\"a write to an eventfd with room for less\"",
    ),
    (
        "a `splice` from a socket keeps the OS thread if another OS thread takes the bytes first; so does one to a socket of messages, if a message finds no room",
        include_str!("scenes/passes.c"),
        "{\"a splice from a socket whose bytes another takes\"",
    ),
    (
        "a `splice` from a socket keeps the OS thread if another OS thread takes the bytes first; so does one to a socket of messages, if a message finds no room",
        include_str!("scenes/passes.c"),
        "{\"a splice to a socket of messages\"",
    ),
    (
        "a `read` of a named pipe keeps the OS thread if another takes the bytes first",
        include_str!("scenes/passes.c"),
        "{\"a read of a named pipe whose bytes another takes\"",
    ),
];

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
        what: "who waits for an fd hears nothing if that is closed inside of libc (`fclose`) or by a system call (rustix), unless the kernel says so",
        script: |stage| closed_unseen(stage, raw::close_by_stream, false),
        plain: &["recv(8, 0x0) = 5, untouched", "\"hello\"", "late: false"],
        green: &["recv(8, 0x0) = -1, Bad file descriptor (os error 9)", "\"\"", "late: true"],
    },
    Row {
        what: "who waits for an fd hears nothing if that is closed inside of libc (`fclose`) or by a system call (rustix), unless the kernel says so",
        script: |stage| closed_unseen(stage, raw::close_by_system_call, false),
        plain: &["recv(8, 0x0) = 5, untouched", "\"hello\"", "late: false"],
        green: &["recv(8, 0x0) = -1, Bad file descriptor (os error 9)", "\"\"", "late: true"],
    },
    Row {
        what: "who waits for an fd hears nothing if that is closed inside of libc (`fclose`) or by a system call (rustix), unless the kernel says so",
        // The file has another name, so bytes still come for it.
        script: |stage| closed_unseen(stage, raw::close_by_system_call, true),
        plain: &["recv(8, 0x0) = 5, untouched", "\"hello\"", "late: false"],
        green: &["recv(8, 0x0) = -1, Bad file descriptor (os error 9)", "\"\"", "late: false"],
    },
    Row {
        what: "`sendfile` to a socket copies through memory",
        script: |stage| sent_and_changed(stage, Kind::Tcp),
        plain: &["changed"],
        green: &["as sent"],
    },
    Row {
        what: "`sendfile` to a socket copies through memory",
        script: |stage| sent_and_changed(stage, Kind::Unix),
        plain: &["changed"],
        green: &["as sent"],
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
    Row {
        what: "a time to receive or send that is less than nothing counts as none",
        script: less_than_no_time,
        plain: &["recv(8, 0x0) = -1, Resource temporarily unavailable (os error 11)", "\"\""],
        green: &["recv(8, 0x0) = 5, untouched", "\"hello\""],
    },
    Row {
        what: "a send with `MSG_ZEROCOPY` may be told of by several notices",
        script: notices,
        plain: &["send(300000, 0x4000000) = 300000, untouched", "one notice: true"],
        green: &["send(300000, 0x4000000) = 300000, untouched", "one notice: false"],
    },
    Row {
        what: "a `recvmmsg` ends early while notices of what was sent wait at the socket",
        script: notices_among_messages,
        plain: &["recvmmsg = 2"],
        green: &["recvmmsg = 1"],
    },
    Row {
        what: "who waits for the end of a child does not hear that it stops for a tracer that came meanwhile",
        script: traced_under_a_wait,
        plain: &["it has stopped: true"],
        green: &["it has stopped: false"],
    },
    Row {
        what: "an `accept` that waits hears that there is no number left when somebody comes",
        script: accept_without_numbers,
        plain: &["accept = -1, Too many open files (os error 24)", "somebody has come: false"],
        green: &["accept = -1, Too many open files (os error 24)", "somebody has come: true"],
    },
    Row {
        what: "a receive with `MSG_WAITALL` that waits ends before an urgent byte when another has come after it",
        script: urgent_and_last,
        plain: &["recv(8, 0x100) = 3, untouched", "\"abc\"", "another has come: false"],
        green: &["recv(8, 0x100) = 3, untouched", "\"abc\"", "another has come: true"],
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

/// When its own time is over, it looks once more.
const TIMEOUT: Duration = Duration::from_millis(400);

fn closed_unseen(stage: &mut Stage, close: fn(i32), file_stays: bool) {
    let (one, other) = pair(Kind::Unix);
    let other = stage.keep(other);
    receive_timeout(&one, TIMEOUT.as_millis() as u64);
    if file_stays {
        stage.keep(one.try_clone().expect("it is open"));
    }
    let one = one.into_raw_fd();
    stage.actor("one", move |it| receive_in_time(it, one));
    stage.actor("closer", move |it| {
        it.while_waiting(1);
        close(one);
        nap();
        let _ = raw::send(other, b"hello", libc::MSG_NOSIGNAL);
        it.after(2);
    });
}

fn receive_in_time(it: &mut Actor, fd: i32) {
    let begin = Instant::now();
    it.step(1);
    it.recv(fd, 8, 0);
    it.note(format_args!("late: {}", begin.elapsed() >= TIMEOUT));
    it.step(2);
}

/// The kernel's own sends pages of the file, and who reads late sees what has become of them.
fn sent_and_changed(stage: &mut Stage, kind: Kind) {
    let (from, to) = pair(kind);
    let file = memfd_create("semantics", MemfdFlags::CLOEXEC).expect("memory");
    let size = 4096;
    rustix::io::pwrite(&file, &vec![b'a'; size], 0).expect("there is room");
    let (from, to, file) = (stage.keep(from), stage.keep(to), stage.keep(file));
    stage.actor("one", move |it| {
        assert_eq!(raw::send_file_all(to, file, size), size);
        rustix::io::pwrite(borrow(file), &vec![b'b'; size], 0).expect("there is room");
        let read = it.recv_quietly(from, size);
        it.note(if read[0] == b'a' { "as sent" } else { "changed" });
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
    raw::set_option(&one, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 8);
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

fn less_than_no_time(stage: &mut Stage) {
    let (one, other) = pair(Kind::Unix);
    let time = libc::timeval { tv_sec: -1, tv_usec: 0 };
    raw::set_time(&one, libc::SOL_SOCKET, libc::SO_RCVTIMEO, time);
    let (one, other) = (stage.keep(one), stage.keep(other));
    stage.actor("one", move |it| {
        it.recv(one, 8, 0);
        it.step(1);
    });
    stage.actor("sender", move |it| {
        thread::sleep(Duration::from_millis(50));
        it.send(other, b"hello", 0);
        it.after(1);
    });
}

fn notices_among_messages(stage: &mut Stage) {
    let (one, other) = pair(Kind::Udp);
    let wanted = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    raw::set_option(&one, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, wanted as i32);
    let (one, other) = (stage.keep(one), stage.keep(other));
    stage.actor("one", move |it| {
        raw::send(one, b"leaves a notice", 0);
        nap();
        it.step(1);
        it.note(format_args!("recvmmsg = {}", raw::receive_two(one)));
    });
    stage.actor("sender", move |it| {
        it.while_waiting(1);
        it.send(other, b"one", 0);
        nap();
        it.send(other, b"two", 0);
    });
}

fn traced_under_a_wait(stage: &mut Stage) {
    let child = raw::child_to_be_traced(Duration::from_millis(60));
    stage.actor("one", move |it| {
        it.step(1);
        it.note(format_args!("it has stopped: {}", raw::has_stopped(child)));
        it.step(2);
    });
    stage.actor("other", move |it| {
        it.after(1);
        thread::sleep(Duration::from_millis(300));
        raw::kill(child);
        it.after(2);
        raw::reap(child);
    });
}

/// The limit is the process's, which is this test's own.
fn accept_without_numbers(stage: &mut Stage) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let to = crate::files::address(&listener);
    let client = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let (listener, client) = (stage.keep(listener.into()), stage.keep(client));
    let has_come = Arc::new(AtomicBool::new(false));
    let comes = Arc::clone(&has_come);
    stage.actor("one", move |it| {
        // Both have what they need to wait.
        nap();
        let limit = raw::leave_no_number();
        it.step(1);
        it.accept(listener);
        raw::limit_numbers(limit);
        it.note(format_args!("somebody has come: {}", has_come.load(Ordering::SeqCst)));
    });
    stage.actor("client", move |it| {
        it.after(1);
        thread::sleep(Duration::from_millis(100));
        comes.store(true, Ordering::SeqCst);
        raw::connect(client, &to);
    });
}

fn urgent_and_last(stage: &mut Stage) {
    let (one, other) = pair(Kind::Tcp);
    let (one, other) = (stage.keep(one), stage.keep(other));
    let has_come = Arc::new(AtomicBool::new(false));
    let comes = Arc::clone(&has_come);
    stage.actor("one", move |it| {
        it.step(1);
        it.recv(one, 8, libc::MSG_WAITALL);
        it.note(format_args!("another has come: {}", has_come.load(Ordering::SeqCst)));
    });
    stage.actor("sender", move |it| {
        it.while_waiting(1);
        it.send(other, b"abc", 0);
        nap();
        it.send(other, b"X", libc::MSG_OOB);
        thread::sleep(Duration::from_millis(200));
        comes.store(true, Ordering::SeqCst);
        it.send(other, b"def", 0);
    });
}

fn notices(stage: &mut Stage) {
    let (receiver, one) = narrow_pair(Kind::Tcp);
    raw::set_option(&one, libc::SOL_SOCKET, libc::SO_ZEROCOPY, 1);
    let (receiver, one) = (stage.keep(receiver), stage.keep(one));
    stage.actor("one", move |it| {
        it.step(1);
        it.send(one, &bytes(300_000), libc::MSG_ZEROCOPY);
        it.after(2);
        it.note(format_args!("one notice: {}", raw::last_notice(one) == 0));
    });
    stage.actor("receiver", move |it| {
        it.while_waiting(1);
        let mut left = 300_000;
        while left > 0 {
            left -= raw::read(receiver, &mut [0; 10_000]);
        }
        nap();
        it.step(2);
    });
}

#[test]
fn what_differs_by_design_differs_as_it_says() {
    // A number that was closed unseen would be another test's by and by.
    alone("by_design::what_differs_by_design_differs_as_it_says", || {
        for row in ROWS {
            for (cast, expected) in [(Cast::Nobody, row.plain), (Cast::Only(0), row.green)] {
                let noted = perform(cast, &row.script);
                assert_eq!(noted["one"], expected, "{cast:?}: {}", row.what);
            }
        }
    });
}

#[test]
fn each_difference_that_the_documents_tell_is_played() {
    let documents = include_str!("../../CALLS.md");
    let (_, list) =
        documents.split_once("## What differs by design").expect("the section is there");
    let lines = list.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let told: BTreeSet<_> = lines.map(|(what, _)| what).collect();
    assert!(told.len() > 10, "{told:#?}");
    for (what, text, words) in ELSEWHERE {
        assert_eq!(text.matches(words).count(), 1, "{words} shows that {what}");
    }
    let here = ROWS.iter().map(|row| row.what);
    let played: BTreeSet<_> = here.chain(ELSEWHERE.iter().map(|(what, ..)| *what)).collect();
    assert_eq!(told, played);
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
