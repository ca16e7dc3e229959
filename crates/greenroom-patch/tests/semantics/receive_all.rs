//! What ends a receive that waits for all bytes (`MSG_WAITALL`) before it has them, and what does not.

use std::os::fd::IntoRawFd;

use libc::{MSG_OOB, MSG_PEEK, MSG_WAITALL, SHUT_WR, SO_PASSCRED, SO_TIMESTAMP, SOL_SOCKET};

use crate::{
    files::{Kind, STREAMS, borrowed, pair, resets_at_close},
    raw,
    stage::{equal, equal_for, nap},
};

#[test]
fn an_urgent_byte_ends_it() {
    for at_once in [&b"deX"[..], b"X"] {
        equal_for(&STREAMS, |stage, kind| {
            let (receiver, sender) = pair(kind);
            let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
            stage.actor("sender", move |it| {
                it.while_waiting(1);
                it.send(sender, b"abc", 0);
                nap();
                it.send(sender, at_once, MSG_OOB);
                nap();
                it.send(sender, b"fgh", 0);
                it.step(2);
            });
            stage.actor("receiver", move |it| {
                it.step(1);
                it.recv(receiver, 8, MSG_WAITALL);
                it.after(2);
                it.recv(receiver, 3, MSG_WAITALL);
                it.recv(receiver, 1, MSG_OOB);
            });
        });
    }
}

#[test]
fn a_look_ends_before_an_urgent_byte() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"abX", MSG_OOB);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 8, MSG_WAITALL | MSG_PEEK);
        });
    });
}

#[test]
fn bytes_that_came_before_a_reset_come_before_it() {
    equal(|stage| {
        let (receiver, sender) = pair(Kind::Tcp);
        let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"half", 0);
            nap();
            it.send(sender, b"rest", 0);
            resets_at_close(borrowed(sender));
            it.close(sender);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 8, MSG_WAITALL);
            it.recv(receiver, 8, 0);
        });
    });
}

/// Times and writers are left out where there is no room for them, and so are descriptors, which do end it.
#[test]
fn what_there_is_no_room_for_does_not_end_it() {
    for control in [None, Some(0), Some(64)] {
        equal_for(&STREAMS, |stage, kind| {
            let (receiver, sender) = pair(kind);
            let option = if kind == Kind::Unix { SO_PASSCRED } else { SO_TIMESTAMP };
            raw::set_option(&receiver, SOL_SOCKET, option, 1);
            let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
            stage.actor("sender", move |it| {
                it.while_waiting(1);
                it.send(sender, b"ab", 0);
                nap();
                it.send(sender, b"cd", 0);
                it.while_waiting(2);
                it.send(sender, b"ef", 0);
                nap();
                if kind == Kind::Unix {
                    it.sendmsg(sender, &[b"gh"], &[0, 1], 0);
                }
                it.shutdown(sender, SHUT_WR);
            });
            stage.actor("receiver", move |it| {
                it.step(1);
                match control {
                    None => it.recv(receiver, 4, MSG_WAITALL),
                    Some(room) => it.recvmsg(receiver, &[1, 3], room, MSG_WAITALL),
                };
                it.step(2);
                match control {
                    None => it.recv(receiver, 8, MSG_WAITALL),
                    Some(room) => it.recvmsg(receiver, &[1, 7], room, MSG_WAITALL),
                };
            });
        });
    }
}

/// Only who may be anybody can say that it is somebody else; all others are refused, alike.
#[test]
fn bytes_of_another_writer_end_it_and_are_for_the_next_call() {
    for last in [None, Some(1), Some(2)] {
        equal(|stage| {
            let (receiver, sender) = pair(Kind::Unix);
            raw::set_option(&receiver, SOL_SOCKET, SO_PASSCRED, 1);
            let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
            stage.actor("sender", move |it| {
                it.while_waiting(1);
                it.note(raw::send_as(sender, b"hello", 1));
                nap();
                if let Some(writer) = last {
                    it.note(raw::send_as(sender, b"world", writer));
                }
                it.shutdown(sender, SHUT_WR);
            });
            stage.actor("receiver", move |it| {
                it.step(1);
                for _ in 0..3 {
                    it.note(raw::receive_with_writer(receiver, 10, MSG_WAITALL));
                }
            });
        });
    }
}
