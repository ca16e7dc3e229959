//! `sendfile` and `splice`.

use std::os::fd::{IntoRawFd, OwnedFd};

use libc::{MSG_WAITALL, SPLICE_F_MOVE, SPLICE_F_NONBLOCK};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::{
    calls::borrow,
    files::{
        Kind, bytes, flowing_pair, narrow_pair, pair, receive_timeout, send_timeout,
        set_nonblocking,
    },
    raw,
    stage::{Stage, equal, equal_for, nap},
};

fn file(length: usize) -> OwnedFd {
    let file = memfd_create("semantics", MemfdFlags::CLOEXEC).expect("memory");
    rustix::io::write(&file, &bytes(length)).expect("there is room");
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).expect("it can be sought");
    file
}

/// Reads all until the end, beginning when a sender waits.
fn drain(stage: &mut Stage, receiver: OwnedFd) {
    let receiver = stage.keep(receiver);
    stage.actor("reader", move |it| {
        it.while_waiting(1);
        let mut all = Vec::new();
        loop {
            let mut room = vec![0; 10_000];
            match raw::read(receiver, &mut room) {
                0 => break,
                count => all.extend_from_slice(&room[..usize::try_from(count).expect("no error")]),
            }
        }
        it.note(crate::calls::show(&all));
    });
}

const ENDS: [Kind; 3] = [Kind::Tcp, Kind::Unix, Kind::Pipe];

#[test]
fn a_file_is_sent_whole_from_its_place_or_from_another() {
    equal_for(&[Kind::Tcp, Kind::Unix], |stage, kind| {
        let (receiver, sender) = flowing_pair(kind);
        let sender = sender.into_raw_fd();
        drain(stage, receiver);
        let file = stage.keep(file(200_000));
        stage.actor("sender", move |it| {
            it.step(1);
            it.sendfile(sender, file, None, 150_000);
            it.sendfile(sender, file, Some(100_000), 70_000);
            it.sendfile(sender, file, None, 150_000);
            it.sendfile(sender, file, None, 150_000);
            it.sendfile(sender, file, Some(500_000), 10);
            it.sendfile(sender, file, Some(0), 0);
            it.close(sender);
        });
    });
}

/// How much a pipe takes at once is the kernel's business; that all arrives is ours.
#[test]
fn a_file_is_sent_through_a_pipe() {
    equal(|stage| {
        let (receiver, sender) = narrow_pair(Kind::Pipe);
        let sender = sender.into_raw_fd();
        drain(stage, receiver);
        let file = stage.keep(file(100_000));
        stage.actor("sender", move |it| {
            it.step(1);
            let sent = raw::send_file_all(sender, file, 100_000);
            it.note(format_args!("{sent}"));
            it.sendfile(sender, file, None, 10);
            it.close(sender);
        });
    });
}

#[test]
fn what_cannot_be_sent_is_refused_at_once() {
    equal(|stage| {
        let file = stage.keep(file(1000));
        let folder = stage.keep(std::fs::File::open("/").expect("it is there").into());
        let (reader, writer) = pair(Kind::Pipe);
        let (one, other) = pair(Kind::Unix);
        let (reader, writer) = (stage.keep(reader), stage.keep(writer));
        let (one, other) = (stage.keep(one), stage.keep(other));
        stage.actor("sender", move |it| {
            it.sendfile(one, reader, None, 10);
            it.sendfile(one, other, None, 10);
            it.sendfile(one, -1, None, 10);
            it.sendfile(-1, file, None, 10);
            it.sendfile(reader, file, None, 10);
            it.sendfile(one, file, Some(-1), 10);
            it.sendfile(one, writer, None, 10);
            it.sendfile(one, writer, None, 0);
            it.sendfile(one, folder, None, 10);
            it.sendfile(one, folder, None, 0);
            for too_much in [usize::MAX, isize::MAX as usize + 1, isize::MAX as usize] {
                it.sendfile(one, file, Some(0), too_much);
            }
            it.splice([one, other], [None; 2], 10, 0);
            it.splice([file, one], [None; 2], 10, 0);
            it.splice([reader, one], [Some(0), None], 10, 0);
            it.splice([one, writer], [None, Some(0)], 10, 0);
            it.splice([one, writer], [Some(0), None], 10, 0);
            it.splice([writer, one], [None; 2], 10, 0);
            it.splice([-1, writer], [None; 2], 10, 0);
            it.splice([reader, -1], [None; 2], 10, 0);
            it.splice([reader, one], [None; 2], 10, 0x1000);
            it.splice([reader, one], [None; 2], 0, 0);
            it.splice([reader, one], [None; 2], 10, SPLICE_F_NONBLOCK);
            it.splice([reader, writer], [None; 2], 10, 0);
        });
    });
}

#[test]
fn a_file_is_sent_as_far_as_the_timeout_allows() {
    equal_for(&[Kind::Tcp, Kind::Unix], |stage, kind| {
        let (receiver, sender) = narrow_pair(kind);
        send_timeout(&sender, 30);
        let (_, sender) = (stage.keep(receiver), stage.keep(sender));
        let file = stage.keep(file(500_000));
        stage.actor("sender", move |it| {
            let (sent, place) = raw::send_file(sender, file, 500_000);
            it.note(format_args!(
                "some: {}, place follows: {}",
                0 < sent && sent < 500_000,
                sent == place
            ));
            raw::fill(sender);
            it.sendfile(sender, file, None, 500_000);
            set_nonblocking(borrow(sender), true);
            it.sendfile(sender, file, None, 500_000);
        });
        stage.actor("receiver", |it| it.note("reads nothing"));
    });
}

#[test]
fn bytes_are_moved_from_a_socket_to_a_pipe_and_on() {
    equal_for(&ENDS, |stage, kind| {
        let (receiver, sender) = pair(kind);
        let (reader, writer) = pair(Kind::Pipe);
        let (receiver, sender) = (stage.keep(receiver), sender.into_raw_fd());
        let (reader, writer) = (stage.keep(reader), stage.keep(writer));
        let (end, into_end) = pair(Kind::Unix);
        let (end, into_end) = (stage.keep(end), stage.keep(into_end));
        stage.actor("sender", move |it| {
            it.while_waiting(1);
            it.write(sender, b"hello");
            it.while_waiting(2);
            it.write(sender, b"hello, world");
            it.after(3);
            it.close(sender);
        });
        stage.actor("mover", move |it| {
            it.step(1);
            it.splice([receiver, writer], [None; 2], 64, 0);
            it.splice([reader, into_end], [None; 2], 64, 0);
            it.step(2);
            it.splice([receiver, writer], [None; 2], 64, SPLICE_F_MOVE);
            it.splice([reader, into_end], [None; 2], 64, 0);
            it.step(3);
            it.splice([receiver, writer], [None; 2], 64, 0);
        });
        stage.actor("end", move |it| {
            it.recv(end, 17, MSG_WAITALL);
        });
    });
}

#[test]
fn a_pipe_is_moved_into_a_socket_with_little_room() {
    equal_for(&[Kind::Tcp, Kind::Unix], |stage, kind| {
        let (end, into_end) = flowing_pair(kind);
        let (reader, writer) = pair(Kind::Pipe);
        let (reader, writer) = (stage.keep(reader), stage.keep(writer));
        let into_end = into_end.into_raw_fd();
        stage.actor("mover", move |it| {
            it.write(writer, &bytes(60_000));
            it.step(1);
            it.splice([reader, into_end], [None; 2], 60_000, 0);
            it.write(writer, &bytes(50_000));
            it.splice([reader, into_end], [None; 2], 100_000, 0);
            it.close(into_end);
        });
        drain(stage, end);
    });
}

#[test]
fn a_file_is_moved_into_a_pipe_with_little_room() {
    equal(|stage| {
        let file = stage.keep(file(20_000));
        let (reader, writer) = narrow_pair(Kind::Pipe);
        let writer = writer.into_raw_fd();
        stage.actor("mover", move |it| {
            it.step(1);
            let mut place = 0;
            while place < 20_000 {
                let moved = raw::splice_at(file, &mut place, writer, 20_000);
                assert!(moved > 0, "{}", std::io::Error::last_os_error());
            }
            it.note(place);
            it.splice([file, writer], [Some(20_000), None], 10, 0);
            it.close(writer);
        });
        drain(stage, reader);
    });
}

#[test]
fn timeouts_and_modes_count_for_moving_too() {
    equal(|stage| {
        let (receiver, sender) = pair(Kind::Unix);
        receive_timeout(&receiver, 20);
        let (receiver, sender) = (stage.keep(receiver), stage.keep(sender));
        let (reader, writer) = pair(Kind::Pipe);
        let (reader, writer) = (stage.keep(reader), stage.keep(writer));
        stage.actor("mover", move |it| {
            it.splice([receiver, writer], [None; 2], 64, 0);
            set_nonblocking(borrow(reader), true);
            it.splice([reader, sender], [None; 2], 64, 0);
            it.write(writer, b"hello");
            it.splice([reader, sender], [None; 2], 64, 0);
            it.splice([receiver, writer], [None; 2], 3, 0);
            nap();
            it.read(reader, 64);
        });
        stage.actor("other", |it| it.note("looks on"));
    });
}

#[test]
fn the_mode_of_each_of_two_pipes_counts_for_both() {
    for modes in [[true, false], [false, true], [true, true]] {
        equal(|stage| {
            let ((reader, writer), (end, into_end)) = (pair(Kind::Pipe), pair(Kind::Pipe));
            for (pipe, mode) in [&reader, &into_end].into_iter().zip(modes) {
                set_nonblocking(pipe, mode);
            }
            let (reader, writer) = (stage.keep(reader), stage.keep(writer));
            let (_, into_end) = (stage.keep(end), stage.keep(into_end));
            stage.actor("mover", move |it| {
                it.splice([reader, into_end], [None; 2], 10, 0);
                it.write(writer, b"hello");
                it.splice([reader, into_end], [None; 2], 10, 0);
                it.splice([reader, into_end], [None; 2], 10, 0);
            });
        });
    }
}
