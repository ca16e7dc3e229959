//! Files that are no sockets: pipes, counters, timers, regular files, devices, terminals.

use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, memfd_create},
};

use crate::{
    calls::borrow,
    files::{Kind, bytes, pair, set_nonblocking},
    raw,
    stage::{equal, equal_for, nap},
    terminal::terminal,
};

#[test]
fn a_pipe_gives_what_is_there_and_then_the_end() {
    equal(|stage| {
        let (reader, writer) = pair(Kind::Pipe);
        let (reader, writer) = (stage.keep(reader), writer.into_raw_fd());
        stage.actor("writer", move |it| {
            it.while_waiting(1);
            it.write(writer, b"hello");
            it.while_waiting(2);
            it.writev(writer, &[b"hello", b"", b", world"]);
            nap();
            it.close(writer);
        });
        stage.actor("reader", move |it| {
            it.step(1);
            it.read(reader, 64);
            it.step(2);
            it.readv(reader, &[2, 0, 30]);
            it.read(reader, 64);
            it.readv(reader, &[64]);
            it.read(reader, 0);
            it.write(reader, b"the wrong way");
            it.recv(reader, 64, 0);
        });
    });
}

#[test]
fn a_pipe_with_a_name_takes_all_however_much() {
    equal(|stage| {
        let (reader, writer) = raw::named_pipe();
        let (reader, writer) = (stage.keep(reader), writer.into_raw_fd());
        stage.actor("writer", move |it| {
            it.step(1);
            it.write(writer, &bytes(200_000));
            it.writev(writer, &[&bytes(3000), b"", &bytes(90_000), b"end"]);
            it.close(writer);
        });
        stage.actor("reader", move |it| {
            it.while_waiting(1);
            let mut all = Vec::new();
            while all.len() < 293_003 {
                let mut room = [0; 10_000];
                let count = raw::read(reader, &mut room);
                all.extend_from_slice(&room[..usize::try_from(count).expect("no error")]);
            }
            it.note(crate::calls::show(&all));
            it.read(reader, 8);
        });
    });
}

#[test]
fn a_pipe_that_nobody_has_ever_written_to_is_at_its_end() {
    equal(|stage| {
        let reader = stage.keep(raw::reader_of_nobody());
        let (end, into_end) = pair(Kind::Pipe);
        let (_, into_end) = (stage.keep(end), stage.keep(into_end));
        stage.actor("reader", move |it| {
            it.splice([reader, into_end], [None; 2], 8, 0);
            it.read(reader, 8);
            it.readv(reader, &[8, 8]);
            set_nonblocking(borrow(reader), true);
            it.read(reader, 8);
        });
    });
}

#[test]
fn a_pipe_without_waiting() {
    equal(|stage| {
        let (reader, writer) = pair(Kind::Pipe);
        set_nonblocking(&reader, true);
        let (reader, writer) = (stage.keep(reader), stage.keep(writer));
        stage.actor("reader", move |it| {
            it.read(reader, 8);
            it.readv(reader, &[8]);
            it.read(writer, 8);
            it.write(writer, b"hello");
            it.read(reader, 3);
            it.read(reader, 8);
            it.read(reader, 8);
        });
        stage.actor("other", |it| it.note("looks on"));
    });
}

#[test]
fn several_readers_of_a_pipe_share_it() {
    equal(|stage| {
        let (reader, writer) = pair(Kind::Pipe);
        let (reader, writer) = (stage.keep(reader), stage.keep(writer));
        for name in ["a", "b", "c"] {
            stage.actor(name, move |it| {
                let mut room = [0; 4];
                let answer = raw::read(reader, &mut room);
                it.note(format_args!("{answer} {}", crate::calls::show(&room)));
            });
        }
        stage.actor("writer", move |it| {
            for _ in 0..3 {
                nap();
                it.write(writer, b"four");
            }
        });
    });
}

#[test]
fn a_counter_is_waited_for() {
    for flags in [EventfdFlags::CLOEXEC, EventfdFlags::SEMAPHORE] {
        equal(|stage| {
            let counter = stage.keep(eventfd(0, flags).expect("a counter"));
            stage.actor("adder", move |it| {
                it.while_waiting(1);
                it.write(counter, &3_u64.to_ne_bytes());
                it.while_waiting(2);
                it.writev(counter, &[&5_u64.to_ne_bytes()]);
                it.write(counter, &u64::MAX.to_ne_bytes());
                it.write(counter, b"short");
            });
            stage.actor("taker", move |it| {
                it.read(counter, 4);
                it.step(1);
                it.read(counter, 8);
                if flags == EventfdFlags::SEMAPHORE {
                    it.read(counter, 8);
                    it.read(counter, 8);
                }
                it.step(2);
                it.readv(counter, &[8, 8]);
            });
        });
    }
}

#[test]
fn a_full_counter_is_waited_for() {
    equal(|stage| {
        let counter = stage.keep(eventfd(0, EventfdFlags::CLOEXEC).expect("a counter"));
        stage.actor("adder", move |it| {
            it.write(counter, &(u64::MAX - 1).to_ne_bytes());
            it.step(1);
            it.write(counter, &1_u64.to_ne_bytes());
            it.step(2);
        });
        stage.actor("taker", move |it| {
            it.while_waiting(1);
            it.read(counter, 8);
            it.after(2);
            it.read(counter, 8);
        });
    });
}

#[test]
fn a_timer_is_waited_for() {
    equal(|stage| {
        let timer = stage.keep(raw::timer_after(20));
        let fast = stage.keep(raw::timer_after(1));
        stage.actor("reader", move |it| {
            it.read(timer, 4);
            it.read(timer, 8);
            nap();
            it.readv(fast, &[8]);
            set_nonblocking(borrow(timer), true);
            it.read(timer, 8);
            it.write(timer, &[0; 8]);
        });
        stage.actor("other", |it| it.note("looks on"));
    });
}

fn file_of(bytes: &[u8]) -> OwnedFd {
    let file = memfd_create("semantics", MemfdFlags::CLOEXEC).expect("memory");
    rustix::io::write(&file, bytes).expect("there is room");
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).expect("it can be sought");
    file
}

fn on_disk() -> OwnedFd {
    let path = std::env::temp_dir().join(format!("greenroom-semantics-{}", std::process::id()));
    std::fs::write(&path, bytes(10_000)).expect("a folder for what is temporary");
    let options = std::fs::File::options().read(true).write(true).open(&path);
    options.expect("it was written a moment ago").into()
}

#[test]
fn regular_files_are_read_and_written_whole() {
    let makes: [fn() -> OwnedFd; 2] = [|| file_of(&bytes(10_000)), on_disk];
    for make in makes {
        equal(|stage| {
            let file = stage.keep(make());
            stage.actor("reader", move |it| {
                it.read(file, 100);
                it.readv(file, &[10, 0, 5000]);
                raw::positioned(it, file);
                it.read(file, 10_000);
                it.read(file, 10);
                it.write(file, b"at the end");
                it.writev(file, &[b"and", b" more"]);
                it.read(file, 0);
                it.write(file, b"");
                it.recv(file, 8, 0);
                it.send(file, b"no socket", 0);
            });
        });
    }
}

#[test]
fn devices_and_folders_answer_at_once() {
    equal(|stage| {
        let open = |path: &str, write: bool| -> OwnedFd {
            let file = std::fs::File::options().read(true).write(write).open(path);
            file.expect("it is there on every Linux").into()
        };
        let [null, zero] = ["/dev/null", "/dev/zero"].map(|path| open(path, true));
        let (null, zero) = (stage.keep(null), stage.keep(zero));
        let full = stage.keep(open("/dev/full", true));
        let folder = stage.keep(open("/", false));
        stage.actor("reader", move |it| {
            it.read(null, 8);
            it.write(null, b"gone");
            it.write(null, &bytes(200_000));
            it.writev(null, &[b"a", b"b"]);
            it.read(zero, 30);
            it.readv(zero, &[3, 3]);
            it.write(full, b"no room");
            it.read(folder, 8);
            it.write(folder, b"no");
        });
    });
}

/// The master's end is the script's own: nothing on a hub waits for a terminal.
#[test]
fn a_terminal_gives_lines_that_are_there() {
    equal(|stage| {
        let [master, terminal] = terminal();
        let (master, terminal) = (stage.keep(master), stage.keep(terminal));
        stage.actor("user", move |it| {
            it.write(master, b"one line\nand another\n");
            it.step(1);
            it.after(2);
            it.read(master, 21);
        });
        stage.actor("program", move |it| {
            it.after(1);
            it.read(terminal, 64);
            it.readv(terminal, &[3, 64]);
            set_nonblocking(borrow(terminal), true);
            it.read(terminal, 64);
            it.step(2);
        });
    });
}

#[test]
fn what_is_only_readable_or_only_writable_says_so() {
    equal_for(&[false, true], |stage, writes| {
        let null = std::fs::File::options().read(!writes).write(writes).open("/dev/null");
        let null = stage.keep(null.expect("it is there on every Linux").into());
        let (reader, writer) = pair(Kind::Pipe);
        let (reader, writer) = (stage.keep(reader), stage.keep(writer));
        stage.actor("one", move |it| {
            it.read(null, 8);
            it.write(null, b"x");
            it.write(reader, b"x");
            it.read(writer, 8);
        });
    });
}

#[test]
fn a_socket_made_nonblocking_by_any_way_is_nonblocking() {
    equal_for(&[0, 1, 2], |stage, way| {
        let (one, other) = pair(Kind::Unix);
        match way {
            0 => set_nonblocking(&one, true),
            1 => rustix::io::ioctl_fionbio(&one, true).expect("a socket"),
            _ => std::os::unix::net::UnixStream::from(one.try_clone().expect("it is open"))
                .set_nonblocking(true)
                .expect("a socket"),
        }
        let one = stage.keep(one);
        let _ = stage.keep(other.as_fd().try_clone_to_owned().expect("it is open"));
        stage.actor("reader", move |it| {
            it.recv(one, 8, 0);
            it.read(one, 8);
            rustix::io::ioctl_fionbio(borrow(one), false).expect("a socket");
            it.write(one, b"hello");
        });
    });
}
