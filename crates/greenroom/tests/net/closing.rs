//! Files that are closed, or replaced, while somebody waits for them.

use std::{
    io::{self, Read, Write},
    mem::forget,
    os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd},
    time::{Duration, Instant},
};

use greenroom::{
    hub::{self, Backend},
    io::{GreenFd, Interest, is_closed, trampoline},
    net::{TcpListener, UnixStream},
    spawn,
};

use crate::{
    raw,
    stage::{joined, on_backend, on_each_backend, spawn_named, tcp_pair},
};

const SHORT: Duration = Duration::from_millis(10);

#[test]
fn who_waits_for_a_closed_fd_hears_of_it_within_the_turn() {
    on_each_backend(|| {
        let (mut here, there) = tcp_pair();
        let number = here.as_raw_fd();
        let reader = spawn_named("the reader", move || {
            let error = here.read(&mut [0; 8]).unwrap_err();
            let again = here.read(&mut [0; 8]).unwrap_err();
            (error, again)
        });
        greenroom::yield_now();
        let turns = hub::stats().turns;
        assert_eq!(hub::notify_close(number), 1);
        greenroom::yield_now();
        assert!(reader.is_finished(), "{} turns later", hub::stats().turns - turns);
        let (error, again) = joined(reader);
        assert!(is_closed(&error) && is_closed(&again), "{error}; {again}");
        for part in [&format!("fd {number}"), "\"the reader\"", "closed"] {
            assert!(error.to_string().contains(part), "no {part} in: {error}");
        }
        assert_eq!(hub::notify_close(number), 0);
        drop(there);
    });
}

#[test]
fn all_who_wait_hear_of_it_whatever_they_wait_with() {
    on_each_backend(|| {
        hub::allow_multiple_waiters(true);
        let (here, _there) = UnixStream::pair().unwrap();
        let number = here.as_raw_fd();
        let here = std::rc::Rc::new(here);
        let waiters = [Interest::Read, Interest::Write, Interest::Read].map(|interest| {
            let here = std::rc::Rc::clone(&here);
            spawn(move || match interest {
                Interest::Read => (&*here).read(&mut [0; 8]).unwrap_err(),
                Interest::Write => (&*here).write_all(&[0; 1 << 22]).unwrap_err(),
            })
        });
        let foreign = std::rc::Rc::clone(&here);
        let foreign = spawn(move || trampoline(&*foreign, Interest::Read, None).unwrap_err());
        greenroom::yield_now();
        assert_eq!(hub::notify_close(number), 4);
        for waiter in waiters.into_iter().chain([foreign]) {
            assert!(is_closed(&joined(waiter)));
        }

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = listener.as_raw_fd();
        let acceptor = spawn(move || listener.accept().unwrap_err());
        greenroom::yield_now();
        assert_eq!(hub::notify_close(number), 1);
        assert!(is_closed(&joined(acceptor)));
    });
}

/// A reader that waits for `number`, and the other end; its file is replaced by one end of another
/// pair, for which a second reader waits then.
fn replace_under_reader(tell: bool) {
    let (old, mut old_peer) = UnixStream::pair().unwrap();
    let number = old.as_raw_fd();
    let reader = spawn_named("reader of the old", move || {
        let outcome = (&old).read(&mut [0; 8]);
        // The number is not its own any more.
        forget(old);
        outcome.unwrap_err()
    });
    greenroom::yield_now();
    let (new, mut new_peer) = std::os::unix::net::UnixStream::pair().unwrap();
    raw::replace(number, OwnedFd::from(new));
    if tell {
        assert_eq!(hub::notify_reopened(number), 1);
    }
    let second = spawn_named("reader of the new", move || {
        let mut new = UnixStream::try_from(raw::owned(number)).unwrap();
        let mut bytes = [0; 8];
        let count = new.read(&mut bytes).unwrap();
        bytes[..count].to_vec()
    });
    greenroom::yield_now();
    assert_eq!(hub::stats().listeners, 1, "the new one's alone");
    assert!(is_closed(&joined(reader)));
    assert!(old_peer.write_all(b"to nobody").is_err(), "the old file lives on");
    assert!(!second.is_finished());
    new_peer.write_all(b"to you").unwrap();
    assert_eq!(joined(second), b"to you");
}

#[test]
fn a_new_file_with_an_old_number_never_gets_the_old_ones_wake_up() {
    on_each_backend(|| replace_under_reader(true));
}

#[test]
fn epoll_notices_even_if_nobody_told() {
    on_backend(Backend::Epoll, || replace_under_reader(false));
}

#[test]
fn poll_notices_a_number_that_is_not_open_any_more() {
    // The process must not have others that open files, or the number might be reused.
    const TEST: &str = "closing::poll_notices_a_number_that_is_not_open_any_more";
    crate::child::play_if_child(|| {
        on_backend(Backend::Poll, || {
            let (old, _peer) = UnixStream::pair().unwrap();
            let number = old.as_raw_fd();
            let reader = spawn(move || {
                let outcome = (&old).read(&mut [0; 8]);
                forget(old);
                outcome.unwrap_err()
            });
            greenroom::yield_now();
            raw::close(number);
            assert!(is_closed(&joined(reader)));
        });
    });
    crate::child::start(TEST).finished(crate::stage::PATIENCE);
}

#[test]
fn a_socket_that_was_declared_closed_is_closed_when_it_is_dropped() {
    on_each_backend(|| {
        let (mut here, mut there) = tcp_pair();
        let number = here.as_raw_fd();
        let reader = spawn(move || {
            assert!(is_closed(&here.read(&mut [0; 8]).unwrap_err()));
            // What needs no wait works still.
            here.write_all(b"goodbye").unwrap();
            here
        });
        greenroom::yield_now();
        hub::notify_close(number);
        drop(joined(reader));
        let mut last_words = String::new();
        there.read_to_string(&mut last_words).unwrap();
        assert_eq!(last_words, "goodbye");
    });
}

/// Somebody who was woken for a file, by data or by the deadline, but before whom another runs and
/// puts a new file under the number.
fn replaced_between_wake_up_and_read(wake: fn(&mut UnixStream), wait: fn(RawFd) -> io::Result<()>) {
    let (mut first, mut first_peer) = UnixStream::pair().unwrap();
    let (old, mut old_peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let (new, mut new_peer) = std::os::unix::net::UnixStream::pair().unwrap();
    new_peer.write_all(b"for the new file").unwrap();
    let number = old.into_raw_fd();
    first.set_read_timeout(Some(SHORT)).unwrap();
    let replacer = spawn(move || {
        let _ = first.read(&mut [0; 8]);
        raw::replace(number, OwnedFd::from(new));
        // Nobody listens any more: the reader is on its way.
        assert_eq!(hub::notify_reopened(number), 0);
    });
    let reader = spawn(move || wait(number));
    greenroom::yield_now();
    wake(&mut first_peer);
    old_peer.write_all(b"for the old file").unwrap();
    joined(replacer);
    let error = joined(reader).unwrap_err();
    assert!(is_closed(&error), "{error}");
    drop(raw::owned(number));
}

#[test]
fn who_is_woken_and_overtaken_by_a_close_does_not_touch_the_new_file() {
    const WAITS: [fn(RawFd) -> io::Result<()>; 2] = [
        |number| {
            let green = GreenFd::new(raw::Loose(number)).unwrap();
            green.set_read_timeout(Some(SHORT));
            (&green).read(&mut [0; 64]).map(drop)
        },
        |number| {
            let deadline = greenroom::Instant::now() + SHORT;
            trampoline(raw::Loose(number), Interest::Read, Some(deadline))
        },
    ];
    on_each_backend(|| {
        for wait in WAITS {
            replaced_between_wake_up_and_read(|peer| peer.write_all(b"go").unwrap(), wait);
            // Both deadlines pass in one turn.
            let pass_time = |_: &mut UnixStream| {
                let begin = Instant::now();
                while begin.elapsed() < SHORT * 2 {}
            };
            replaced_between_wake_up_and_read(pass_time, wait);
        }
    });
}
