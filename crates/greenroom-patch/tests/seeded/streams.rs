//! Streams whose content is a function of the place: whoever reads knows what has to come.
//!
//! Knows how to write and read one to its end, in every way there is.

use std::{
    net::{TcpListener, TcpStream},
    os::fd::{IntoRawFd, RawFd},
    time::Duration,
};

use crate::{
    calls::{Actor, Deed, Limited},
    raw::{self, Asking, For, Reading, Writing},
    stage::Stage,
};

/// Bytes of a stream at most. Some times what a socket holds.
const LENGTH_MAX: usize = 600_000;

/// Bytes of a call at most.
const CALL_MAX: usize = 150_000;

/// Room in a socket where there is to be little.
const LITTLE_ROOM: i32 = 4096;

/// The bytes of one stream, by their places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content(u64);

impl Content {
    pub(crate) fn of(tag: u64) -> Content {
        Content(tag.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn byte(self, place: usize) -> u8 {
        let mixed = (self.0 ^ (place as u64 >> 3)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> (8 * (place & 7))) as u8
    }

    pub(crate) fn from(self, place: usize, length: usize) -> Vec<u8> {
        (place..place + length).map(|place| self.byte(place)).collect()
    }

    fn check(self, place: usize, bytes: &[u8]) {
        for (n, &byte) in bytes.iter().enumerate() {
            assert_eq!(byte, self.byte(place + n), "byte {n} of a read at {place}");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unix,
    Tcp,
    Pipe,
}

/// One stream, from whoever writes it to whoever reads it, and perhaps by somebody in between.
pub(crate) fn cast_stream(stage: &mut Stage, tag: u64) {
    let content = Content::of(tag);
    let length = stage.below(LENGTH_MAX) >> stage.below(8);
    let kind = [Kind::Unix, Kind::Tcp, Kind::Pipe][stage.below(3)];
    let [reads, writes] = open(kind);
    let is_socket = kind != Kind::Pipe;
    if is_socket && stage.below(3) == 0 {
        raw::set_send_room(writes, LITTLE_ROOM);
    }
    let place = stage.any_place();
    stage.cast("writer", place, move |mut actor| {
        write_all(&mut actor, writes, content, length, is_socket);
        end(&mut actor, writes, is_socket);
    });
    let (mut reads, mut is_socket) = (reads, is_socket);
    if stage.below(3) == 0 {
        // One side of a splice has to be a pipe.
        let from = reads;
        let to = if is_socket { Kind::Pipe } else { [Kind::Unix, Kind::Tcp][stage.below(2)] };
        let [next, writes] = open(to);
        let to_socket = to != Kind::Pipe;
        // Never an OS thread: in the kernel, a splice that waits for a socket holds the pipe's lock, and not
        // even a read that does not wait gets past that.
        let place = stage.any_green();
        stage.cast("relay", place, move |mut actor| {
            relay(&mut actor, from, writes, length);
            close(&actor, from);
            end(&mut actor, writes, to_socket);
        });
        (reads, is_socket) = (next, to_socket);
    }
    let place = stage.any_place();
    stage.cast("reader", place, move |mut actor| {
        read_all(&mut actor, reads, content, length, is_socket);
        close(&actor, reads);
    });
}

fn open(kind: Kind) -> [RawFd; 2] {
    match kind {
        Kind::Unix => raw::socket_pair(libc::SOCK_STREAM),
        Kind::Pipe => raw::pipe(),
        Kind::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0").expect("there is a loopback");
            let address = listener.local_addr().expect("it is bound");
            let writes = TcpStream::connect(address).expect("somebody listens");
            let reads = listener.accept().expect("somebody connected").0;
            [reads.into_raw_fd(), writes.into_raw_fd()]
        }
    }
}

pub(crate) fn close(actor: &Actor, fd: RawFd) {
    actor.does(Deed::Close, fd);
    assert_eq!(raw::close(fd), Ok(0));
}

/// The end of what is written; the fd is closed.
fn end(actor: &mut Actor, fd: RawFd, is_socket: bool) {
    if is_socket && actor.below(2) == 0 {
        assert_eq!(raw::shut_down(fd, libc::SHUT_WR), Ok(0));
        actor.dawdle();
    }
    if actor.below(4) == 0 {
        // The file lives on under another number, for a moment.
        let again = raw::dup_from(fd, 3);
        close(actor, fd);
        actor.dawdle();
        close(actor, again);
    } else {
        close(actor, fd);
    }
}

/// How the file of an fd is used, for as long as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Blocking,
    /// With a limit for each call.
    Limited,
    /// Never waits, and asks when to try again.
    Nonblocking,
}

impl Manner {
    fn draw(actor: &mut Actor, fd: RawFd, option: i32, is_socket: bool) -> Manner {
        // The other direction may have had another manner before.
        raw::set_blocking(fd);
        match actor.below(6) {
            0 if is_socket => {
                let time = Duration::from_micros(200 + actor.below(3000) as u64);
                raw::set_timeout(fd, option, time);
                Manner::Limited
            }
            1 => {
                raw::set_nonblocking(fd);
                Manner::Nonblocking
            }
            _ => Manner::Blocking,
        }
    }

    /// After "would block".
    fn again(self, actor: &mut Actor, fd: RawFd, what: For) {
        assert!(self != Manner::Blocking, "a blocking call without a limit waits");
        if self == Manner::Nonblocking {
            let how = actor.one_of(Asking::ALL);
            actor.does(Deed::Ask, fd);
            assert_eq!(raw::ask(how, &[fd], what, -1), Ok(1), "{how:?}");
        }
    }
}

pub(crate) fn write_all(
    actor: &mut Actor,
    fd: RawFd,
    content: Content,
    length: usize,
    is_socket: bool,
) {
    let manner = Manner::draw(actor, fd, libc::SO_SNDTIMEO, is_socket);
    let ways = if is_socket { Writing::SOCKET } else { Writing::ANY_FILE };
    let mut done = 0;
    while done < length {
        let most = 1 + (actor.below(CALL_MAX) >> actor.below(18));
        let bytes = content.from(done, most.min(length - done));
        let by_file = is_socket && actor.below(8) == 0;
        let Limited { answer, is_limited } = if by_file {
            // What stands before it in the file is not to be sent.
            let file = raw::new_file(&[&[0; 3][..], &bytes].concat());
            actor.does(Deed::Write, fd);
            let sent = actor.perhaps_limited(|| raw::send_file(fd, file, 3, bytes.len()));
            assert_eq!(raw::close(file), Ok(0));
            sent
        } else {
            let how = actor.one_of(ways);
            actor.does(Deed::Write, fd);
            actor.perhaps_limited(|| raw::write(how, fd, &bytes))
        };
        match answer {
            Ok(count) => {
                assert!(count > 0 && count <= bytes.len(), "{count} of {}", bytes.len());
                let is_whole = count == bytes.len();
                let may_be_short = is_limited || manner != Manner::Blocking;
                assert!(is_whole || may_be_short, "{count} of {}", bytes.len());
                done += count;
            }
            Err(libc::EAGAIN) => manner.again(actor, fd, For::Writing),
            Err(libc::ETIMEDOUT) if is_limited => {}
            Err(errno) => panic!("a write at {done} fails with {errno}"),
        }
        actor.came_to(done);
        actor.dawdle();
    }
}

pub(crate) fn read_all(
    actor: &mut Actor,
    fd: RawFd,
    content: Content,
    length: usize,
    is_socket: bool,
) {
    let manner = Manner::draw(actor, fd, libc::SO_RCVTIMEO, is_socket);
    let ways = if is_socket { Reading::SOCKET } else { Reading::ANY_FILE };
    let mut done = 0;
    loop {
        let most = 1 + (actor.below(CALL_MAX) >> actor.below(18));
        let mut bytes = vec![0; most];
        if actor.below(6) == 0 {
            let how = actor.one_of(Asking::ALL);
            actor.does(Deed::Ask, fd);
            assert_eq!(raw::ask(how, &[fd], For::Reading, -1), Ok(1), "{how:?}");
        }
        if is_socket && actor.below(8) == 0 {
            actor.does(Deed::Peek, fd);
            match raw::peek(fd, &mut bytes) {
                Ok(count) => content.check(done, &bytes[..count]),
                Err(libc::EAGAIN) => manner.again(actor, fd, For::Reading),
                Err(errno) => panic!("a look at {done} fails with {errno}"),
            }
        }
        let how = actor.one_of(ways);
        actor.does(Deed::Read, fd);
        let Limited { answer, is_limited } =
            actor.perhaps_limited(|| raw::read(how, fd, &mut bytes));
        match answer {
            Ok(0) => break,
            Ok(count) => {
                content.check(done, &bytes[..count]);
                done += count;
                let is_full = count == most || done == length;
                let may_be_short = !how.fills() || is_limited || manner != Manner::Blocking;
                assert!(is_full || may_be_short, "{count} of {most}");
            }
            Err(libc::EAGAIN) => manner.again(actor, fd, For::Reading),
            Err(libc::ETIMEDOUT) if is_limited => {}
            Err(errno) => panic!("a read at {done} fails with {errno}"),
        }
        actor.came_to(done);
        actor.dawdle();
    }
    assert_eq!(done, length, "the whole stream has come, and no more");
}

fn relay(actor: &mut Actor, from: RawFd, to: RawFd, length: usize) {
    let mut done = 0;
    loop {
        let most = 1 + (actor.below(CALL_MAX) >> actor.below(10));
        actor.does(Deed::Read, from);
        match raw::splice(from, to, most) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(errno) => panic!("a splice at {done} fails with {errno}"),
        }
        actor.came_to(done);
        actor.dawdle();
    }
    assert_eq!(done, length, "all of it went through");
}

/// Clients that connect to one listener, at which several accept; each connection carries a stream there and
/// another one back.
pub(crate) fn cast_connections(stage: &mut Stage, tag: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a loopback");
    let address = listener.local_addr().expect("it is bound");
    let fd = listener.into_raw_fd();
    let servers = 1 + stage.below(3);
    let each = 1 + stage.below(4);
    let length = stage.below(LENGTH_MAX) >> (2 + stage.below(8));
    let content = Content::of(tag);
    for _ in 0..servers {
        // One number for each, and one file for all.
        let fd = raw::dup_from(fd, 3);
        let place = stage.any_place();
        stage.cast("server", place, move |mut actor| {
            for n in 0..each {
                actor.does(Deed::Accept, fd);
                let stream = raw::accept(fd).expect("somebody connects") as RawFd;
                actor.came_to(n + 1);
                read_all(&mut actor, stream, content, length, true);
                write_all(&mut actor, stream, content, length, true);
                close(&actor, stream);
            }
            close(&actor, fd);
        });
    }
    assert_eq!(raw::close(fd), Ok(0));
    for _ in 0..servers * each {
        let place = stage.any_place();
        stage.cast("client", place, move |mut actor| {
            actor.dawdle();
            actor.does(Deed::Connect, -1);
            let stream = TcpStream::connect(address).expect("somebody listens").into_raw_fd();
            write_all(&mut actor, stream, content, length, true);
            assert_eq!(raw::shut_down(stream, libc::SHUT_WR), Ok(0));
            read_all(&mut actor, stream, content, length, true);
            close(&actor, stream);
        });
    }
}
