//! Files: what std does, while others run; and what becomes of calls that are thrown out.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt},
    path::Path,
    thread,
    time::Duration,
};

use greenroom::{
    Elapsed,
    fs::{self, File, OpenOptions, TryLockError},
    sleep, spawn,
    testing::{advance, wait_all_parked},
    with_timeout, yield_now,
};
use rustix::io::ioctl_fionread;

use crate::{
    case::{Case, PLAIN},
    stage::{
        Folder, LONG, assert_refused_in_callback, in_callback, in_destructor, in_virtual_time,
        on_each_backend, open_fds,
    },
};

/// An errno or a kind: what two errors must have in common.
fn why<T>(outcome: io::Result<T>) -> Result<T, (Option<i32>, ErrorKind)> {
    outcome.map_err(|error| (error.raw_os_error(), error.kind()))
}

/// What can be done with a path, by us and by std, and what came of it in words.
type Call = (&'static str, fn(&Path) -> String, fn(&Path) -> String);

macro_rules! both {
    ($name:literal, |$path:ident| $call:expr) => {
        (
            $name,
            |$path| {
                use greenroom::fs;
                let _ = fs::exists("/");
                format!("{:?}", why($call))
            },
            |$path| {
                use std::fs;
                let _ = fs::exists("/");
                format!("{:?}", why($call))
            },
        )
    };
}

/// In an order in which there is something to find.
const CALLS: [Call; 32] = [
    both!("create_dir", |path| fs::create_dir(path.join("a"))),
    both!("create_dir again", |path| fs::create_dir(path.join("a"))),
    both!("create_dir_all", |path| fs::create_dir_all(path.join("a/b/c"))),
    both!("write", |path| fs::write(path.join("a/file"), "some text")),
    both!("write nowhere", |path| fs::write(path.join("x/file"), "some text")),
    both!("read", |path| fs::read(path.join("a/file"))),
    both!("read a folder", |path| fs::read(path.join("a"))),
    both!("read_to_string", |path| fs::read_to_string(path.join("a/file"))),
    both!("write bytes", |path| fs::write(path.join("a/bytes"), [0xff, 0xfe])),
    both!("read_to_string of bytes", |path| fs::read_to_string(path.join("a/bytes"))),
    both!("copy", |path| fs::copy(path.join("a/file"), path.join("a/copy"))),
    both!("copy nothing", |path| fs::copy(path.join("a/none"), path.join("a/copy"))),
    both!("rename", |path| fs::rename(path.join("a/copy"), path.join("a/moved"))),
    both!("rename nothing", |path| fs::rename(path.join("a/none"), path.join("a/moved"))),
    both!("hard_link", |path| fs::hard_link(path.join("a/file"), path.join("a/linked"))),
    both!("hard_link again", |path| fs::hard_link(path.join("a/file"), path.join("a/linked"))),
    both!("metadata", |path| fs::metadata(path.join("a/linked")).map(|m| (m.len(), m.nlink()))),
    both!("metadata of a link", |path| fs::metadata(path.join("link")).map(|m| m.is_dir())),
    both!("symlink_metadata", |path| fs::symlink_metadata(path.join("link")).map(|m| m.is_dir())),
    both!("read_link", |path| fs::read_link(path.join("link"))),
    both!("read_link of a file", |path| fs::read_link(path.join("a/file"))),
    both!("canonicalize", |path| fs::canonicalize(path.join("link/../a/./b"))
        .map(|found| found.ends_with("a/b"))),
    both!("canonicalize nothing", |path| fs::canonicalize(path.join("none"))),
    both!("exists", |path| fs::exists(path.join("a/file"))),
    both!("exists not", |path| fs::exists(path.join("a/none"))),
    both!("set_permissions", |path| fs::set_permissions(
        path.join("a/file"),
        fs::Permissions::from_mode(0o640)
    )),
    both!("mode", |path| fs::metadata(path.join("a/file")).map(|m| m.mode())),
    both!("remove_file", |path| fs::remove_file(path.join("a/moved"))),
    both!("remove_file again", |path| fs::remove_file(path.join("a/moved"))),
    both!("remove_dir that is full", |path| fs::remove_dir(path.join("a"))),
    both!("remove_dir", |path| fs::remove_dir(path.join("a/b/c"))),
    both!("remove_dir_all", |path| fs::remove_dir_all(path.join("a"))),
];

/// Runs `f` with a limit of time, which passes while it waits for a helper.
fn out_of_time<R>(f: impl FnOnce() -> R) -> Result<R, Elapsed> {
    let clock = spawn(|| advance(LONG));
    let late = with_timeout(LONG, f);
    clock.join().unwrap();
    late
}

/// Waits until a helper has taken all that was written to a named pipe.
fn until_taken(writer: &std::fs::File) {
    while ioctl_fionread(writer).unwrap() > 0 {
        thread::yield_now();
    }
}

/// With one helper, what is asked for is done in order.
const ONE_HELPER: &[(&str, &str)] = &[("GREENROOM_OFFLOAD_THREADS", "1")];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "files::each_function_does_what_that_of_std_does",
        play: || {
            on_each_backend(|| {
                let folder = Folder::new();
                let (green, std) = (folder.path("green"), folder.path("std"));
                for path in [&green, &std] {
                    std::fs::create_dir(path).unwrap();
                    std::os::unix::fs::symlink("a", path.join("link")).unwrap();
                }
                for (name, by_us, by_std) in CALLS {
                    assert_eq!(by_us(&green), by_std(&std), "{name}");
                }
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::others_run_while_a_call_is_at_work",
        play: || {
            in_virtual_time(|| {
                let folder = Folder::new();
                let path = folder.fifo("fifo");
                let theirs = path.clone();
                // Such a call lasts until somebody opens the other end.
                let reader = spawn(move || {
                    let mut text = String::new();
                    File::open(theirs).unwrap().read_to_string(&mut text).unwrap();
                    text
                });
                for _ in 0..10 {
                    yield_now();
                    advance(LONG);
                    assert!(!reader.is_finished());
                }
                let mut writer = OpenOptions::new().write(true).open(path).unwrap();
                for word in ["one ", "two"] {
                    writer.write_all(word.as_bytes()).unwrap();
                    assert!(!reader.is_finished());
                }
                drop(writer);
                assert_eq!(reader.join().unwrap(), "one two");
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::a_file_is_read_and_written_in_parts_and_places",
        play: || {
            on_each_backend(|| {
                let folder = Folder::new();
                let mut options = File::options();
                options.read(true).write(true).create_new(true).mode(0o600);
                let mut file = options.open(folder.path("file")).unwrap();
                assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
                let twice = options.open(folder.path("file")).unwrap_err();
                assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
                let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
                assert!(file.write(&bytes).unwrap() < bytes.len(), "a call moves a part");
                file.rewind().unwrap();
                file.write_all(&bytes).unwrap();
                file.sync_data().unwrap();
                assert_eq!(file.stream_position().unwrap(), 1_000_000);
                let mut read = vec![0; bytes.len()];
                file.rewind().unwrap();
                file.read_exact(&mut read).unwrap();
                assert_eq!(read, bytes);
                assert_eq!(file.read(&mut read).unwrap(), 0);
                file.seek(SeekFrom::End(-3)).unwrap();
                let mut rest = vec![1, 2];
                assert_eq!(file.read_to_end(&mut rest).unwrap(), 3);
                assert_eq!(rest[2..], bytes[bytes.len() - 3..]);

                assert_eq!(file.write_at(b"middle", 500_000).unwrap(), 6);
                let mut middle = [0; 8];
                assert_eq!(file.read_at(&mut middle, 499_999).unwrap(), 8);
                assert_eq!(&middle[1..7], b"middle");
                assert_eq!(file.stream_position().unwrap(), 1_000_000, "places move nothing");
                assert_eq!((file.read(&mut []).unwrap(), file.write(&[]).unwrap()), (0, 0));

                file.set_len(10).unwrap();
                file.sync_all().unwrap();
                assert_eq!(file.metadata().unwrap().len(), 10);
                let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
                file.set_times(times).unwrap();
                assert_eq!(file.metadata().unwrap().mtime(), 0);
                file.set_permissions(fs::Permissions::from_mode(0o644)).unwrap();
                let mut clone = file.try_clone().unwrap();
                file.rewind().unwrap();
                assert_eq!(clone.read(&mut [0; 4]).unwrap(), 4);
                assert_eq!((&file).stream_position().unwrap(), 4, "clones share the position");
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::lines_text_and_std_types",
        play: || {
            on_each_backend(|| {
                let folder = Folder::new();
                let path = folder.path("file");
                let mut file = File::create(&path).unwrap();
                file.write_all(b"one\ntwo\n").unwrap();
                let mut more = OpenOptions::from(std::fs::OpenOptions::new().append(true).clone());
                more.custom_flags(libc::O_CLOEXEC).open(&path).unwrap().write_all(b"\xff").unwrap();
                let opened = File::open(&path).unwrap();
                let lines = BufReader::new(&opened).lines().take(2).map(Result::unwrap);
                assert_eq!(lines.collect::<Vec<_>>(), ["one", "two"]);
                (&opened).rewind().unwrap();
                let mut text = "before".to_owned();
                let bad = (&opened).read_to_string(&mut text).unwrap_err();
                assert_eq!((bad.kind(), &*text), (ErrorKind::InvalidData, "before"));
                let before = open_fds();
                let std = opened.into_std().unwrap();
                let mut byte = [0];
                std.read_exact_at(&mut byte, 0).unwrap();
                assert_eq!((&byte, open_fds()), (b"o", before));
                let back = File::from(std);
                // It belongs to no hub.
                let elsewhere = thread::spawn(move || back.metadata().unwrap().len());
                assert_eq!(elsewhere.join().unwrap(), 9);
                assert!(File::create_new(&path).is_err());
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::a_directory_is_listed_at_once",
        play: || {
            on_each_backend(|| {
                let folder = Folder::new();
                assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
                for name in ["a", "b", "c"] {
                    fs::write(folder.path(name), name).unwrap();
                }
                fs::create_dir(folder.path("d")).unwrap();
                std::os::unix::fs::symlink("a", folder.path("e")).unwrap();
                let before = open_fds();
                let entries = fs::read_dir(&folder.0).unwrap();
                assert_eq!((entries.size_hint(), open_fds()), ((5, Some(5)), before));
                fs::remove_file(folder.path("c")).unwrap();
                let mut found: Vec<_> = entries.map(Result::unwrap).collect();
                found.sort_by_key(fs::DirEntry::path);
                for (entry, name) in found.iter().zip(["a", "b", "c", "d", "e"]) {
                    assert_eq!(entry.file_name(), name);
                    assert_eq!(entry.path(), folder.path(name));
                    assert_eq!(entry.file_type().unwrap().is_dir(), name == "d");
                    assert_eq!(entry.file_type().unwrap().is_symlink(), name == "e");
                    match entry.metadata() {
                        Ok(metadata) => assert_eq!(metadata.ino(), entry.ino()),
                        Err(error) => {
                            assert_eq!((name, error.kind()), ("c", ErrorKind::NotFound));
                        }
                    }
                }
                let missing = fs::read_dir(folder.path("none")).unwrap_err();
                assert_eq!(missing.kind(), ErrorKind::NotFound);
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::a_read_that_is_thrown_out_touches_no_buffer_and_goes_on",
        play: || {
            in_virtual_time(|| {
                let folder = Folder::new();
                let path = folder.fifo("fifo");
                let both = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
                let file = File::from(both.try_clone().unwrap());
                let mut bytes = [7; 4];
                let late = out_of_time(|| (&file).read(&mut bytes).unwrap());
                assert_eq!(late, Err(Elapsed));
                let mut writer = &both;
                writer.write_all(b"lost").unwrap();
                until_taken(&both);
                writer.write_all(b"kept").unwrap();
                assert_eq!(bytes, [7; 4]);
                assert_eq!((&file).read(&mut bytes).unwrap(), 4);
                assert_eq!(&bytes, b"kept");

                // While a call that was thrown out is at work, the std file is a duplicate.
                let late = out_of_time(|| (&file).read(&mut bytes).unwrap());
                assert_eq!(late, Err(Elapsed));
                let before = open_fds();
                let std = file.into_std().unwrap();
                assert_eq!(open_fds(), before + 1);
                writer.write_all(b"end").unwrap();
                until_taken(&both);
                drop(std);
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::a_write_that_is_thrown_out_is_done_all_the_same",
        play: || {
            in_virtual_time(|| {
                let folder = Folder::new();
                let path = folder.path("file");
                let file = File::create(&path).unwrap();
                let killed = spawn(move || (&file).write_all(b"written"));
                yield_now();
                killed.thread().kill();
                assert!(killed.join().unwrap_err().is_killed());
                // Done after it, for there is one helper.
                assert_eq!(fs::read_to_string(&path).unwrap(), "written");

                let theirs = folder.path("created");
                let killed = spawn(move || File::create(theirs).map(drop));
                yield_now();
                let before = open_fds();
                killed.thread().kill();
                assert!(killed.join().unwrap_err().is_killed());
                assert!(fs::exists(folder.path("created")).unwrap());
                assert!(open_fds() <= before, "what it opened was closed");
            });
        },
        env: ONE_HELPER,
        ..PLAIN
    },
    Case {
        name: "files::a_lock_is_waited_for_and_nobody_who_left_has_it",
        play: || {
            in_virtual_time(|| {
                let folder = Folder::new();
                let path = folder.path("file");
                let holder = File::create(&path).unwrap();
                let other = File::open(&path).unwrap();
                holder.lock().unwrap();
                assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
                assert!(matches!(other.try_lock_shared(), Err(TryLockError::WouldBlock)));
                assert_eq!(with_timeout(LONG, || other.lock().unwrap()), Err(Elapsed));
                assert_eq!(with_timeout(LONG, || other.lock_shared().unwrap()), Err(Elapsed));
                greenroom::scope(|scope| {
                    let killed = scope.spawn(|| other.lock().unwrap());
                    sleep(Duration::from_secs(1));
                    killed.kill();
                });
                holder.unlock().unwrap();
                holder.try_lock().unwrap();
                let waiter = spawn(move || {
                    other.lock().unwrap();
                    other
                });
                sleep(Duration::from_secs(1));
                assert!(!waiter.is_finished());
                holder.unlock().unwrap();
                let other = waiter.join().unwrap();
                assert!(holder.try_lock().is_err());
                other.unlock().unwrap();
                holder.lock_shared().unwrap();
                other.lock_shared().unwrap();
                holder.try_lock_shared().unwrap();
                drop(other);
                holder.lock().unwrap();
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::many_who_wait_for_a_lock_keep_no_helper",
        play: || {
            on_each_backend(|| {
                let folder = Folder::new();
                let path = folder.path("file");
                let holder = File::create(&path).unwrap();
                holder.lock().unwrap();
                let waiters: Vec<_> = (0..50)
                    .map(|_| {
                        let file = File::open(&path).unwrap();
                        spawn(move || {
                            file.lock().unwrap();
                            file.metadata().unwrap().len()
                        })
                    })
                    .collect();
                yield_now();
                (&holder).write_all(b"there is a helper for this").unwrap();
                drop(holder);
                for waiter in waiters {
                    assert_eq!(waiter.join().unwrap(), 26);
                }
            });
        },
        env: ONE_HELPER,
        ..PLAIN
    },
    Case {
        name: "files::callbacks_do_not_wait_and_destructors_do_it_themselves",
        play: || {
            on_each_backend(|| {
                let folder = Folder::new();
                let path = folder.path("file");
                let theirs = path.clone();
                assert_refused_in_callback(move || fs::write(theirs, "no"));
                assert!(!fs::exists(&path).unwrap());
                let theirs = path.clone();
                in_destructor(move || fs::write(theirs, "last words")).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), "last words");

                let (holder, other) = (File::open(&path).unwrap(), File::open(&path).unwrap());
                holder.lock().unwrap();
                let late = in_destructor(move || other.lock());
                assert_eq!(late.unwrap_err().kind(), ErrorKind::WouldBlock);
                holder.unlock().unwrap();
                in_callback(move || holder.lock().unwrap()).unwrap();
            });
        },
        ..PLAIN
    },
    Case {
        name: "files::who_waits_for_a_call_is_parked",
        play: || {
            in_virtual_time(|| {
                let folder = Folder::new();
                let path = folder.fifo("fifo");
                let theirs = path.clone();
                let opener = spawn(move || File::open(theirs).map(drop));
                wait_all_parked();
                let dump = greenroom::debug::dump().to_string();
                assert!(dump.contains("waits for another OS thread: a call on a file"), "{dump}");
                drop(std::fs::OpenOptions::new().write(true).open(path).unwrap());
                opener.join().unwrap().unwrap();
            });
        },
        ..PLAIN
    },
];
