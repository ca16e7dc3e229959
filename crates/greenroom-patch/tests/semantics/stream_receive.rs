//! Receiving from streams.

use std::os::fd::IntoRawFd;

use libc::{MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SHUT_RD, SHUT_WR};

use crate::{
    files::{
        Kind, STREAMS, borrowed, bytes, pair, receive_timeout, resets_at_close, set_nonblocking,
    },
    stage::{Stage, equal, equal_for, nap},
};

/// A receiver, and a sender of these pieces, who then closes.
fn sender_of(stage: &mut Stage, kind: Kind, pieces: &'static [&'static [u8]]) -> i32 {
    let (receiver, sender) = pair(kind);
    let sender = sender.into_raw_fd();
    stage.actor("sender", move |it| {
        it.while_waiting(1);
        for piece in pieces {
            it.write(sender, piece);
            nap();
        }
        it.close(sender);
    });
    stage.keep(receiver)
}

#[test]
fn a_receive_takes_what_is_there_and_sees_the_end() {
    equal_for(&STREAMS, |stage, kind| {
        let fd = sender_of(stage, kind, &[b"hello"]);
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(fd, 16, 0);
            it.recv(fd, 16, 0);
            it.recvfrom(fd, 16, 0);
            it.recvmsg(fd, &[4, 4], 64, 0);
            it.read(fd, 16);
        });
    });
}

#[test]
fn each_receiving_call_waits() {
    for call in 0..5 {
        equal_for(
            &[Kind::Tcp, Kind::Unix, Kind::Seqpacket, Kind::Datagram, Kind::Udp],
            |stage, kind| {
                let fd = sender_of(stage, kind, &[b"hello"]);
                stage.actor("receiver", move |it| {
                    it.step(1);
                    match call {
                        0 => it.recv(fd, 16, 0),
                        1 => it.recvfrom(fd, 16, 0),
                        2 => it.recvmsg(fd, &[2, 0, 16], 64, 0),
                        3 => it.read(fd, 16),
                        _ => it.readv(fd, &[2, 0, 16]),
                    };
                });
            },
        );
    }
}

#[test]
fn all_that_was_asked_for_is_waited_for() {
    equal_for(&STREAMS, |stage, kind| {
        let fd =
            sender_of(stage, kind, &[b"one", b"twotwo", b"three", b"four", b"fivefive", b"six"]);
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(fd, 8, MSG_WAITALL);
            it.recvfrom(fd, 8, MSG_WAITALL);
            it.recvmsg(fd, &[1, 0, 3, 4], 64, MSG_WAITALL);
            it.recv(fd, 8, MSG_WAITALL);
            it.recv(fd, 8, MSG_WAITALL);
        });
    });
}

#[test]
fn the_end_of_a_stream_ends_a_wait_for_all() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"half", 0);
            nap();
            it.shutdown(sender, SHUT_WR);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 64, MSG_WAITALL);
            it.recv(receiver, 64, MSG_WAITALL);
            it.send(receiver, b"the other way is open", 0);
        });
    });
}

#[test]
fn a_reset_ends_a_wait_for_all_and_is_told_once_by_the_next_call() {
    equal(|stage| {
        let (receiver, sender) = pair(Kind::Tcp);
        let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"half", 0);
            nap();
            resets_at_close(borrowed(sender));
            it.close(sender);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 64, MSG_WAITALL);
            it.recv(receiver, 64, 0);
            it.recv(receiver, 64, 0);
        });
    });
}

#[test]
fn a_reset_ends_a_wait() {
    for length in [0, 16] {
        equal(|stage| {
            let (receiver, sender) = pair(Kind::Tcp);
            let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
            stage.actor("sender", move |it| {
                it.while_waiting(1);
                resets_at_close(borrowed(sender));
                it.close(sender);
            });
            stage.actor("receiver", move |it| {
                it.step(1);
                it.recvmsg(receiver, &[length], 64, 0);
                it.recv(receiver, 64, 0);
                it.send(receiver, b"hello", libc::MSG_NOSIGNAL);
            });
        });
    }
}

#[test]
fn a_unix_peer_that_closes_with_unread_bytes_resets() {
    equal(|stage| {
        let (receiver, peer) = pair(Kind::Unix);
        let (receiver, peer) = (stage.keep(receiver), peer.into_raw_fd());
        stage.actor("peer", move |it| {
            it.while_waiting(1);
            it.send(peer, b"half", 0);
            nap();
            it.close(peer);
        });
        stage.actor("receiver", move |it| {
            it.send(receiver, b"never read", 0);
            it.step(1);
            it.recv(receiver, 64, MSG_WAITALL);
            it.recv(receiver, 64, 0);
            it.recv(receiver, 64, 0);
        });
    });
}

#[test]
fn the_sockets_timeout_ends_a_wait() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        receive_timeout(&receiver, 60);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"half", 0);
            it.after(2);
            it.send(sender, b"rest", 0);
            it.step(3);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 64, MSG_WAITALL);
            it.recv(receiver, 64, MSG_WAITALL);
            it.recvfrom(receiver, 64, 0);
            it.recvmsg(receiver, &[64], 64, 0);
            it.read(receiver, 64);
            it.readv(receiver, &[1, 63]);
            it.step(2);
            it.after(3);
            it.read(receiver, 64);
        });
    });
}

#[test]
fn a_timeout_is_one_of_the_whole_call() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        receive_timeout(&receiver, 150);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.after(1);
            for _ in 0..2 {
                std::thread::sleep(std::time::Duration::from_millis(100));
                it.send(sender, b"a", 0);
            }
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 2, MSG_WAITALL);
        });
    });
}

#[test]
fn looking_takes_nothing() {
    equal_for(&STREAMS, |stage, kind| {
        let fd = sender_of(stage, kind, &[b"one", b"two", b"three"]);
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(fd, 2, MSG_PEEK);
            it.recv(fd, 5, MSG_PEEK | MSG_WAITALL);
            it.recv(fd, 3, 0);
            it.recv(fd, 8, MSG_PEEK | MSG_WAITALL);
            it.recvmsg(fd, &[4, 4], 64, MSG_PEEK | MSG_WAITALL);
            it.recv(fd, 64, MSG_PEEK | MSG_WAITALL);
            it.recv(fd, 64, MSG_WAITALL);
            it.recv(fd, 64, MSG_PEEK | MSG_WAITALL);
        });
    });
}

#[test]
fn looking_for_all_ends_with_the_timeout() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        receive_timeout(&receiver, 40);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("receiver", move |it| {
            it.recv(receiver, 8, MSG_PEEK | MSG_WAITALL);
            it.send(sender, b"half", 0);
            it.recv(receiver, 8, MSG_PEEK | MSG_WAITALL);
            it.recv(receiver, 8, MSG_PEEK);
        });
    });
}

#[test]
fn bytes_can_be_dropped_unseen() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("receiver", move |it| {
            it.send(sender, b"hello, world", 0);
            // TCP leaves the buffer alone then, and says how many it dropped.
            let answer = match kind {
                Kind::Tcp => {
                    let mut room = [0; 5];
                    it.call("recv(5, TRUNC)", || crate::raw::recv(receiver, &mut room, MSG_TRUNC))
                }
                _ => it.recv(receiver, 5, MSG_TRUNC),
            };
            assert_eq!(answer, 5);
            it.recv(receiver, 64, 0);
        });
        stage.actor("other", |it| it.note("only looks on"));
    });
}

#[test]
fn urgent_bytes_are_told_apart() {
    equal(|stage| {
        let (receiver, sender) = pair(Kind::Tcp);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"abcX", MSG_OOB);
            it.send(sender, b"def", 0);
            it.step(2);
        });
        stage.actor("receiver", move |it| {
            it.recv(receiver, 1, MSG_OOB);
            it.step(1);
            it.recv(receiver, 16, 0);
            it.after(2);
            it.recv(receiver, 1, MSG_OOB);
            it.recv(receiver, 1, MSG_OOB);
            it.recv(receiver, 16, 0);
        });
    });
}

#[test]
fn who_does_not_want_to_wait_does_not() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("receiver", move |it| {
            it.recv(receiver, 8, MSG_DONTWAIT);
            it.recvmsg(receiver, &[8], 64, MSG_DONTWAIT | MSG_WAITALL);
            it.recvmmsg(receiver, 2, 8, MSG_DONTWAIT, None);
            set_nonblocking(borrowed(receiver), true);
            it.recv(receiver, 8, 0);
            it.recv(receiver, 8, MSG_WAITALL);
            it.recvfrom(receiver, 8, 0);
            it.recvmsg(receiver, &[8], 64, 0);
            it.recvmmsg(receiver, 2, 8, 0, None);
            it.read(receiver, 8);
            it.readv(receiver, &[4, 4]);
            it.send(sender, b"half", 0);
            it.recv(receiver, 8, MSG_WAITALL);
            it.send(sender, b"half", 0);
            it.recv(receiver, 8, MSG_WAITALL | MSG_PEEK);
            it.read(receiver, 8);
        });
        stage.actor("sender", |it| it.note("only looks on"));
    });
}

#[test]
fn a_mode_that_is_set_in_the_middle_of_a_wait_is_for_the_next_call() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            set_nonblocking(borrowed(receiver), true);
            receive_timeout(borrowed(receiver), 1);
            nap();
            it.send(sender, b"half", 0);
            nap();
            it.send(sender, b"rest", 0);
            it.step(2);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 8, MSG_WAITALL);
            it.after(2);
            it.recv(receiver, 8, 0);
        });
    });
}

#[test]
fn a_receive_of_nothing_waits_for_something_unless_it_is_a_read() {
    equal_for(&STREAMS, |stage, kind| {
        let fd = sender_of(stage, kind, &[b"hello"]);
        stage.actor("receiver", move |it| {
            it.read(fd, 0);
            it.readv(fd, &[0, 0]);
            it.readv(fd, &[]);
            it.step(1);
            it.recv(fd, 0, 0);
            it.recvmsg(fd, &[], 64, 0);
            it.recv(fd, 16, 0);
        });
    });
}

#[test]
fn shutting_down_the_reading_side_ends_the_wait() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("other", move |it| {
            it.while_waiting(1);
            it.send(sender, b"half", 0);
            it.while_waiting(2);
            it.shutdown(receiver, SHUT_RD);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 4, 0);
            it.step(2);
            it.recv(receiver, 8, MSG_WAITALL);
            it.recv(receiver, 8, 0);
        });
    });
}

#[test]
fn a_large_stream_arrives_whole_whatever_the_pieces() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = crate::files::flowing_pair(kind);
        let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
        stage.actor("sender", move |it| {
            it.write(sender, &bytes(300_000));
            it.send(sender, &bytes(100_000), 0);
            it.close(sender);
        });
        stage.actor("receiver", move |it| {
            it.recv(receiver, 150_000, MSG_WAITALL);
            it.recvmsg(receiver, &[7; 1024], 0, MSG_WAITALL);
            it.recv(receiver, 400_000, MSG_WAITALL);
        });
    });
}

#[test]
fn descriptors_end_a_wait_for_all() {
    for control in [0, 64] {
        equal(|stage| {
            let (receiver, sender) = pair(Kind::Unix);
            let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
            stage.actor("sender", move |it| {
                it.while_waiting(1);
                it.send(sender, b"ab", 0);
                nap();
                it.sendmsg(sender, &[b"cd"], &[0, 1], 0);
                it.sendmsg(sender, &[b"ef"], &[2], 0);
                it.send(sender, b"gh", 0);
                it.step(2);
                it.after(3);
                it.close(sender);
            });
            stage.actor("receiver", move |it| {
                it.step(1);
                it.recvmsg(receiver, &[3, 61], control, MSG_WAITALL);
                it.after(2);
                it.recvmsg(receiver, &[64], control, MSG_WAITALL);
                it.step(3);
                it.recvmsg(receiver, &[64], control, MSG_WAITALL);
                it.recvmsg(receiver, &[64], control, MSG_WAITALL);
            });
        });
    }
}

#[test]
fn descriptors_that_nobody_takes_end_a_wait_for_all_too() {
    equal(|stage| {
        let (receiver, sender) = pair(Kind::Unix);
        let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"ab", 0);
            nap();
            it.sendmsg(sender, &[b"cd"], &[0], 0);
            it.send(sender, b"ef", 0);
            it.step(2);
            it.after(3);
            it.close(sender);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 64, MSG_WAITALL);
            it.after(2);
            it.step(3);
            it.recvfrom(receiver, 64, MSG_WAITALL);
        });
    });
}
