//! `poll` and its kind.

use std::{
    fs::File,
    io::{PipeReader, PipeWriter, Write, pipe},
    net::{Shutdown, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
};

use libc::{
    POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI, POLLRDHUP, POLLRDNORM, POLLWRNORM,
};

use crate::{
    both::{Others, same},
    raw::{
        ALL_POLLS, Answer, By, Later, Nowhere, close, dup_to_own_number, later, new_set, poll,
        poll_nowhere, ppoll, ppoll_with_mask_nowhere, send_urgent, watch,
    },
    terminal::terminal,
};

/// Nobody has a number like this.
const NOT_OPEN: RawFd = 900_000;

/// The writer stays open.
pub(crate) fn data_later(writer: &PipeWriter) -> Later {
    let mut writer = writer.try_clone().unwrap();
    later(move || writer.write_all(b"x").unwrap())
}

type Polled = (Answer, Vec<i16>);

fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&vec![0; 1 << 16]).unwrap();
    (reader, writer)
}

fn ask(asks: &[(RawFd, i16)], ms: i32) -> Polled {
    poll(By::Poll, asks, ms)
}

/// A name, whether others run meanwhile, what is done, and what comes of it.
type Case = (&'static str, Others, fn() -> Polled, Polled);

fn check(cases: Vec<Case>) {
    for (name, others, case, expected) in cases {
        assert_eq!(same(name, others, case), expected, "{name}");
    }
}

#[test]
fn what_becomes_ready_later_is_told_as_the_kernel_tells_it() {
    check(vec![
        ("data", Others::Run, data_comes, (Ok(1), vec![POLLIN])),
        (
            "data for one who waits for ever",
            Others::Run,
            data_comes_at_last,
            (Ok(1), vec![POLLIN | POLLRDNORM]),
        ),
        ("the writer leaves", Others::Run, writer_leaves, (Ok(1), vec![POLLHUP])),
        (
            "the writer leaves, and nobody asked",
            Others::Run,
            hang_up_unasked,
            (Ok(1), vec![POLLHUP]),
        ),
        ("the reader leaves", Others::Run, reader_leaves, (Ok(1), vec![POLLERR])),
        ("the second of two", Others::Run, second_of_two, (Ok(1), vec![0, POLLIN, 0])),
        ("both directions of one fd", Others::Run, one_fd_twice, (Ok(2), vec![0, POLLIN, POLLIN])),
        ("the other end stops writing", Others::Run, other_end_stops, (Ok(1), vec![POLLRDHUP])),
        ("urgent data", Others::Run, urgent_data, (Ok(1), vec![POLLPRI])),
        ("somebody connects", Others::Run, somebody_connects, (Ok(1), vec![POLLIN])),
        ("a set within", Others::Run, set_within, (Ok(1), vec![0, POLLIN])),
    ]);
}

fn data_comes() -> Polled {
    let (reader, writer) = pipe().unwrap();
    let _later = data_later(&writer);
    ask(&[(reader.as_raw_fd(), POLLIN)], 5000)
}

fn data_comes_at_last() -> Polled {
    let (reader, writer) = pipe().unwrap();
    let _later = data_later(&writer);
    ask(&[(reader.as_raw_fd(), POLLIN | POLLRDNORM)], -7)
}

fn writer_leaves() -> Polled {
    let (reader, writer) = pipe().unwrap();
    let _later = later(move || drop(writer));
    ask(&[(reader.as_raw_fd(), POLLIN)], 5000)
}

fn hang_up_unasked() -> Polled {
    let (reader, writer) = pipe().unwrap();
    let _later = later(move || drop(writer));
    ask(&[(reader.as_raw_fd(), 0)], 5000)
}

fn reader_leaves() -> Polled {
    let (reader, writer) = full_pipe();
    let _later = later(move || drop(reader));
    ask(&[(writer.as_raw_fd(), POLLOUT)], 5000)
}

fn second_of_two() -> Polled {
    let (first, _first_writer) = pipe().unwrap();
    let (second, writer) = pipe().unwrap();
    let _later = data_later(&writer);
    let (first, second) = (first.as_raw_fd(), second.as_raw_fd());
    ask(&[(first, POLLIN), (second, POLLIN), (-1, POLLIN)], 5000)
}

fn one_fd_twice() -> Polled {
    let (mut here, mut there) = UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    while here.write(&[0; 4096]).is_ok() {}
    let fd = here.as_raw_fd();
    let _keep = there.try_clone().unwrap();
    let _later = later(move || there.write_all(b"x").unwrap());
    ask(&[(fd, POLLOUT), (fd, POLLIN), (fd, POLLIN | POLLOUT)], 5000)
}

fn other_end_stops() -> Polled {
    let (here, there) = UnixStream::pair().unwrap();
    let _keep = there.try_clone().unwrap();
    let _later = later(move || there.shutdown(Shutdown::Write).unwrap());
    ask(&[(here.as_raw_fd(), POLLRDHUP)], 5000)
}

fn urgent_data() -> Polled {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (there, _) = listener.accept().unwrap();
    let _keep = there.try_clone().unwrap();
    let _later = later(move || send_urgent(there.as_raw_fd()));
    ask(&[(here.as_raw_fd(), POLLPRI)], 5000)
}

fn somebody_connects() -> Polled {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _later = later(move || drop(TcpStream::connect(address).unwrap()));
    ask(&[(listener.as_raw_fd(), POLLIN)], 5000)
}

fn set_within() -> Polled {
    let (reader, writer) = pipe().unwrap();
    let (quiet, _keep) = pipe().unwrap();
    let set = new_set();
    watch(set, reader.as_raw_fd(), libc::EPOLLIN, 0);
    let _later = data_later(&writer);
    let polled = ask(&[(quiet.as_raw_fd(), POLLIN), (set, POLLIN)], 5000);
    close(set).unwrap();
    polled
}

#[test]
fn a_poll_that_finds_nothing_ends_in_time() {
    check(vec![
        (
            "a pipe",
            Others::Run,
            || {
                let (reader, _writer) = pipe().unwrap();
                ask(&[(reader.as_raw_fd(), POLLIN)], 20)
            },
            (Ok(0), vec![0]),
        ),
        (
            "two pipes",
            Others::Run,
            || {
                let (reader, _writer) = pipe().unwrap();
                let (_reader, writer) = full_pipe();
                ask(&[(reader.as_raw_fd(), POLLIN), (writer.as_raw_fd(), POLLOUT)], 20)
            },
            (Ok(0), vec![0, 0]),
        ),
        ("nobody", Others::Run, || ask(&[], 20), (Ok(0), vec![])),
        (
            "only who is not meant",
            Others::Run,
            || ask(&[(-1, POLLIN), (-9, POLLOUT)], 20),
            (Ok(0), vec![0, 0]),
        ),
        (
            "a regular file, which is never exceptional",
            Others::Run,
            || {
                let file = File::open("/proc/self/exe").unwrap();
                ask(&[(file.as_raw_fd(), POLLPRI)], 20)
            },
            (Ok(0), vec![0]),
        ),
        (
            "a file that tells its news once",
            Others::Run,
            || {
                let mounts = File::open("/proc/self/mounts").unwrap();
                let (reader, _writer) = pipe().unwrap();
                ask(&[(mounts.as_raw_fd(), POLLPRI), (reader.as_raw_fd(), POLLIN)], 20)
            },
            (Ok(0), vec![0, 0]),
        ),
        (
            "without waiting",
            Others::Wait,
            || {
                let (reader, _writer) = pipe().unwrap();
                ask(&[(reader.as_raw_fd(), POLLIN)], 0)
            },
            (Ok(0), vec![0]),
        ),
    ]);
}

#[test]
fn what_is_known_at_once_is_told_at_once() {
    check(vec![
        (
            "a number that is not open",
            Others::Wait,
            || {
                let (reader, _writer) = pipe().unwrap();
                ask(&[(reader.as_raw_fd(), POLLIN), (NOT_OPEN, POLLIN)], -1)
            },
            (Ok(1), vec![0, POLLNVAL]),
        ),
        (
            "a regular file",
            Others::Wait,
            || {
                let file = File::open("/proc/self/exe").unwrap();
                ask(&[(file.as_raw_fd(), POLLIN | POLLOUT)], -1)
            },
            (Ok(1), vec![POLLIN | POLLOUT]),
        ),
        (
            "a pipe with room",
            Others::Wait,
            || {
                let (_reader, writer) = pipe().unwrap();
                ask(&[(writer.as_raw_fd(), POLLOUT | POLLWRNORM)], -1)
            },
            (Ok(1), vec![POLLOUT | POLLWRNORM]),
        ),
        (
            "a large number",
            Others::Wait,
            || {
                let (reader, mut writer) = pipe().unwrap();
                writer.write_all(b"x").unwrap();
                let number = dup_to_own_number(reader.as_raw_fd());
                let polled = ask(&[(number, POLLIN)], -1);
                close(number).unwrap();
                polled
            },
            (Ok(1), vec![POLLIN]),
        ),
    ]);
}

#[test]
fn standard_output_and_its_kind_never_switch() {
    check(vec![
        ("alone", Others::Wait, || ask(&[(1, POLLPRI), (-1, 0)], 20), (Ok(0), vec![0, 0])),
        (
            "with another",
            Others::Run,
            || {
                let (reader, _writer) = pipe().unwrap();
                ask(&[(1, POLLPRI), (reader.as_raw_fd(), POLLIN)], 20)
            },
            (Ok(0), vec![0, 0]),
        ),
        (
            "a terminal",
            Others::Wait,
            || {
                let [master, terminal] = terminal();
                let (master, terminal) = (master.as_raw_fd(), terminal.as_raw_fd());
                ask(&[(terminal, POLLIN), (1, POLLPRI), (master, POLLIN)], 20)
            },
            (Ok(0), vec![0, 0, 0]),
        ),
        (
            "a terminal with another",
            Others::Run,
            || {
                let [_master, terminal] = terminal();
                let (reader, _writer) = pipe().unwrap();
                ask(&[(terminal.as_raw_fd(), POLLIN), (reader.as_raw_fd(), POLLIN)], 20)
            },
            (Ok(0), vec![0, 0]),
        ),
    ]);
}

#[test]
fn each_of_the_names_waits() {
    for by in ALL_POLLS {
        let nothing = same("nothing", Others::Run, move || {
            let (reader, _writer) = pipe().unwrap();
            poll(by, &[(reader.as_raw_fd(), POLLIN)], 10)
        });
        assert_eq!(nothing, (Ok(0), vec![0]), "{by:?}");
        let something = same("something", Others::Run, move || {
            let (reader, writer) = pipe().unwrap();
            let _later = data_later(&writer);
            poll(by, &[(reader.as_raw_fd(), POLLIN)], -1)
        });
        assert_eq!(something, (Ok(1), vec![POLLIN]), "{by:?}");
    }
}

#[test]
fn what_is_wrong_is_refused_by_the_kernel_itself() {
    type Refused = (&'static str, Others, fn() -> Answer, Answer);
    let cases: Vec<Refused> = vec![
        (
            "an array at null",
            Others::Wait,
            || poll_nowhere(Nowhere::Null, 1, 50),
            Err(libc::EFAULT),
        ),
        (
            "an array that cannot be read",
            Others::Wait,
            || poll_nowhere(Nowhere::Unreadable, 3, -1),
            Err(libc::EFAULT),
        ),
        (
            "an array that cannot be written",
            Others::Wait,
            || poll_nowhere(Nowhere::Readonly, 3, 50),
            Err(libc::EFAULT),
        ),
        (
            "no array, and nobody in it",
            Others::Run,
            || poll_nowhere(Nowhere::Unreadable, 0, 20),
            Ok(0),
        ),
        (
            "more than may be open",
            Others::Wait,
            || poll_nowhere(Nowhere::Null, u64::MAX, 50),
            Err(libc::EINVAL),
        ),
        (
            "a time with too many nanoseconds",
            Others::Wait,
            || quiet(|fd| ppoll(fd, Some((0, 1_000_000_000)), None)),
            Err(libc::EINVAL),
        ),
        (
            "a negative time",
            Others::Wait,
            || quiet(|fd| ppoll(fd, Some((-1, 0)), None)),
            Err(libc::EINVAL),
        ),
        ("no time", Others::Wait, || quiet(|fd| ppoll(fd, Some((0, 0)), None)), Ok(0)),
        ("a little time", Others::Run, || quiet(|fd| ppoll(fd, Some((0, 20_000)), None)), Ok(0)),
        (
            "a mask that is not there",
            Others::Wait,
            || quiet(ppoll_with_mask_nowhere),
            Err(libc::EFAULT),
        ),
    ];
    for (name, others, case, expected) in cases {
        assert_eq!(same(name, others, case), expected, "{name}");
    }
}

/// With a pipe in which nothing ever comes.
fn quiet(f: fn(RawFd) -> Answer) -> Answer {
    let (reader, _writer) = pipe().unwrap();
    f(reader.as_raw_fd())
}
