//! Sending by streams: sockets and pipes.

use std::os::fd::IntoRawFd;

use libc::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL, SHUT_WR};

use crate::{
    files::{
        Kind, STREAMS, borrowed, bytes, flowing_pair, narrow_pair, resets_at_close, send_timeout,
        set_nonblocking,
    },
    raw, signals,
    stage::{Stage, equal, equal_for, nap},
};

const BOTH_AND_PIPES: [Kind; 3] = [Kind::Tcp, Kind::Unix, Kind::Pipe];

/// Far more than there is room for.
const MUCH: usize = 500_000;

/// A sender, and a reader of all until the end, which begins when the sender waits.
fn reader_of(stage: &mut Stage, kind: Kind) -> i32 {
    let (receiver, sender) = flowing_pair(kind);
    let receiver = stage.keep(receiver);
    stage.actor("reader", move |it| {
        it.while_waiting(1);
        let mut all = Vec::new();
        loop {
            let mut room = vec![0; 10_000];
            let count = raw::read(receiver, &mut room);
            assert!(count >= 0, "nothing goes wrong here");
            if count == 0 {
                break;
            }
            all.extend_from_slice(&room[..count as usize]);
        }
        it.note(crate::calls::show(&all));
    });
    sender.into_raw_fd()
}

#[test]
fn a_stream_takes_all_bytes_however_many() {
    equal_for(&BOTH_AND_PIPES, |stage, kind| {
        let sender = reader_of(stage, kind);
        stage.actor("sender", move |it| {
            it.step(1);
            it.write(sender, &bytes(MUCH));
            let all = bytes(MUCH);
            let parts: Vec<&[u8]> = all.chunks(3000).collect();
            it.writev(sender, &parts);
            it.close(sender);
        });
    });
    equal_for(&STREAMS, |stage, kind| {
        let sender = reader_of(stage, kind);
        stage.actor("sender", move |it| {
            it.step(1);
            it.send(sender, &bytes(MUCH), 0);
            let all = bytes(MUCH);
            let parts: Vec<&[u8]> = all.chunks(MUCH / 1024 + 1).collect();
            it.sendmsg(sender, &parts, &[], 0);
            it.sendmmsg(sender, &[&all[..100_000], b"", &all[..7]], 0);
            it.close(sender);
        });
    });
}

#[test]
fn descriptors_are_passed_once_however_many_bytes_go_with_them() {
    equal(|stage| {
        let (receiver, sender) = flowing_pair(Kind::Unix);
        let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
        stage.actor("sender", move |it| {
            it.step(1);
            it.sendmsg(sender, &[&bytes(MUCH)], &[0, 1], 0);
            it.close(sender);
        });
        stage.actor("reader", move |it| {
            it.while_waiting(1);
            // What comes with descriptors ends a receive, and how much that is is the kernel's business.
            let (mut left, mut descriptors) = (MUCH, 0);
            while left > 0 {
                let (count, passed) = raw::receive_descriptors(receiver, 9000);
                left -= count;
                descriptors += passed;
            }
            it.note(format_args!("{descriptors} descriptors, {left} bytes are missing"));
            it.recv(receiver, 1, 0);
        });
    });
}

#[test]
fn the_sockets_timeout_ends_a_send_and_says_how_far_it_came() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        send_timeout(&sender, 30);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.send_some(sender, &bytes(MUCH), 0);
            raw::fill(sender);
            it.send(sender, &bytes(MUCH), 0);
            it.write(sender, &bytes(MUCH));
            it.writev(sender, &[b"a", &bytes(MUCH)]);
            it.sendmsg(sender, &[&bytes(MUCH)], &[], 0);
            it.sendmmsg(sender, &[&bytes(MUCH), b"a"], 0);
        });
        stage.actor("receiver", |it| it.note("reads nothing"));
    });
}

#[test]
fn a_unix_socket_counts_the_time_anew_for_each_piece_and_tcp_does_not() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        send_timeout(&sender, 150);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.step(1);
            let length = if kind == Kind::Unix { 40_000 } else { MUCH };
            it.send_some(sender, &bytes(length), 0);
            it.step(2);
        });
        stage.actor("receiver", move |it| {
            it.after(1);
            let mut left = if kind == Kind::Unix { 40_000 } else { 48_000 };
            while left > 0 {
                std::thread::sleep(std::time::Duration::from_millis(60));
                left -= it.recv_quietly(receiver, 6000.min(left)).len();
            }
            it.after(2);
            it.note("done");
        });
    });
}

#[test]
fn messages_of_a_stream_that_cannot_be_sent_whole_are_the_last() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        send_timeout(&sender, 30);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            let all = bytes(MUCH);
            let sent = raw::send_messages(sender, &[b"first", &all, b"third"]);
            it.note(format_args!(
                "{:?}",
                sent.map(|(count, lengths)| {
                    (count, lengths[0], 0 < lengths[1] && (lengths[1] as usize) < MUCH, lengths[2])
                })
            ));
        });
        stage.actor("receiver", |it| it.note("reads nothing"));
    });
}

#[test]
fn who_does_not_want_to_wait_sends_what_there_is_room_for() {
    equal_for(&BOTH_AND_PIPES, |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        set_nonblocking(&sender, true);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.write_some(sender, &bytes(MUCH));
            if kind == Kind::Pipe {
                while raw::write(sender, &bytes(MUCH)) > 0 {}
            } else {
                raw::fill(sender);
            }
            it.write(sender, &bytes(MUCH));
            it.writev(sender, &[&bytes(5000), &bytes(5000)]);
            if kind != Kind::Pipe {
                it.send(sender, &bytes(MUCH), 0);
                it.sendmsg(sender, &[&bytes(MUCH)], &[], 0);
                it.sendmmsg(sender, &[&bytes(MUCH), b"a"], 0);
            }
        });
        stage.actor("receiver", |it| it.note("reads nothing"));
    });
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.send_some(sender, &bytes(MUCH), MSG_DONTWAIT);
            raw::fill(sender);
            it.send(sender, &bytes(MUCH), MSG_DONTWAIT);
        });
        stage.actor("receiver", |it| it.note("reads nothing"));
    });
}

#[test]
fn a_reader_that_goes_away_ends_the_send_and_the_next_call_says_why() {
    for flags in [0, MSG_NOSIGNAL] {
        equal_for(&STREAMS, |stage, kind| {
            let (receiver, sender) = narrow_pair(kind);
            let (receiver, sender) = (receiver.into_raw_fd(), stage.keep(sender));
            stage.actor("sender", move |it| {
                let before = signals::pipe_signals();
                it.step(1);
                it.send_some(sender, &bytes(MUCH), flags);
                it.after(2);
                it.send(sender, b"more", flags);
                it.send(sender, b"more", flags);
                it.recv(sender, 4, 0);
                it.note(format_args!("{} signals", signals::pipe_signals() - before));
            });
            stage.actor("receiver", move |it| {
                it.while_waiting(1);
                it.recv(receiver, 1000, MSG_WAITALL);
                nap();
                if kind == Kind::Tcp {
                    resets_at_close(borrowed(receiver));
                }
                it.close(receiver);
                it.step(2);
            });
        });
    }
}

#[test]
fn the_reader_of_a_pipe_goes_away() {
    equal(|stage| {
        let (receiver, sender) = narrow_pair(Kind::Pipe);
        let (receiver, sender) = (receiver.into_raw_fd(), stage.keep(sender));
        stage.actor("sender", move |it| {
            let before = signals::pipe_signals();
            it.step(1);
            it.write_some(sender, &bytes(MUCH));
            it.note(format_args!("{} signals", signals::pipe_signals() - before));
            it.after(2);
            it.write(sender, b"more");
            it.writev(sender, &[b"more", b"and more"]);
            it.write(sender, b"");
            it.note(format_args!("{} signals", signals::pipe_signals() - before));
        });
        stage.actor("receiver", move |it| {
            it.while_waiting(1);
            it.read(receiver, 5000);
            nap();
            it.close(receiver);
            it.step(2);
        });
    });
}

#[test]
fn shutting_down_the_writing_side_ends_the_send() {
    equal_for(&STREAMS, |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            let before = signals::pipe_signals();
            it.step(1);
            it.send_some(sender, &bytes(MUCH), 0);
            it.after(2);
            it.send(sender, b"more", 0);
            it.send(sender, b"", 0);
            it.write(sender, b"more");
            it.note(format_args!("{} signals", signals::pipe_signals() - before));
        });
        stage.actor("other", move |it| {
            it.while_waiting(1);
            it.shutdown(sender, SHUT_WR);
            it.step(2);
        });
    });
}

#[test]
fn nothing_can_be_sent_without_waiting() {
    equal_for(&BOTH_AND_PIPES, |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.write(sender, b"");
            it.writev(sender, &[]);
            it.writev(sender, &[b"", b""]);
            it.send(sender, b"", 0);
            it.sendmsg(sender, &[], &[], 0);
            it.sendmmsg(sender, &[], 0);
            it.sendmmsg(sender, &[b"", b""], 0);
            set_nonblocking(borrowed(receiver), true);
            it.read(receiver, 4);
        });
    });
}

#[test]
fn a_mode_that_is_set_in_the_middle_of_a_send_is_for_the_next_call() {
    equal_for(&BOTH_AND_PIPES, |stage, kind| {
        let (receiver, sender) = flowing_pair(kind);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.step(1);
            if kind == Kind::Pipe {
                // A pipe's mode is looked at each time that there is no room.
                it.write(sender, &bytes(4096 + 10));
            } else {
                it.send(sender, &bytes(MUCH), 0);
            }
            it.step(2);
        });
        stage.actor("receiver", move |it| {
            it.while_waiting(1);
            if kind != Kind::Pipe {
                set_nonblocking(borrowed(sender), true);
            }
            let mut left = if kind == Kind::Pipe { 4096 + 10 } else { MUCH };
            while left > 0 {
                left -= raw::read(receiver, &mut vec![0; 7000]) as usize;
            }
            it.after(2);
            it.note("all came");
        });
    });
}

#[test]
fn small_writes_to_a_pipe_are_never_torn() {
    equal(|stage| {
        let (receiver, sender) = narrow_pair(Kind::Pipe);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        for (name, letter) in [("a", b'a'), ("b", b'b'), ("c", b'c')] {
            stage.actor(name, move |it| {
                for _ in 0..20 {
                    it.write(sender, &[letter; 3000]);
                }
            });
        }
        stage.actor("reader", move |it| {
            let mut all = Vec::new();
            while all.len() < 3 * 20 * 3000 {
                let mut room = vec![0; 1234];
                let count = raw::read(receiver, &mut room);
                all.extend_from_slice(&room[..count as usize]);
            }
            let whole = all.chunks(3000).all(|chunk| chunk.iter().all(|byte| *byte == chunk[0]));
            it.note(format_args!("whole: {whole}"));
        });
    });
}

#[test]
fn notices_of_what_was_sent_end_no_call() {
    equal(|stage| {
        let (receiver, sender) = narrow_pair(Kind::Tcp);
        let wanted = libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        raw::set_option(&sender, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, wanted as i32);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        stage.actor("sender", move |it| {
            it.send(sender, b"hello", 0);
            nap();
            it.step(1);
            it.send(sender, &bytes(100_000), 0);
            it.recv(sender, 8, MSG_WAITALL);
        });
        stage.actor("receiver", move |it| {
            it.while_waiting(1);
            let mut left = 100_005;
            while left > 0 {
                left -= raw::read(receiver, &mut [0; 10_000]);
            }
            nap();
            it.send(receiver, b"half", 0);
            nap();
            it.send(receiver, b"rest", 0);
        });
    });
}

/// Only who may be anybody can say that it is somebody else; all others are refused, alike.
#[test]
fn who_writes_is_said_of_each_byte() {
    equal(|stage| {
        let (receiver, sender) = narrow_pair(Kind::Unix);
        raw::set_option(&receiver, libc::SOL_SOCKET, libc::SO_PASSCRED, 1);
        let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
        stage.actor("sender", move |it| {
            it.step(1);
            it.note(raw::send_as(sender, &bytes(100_000), 1));
            it.close(sender);
        });
        stage.actor("receiver", move |it| {
            it.while_waiting(1);
            for _ in 0..11 {
                it.note(raw::receive_with_writer(receiver, 10_000, MSG_WAITALL));
            }
        });
    });
}
