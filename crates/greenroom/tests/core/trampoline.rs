//! Waiting for any fd: until when, who may, and what happens when it is closed meanwhile.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    time::Duration,
};

use greenroom::{
    Instant, JoinHandle, hub,
    hub::Backend,
    io::{Interest, is_closed, trampoline},
    sleep, spawn,
    testing::{run_on, wait_all_parked},
    thread::Builder,
    yield_now,
};

use crate::{number::Number, trace::Trace};

const SECOND: Duration = Duration::from_secs(1);

/// Plays a case with each backend; afterwards nobody may be left waiting.
fn on_each_backend(case: impl Fn() + Sync) {
    for backend in Backend::ALL {
        run_on(backend, || {
            case();
            let stats = hub::stats();
            assert_eq!((stats.listeners, stats.timers), (0, 0), "{backend}");
        });
    }
}

/// A thread that waits until `fd` can be read, and tells when.
fn reader(fd: RawFd, name: &'static str, trace: &Trace) -> JoinHandle<io::Result<()>> {
    let tells = trace.telling(name);
    let wait = move || {
        let outcome = trampoline(Number(fd), Interest::Read, None);
        tells();
        outcome
    };
    Builder::new().name(name).spawn(wait).unwrap()
}

/// What a wait ended with, if that was a closed fd.
#[track_caller]
fn closed(waiter: JoinHandle<io::Result<()>>) -> String {
    let error = waiter.join().unwrap().unwrap_err();
    assert!(is_closed(&error), "{error}");
    error.to_string()
}

#[test]
fn an_fd_that_is_ready_is_not_waited_for() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"!").unwrap();
        let turns = hub::stats().turns;
        trampoline(&here, Interest::Read, None).unwrap();
        trampoline(&here, Interest::Write, None).unwrap();
        let past = Instant::now();
        sleep(SECOND);
        trampoline(&here, Interest::Read, Some(past)).unwrap();
        assert!(hub::stats().turns <= turns + 3, "only the sleep took turns");
    });
}

#[test]
fn a_wait_ends_when_the_fd_can_be_read() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let begin = Instant::now();
        drop(spawn(move || {
            sleep(3 * SECOND);
            there.write_all(b"!").unwrap();
        }));
        let waiter = spawn(move || trampoline(&here, Interest::Read, None));
        waiter.join().unwrap().unwrap();
        assert_eq!(begin.elapsed(), 3 * SECOND);
    });
}

#[test]
fn a_wait_ends_when_the_fd_can_be_written() {
    on_each_backend(|| {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        while here.write(&[0; 4096]).is_ok() {}
        let begin = Instant::now();
        drop(spawn(move || {
            sleep(3 * SECOND);
            let _ = there.read(&mut vec![0; 1 << 20]).unwrap();
            sleep(SECOND);
        }));
        trampoline(&here, Interest::Write, None).unwrap();
        assert_eq!(begin.elapsed(), 3 * SECOND);
        sleep(10 * SECOND);
    });
}

#[test]
fn the_root_waits_as_well() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        drop(spawn(move || there.write_all(b"!").unwrap()));
        trampoline(&here, Interest::Read, None).unwrap();
    });
}

#[test]
fn a_wait_ends_when_the_other_side_hangs_up() {
    on_each_backend(|| {
        for interest in [Interest::Read, Interest::Write] {
            let (mut here, there) = UnixStream::pair().unwrap();
            here.set_nonblocking(true).unwrap();
            while here.write(&[0; 4096]).is_ok() {}
            let waiter = spawn(move || trampoline(&here, interest, None));
            wait_all_parked();
            drop(there);
            waiter.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_wait_ends_at_its_deadline() {
    on_each_backend(|| {
        let (here, _there) = UnixStream::pair().unwrap();
        let deadline = Instant::now() + 3 * SECOND;
        let late = trampoline(&here, Interest::Read, Some(deadline)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(late.to_string(), "the read timed out");
        assert_eq!(Instant::now(), deadline);
        let again = trampoline(&here, Interest::Read, Some(deadline)).unwrap_err();
        assert_eq!((again.kind(), Instant::now()), (ErrorKind::TimedOut, deadline));
    });
}

#[test]
fn a_wait_that_ended_in_time_leaves_no_deadline() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        drop(spawn(move || there.write_all(b"!").unwrap()));
        let deadline = Instant::now() + SECOND;
        trampoline(&here, Interest::Read, Some(deadline)).unwrap();
        assert_eq!(hub::stats().timers, 0);
        sleep(2 * SECOND);
    });
}

#[test]
fn a_file_that_never_makes_anyone_wait_is_ready() {
    on_each_backend(|| {
        let file = File::open("/proc/self/exe").unwrap();
        trampoline(&file, Interest::Read, None).unwrap();
        let device = File::open("/dev/null").unwrap();
        trampoline(&device, Interest::Write, None).unwrap();
    });
}

#[test]
fn a_number_that_is_not_open_is_an_error() {
    on_each_backend(|| {
        let error = trampoline(Number(1_000_000), Interest::Read, None).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn a_second_reader_is_an_error_that_names_the_fd_and_both_threads() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let (fd, trace) = (here.as_raw_fd(), Trace::new());
        let first = reader(fd, "first", &trace);
        let second = reader(fd, "second", &trace);
        let ids = (first.thread().id(), second.thread().id());
        let error = second.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        assert_eq!(
            error.to_string(),
            format!(
                "green thread \"second\" ({}) cannot wait to read fd {fd}: green thread \"first\" \
                 ({}) already does; hub::allow_multiple_waiters(true) would let them queue",
                ids.1, ids.0
            )
        );
        there.write_all(b"!").unwrap();
        first.join().unwrap().unwrap();
    });
}

#[test]
fn the_root_is_named_when_it_is_second_or_first() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let (fd, trace) = (here.as_raw_fd(), Trace::new());
        let first = reader(fd, "first", &trace);
        wait_all_parked();
        let error = trampoline(&here, Interest::Read, None).unwrap_err().to_string();
        assert!(error.starts_with("the root cannot wait to read"), "{error}");
        hub::notify_close(fd);
        closed(first);
        let second = spawn(move || {
            let refused = trampoline(Number(fd), Interest::Read, None);
            there.write_all(b"!").unwrap();
            refused.unwrap_err().to_string()
        });
        trampoline(&here, Interest::Read, None).unwrap();
        let error = second.join().unwrap();
        assert!(error.contains(": the root already does"), "{error}");
    });
}

#[test]
fn a_reader_and_a_writer_wait_for_one_fd_side_by_side() {
    on_each_backend(|| {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        while here.write(&[0; 4096]).is_ok() {}
        let here = Rc::new(here);
        let trace = Trace::new();
        for (name, interest) in [("read", Interest::Read), ("write", Interest::Write)] {
            let (stream, tells) = (Rc::clone(&here), trace.telling(name));
            drop(spawn(move || {
                trampoline(&*stream, interest, None).unwrap();
                tells();
            }));
        }
        wait_all_parked();
        there.write_all(b"!").unwrap();
        wait_all_parked();
        assert_eq!(trace.take(), ["read"]);
        let _ = there.read(&mut vec![0; 1 << 20]).unwrap();
        wait_all_parked();
        assert_eq!(trace.take(), ["write"]);
    });
}

#[test]
fn several_readers_queue_where_that_is_allowed() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let (here, mut there) = UnixStream::pair().unwrap();
        let (fd, trace) = (here.as_raw_fd(), Trace::new());
        let names = ["first", "second", "third"];
        let readers = names.map(|name| {
            let tells = trace.telling(name);
            let mut stream = here.try_clone().unwrap();
            spawn(move || {
                trampoline(Number(fd), Interest::Read, None).unwrap();
                tells();
                let _ = stream.read(&mut [0; 1]).unwrap();
            })
        });
        for turn in 1..=3 {
            wait_all_parked();
            there.write_all(b"!").unwrap();
            wait_all_parked();
            assert_eq!(trace.take(), [names[turn - 1]]);
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn one_that_queues_moves_up_when_the_first_gives_up() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let (here, mut there) = UnixStream::pair().unwrap();
        let (fd, trace) = (here.as_raw_fd(), Trace::new());
        let deadline = Instant::now() + SECOND;
        let impatient = spawn(move || trampoline(Number(fd), Interest::Read, Some(deadline)));
        let patient = reader(fd, "patient", &trace);
        assert_eq!(impatient.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        there.write_all(b"!").unwrap();
        patient.join().unwrap().unwrap();
    });
}

#[test]
fn a_second_reader_is_refused_again_when_queueing_is_off_again() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let (here, _there) = UnixStream::pair().unwrap();
        let (fd, trace) = (here.as_raw_fd(), Trace::new());
        let queued = [reader(fd, "first", &trace), reader(fd, "second", &trace)];
        wait_all_parked();
        hub::allow_multiple_waiters(false);
        let refused = reader(fd, "third", &trace).join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        assert_eq!(hub::notify_close(fd), 2);
        for waiter in queued {
            closed(waiter);
        }
    });
}

#[test]
fn closing_ends_every_wait_with_an_error_within_one_turn() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let (here, _there) = UnixStream::pair().unwrap();
        let (fd, trace) = (here.as_raw_fd(), Trace::new());
        let waiters = [reader(fd, "first", &trace), reader(fd, "second", &trace)];
        wait_all_parked();
        let turns = hub::stats().turns;
        assert_eq!(hub::notify_close(fd), 2);
        yield_now();
        assert!(hub::stats().turns <= turns + 1);
        assert!(waiters.iter().all(JoinHandle::is_finished));
        for (waiter, name) in waiters.into_iter().zip(["first", "second"]) {
            let id = waiter.thread().id();
            assert_eq!(
                closed(waiter),
                format!("fd {fd} was closed while green thread {name:?} ({id}) waited to read it")
            );
        }
        assert_eq!(hub::stats().closed, 2);
    });
}

#[test]
fn closing_an_fd_nobody_waits_for_does_nothing() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let fd = here.as_raw_fd();
        assert_eq!((hub::notify_close(fd), hub::notify_close(1_000_000)), (0, 0));
        assert_eq!(hub::notify_close(-1), 0);
        there.write_all(b"!").unwrap();
        trampoline(&here, Interest::Read, None).unwrap();
    });
}

/// An fd whose number means one file first and then another, and the other ends of both.
struct Reused {
    fd: OwnedFd,
    old_peer: UnixStream,
    new: UnixStream,
    new_peer: UnixStream,
}

impl Reused {
    fn open() -> Reused {
        let (old, old_peer) = UnixStream::pair().unwrap();
        let (new, new_peer) = UnixStream::pair().unwrap();
        Reused { fd: old.into(), old_peer, new, new_peer }
    }

    /// In one step, so that no other OS thread is given the number in between.
    fn reopen(&mut self) {
        rustix::io::dup2(&self.new, &mut self.fd).unwrap();
    }
}

#[test]
fn a_new_file_with_the_same_number_is_not_confused_with_the_old() {
    on_each_backend(|| {
        let mut reused = Reused::open();
        let (fd, trace) = (reused.fd.as_raw_fd(), Trace::new());
        // It keeps the old file open, and the kernel watching that.
        let duplicate = reused.fd.try_clone().unwrap();
        let before = reader(fd, "old", &trace);
        wait_all_parked();
        assert_eq!(hub::notify_close(fd), 1);
        reused.reopen();
        let after = reader(fd, "new", &trace);
        wait_all_parked();
        assert_eq!(trace.take(), ["old"]);
        closed(before);
        reused.old_peer.write_all(b"for the old file").unwrap();
        wait_all_parked();
        assert!(!after.is_finished());
        reused.new_peer.write_all(b"!").unwrap();
        after.join().unwrap().unwrap();
        drop(duplicate);
    });
}

#[test]
fn a_reopened_fd_ends_the_waits_for_the_old_file_and_serves_the_new() {
    on_each_backend(|| {
        let mut reused = Reused::open();
        let (fd, trace) = (reused.fd.as_raw_fd(), Trace::new());
        let before = reader(fd, "old", &trace);
        wait_all_parked();
        reused.reopen();
        assert_eq!(hub::notify_reopened(fd), 1);
        let after = reader(fd, "new", &trace);
        wait_all_parked();
        closed(before);
        assert!(!after.is_finished());
        reused.new_peer.write_all(b"!").unwrap();
        after.join().unwrap().unwrap();
    });
}

#[test]
fn a_wait_for_a_reused_number_ends_those_for_the_file_that_had_it() {
    // Nobody has told the hub. Where nothing is kept in the kernel, nobody can tell.
    run_on(Backend::Epoll, || {
        let mut reused = Reused::open();
        let (fd, trace) = (reused.fd.as_raw_fd(), Trace::new());
        let before = reader(fd, "old", &trace);
        wait_all_parked();
        reused.reopen();
        let after = reader(fd, "new", &trace);
        wait_all_parked();
        closed(before);
        reused.new_peer.write_all(b"!").unwrap();
        after.join().unwrap().unwrap();
    });
}

#[test]
fn a_wait_for_an_fd_is_over_when_its_thread_is_killed() {
    on_each_backend(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let fd = here.as_raw_fd();
        let killed = reader(fd, "killed", &Trace::new());
        wait_all_parked();
        hub::abort();
        assert!(killed.join().unwrap_err().is_killed());
        assert_eq!(hub::stats().listeners, 0);
        let heir = reader(fd, "heir", &Trace::new());
        there.write_all(b"!").unwrap();
        heir.join().unwrap().unwrap();
    });
}
