//! Numbers of files: closed, duplicated, replaced, wrong.

use std::{
    os::fd::{AsRawFd, IntoRawFd},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use libc::{MSG_WAITALL, SHUT_RD, SHUT_RDWR, SHUT_WR};
use rustix::net::sockopt;

use crate::{
    files::{ALL, Kind, narrow_pair, pair},
    raw,
    stage::{Cast, Stage, equal, equal_for, nap, perform},
};

#[test]
fn numbers_are_closed_and_duplicated_as_ever() {
    equal_for(&ALL, |stage, kind| {
        let (one, other) = pair(kind);
        let (one, other) = (stage.keep(one), stage.keep(other));
        stage.actor("one", move |it| {
            it.close(-1);
            it.close(1_000_000);
            for how in [SHUT_RD, SHUT_WR, SHUT_RDWR, 7] {
                it.shutdown(-1, how);
            }
            it.shutdown(one, 7);
            raw::duplicate(it, one);
            it.write(other, b"hello");
            it.read(one, 8);
            it.shutdown(one, SHUT_RDWR);
            it.shutdown(one, SHUT_RDWR);
        });
    });
}

#[test]
fn a_duplicate_reads_what_the_first_one_waits_for() {
    equal_for(&ALL, |stage, kind| {
        let (one, other) = pair(kind);
        let twin = stage.keep(one.try_clone().expect("it is open"));
        let (one, other) = (stage.keep(one), stage.keep(other));
        for (name, fd) in [("one", one), ("twin", twin)] {
            stage.actor(name, move |it| {
                it.step(1);
                it.read(fd, 4);
            });
        }
        stage.actor("writer", move |it| {
            it.while_waiting(1);
            it.write(other, b"four");
            nap();
            it.write(other, b"four");
        });
    });
}

#[test]
fn closing_a_duplicate_leaves_the_wait_alone() {
    equal_for(&ALL, |stage, kind| {
        let (one, other) = pair(kind);
        let (one, other) = (stage.keep(one), stage.keep(other));
        stage.actor("reader", move |it| {
            it.step(1);
            it.read(one, 4);
        });
        stage.actor("other", move |it| {
            it.while_waiting(1);
            raw::duplicate(it, one);
            nap();
            it.write(other, b"four");
        });
    });
}

#[test]
fn a_wait_goes_on_while_other_numbers_are_closed() {
    equal(|stage| {
        let (one, other) = pair(Kind::Unix);
        let (one, other) = (stage.keep(one), stage.keep(other));
        stage.actor("reader", move |it| {
            it.step(1);
            it.recv(one, 8, MSG_WAITALL);
        });
        stage.actor("other", move |it| {
            it.while_waiting(1);
            it.write(other, b"four");
            raw::close_many(it);
            it.write(other, b"four");
        });
    });
}

#[test]
fn a_wait_goes_on_while_its_number_is_closed_in_vain() {
    equal(|stage| {
        let (one, other) = pair(Kind::Unix);
        let (one, other) = (stage.keep(one), stage.keep(other));
        stage.actor("reader", move |it| {
            it.step(1);
            it.recv(one, 8, 0);
        });
        stage.actor("other", move |it| {
            it.while_waiting(1);
            raw::close_in_vain(it, one);
            nap();
            it.write(other, b"four");
        });
    });
}

/// Hubs that hear of closed fds know each other, by a lock whose system call fails in one of some thousand races.
#[test]
fn the_first_waits_of_many_hubs_at_once_leave_errno_alone() {
    for _ in 0..3000 {
        let together = Arc::new(Barrier::new(4));
        let hubs = [(); 4].map(|()| {
            let together = Arc::clone(&together);
            thread::spawn(move || {
                let (one, other) = pair(Kind::Unix);
                let receiver = greenroom::spawn(move || {
                    together.wait();
                    raw::recv_and_errno(one.as_raw_fd(), &mut [0; 1], 4242)
                });
                greenroom::yield_now();
                assert_eq!(raw::send(other.as_raw_fd(), b"a", 0), 1);
                assert_eq!(receiver.join().expect("it went well"), (1, 4242));
            })
        });
        for hub in hubs {
            hub.join().expect("it went well");
        }
    }
}

#[test]
fn wrong_numbers_pointers_and_lengths_are_refused_alike() {
    equal_for(&ALL, |stage, kind| {
        let (one, other) = pair(kind);
        let (one, other) = (stage.keep(one), stage.keep(other));
        stage.actor("wrong", move |it| {
            for fd in [-1, i32::MIN, 1_000_000] {
                raw::wrong_number(it, fd);
            }
            it.write(other, b"a message");
            it.write(other, b"a message");
            it.write(other, b"a message");
            it.write(other, b"a message");
            it.write(other, b"a message");
            raw::wrong_pointers(it, one, other);
            it.write(other, b"the last");
            it.recv(one, 64, libc::MSG_DONTWAIT);
        });
    });
}

/// By design: the kernel waits inside of the call. The kernel counts the time in whole seconds.
#[test]
fn a_close_that_lingers_keeps_the_os_thread() {
    let script = |stage: &mut Stage| {
        let (receiver, one) = narrow_pair(Kind::Tcp);
        sockopt::set_socket_linger(&one, Some(Duration::from_secs(1))).expect("a socket");
        let (_receiver, one) = (stage.keep(receiver), one.into_raw_fd());
        raw::fill(one);
        stage.actor("one", move |it| {
            it.after(1);
            it.close(one);
            it.step(2);
        });
        stage.actor("other", move |it| {
            it.step(1);
            let begin = Instant::now();
            nap();
            it.note(format_args!(
                "goes on meanwhile: {}",
                begin.elapsed() < Duration::from_millis(600)
            ));
            it.after(2);
        });
    };
    for (cast, goes_on) in [(Cast::Only(0), true), (Cast::Everybody, false)] {
        let noted = perform(cast, &script);
        assert_eq!(noted["other"], [format!("goes on meanwhile: {goes_on}")], "{cast:?}");
    }
}
