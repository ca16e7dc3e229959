//! Pipes: std's meaning, the mode of their ends, and waits that are ended from outside.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write, read_to_string},
    os::fd::{AsFd, IntoRawFd, OwnedFd},
    rc::Rc,
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed,
    io::{PipeReader, PipeWriter, pipe},
    spawn,
    testing::wait_all_parked,
    with_timeout, yield_now,
};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::{FdFlags, fcntl_getfd},
};

use crate::{
    case::{Case, PLAIN},
    stage::{
        LONG, assert_refused_in_callback, in_callback, in_destructor, in_virtual_time,
        on_each_backend, open_fds,
    },
};

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// Writes until there is no room. Returns how much that was.
fn filled(writer: &PipeWriter) -> usize {
    writer.set_write_timeout(Some(Duration::ZERO));
    let mut total = 0;
    while let Ok(count) = (&mut &*writer).write(&[1; 10_000]) {
        total += count;
    }
    writer.set_write_timeout(None);
    total
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "pipes::bytes_go_through_and_closing_is_the_end",
        play: || {
            on_each_backend(|| {
                let (reader, mut writer) = pipe().unwrap();
                let total = spawn(move || io::copy(&mut &reader, &mut io::sink()).unwrap());
                for _ in 0..100 {
                    writer.write_all(&[7; 10_000]).unwrap();
                }
                writer.flush().unwrap();
                drop(writer);
                assert_eq!(total.join().unwrap(), 1_000_000);
            });
        },
        ..PLAIN
    },
    Case {
        name: "pipes::the_other_end_may_be_anywhere",
        play: || {
            on_each_backend(|| {
                let (reader, writer) = pipe().unwrap();
                let mut elsewhere = writer.into_std();
                let thread = thread::spawn(move || elsewhere.write_all(&[7; 1_000_000]).unwrap());
                assert_eq!(io::copy(&mut &reader, &mut io::sink()).unwrap(), 1_000_000);
                thread.join().unwrap();
            });
        },
        ..PLAIN
    },
    Case {
        name: "pipes::parts_and_lines_and_nothing",
        play: || {
            on_each_backend(|| {
                let (mut reader, mut writer) = pipe().unwrap();
                let parts = [IoSlice::new(b"one\n"), IoSlice::new(b""), IoSlice::new(b"two\n")];
                assert_eq!(writer.write_vectored(&parts).unwrap(), 8);
                assert_eq!(writer.write(b"").unwrap(), 0);
                assert_eq!(reader.read(&mut []).unwrap(), 0);
                let (mut first, mut second) = ([0; 3], [0; 1]);
                let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
                assert_eq!(reader.read_vectored(&mut parts).unwrap(), 4);
                assert_eq!((&first, &second), (b"one", b"\n"));
                drop(writer);
                let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
                assert_eq!(lines, ["two"]);
            });
        },
        ..PLAIN
    },
    Case {
        name: "pipes::nobody_reads_is_an_error_and_no_signal",
        play: || {
            on_each_backend(|| {
                let (reader, mut writer) = pipe().unwrap();
                filled(&writer);
                let waiter = spawn(move || writer.write(b"?").unwrap_err().kind());
                yield_now();
                assert!(!waiter.is_finished());
                drop(reader);
                assert_eq!(waiter.join().unwrap(), ErrorKind::BrokenPipe);
            });
        },
        ..PLAIN
    },
    Case {
        name: "pipes::a_wait_that_is_ended_has_moved_nothing",
        play: || {
            in_virtual_time(|| {
                let (mut reader, writer) = pipe().unwrap();
                let mut bytes = [0; 8];
                reader.set_read_timeout(Some(LONG));
                assert_eq!(reader.read_timeout(), Some(LONG));
                assert_eq!(reader.read(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
                reader.set_read_timeout(None);
                let late = with_timeout(LONG, || reader.read(&mut bytes).unwrap());
                assert_eq!(late, Err(Elapsed));
                let reader = Rc::new(reader);
                let theirs = Rc::clone(&reader);
                let killed = spawn(move || (&*theirs).read(&mut [0; 8]));
                wait_all_parked();
                (&writer).write_all(b"kept").unwrap();
                killed.thread().kill();
                assert!(killed.join().unwrap_err().is_killed());
                assert_eq!((&*reader).read(&mut bytes).unwrap(), 4);

                let room = filled(&writer);
                writer.set_write_timeout(Some(LONG));
                assert_eq!(writer.write_timeout(), Some(LONG));
                assert_eq!((&writer).write(b"x").unwrap_err().kind(), ErrorKind::TimedOut);
                writer.set_write_timeout(None);
                let writer = Rc::new(writer);
                let theirs = Rc::clone(&writer);
                let killed = spawn(move || (&*theirs).write(b"x"));
                wait_all_parked();
                killed.thread().kill();
                assert!(killed.join().unwrap_err().is_killed());
                drop(writer);
                let left = io::copy(&mut &*reader, &mut io::sink()).unwrap();
                assert_eq!(left, u64::try_from(room).unwrap());
            });
        },
        ..PLAIN
    },
    Case {
        name: "pipes::one_waits_at_each_end_at_a_time",
        play: || {
            let (reader, mut writer) = pipe().unwrap();
            let clone = Rc::new(reader);
            let theirs = Rc::clone(&clone);
            let first = spawn(move || (&*theirs).read(&mut [0; 8]).unwrap());
            yield_now();
            let second = (&*clone).read(&mut [0; 8]).unwrap_err();
            assert_eq!(second.kind(), ErrorKind::ResourceBusy);
            writer.write_all(b"x").unwrap();
            assert_eq!(first.join().unwrap(), 1);
        },
        ..PLAIN
    },
    Case {
        name: "pipes::a_pipe_ends_with_the_last_clone_and_clones_share_timeouts",
        play: || {
            in_virtual_time(|| {
                let (reader, writer) = pipe().unwrap();
                let other = writer.try_clone().unwrap();
                let text = spawn(move || read_to_string(reader).unwrap());
                (&writer).write_all(b"a").unwrap();
                drop(writer);
                yield_now();
                assert!(!text.is_finished());
                (&other).write_all(b"b").unwrap();
                drop(other);
                assert_eq!(text.join().unwrap(), "ab");

                let (reader, _writer) = pipe().unwrap();
                let clone = reader.try_clone().unwrap();
                reader.set_read_timeout(Some(LONG));
                assert_eq!(clone.read_timeout(), Some(LONG));
                assert_eq!((&clone).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
            });
        },
        ..PLAIN
    },
    Case {
        name: "pipes::an_end_that_is_given_away_blocks_again",
        play: || {
            let (reader, writer) = pipe().unwrap();
            for end in [reader.as_fd(), writer.as_fd()] {
                assert!(is_nonblocking(end));
                assert_eq!(fcntl_getfd(end).unwrap(), FdFlags::CLOEXEC);
            }
            let before = open_fds();
            let (reader, writer) = (reader.into_std(), writer.into_std());
            assert!(!is_nonblocking(&reader) && !is_nonblocking(&writer));
            let reader = PipeReader::try_from(OwnedFd::from(reader)).unwrap();
            let writer = PipeWriter::try_from(writer).unwrap();
            assert!(is_nonblocking(&reader) && is_nonblocking(&writer));
            let reader = io::PipeReader::from(reader);
            let writer = OwnedFd::from(writer);
            assert!(!is_nonblocking(&reader) && !is_nonblocking(&writer));
            // Each end has a mode of its own.
            let reader = PipeReader::from_std(reader).unwrap();
            assert!(is_nonblocking(&reader) && !is_nonblocking(&writer));
            assert_eq!(open_fds(), before);
            assert!(reader.into_raw_fd() >= 0);
        },
        ..PLAIN
    },
    Case {
        name: "pipes::callbacks_and_destructors_have_what_is_there",
        play: || {
            on_each_backend(|| {
                let (reader, writer) = pipe().unwrap();
                let theirs = reader.try_clone().unwrap();
                assert_refused_in_callback(move || (&theirs).read(&mut [0; 8]));
                (&writer).write_all(b"ab").unwrap();
                let theirs = reader.try_clone().unwrap();
                let count = in_callback(move || (&theirs).read(&mut [0; 1]).unwrap());
                assert_eq!(count.unwrap(), 1);
                let theirs = reader.try_clone().unwrap();
                let (there, late) = in_destructor(move || {
                    ((&theirs).read(&mut [0; 8]).unwrap(), (&theirs).read(&mut [0; 8]))
                });
                assert_eq!((there, late.unwrap_err().kind()), (1, ErrorKind::TimedOut));
            });
        },
        ..PLAIN
    },
];
