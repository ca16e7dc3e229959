//! Standard input: read by one, shared with many, and never changed.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::fd::AsFd,
    thread,
};

use greenroom::{
    Elapsed,
    io::{pipe, stdin},
    process::{Command, Stdio},
    spawn,
    testing::wait_all_parked,
    with_timeout, yield_now,
};
use rustix::{
    fs::{Mode, OFlags, fcntl_getfl},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    stdio::dup2_stdin,
};

use crate::{
    case::{Case, PLAIN},
    stage::{
        Folder, LONG, again, assert_refused_in_callback, in_callback, in_destructor,
        in_virtual_time, on_each_backend,
    },
};

/// Makes standard input a pipe that is as blocking as those of a shell, and returns its other end.
fn from_pipe() -> std::io::PipeWriter {
    let (reader, writer) = std::io::pipe().unwrap();
    dup2_stdin(reader).unwrap();
    writer
}

/// Makes standard input a terminal, and returns its other side.
fn from_terminal() -> File {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    dup2_stdin(rustix::fs::open(name, flags, Mode::empty()).unwrap()).unwrap();
    keyboard.into()
}

/// Makes standard input something, and returns where to write to it.
type Open = fn() -> Box<dyn Write>;

fn flags_of_input() -> OFlags {
    fcntl_getfl(std::io::stdin().as_fd()).unwrap()
}

fn line() -> std::io::Result<String> {
    let mut line = String::new();
    stdin().read_line(&mut line).map(|_| line)
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "standard_input::others_run_while_one_reads_lines",
        play: || {
            on_each_backend(|| {
                let mut keyboard = from_pipe();
                let flags = flags_of_input();
                let reader = spawn(|| stdin().lines().map(Result::unwrap).collect::<Vec<_>>());
                yield_now();
                for text in ["on", "e\ntwo\r\n", "\n", "last"] {
                    assert!(!reader.is_finished());
                    keyboard.write_all(text.as_bytes()).unwrap();
                    yield_now();
                }
                assert_eq!(flags_of_input(), flags, "the mode is not ours to change");
                drop(keyboard);
                assert_eq!(reader.join().unwrap(), ["one", "two", "", "last"]);
                assert_eq!(line().unwrap(), "");
            });
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::a_terminal_is_read_line_by_line",
        play: || {
            on_each_backend(|| {
                let mut keyboard = from_terminal();
                let flags = flags_of_input();
                let reader = spawn(|| (line().unwrap(), line().unwrap(), line().unwrap()));
                yield_now();
                keyboard.write_all(b"first\nsec").unwrap();
                yield_now();
                assert!(!reader.is_finished());
                // Ctrl-d ends the line, and alone on one the input, which goes on if it is read again.
                keyboard.write_all(b"ond\n\x04").unwrap();
                let lines = reader.join().unwrap();
                assert_eq!((&*lines.0, &*lines.1, &*lines.2), ("first\n", "second\n", ""));
                keyboard.write_all(b"third\n").unwrap();
                assert_eq!(line().unwrap(), "third\n");
                assert_eq!(flags_of_input(), flags);
            });
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::a_reader_that_is_thrown_out_swallows_nothing",
        play: || {
            in_virtual_time(|| {
                let inputs: [(&str, Open); 2] = [
                    ("pipe", || Box::new(from_pipe())),
                    ("terminal", || Box::new(from_terminal())),
                ];
                for (name, open) in inputs {
                    let mut keyboard = open();
                    let killed = spawn(line);
                    wait_all_parked();
                    keyboard.write_all(b"whole\nline\n").unwrap();
                    killed.thread().kill();
                    assert!(killed.join().unwrap_err().is_killed());
                    assert_eq!(line().unwrap(), "whole\n", "{name}");
                    assert_eq!(line().unwrap(), "line\n", "{name}");
                    assert_eq!(with_timeout(LONG, || line().unwrap()), Err(Elapsed));
                    keyboard.write_all(b"after\n").unwrap();
                    assert_eq!(line().unwrap(), "after\n", "{name}");
                }
            });
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::the_beginning_of_a_line_is_kept_for_the_next_reader",
        play: || {
            in_virtual_time(|| {
                let mut keyboard = from_pipe();
                keyboard.write_all(b"begin").unwrap();
                assert_eq!(with_timeout(LONG, || line().unwrap()), Err(Elapsed));
                keyboard.write_all(b"ning\nand more").unwrap();
                // On another OS thread, too.
                let elsewhere = thread::spawn(|| line().unwrap());
                assert_eq!(elsewhere.join().unwrap(), "beginning\n");
                let mut bytes = [0; 4];
                stdin().read_exact(&mut bytes).unwrap();
                assert_eq!(&bytes, b"and ");
                drop(keyboard);
                let mut rest = String::new();
                stdin().read_to_string(&mut rest).unwrap();
                assert_eq!(rest, "more");
            });
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::one_reads_at_a_time",
        play: || {
            let mut keyboard = from_pipe();
            let first = spawn(line);
            yield_now();
            assert_eq!(line().unwrap_err().kind(), ErrorKind::ResourceBusy);
            let elsewhere = thread::spawn(|| stdin().read(&mut [0; 8]).unwrap_err().kind());
            assert_eq!(elsewhere.join().unwrap(), ErrorKind::ResourceBusy);
            keyboard.write_all(b"for the first\n").unwrap();
            assert_eq!(first.join().unwrap().unwrap(), "for the first\n");
            keyboard.write_all(b"for all\n").unwrap();
            assert_eq!(line().unwrap(), "for all\n");
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::files_and_nothing_are_read_to_their_ends",
        play: || {
            on_each_backend(|| {
                let folder = Folder::new();
                let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
                std::fs::write(folder.path("text"), &text).unwrap();
                dup2_stdin(File::open(folder.path("text")).unwrap()).unwrap();
                for (n, line) in stdin().lines().enumerate() {
                    assert_eq!(line.unwrap(), format!("line {n}"));
                }
                dup2_stdin(File::open(folder.path("text")).unwrap()).unwrap();
                let mut all = String::new();
                assert_eq!(stdin().read_to_string(&mut all).unwrap(), text.len());
                assert_eq!(all, text);
                dup2_stdin(File::open("/dev/null").unwrap()).unwrap();
                assert_eq!(stdin().read(&mut [0; 10_000]).unwrap(), 0);
                assert_eq!(stdin().lines().count(), 0);
            });
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::a_line_may_be_long_or_no_text",
        play: || {
            on_each_backend(|| {
                let mut keyboard = from_pipe();
                let long = "x".repeat(300_000) + "\n";
                let writer = thread::spawn(move || {
                    keyboard.write_all(long.as_bytes()).unwrap();
                    keyboard.write_all(b"good\n\xff bad\nfine\r").unwrap();
                });
                assert_eq!(line().unwrap().len(), 300_001);
                let mut text = String::from("before ");
                assert_eq!(stdin().read_line(&mut text).unwrap(), 5);
                assert_eq!(text, "before good\n");
                let bad = stdin().read_line(&mut text).unwrap_err();
                assert_eq!((bad.kind(), &*text), (ErrorKind::InvalidData, "before good\n"));
                assert_eq!(stdin().lines().next().unwrap().unwrap(), "fine\r");
                writer.join().unwrap();
            });
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::callbacks_and_destructors_have_what_is_there",
        play: || {
            on_each_backend(|| {
                let mut keyboard = from_pipe();
                assert_refused_in_callback(line);
                keyboard.write_all(b"one\ntwo\nthree\nfo").unwrap();
                assert_eq!(in_callback(|| line().unwrap()).unwrap(), "one\n");
                let (there, late) = in_destructor(|| {
                    let mut bytes = [0; 10];
                    stdin().read_exact(&mut bytes).unwrap();
                    (bytes, line())
                });
                assert_eq!(&there, b"two\nthree\n");
                assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
                keyboard.write_all(b"ur\n").unwrap();
                assert_eq!(line().unwrap(), "four\n");
            });
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::who_reads_afterwards_finds_the_rest",
        play: || {
            let (reader, mut writer) = pipe().unwrap();
            let mut first = again("standard_input::reads_one_line");
            let reader = reader.into_std();
            let child = first.stdin(reader.try_clone().unwrap()).stderr(Stdio::piped()).spawn();
            writer.write_all(b"for the first\n").unwrap();
            let output = child.unwrap().wait_with_output().unwrap();
            assert!(String::from_utf8(output.stderr).unwrap().contains("\"for the first\\n\""));
            // Who reads after it finds the same file in the same mode.
            writer.write_all(b"for the second\n").unwrap();
            drop(writer);
            let second = Command::new("cat").stdin(reader).output().unwrap();
            assert_eq!(second.stdout, b"for the second\n");
        },
        ..PLAIN
    },
    Case {
        name: "standard_input::reads_one_line",
        play: || {
            // The runner, which tells nothing, closes its input now.
            eprintln!("begins");
            eprintln!("read {:?}", line().unwrap());
        },
        says: &["begins"],
        ..PLAIN
    },
];
