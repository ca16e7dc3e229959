//! `epoll_wait` and its kind.

use std::{
    io::{Read, Write, pipe},
    os::fd::{AsRawFd, RawFd},
};

use libc::{EPOLLET, EPOLLHUP, EPOLLIN, EPOLLONESHOT, POLLIN};

use crate::{
    both::{Others, same},
    poll::data_later,
    raw::{
        Answer, By, Nowhere, Reports, close, epoll, epoll_by_time, epoll_by_time_nowhere,
        epoll_nowhere, later, new_set, poll, try_watch, watch,
    },
};

type Waited = (Answer, Reports);

/// With a set that watches a pipe for some events, and both ends of it.
fn with_set(
    events: i32,
    f: impl FnOnce(RawFd, std::io::PipeReader, std::io::PipeWriter) -> Vec<Waited>,
) -> Vec<Waited> {
    let (reader, writer) = pipe().unwrap();
    let set = new_set();
    watch(set, reader.as_raw_fd(), events, 77);
    let waited = f(set, reader, writer);
    close(set).unwrap();
    waited
}

fn told(events: i32) -> Waited {
    (Ok(1), vec![(events as u32, 77)])
}

fn nothing() -> Waited {
    (Ok(0), vec![])
}

#[test]
fn a_set_reports_as_the_kernel_does() {
    type Case = (&'static str, Others, fn() -> Vec<Waited>, Vec<Waited>);
    let cases: Vec<Case> = vec![
        (
            "nothing",
            Others::Run,
            || with_set(EPOLLIN, |set, _reader, _writer| vec![epoll(set, 8, 20, None)]),
            vec![nothing()],
        ),
        (
            "without waiting",
            Others::Wait,
            || with_set(EPOLLIN, |set, _reader, _writer| vec![epoll(set, 8, 0, None)]),
            vec![nothing()],
        ),
        (
            "data, as long as there are some",
            Others::Run,
            level,
            vec![told(EPOLLIN), told(EPOLLIN), nothing()],
        ),
        (
            "an edge once",
            Others::Run,
            || data_twice(EPOLLIN | EPOLLET),
            vec![told(EPOLLIN), nothing()],
        ),
        (
            "one shot once",
            Others::Run,
            || data_twice(EPOLLIN | EPOLLONESHOT),
            vec![told(EPOLLIN), nothing()],
        ),
        (
            "a hang-up, unasked",
            Others::Run,
            || {
                with_set(0, |set, _reader, writer| {
                    let _later = later(move || drop(writer));
                    vec![epoll(set, 8, -1, None)]
                })
            },
            vec![told(EPOLLHUP)],
        ),
        (
            "what is known at once",
            Others::Wait,
            || {
                with_set(EPOLLIN, |set, _reader, mut writer| {
                    writer.write_all(b"x").unwrap();
                    vec![epoll(set, 8, -1, None), epoll_by_time(set, None, None)]
                })
            },
            vec![told(EPOLLIN), told(EPOLLIN)],
        ),
        (
            "by seconds and nanoseconds",
            Others::Run,
            || {
                with_set(EPOLLIN, |set, _reader, writer| {
                    let early = epoll_by_time(set, Some((0, 5_000_000)), None);
                    let _later = data_later(&writer);
                    vec![
                        early,
                        epoll_by_time(set, Some((5, 0)), None),
                        epoll_by_time(set, None, None),
                    ]
                })
            },
            vec![nothing(), told(EPOLLIN), told(EPOLLIN)],
        ),
    ];
    for (name, others, case, expected) in cases {
        assert_eq!(same(name, others, case), expected, "{name}");
    }
}

fn level() -> Vec<Waited> {
    with_set(EPOLLIN, |set, mut reader, writer| {
        let _later = data_later(&writer);
        let first = epoll(set, 8, -3, None);
        let again = epoll(set, 8, 5000, None);
        reader.read_exact(&mut [0]).unwrap();
        vec![first, again, epoll(set, 8, 10, None)]
    })
}

fn data_twice(events: i32) -> Vec<Waited> {
    with_set(events, |set, _reader, writer| {
        let _later = data_later(&writer);
        let first = epoll(set, 8, 5000, None);
        vec![first, epoll(set, 8, 10, None)]
    })
}

#[test]
fn what_is_wrong_is_refused_by_the_kernel_itself() {
    type Refused = (&'static str, Others, fn(RawFd) -> Answer, Answer);
    let cases: Vec<Refused> = vec![
        ("no room for events", Others::Wait, |set| epoll(set, 0, 50, None).0, Err(libc::EINVAL)),
        ("less than no room", Others::Wait, |set| epoll(set, -1, -1, None).0, Err(libc::EINVAL)),
        ("not a set", Others::Wait, |_| epoll(0, 8, 50, None).0, Err(libc::EINVAL)),
        ("not open", Others::Wait, |_| epoll(900_000, 8, 50, None).0, Err(libc::EBADF)),
        (
            "events nowhere",
            Others::Wait,
            |set| epoll_nowhere(set, Nowhere::Readonly, 50),
            Err(libc::EFAULT),
        ),
        (
            "a time nowhere",
            Others::Wait,
            |set| epoll_by_time_nowhere(set, Nowhere::Unreadable),
            Err(libc::EFAULT),
        ),
        (
            "too many nanoseconds",
            Others::Wait,
            |set| epoll_by_time(set, Some((0, 2_000_000_000)), None).0,
            Err(libc::EINVAL),
        ),
    ];
    for (name, others, case, expected) in cases {
        let refused = same(name, others, move || {
            let (reader, mut writer) = pipe().unwrap();
            writer.write_all(b"x").unwrap();
            let set = new_set();
            watch(set, reader.as_raw_fd(), EPOLLIN, 0);
            let answer = case(set);
            close(set).unwrap();
            answer
        });
        assert_eq!(refused, expected, "{name}");
    }
}

#[test]
fn sets_nested_as_deep_as_can_be_are_waited_for_all_the_same() {
    // On a green thread one or two more stand around the outermost, which the kernel may refuse.
    for (further_in, is_alone) in [(0, true), (1, true), (0, false), (1, false), (2, false)] {
        let (depth, waited) = same("nested", Others::Run, move || nested(further_in, is_alone));
        assert!(depth > 3, "{depth} fds in a row");
        assert_eq!(waited, [Ok(0), Ok(1)], "{further_in} further in");
    }
}

/// Waits for a set, alone or beside another fd, with nothing and with something to be found.
fn nested(further_in: usize, is_alone: bool) -> (usize, [Answer; 2]) {
    let (reader, writer) = pipe().unwrap();
    let (quiet, _keep) = pipe().unwrap();
    let mut fds = vec![reader.as_raw_fd()];
    loop {
        let outer = new_set();
        if !try_watch(outer, fds[fds.len() - 1], EPOLLIN, 77) {
            close(outer).unwrap();
            break;
        }
        fds.push(outer);
    }
    let set = fds[fds.len() - 1 - further_in];
    let wait = |ms| match is_alone {
        true => epoll(set, 8, ms, None).0,
        false => poll(By::Poll, &[(set, POLLIN), (quiet.as_raw_fd(), POLLIN)], ms).0,
    };
    let early = wait(10);
    let _later = data_later(&writer);
    let answers = [early, wait(5000)];
    for &set in &fds[1..] {
        close(set).unwrap();
    }
    (fds.len(), answers)
}
