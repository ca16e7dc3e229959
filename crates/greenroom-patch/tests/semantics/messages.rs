//! Messages, each of which is one: Unix datagrams, sequenced packets, UDP.

use std::{os::fd::IntoRawFd, thread, time::Duration};

use libc::{
    MSG_DONTWAIT, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_WAITFORONE, SHUT_RD, SHUT_RDWR, SHUT_WR,
    timespec,
};

use crate::{
    files::{
        Kind, MESSAGES, SOCKETS, STREAMS, address, borrowed, bytes, narrow_pair, pair,
        receive_timeout, send_timeout, set_nonblocking, udp,
    },
    stage::{equal, equal_for, nap},
};

const fn millis(millis: i64) -> timespec {
    timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
}

#[test]
fn messages_are_cut_and_never_joined() {
    equal_for(&MESSAGES, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            for piece in
                [&b"hello, world"[..], b"two", b"three", b"four", b"five", b"six", b"7", b"8"]
            {
                it.write(sender, piece);
                nap();
            }
        });
        stage.actor("receiver", move |it| {
            it.recv(receiver, 5, 0);
            it.recv(receiver, 64, MSG_WAITALL);
            it.recv(receiver, 2, MSG_TRUNC);
            it.recv(receiver, 64, MSG_PEEK);
            it.recv(receiver, 2, MSG_PEEK | MSG_WAITALL);
            it.recvmsg(receiver, &[1, 1], 64, 0);
            it.recvmsg(receiver, &[1, 9], 0, MSG_WAITALL | MSG_TRUNC);
            it.readv(receiver, &[1, 1]);
            it.recvfrom(receiver, 64, 0);
            it.read(receiver, 64);
        });
    });
}

#[test]
fn a_message_may_be_empty() {
    equal_for(&MESSAGES, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(sender, b"", 0);
            it.write(sender, b"");
            it.writev(sender, &[b"", b""]);
            it.sendmsg(sender, &[], &[], 0);
            it.send(sender, b"end", 0);
            it.step(2);
        });
        stage.actor("receiver", move |it| {
            it.read(receiver, 0);
            it.step(1);
            it.recv(receiver, 16, 0);
            for _ in 0..2 {
                it.recv(receiver, 0, 0);
            }
            it.after(2);
            set_nonblocking(borrowed(receiver), true);
            it.recv(receiver, 16, 0);
            it.recv(receiver, 16, 0);
        });
    });
}

#[test]
fn many_messages_are_received_by_one_call() {
    for (flags, timeout) in [
        (0, None),
        (MSG_WAITFORONE, None),
        (MSG_WAITFORONE, Some(millis(5000))),
        (0, Some(millis(1))),
        (0, Some(millis(0))),
        (0, Some(timespec { tv_sec: 0, tv_nsec: 2_000_000_000 })),
        (0, Some(timespec { tv_sec: -1, tv_nsec: 0 })),
        (MSG_DONTWAIT, None),
        (MSG_PEEK, None),
    ] {
        equal_for(&MESSAGES, |stage, kind| {
            let (receiver, sender) = pair(kind);
            let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
            stage.actor("sender", move |it| {
                it.while_waiting(1);
                it.sendmmsg(sender, &[b"one", b"", b"too long"], 0);
                nap();
                it.send(sender, b"four", 0);
                it.step(2);
            });
            stage.actor("receiver", move |it| {
                it.recvmmsg(receiver, 0, 5, flags, timeout);
                it.step(1);
                if flags == MSG_WAITFORONE || timeout.is_some() {
                    // As many as are there.
                    it.after(2);
                }
                it.recvmmsg(receiver, 4, 5, flags, timeout);
            });
        });
    }
}

#[test]
fn each_message_of_a_stream_is_filled_if_that_is_wanted() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            for piece in [b"one", b"two", b"six", b"ten"] {
                it.send(sender, piece, 0);
                nap();
            }
            it.shutdown(sender, SHUT_WR);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recvmmsg(receiver, 2, 5, MSG_WAITALL, None);
            it.recvmmsg(receiver, 3, 5, MSG_WAITALL, None);
        });
    });
}

#[test]
fn the_sockets_timeout_is_one_for_each_message() {
    equal_for(
        &[Kind::Seqpacket, Kind::Datagram, Kind::Udp, Kind::Tcp, Kind::Unix],
        |stage, kind| {
            let (receiver, sender) = pair(kind);
            receive_timeout(&receiver, 150);
            let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
            stage.actor("sender", move |it| {
                it.after(1);
                for _ in 0..3 {
                    thread::sleep(Duration::from_millis(80));
                    it.send(sender, b"one", 0);
                }
            });
            stage.actor("receiver", move |it| {
                it.step(1);
                it.recvmmsg(receiver, 4, 8, 0, None);
                it.recvmmsg(receiver, 4, 8, 0, None);
                it.recv(receiver, 8, MSG_WAITALL);
            });
        },
    );
}

#[test]
fn a_full_queue_is_waited_for_and_the_message_goes_whole() {
    equal_for(&[Kind::Seqpacket, Kind::Datagram], |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.step(1);
            for _ in 0..60 {
                it.send(sender, &bytes(900), 0);
            }
            it.sendmmsg(sender, &[&bytes(800)[..]; 40], 0);
            it.send(sender, &bytes(90_000), 0);
        });
        stage.actor("receiver", move |it| {
            it.while_waiting(1);
            for _ in 0..100 {
                it.recv(receiver, 1000, 0);
            }
        });
    });
}

#[test]
fn a_full_queue_of_somebody_who_is_not_connected_is_waited_for() {
    equal(|stage| {
        let (receiver, name) = crate::files::named_datagram();
        let (sender, _) = crate::files::named_datagram();
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.step(1);
            for _ in 0..40 {
                it.sendto(sender, b"hello", 0, &name);
            }
        });
        stage.actor("receiver", move |it| {
            it.while_waiting(1);
            for _ in 0..40 {
                it.recv(receiver, 1000, 0);
            }
        });
    });
}

#[test]
fn a_timeout_ends_the_wait_for_a_queue() {
    equal_for(&[Kind::Seqpacket, Kind::Datagram], |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        send_timeout(&sender, 20);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            while crate::raw::send(sender, &bytes(900), 0) > 0 {}
            it.send(sender, &bytes(900), 0);
            it.sendmmsg(sender, &[b"a", b"b"], 0);
            it.send(sender, &bytes(900), MSG_DONTWAIT);
            set_nonblocking(borrowed(sender), true);
            it.write(sender, &bytes(900));
        });
        stage.actor("receiver", |it| it.note("reads nothing"));
    });
}

#[test]
fn a_receiver_that_goes_away_ends_the_wait_for_its_queue() {
    equal_for(&[Kind::Seqpacket, Kind::Datagram], |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        let (receiver, sender) = (receiver.into_raw_fd(), stage.keep(sender));
        stage.actor("sender", move |it| {
            while crate::raw::send(sender, &bytes(900), MSG_DONTWAIT) > 0 {}
            let before = crate::signals::pipe_signals();
            it.step(1);
            it.send(sender, &bytes(900), 0);
            it.after(2);
            it.send(sender, &bytes(900), 0);
            it.note(format_args!("{} signals", crate::signals::pipe_signals() - before));
        });
        stage.actor("receiver", move |it| {
            it.while_waiting(1);
            it.close(receiver);
            it.step(2);
        });
    });
}

#[test]
fn shutting_down_ends_the_wait_for_a_message() {
    for how in [SHUT_RD, SHUT_RDWR] {
        for call in 0..4 {
            equal_for(&MESSAGES, |stage, kind| {
                let (receiver, sender) = pair(kind);
                let (receiver, _) = (stage.keep(receiver), stage.keep(sender));
                stage.actor("other", move |it| {
                    it.while_waiting(1);
                    it.shutdown(receiver, how);
                });
                stage.actor("receiver", move |it| {
                    it.step(1);
                    match call {
                        0 => it.recv(receiver, 8, 0),
                        1 => it.read(receiver, 8),
                        2 => it.recvmsg(receiver, &[8], 64, 0),
                        _ => it.recvmmsg(receiver, 3, 8, 0, None),
                    };
                    it.recv(receiver, 8, 0);
                    it.recvmsg(receiver, &[8], 64, MSG_WAITALL);
                });
            });
        }
    }
}

#[test]
fn a_peer_that_closes_is_seen_where_there_is_one() {
    equal_for(&[Kind::Seqpacket, Kind::Udp], |stage, kind| {
        let (receiver, peer) = pair(kind);
        if kind == Kind::Udp {
            receive_timeout(&receiver, 40);
        }
        let (receiver, peer) = (stage.keep(receiver), peer.into_raw_fd());
        stage.actor("peer", move |it| {
            it.while_waiting(1);
            it.send(peer, b"last", 0);
            nap();
            it.close(peer);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 8, 0);
            it.recv(receiver, 8, 0);
            it.recvmmsg(receiver, 2, 8, 0, None);
        });
    });
}

#[test]
fn a_port_where_nobody_listens_refuses_and_the_next_call_says_so() {
    equal(|stage| {
        let (receiver, peer) = pair(Kind::Udp);
        let (receiver, peer) = (stage.keep(receiver), peer.into_raw_fd());
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.close(peer);
            it.send(receiver, b"anybody?", 0);
            it.after(2);
            it.send(receiver, b"anybody?", 0);
            it.send(receiver, b"anybody?", 0);
            it.write(receiver, b"anybody?");
            it.recv(receiver, 8, MSG_DONTWAIT);
            it.sendmmsg(receiver, &[b"any", b"body"], 0);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recv(receiver, 8, 0);
            it.step(2);
        });
    });
}

#[test]
fn an_error_among_messages_is_told_by_the_next_call() {
    equal(|stage| {
        let (receiver, peer) = pair(Kind::Udp);
        let gone = address(&peer);
        let third = udp();
        let (receiver, peer) = (stage.keep(receiver), peer.into_raw_fd());
        let third = stage.keep(third);
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.send(peer, b"one", 0);
            nap();
            it.close(peer);
            it.send(receiver, b"to nobody", 0);
            it.sendto(third, b"to nobody", 0, &gone);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recvmmsg(receiver, 3, 8, 0, None);
            it.recv(receiver, 8, 0);
        });
    });
}

#[test]
fn senders_are_told_by_name() {
    equal(|stage| {
        let (receiver, sender, other) = (udp(), udp(), udp());
        let name = address(&receiver);
        let (receiver, sender, other) =
            (stage.keep(receiver), stage.keep(sender), stage.keep(other));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.sendto(sender, b"one", 0, &name);
            it.sendto(other, b"two", 0, &name);
            it.send(sender, b"to whom?", 0);
            it.write(sender, b"to whom?");
            it.send(sender, &bytes(70_000), 0);
            it.sendto(sender, &bytes(70_000), 0, &name);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recvfrom(receiver, 8, 0);
            it.recvmsg(receiver, &[8], 0, 0);
        });
    });
    equal(|stage| {
        let ((receiver, name), (sender, _)) =
            (crate::files::named_datagram(), crate::files::named_datagram());
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.sendto(sender, b"one", 0, &name);
            it.sendto(sender, b"two", 0, &name);
            it.send(sender, b"to whom?", 0);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recvfrom(receiver, 8, 0);
            it.recvmsg(receiver, &[8], 64, MSG_WAITALL);
        });
    });
}

#[test]
fn each_of_several_readers_has_a_message_of_its_own() {
    equal_for(&SOCKETS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        for name in ["a", "b", "c", "d"] {
            stage.actor(name, move |it| {
                let mut all = 0;
                for _ in 0..5 {
                    all += it.recv_quietly(receiver, 4).len();
                }
                it.note(format_args!("{all} bytes"));
            });
        }
        stage.actor("sender", move |it| {
            for _ in 0..20 {
                it.send(sender, b"four", 0);
            }
        });
    });
}

#[test]
fn more_messages_than_the_kernel_takes_at_once_are_left() {
    equal(|stage| {
        let (receiver, sender) = pair(Kind::Udp);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.sendmmsg(sender, &[&b"a"[..]; 1030], 0);
        });
    });
}

#[test]
fn descriptors_come_with_their_message() {
    equal_for(&[Kind::Seqpacket, Kind::Datagram, Kind::Unix], |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.sendmsg(sender, &[b"one"], &[0, 1, 2], 0);
            it.while_waiting(2);
            it.sendmsg(sender, &[b"two"], &[0, 1, 2], 0);
        });
        stage.actor("receiver", move |it| {
            it.step(1);
            it.recvmsg(receiver, &[8], 64, 0);
            it.step(2);
            it.recvmsg(receiver, &[8], 20, libc::MSG_CMSG_CLOEXEC);
        });
    });
}
