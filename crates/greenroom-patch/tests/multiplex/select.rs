//! `select` and its kind.

use std::{
    fs::File,
    io::{Write, pipe},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use crate::{
    both::{Others, green, same},
    poll::data_later,
    raw::{
        Answer, DOUBLE, Nowhere, Sets, USUAL, close, cpu_time, dup_to_own_number,
        forbid_process_vm_readv, later, pselect, select, select_in_room, select_nowhere,
        select_one_set_twice, send_urgent,
    },
    terminal::terminal,
};

/// What came of a select whose fds have other numbers in each run: which of the fds that were asked about are in
/// which set, and whether some, all or no time is left.
#[derive(Debug, PartialEq)]
struct Seen {
    answer: Answer,
    sets: [Vec<usize>; 3],
    rest: Option<Rest>,
}

#[derive(Debug, PartialEq)]
enum Rest {
    None,
    Some,
}

const NO_SETS: [Vec<usize>; 3] = [vec![], vec![], vec![]];

fn ask(fds: &[RawFd], sets: [&[usize]; 3], ms: Option<i64>) -> Seen {
    let time = ms.map(|ms| (ms / 1000, ms % 1000 * 1000));
    let sets = sets.map(|set| set.iter().map(|&n| fds[n]).collect());
    let count = fds.iter().max().map_or(0, |most| most + 1);
    seen(fds, count, &sets, time, USUAL, false)
}

fn seen(
    fds: &[RawFd],
    count: i32,
    sets: &Sets,
    time: Option<(i64, i64)>,
    bytes: usize,
    by_alias: bool,
) -> Seen {
    let selected = select(count, sets, time, bytes, by_alias);
    let rest = selected.rest.map(|rest| {
        assert!(rest.0 >= 0 && (0..1_000_000).contains(&rest.1) || Some(rest) == time, "{rest:?}");
        if rest == (0, 0) { Rest::None } else { Rest::Some }
    });
    let place =
        |fd: RawFd| fds.iter().position(|&one| one == fd).expect("one that was asked about");
    Seen {
        answer: selected.answer,
        sets: selected.sets.map(|set| set.into_iter().map(place).collect()),
        rest,
    }
}

type Case = (&'static str, Others, fn() -> Seen, Seen);

fn check(cases: Vec<Case>) {
    for (name, others, case, expected) in cases {
        assert_eq!(same(name, others, case), expected, "{name}");
    }
}

fn found(answer: i32, sets: [&[usize]; 3], rest: Option<Rest>) -> Seen {
    Seen { answer: Ok(answer), sets: sets.map(<[usize]>::to_vec), rest }
}

#[test]
fn what_becomes_ready_later_is_left_in_the_sets() {
    check(vec![
        ("data", Others::Run, data_comes, found(1, [&[1], &[], &[]], Some(Rest::Some))),
        (
            "data for one who waits for ever",
            Others::Run,
            data_for_ever,
            found(1, [&[0], &[], &[]], None),
        ),
        (
            "a hang-up is readable",
            Others::Run,
            hang_up,
            found(1, [&[0], &[], &[]], Some(Rest::Some)),
        ),
        ("an error is writable", Others::Run, error, found(1, [&[], &[0], &[]], Some(Rest::Some))),
        (
            "urgent data is exceptional",
            Others::Run,
            urgent,
            found(1, [&[], &[], &[0]], Some(Rest::Some)),
        ),
        (
            "data, after a wake-up for nothing",
            Others::Run,
            woken_for_nothing,
            found(1, [&[1], &[], &[]], Some(Rest::Some)),
        ),
        (
            "two sets at once count twice",
            Others::Run,
            both_ways,
            found(2, [&[0], &[0], &[]], Some(Rest::Some)),
        ),
    ]);
}

fn data_comes() -> Seen {
    let ((first, _first), (second, writer)) = (pipe().unwrap(), pipe().unwrap());
    let _later = data_later(&writer);
    ask(&[first.as_raw_fd(), second.as_raw_fd()], [&[0, 1], &[], &[0, 1]], Some(5000))
}

fn data_for_ever() -> Seen {
    let (reader, writer) = pipe().unwrap();
    let _later = data_later(&writer);
    ask(&[reader.as_raw_fd()], [&[0], &[], &[]], None)
}

fn hang_up() -> Seen {
    let (reader, writer) = pipe().unwrap();
    let _later = later(move || drop(writer));
    ask(&[reader.as_raw_fd()], [&[0], &[], &[]], Some(5000))
}

fn error() -> Seen {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(&vec![0; 1 << 16]).unwrap();
    let _later = later(move || drop(reader));
    ask(&[writer.as_raw_fd()], [&[], &[0], &[]], Some(5000))
}

/// One fd is hung up, of which only what is exceptional was asked.
fn woken_for_nothing() -> Seen {
    let ((hung_up, gone), (reader, writer)) = (pipe().unwrap(), pipe().unwrap());
    drop(gone);
    let _later = data_later(&writer);
    ask(&[hung_up.as_raw_fd(), reader.as_raw_fd()], [&[1], &[], &[0]], Some(5000))
}

fn urgent() -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (there, _) = listener.accept().unwrap();
    let _keep = there.try_clone().unwrap();
    let _later = later(move || send_urgent(there.as_raw_fd()));
    ask(&[here.as_raw_fd()], [&[], &[], &[0]], Some(5000))
}

fn both_ways() -> Seen {
    let (mut here, there) = UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    while here.write(&[0; 4096]).is_ok() {}
    // To read comes the end, to write an error.
    let _later = later(move || drop(there));
    ask(&[here.as_raw_fd()], [&[0], &[0], &[]], Some(5000))
}

#[test]
fn a_select_that_finds_nothing_ends_in_time_with_empty_sets() {
    check(vec![
        (
            "a pipe",
            Others::Run,
            || {
                let (reader, _writer) = pipe().unwrap();
                ask(&[reader.as_raw_fd()], [&[0], &[], &[0]], Some(20))
            },
            found(0, [&[], &[], &[]], Some(Rest::None)),
        ),
        (
            "nobody",
            Others::Run,
            || ask(&[], [&[], &[], &[]], Some(20)),
            found(0, [&[], &[], &[]], Some(Rest::None)),
        ),
        (
            "an fd beyond the number that is given",
            Others::Run,
            || {
                let (reader, mut writer) = pipe().unwrap();
                writer.write_all(b"x").unwrap();
                let fd = reader.as_raw_fd();
                // In the same word as the number, so it is gone from the set afterwards.
                let sets = [vec![fd], vec![], vec![]];
                seen(&[fd], fd, &sets, Some((0, 20_000)), USUAL, false)
            },
            found(0, [&[], &[], &[]], Some(Rest::None)),
        ),
        (
            "a hang-up is not exceptional",
            Others::Run,
            hung_up_already,
            found(0, [&[], &[], &[]], Some(Rest::None)),
        ),
        (
            "standard output",
            Others::Wait,
            || ask(&[1], [&[], &[], &[0]], Some(20)),
            found(0, [&[], &[], &[]], Some(Rest::None)),
        ),
        (
            "a terminal",
            Others::Wait,
            || {
                let [_master, terminal] = terminal();
                ask(&[terminal.as_raw_fd()], [&[0], &[], &[]], Some(20))
            },
            found(0, [&[], &[], &[]], Some(Rest::None)),
        ),
        (
            "without waiting",
            Others::Wait,
            || {
                let (reader, _writer) = pipe().unwrap();
                ask(&[reader.as_raw_fd()], [&[0], &[], &[]], Some(0))
            },
            found(0, [&[], &[], &[]], Some(Rest::None)),
        ),
    ]);
}

/// Is ready all the time in a way that nobody asks about.
fn hung_up_already() -> Seen {
    let (reader, writer) = pipe().unwrap();
    drop(writer);
    ask(&[reader.as_raw_fd()], [&[], &[], &[0]], Some(60))
}

#[test]
fn an_fd_that_is_ready_as_nobody_asked_does_not_keep_the_processor_busy() {
    let busy = green(|| {
        let before = cpu_time();
        let seen = hung_up_already();
        (seen.answer, cpu_time() - before)
    });
    assert_eq!(busy.0, Ok(0));
    assert!(busy.1 < Duration::from_millis(30), "busy for {:?} of 60 ms", busy.1);
}

#[test]
fn what_is_known_at_once_is_told_at_once() {
    check(vec![
        (
            "a file",
            Others::Wait,
            || {
                let file = File::open("/proc/self/exe").unwrap();
                ask(&[file.as_raw_fd()], [&[0], &[0], &[0]], Some(5000))
            },
            found(2, [&[0], &[0], &[]], Some(Rest::Some)),
        ),
        (
            "more microseconds than a second has",
            Others::Wait,
            || {
                let (_reader, writer) = pipe().unwrap();
                let fd = writer.as_raw_fd();
                let sets = [vec![], vec![fd], vec![]];
                let selected = select(fd + 1, &sets, Some((1, 3_000_000)), USUAL, false);
                // Of four seconds, all but a moment.
                assert!(matches!(selected.rest, Some((3, _) | (4, 0))), "{:?}", selected.rest);
                Seen { answer: selected.answer, sets: NO_SETS, rest: None }
            },
            found(1, [&[], &[], &[]], None),
        ),
        (
            "a number too large for one of libc's sets",
            Others::Wait,
            || {
                let (reader, mut writer) = pipe().unwrap();
                writer.write_all(b"x").unwrap();
                let fd = dup_to_own_number(reader.as_raw_fd());
                let sets = [vec![fd], vec![], vec![]];
                let seen = seen(&[fd], fd + 1, &sets, Some((5, 0)), DOUBLE, false);
                close(fd).unwrap();
                seen
            },
            found(1, [&[0], &[], &[]], Some(Rest::Some)),
        ),
        (
            "a number far greater than any fd",
            Others::Wait,
            || {
                let (reader, mut writer) = pipe().unwrap();
                writer.write_all(b"x").unwrap();
                let fd = reader.as_raw_fd();
                let sets = [vec![fd], vec![], vec![]];
                seen(&[fd], i32::MAX, &sets, Some((5, 0)), 1 << 16, false)
            },
            found(1, [&[0], &[], &[]], Some(Rest::Some)),
        ),
    ]);
}

#[test]
fn large_numbers_are_waited_for_as_small_ones() {
    check(vec![
        (
            "too large for one of libc's sets",
            Others::Run,
            || {
                let (reader, writer) = pipe().unwrap();
                let fd = dup_to_own_number(reader.as_raw_fd());
                let sets = [vec![fd], vec![], vec![]];
                let _later = data_later(&writer);
                let seen = seen(&[fd], fd + 1, &sets, Some((5, 0)), DOUBLE, false);
                close(fd).unwrap();
                seen
            },
            found(1, [&[0], &[], &[]], Some(Rest::Some)),
        ),
        (
            "far greater than any fd",
            Others::Run,
            || {
                let (reader, writer) = pipe().unwrap();
                let fd = reader.as_raw_fd();
                let sets = [vec![fd], vec![], vec![]];
                let _later = data_later(&writer);
                seen(&[fd], i32::MAX, &sets, Some((5, 0)), 1 << 16, true)
            },
            found(1, [&[0], &[], &[]], Some(Rest::Some)),
        ),
    ]);
}

#[test]
fn what_lies_beyond_the_table_of_fds_is_left_to_its_owner() {
    let case = || {
        let room: &'static [AtomicU8] =
            (0..1 << 16).map(|_| AtomicU8::new(0)).collect::<Vec<_>>().leak();
        let neighbour = &room[1 << 15];
        neighbour.store(1, Ordering::SeqCst);
        let (reader, writer) = pipe().unwrap();
        let later = later(move || {
            neighbour.store(2, Ordering::SeqCst);
            // A hang-up is not exceptional, so this ends nothing, but there is one more look.
            drop(writer);
        });
        let answer = select_in_room(room, reader.as_raw_fd(), 60);
        // On a slow machine it may be later than the answer.
        drop(later);
        (answer, neighbour.load(Ordering::SeqCst))
    };
    assert_eq!(same("beyond", Others::Run, case), (Ok(0), 2));
}

#[test]
fn one_set_may_stand_for_two() {
    let case = || {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        while here.write(&[0; 4096]).is_ok() {}
        let fd = here.as_raw_fd();
        let _keep = there.try_clone().unwrap();
        let _later = later(move || there.write_all(b"x").unwrap());
        let (answer, set) = select_one_set_twice(fd + 1, &[fd], 5000);
        // What can be written is told last, and nothing can.
        (answer, set.len())
    };
    assert_eq!(same("data", Others::Run, case), (Ok(1), 0));
}

#[test]
fn an_error_leaves_the_sets_as_they_were() {
    let error = |errno| Seen {
        answer: Err(errno),
        sets: [vec![0], vec![], vec![0]],
        rest: Some(Rest::Some),
    };
    check(vec![
        (
            "an fd that is not open",
            Others::Wait,
            || {
                let (reader, _writer) = pipe().unwrap();
                let fd = dup_to_own_number(reader.as_raw_fd());
                close(fd).unwrap();
                let open = reader.as_raw_fd();
                let sets = [vec![open, fd], vec![], vec![open]];
                let selected = select(fd + 1, &sets, Some((0, 50_000)), DOUBLE, false);
                assert_eq!(selected.sets, sets);
                let seen = seen(
                    &[open],
                    -1,
                    &[vec![open], vec![], vec![open]],
                    Some((0, 50_000)),
                    USUAL,
                    false,
                );
                Seen { answer: selected.answer, ..seen }
            },
            error(libc::EBADF),
        ),
        (
            "a negative number of fds",
            Others::Wait,
            || {
                let (reader, _writer) = pipe().unwrap();
                let fd = reader.as_raw_fd();
                seen(&[fd], -1, &[vec![fd], vec![], vec![fd]], Some((0, 50_000)), USUAL, false)
            },
            error(libc::EINVAL),
        ),
        (
            "a negative time",
            Others::Wait,
            || {
                let (reader, _writer) = pipe().unwrap();
                let fd = reader.as_raw_fd();
                seen(&[fd], fd + 1, &[vec![fd], vec![], vec![fd]], Some((-1, 0)), USUAL, false)
            },
            error(libc::EINVAL),
        ),
    ]);
}

#[test]
fn a_set_that_is_not_there_is_refused_by_the_kernel_itself() {
    type Refused = (&'static str, Others, fn() -> Answer, Answer);
    let cases: [Refused; 4] = [
        (
            "that cannot be read",
            Others::Wait,
            || select_nowhere(Nowhere::Unreadable, 8),
            Err(libc::EFAULT),
        ),
        (
            "that cannot be written",
            Others::Wait,
            || select_nowhere(Nowhere::Readonly, 8),
            Err(libc::EFAULT),
        ),
        (
            "of which nothing is to be read",
            Others::Run,
            || select_nowhere(Nowhere::Unreadable, 0),
            Ok(0),
        ),
        ("none", Others::Run, || select_nowhere(Nowhere::Null, 8), Ok(0)),
    ];
    for (name, others, case, expected) in cases {
        assert_eq!(same(name, others, case), expected, "{name}");
    }
}

#[test]
fn each_of_the_names_waits() {
    for by_alias in [false, true] {
        let seen = same("select", Others::Run, move || {
            let (reader, writer) = pipe().unwrap();
            let fd = reader.as_raw_fd();
            let _later = data_later(&writer);
            seen(&[fd], fd + 1, &[vec![fd], vec![], vec![]], Some((5, 0)), USUAL, by_alias)
        });
        assert_eq!(seen, found(1, [&[0], &[], &[]], Some(Rest::Some)));
    }
    let selected = same("pselect", Others::Run, || {
        let (reader, writer) = pipe().unwrap();
        let _later = data_later(&writer);
        pselect(reader.as_raw_fd(), Some((5, 0)), None)
    });
    assert_eq!(selected, (Ok(1), Some((5, 0))), "pselect leaves the time alone");
    for (time, others, expected) in [
        ((0, 20_000_000), Others::Run, Ok(0)),
        ((0, 0), Others::Wait, Ok(0)),
        ((0, -1), Others::Wait, Err(libc::EINVAL)),
    ] {
        let selected = same("pselect", others, move || {
            let (reader, _writer) = pipe().unwrap();
            pselect(reader.as_raw_fd(), Some(time), None)
        });
        assert_eq!(selected, (expected, Some(time)));
    }
}

#[test]
fn where_a_sandbox_forbids_to_copy_by_the_kernel_select_does_it_by_itself() {
    let seen = green(|| {
        forbid_process_vm_readv();
        data_comes()
    });
    assert_eq!(seen, found(1, [&[1], &[], &[]], Some(Rest::Some)));
}
