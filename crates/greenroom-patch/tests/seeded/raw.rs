//! libc's blocking functions as safe ones, for numbers of fds.
//!
//! Knows nothing of who asks, nor of what stands in front of libc.
//!
//! # Safety
//!
//! Each function reads and writes what it is lent. Numbers belong to the play, which closes what it opened and
//! knows who may meet a number that means another file.

#![allow(unsafe_code)]

use std::{io, mem::zeroed, os::fd::RawFd, ptr, time::Duration};

use libc::{c_int, c_void, epoll_event, fd_set, iovec, mmsghdr, msghdr, pollfd, timeval};

/// What a call answers: a number, or the errno of a failure.
pub(crate) type Answer = Result<usize, c_int>;

/// `errno` must be left alone by whatever goes well.
fn answer(call: impl FnOnce() -> isize) -> Answer {
    const UNTOUCHED: c_int = 4321;
    // SAFETY: this OS thread's own errno, and the caller stays on its OS thread.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *place = UNTOUCHED };
    let answer = call();
    // SAFETY: as above.
    let errno = unsafe { *place };
    if answer == -1 {
        assert!(errno != UNTOUCHED && errno > 0, "a failure says why");
        return Err(errno);
    }
    assert_eq!(errno, UNTOUCHED, "errno is left alone by success");
    Ok(answer.cast_unsigned())
}

/// A buffer in two parts.
fn two_parts(bytes: *mut u8, length: usize) -> [iovec; 2] {
    let half = length / 2;
    let rest = bytes.wrapping_add(half);
    [
        iovec { iov_base: bytes.cast(), iov_len: half },
        iovec { iov_base: rest.cast(), iov_len: length - half },
    ]
}

fn header(parts: &mut [iovec; 2]) -> msghdr {
    // SAFETY: all zeroes is a header without name, control and parts.
    let mut header: msghdr = unsafe { zeroed() };
    header.msg_iov = parts.as_mut_ptr();
    header.msg_iovlen = parts.len();
    header
}

/// The ways to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Read,
    Readv,
    Recv,
    RecvAll,
    Recvmsg,
    RecvmsgAll,
    Recvmmsg,
}

impl Reading {
    pub(crate) const ANY_FILE: &[Reading] = &[Reading::Read, Reading::Readv];
    pub(crate) const SOCKET: &[Reading] = &[
        Reading::Read,
        Reading::Readv,
        Reading::Recv,
        Reading::RecvAll,
        Reading::Recvmsg,
        Reading::RecvmsgAll,
        Reading::Recvmmsg,
    ];

    /// Whether it returns only when the buffer is full, or nothing more will come.
    pub(crate) fn fills(self) -> bool {
        matches!(self, Reading::RecvAll | Reading::RecvmsgAll)
    }
}

pub(crate) fn read(how: Reading, fd: RawFd, bytes: &mut [u8]) -> Answer {
    let (place, length) = (bytes.as_mut_ptr(), bytes.len());
    let mut parts = two_parts(place, length);
    let all = libc::MSG_WAITALL;
    // SAFETY: the buffer is ours and so long, as are the parts of it.
    answer(|| unsafe {
        match how {
            Reading::Read => libc::read(fd, place.cast(), length),
            Reading::Readv => libc::readv(fd, parts.as_ptr(), 2),
            Reading::Recv => libc::recv(fd, place.cast(), length, 0),
            Reading::RecvAll => libc::recv(fd, place.cast(), length, all),
            Reading::Recvmsg => libc::recvmsg(fd, &mut header(&mut parts), 0),
            Reading::RecvmsgAll => libc::recvmsg(fd, &mut header(&mut parts), all),
            Reading::Recvmmsg => {
                let mut message = mmsghdr { msg_hdr: header(&mut parts), msg_len: 0 };
                match libc::recvmmsg(fd, &mut message, 1, 0, ptr::null_mut()) {
                    1 => message.msg_len as isize,
                    other => {
                        assert_eq!(other, -1, "one message, or a failure");
                        -1
                    }
                }
            }
        }
    })
}

/// What is there without taking it.
pub(crate) fn peek(fd: RawFd, bytes: &mut [u8]) -> Answer {
    // SAFETY: the buffer is ours and so long.
    answer(|| unsafe { libc::recv(fd, bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_PEEK) })
}

/// The ways to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    Write,
    Writev,
    Send,
    Sendmsg,
    Sendmmsg,
}

impl Writing {
    pub(crate) const ANY_FILE: &[Writing] = &[Writing::Write, Writing::Writev];
    pub(crate) const SOCKET: &[Writing] =
        &[Writing::Write, Writing::Writev, Writing::Send, Writing::Sendmsg, Writing::Sendmmsg];
}

pub(crate) fn write(how: Writing, fd: RawFd, bytes: &[u8]) -> Answer {
    let (place, length) = (bytes.as_ptr(), bytes.len());
    let mut parts = two_parts(place.cast_mut(), length);
    let quiet = libc::MSG_NOSIGNAL;
    // SAFETY: the bytes are ours and so many, as are the parts of them. They are only read.
    answer(|| unsafe {
        match how {
            Writing::Write => libc::write(fd, place.cast(), length),
            Writing::Writev => libc::writev(fd, parts.as_ptr(), 2),
            Writing::Send => libc::send(fd, place.cast(), length, quiet),
            Writing::Sendmsg => libc::sendmsg(fd, &header(&mut parts), quiet),
            Writing::Sendmmsg => {
                let mut message = mmsghdr { msg_hdr: header(&mut parts), msg_len: 0 };
                match libc::sendmmsg(fd, &mut message, 1, quiet) {
                    1 => message.msg_len as isize,
                    other => {
                        assert_eq!(other, -1, "one message, or a failure");
                        -1
                    }
                }
            }
        }
    })
}

/// From a file, at a place of it.
pub(crate) fn send_file(to: RawFd, file: RawFd, at: usize, length: usize) -> Answer {
    let mut at = at.cast_signed() as i64;
    // SAFETY: reads and writes a place that lies here.
    answer(|| unsafe { libc::sendfile(to, file, &mut at, length) })
}

/// From one fd to another, of which one is a pipe.
pub(crate) fn splice(from: RawFd, to: RawFd, length: usize) -> Answer {
    let none = ptr::null_mut();
    // SAFETY: nothing of ours is read or written.
    answer(|| unsafe { libc::splice(from, none, to, none, length, 0) })
}

/// The ways to ask whether an fd is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    Poll,
    Ppoll,
    Select,
    Epoll,
}

impl Asking {
    pub(crate) const ALL: &[Asking] = &[Asking::Poll, Asking::Ppoll, Asking::Select, Asking::Epoll];

    /// An epoll set forgets a closed file, so nobody who waits for the set hears of it.
    pub(crate) const BY_FD: &[Asking] = &[Asking::Poll, Asking::Ppoll, Asking::Select];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Reading,
    Writing,
}

/// Waits until one of the fds is ready; `ms` below zero is for ever. Answers how many are.
pub(crate) fn ask(how: Asking, fds: &[RawFd], what: For, ms: c_int) -> Answer {
    match how {
        Asking::Poll | Asking::Ppoll => poll(how == Asking::Ppoll, fds, what, ms),
        Asking::Select => select(fds, what, ms),
        Asking::Epoll => {
            let set = new_set();
            for &fd in fds {
                let events = if what == For::Reading { libc::EPOLLIN } else { libc::EPOLLOUT };
                if let Err(errno) = watch(set, fd, events, 0) {
                    close(set).expect("it is ours");
                    return Err(errno);
                }
            }
            let found = wait_for_set(set, ms).map(|found| found.len());
            close(set).expect("it is ours");
            found
        }
    }
}

fn poll(by_time: bool, fds: &[RawFd], what: For, ms: c_int) -> Answer {
    let events = if what == For::Reading { libc::POLLIN } else { libc::POLLOUT };
    let mut fds: Vec<pollfd> = fds.iter().map(|&fd| pollfd { fd, events, revents: 0 }).collect();
    let (first, count) = (fds.as_mut_ptr(), fds.len() as libc::nfds_t);
    let time = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let time = libc::timespec {
        tv_sec: time.as_secs().cast_signed(),
        tv_nsec: time.subsec_nanos().into(),
    };
    let time = if ms < 0 { ptr::null() } else { &raw const time };
    // SAFETY: the array is ours and so long.
    let found = answer(|| unsafe {
        match by_time {
            true => libc::ppoll(first, count, time, ptr::null()) as isize,
            false => libc::poll(first, count, ms) as isize,
        }
    })?;
    assert_eq!(fds.iter().filter(|fd| fd.revents != 0).count(), found, "as many as it says");
    if fds.iter().any(|fd| fd.revents & libc::POLLNVAL != 0) {
        return Err(libc::EBADF);
    }
    Ok(found)
}

fn select(fds: &[RawFd], what: For, ms: c_int) -> Answer {
    let mut time = timeval { tv_sec: 0, tv_usec: libc::suseconds_t::from(ms) * 1000 };
    let time = if ms < 0 { ptr::null_mut() } else { &raw mut time };
    let (mut set, none) = (EMPTY, ptr::null_mut());
    for &fd in fds {
        assert!((fd as usize) < libc::FD_SETSIZE, "{fd} has no place in a set");
        // SAFETY: the number has a place in the set, which is ours.
        unsafe { libc::FD_SET(fd, &mut set) };
    }
    let most = fds.iter().max().map_or(0, |fd| fd + 1);
    let (read, write) =
        if what == For::Reading { (&raw mut set, none) } else { (none, &raw mut set) };
    // SAFETY: sets and time are ours, or not there.
    let found = answer(|| unsafe { libc::select(most, read, write, none, time) as isize })?;
    // SAFETY: as above.
    let left = fds.iter().filter(|&&fd| unsafe { libc::FD_ISSET(fd, &set) }).count();
    assert_eq!(left, found, "as many as it says");
    Ok(found)
}

// SAFETY: an array of words.
const EMPTY: fd_set = unsafe { zeroed() };

pub(crate) fn new_set() -> RawFd {
    // SAFETY: makes an fd.
    opened(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Adds an fd to a set; what is found there says `data`.
pub(crate) fn watch(set: RawFd, fd: RawFd, events: c_int, data: u64) -> Answer {
    let mut event = epoll_event { events: events.cast_unsigned(), u64: data };
    // SAFETY: reads an event that lies here.
    answer(|| unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, fd, &mut event) as isize })
}

/// The data of what a set reports.
pub(crate) fn wait_for_set(set: RawFd, ms: c_int) -> Result<Vec<u64>, c_int> {
    let mut room = [epoll_event { events: 0, u64: 0 }; 8];
    // SAFETY: there is room for so many.
    let found = answer(|| unsafe {
        libc::epoll_wait(set, room.as_mut_ptr(), room.len() as c_int, ms) as isize
    })?;
    Ok(room[..found].iter().map(|event| event.u64).collect())
}

pub(crate) fn accept(fd: RawFd) -> Answer {
    let none = ptr::null_mut();
    // SAFETY: no address is written.
    answer(|| unsafe { libc::accept4(fd, none, none.cast(), libc::SOCK_CLOEXEC) as isize })
}

pub(crate) fn close(fd: RawFd) -> Answer {
    // SAFETY: a number of the play's.
    answer(|| unsafe { libc::close(fd) as isize })
}

pub(crate) fn close_numbers(first: RawFd, last: RawFd) -> Answer {
    // SAFETY: as above.
    answer(|| unsafe { libc::close_range(first as u32, last as u32, 0) as isize })
}

pub(crate) fn shut_down(fd: RawFd, how: c_int) -> Answer {
    // SAFETY: has no conditions.
    answer(|| unsafe { libc::shutdown(fd, how) as isize })
}

/// A second number for the same file: the lowest from `least` on.
pub(crate) fn dup_from(fd: RawFd, least: RawFd) -> RawFd {
    // SAFETY: makes an fd.
    opened(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, least) })
}

/// `number` means the file of `fd` from now on.
pub(crate) fn dup_onto(fd: RawFd, number: RawFd) -> Answer {
    // SAFETY: numbers of the play's.
    answer(|| unsafe { libc::dup3(fd, number, libc::O_CLOEXEC) as isize })
}

pub(crate) fn nap(micros: usize) {
    // SAFETY: has no conditions.
    let slept = unsafe { libc::usleep(micros as libc::useconds_t) };
    assert_eq!(slept, 0, "no signal comes");
}

pub(crate) fn give_way() {
    // SAFETY: has no conditions.
    unsafe { libc::sched_yield() };
}

pub(crate) fn socket_pair(kind: c_int) -> [RawFd; 2] {
    let mut fds = [0; 2];
    let kind = kind | libc::SOCK_CLOEXEC;
    // SAFETY: writes two numbers.
    opened(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) });
    fds
}

/// The end to read from, and the one to write to.
pub(crate) fn pipe() -> [RawFd; 2] {
    let mut fds = [0; 2];
    // SAFETY: writes two numbers.
    opened(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) });
    fds
}

/// Each read takes one from its count.
pub(crate) fn new_count() -> RawFd {
    // SAFETY: makes an fd.
    opened(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_SEMAPHORE) })
}

/// A file in memory.
pub(crate) fn new_file(bytes: &[u8]) -> RawFd {
    // SAFETY: makes an fd.
    let file = opened(unsafe { libc::memfd_create(c"play".as_ptr(), libc::MFD_CLOEXEC) });
    assert_eq!(write(Writing::Write, file, bytes), Ok(bytes.len()));
    file
}

pub(crate) fn set_nonblocking(fd: RawFd) {
    // SAFETY: sets a flag of an open file.
    opened(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) });
}

pub(crate) fn set_blocking(fd: RawFd) {
    // SAFETY: sets a flag of an open file.
    opened(unsafe { libc::fcntl(fd, libc::F_SETFL, 0) });
}

/// `SO_RCVTIMEO` or `SO_SNDTIMEO`.
pub(crate) fn set_timeout(fd: RawFd, which: c_int, time: Duration) {
    let time =
        timeval { tv_sec: time.as_secs().cast_signed(), tv_usec: time.subsec_micros().into() };
    set_option(fd, which, &time);
}

pub(crate) fn set_send_room(fd: RawFd, bytes: c_int) {
    set_option(fd, libc::SO_SNDBUF, &bytes);
}

fn set_option<T>(fd: RawFd, which: c_int, value: &T) {
    let place = ptr::from_ref(value).cast::<c_void>();
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: reads a value that lies here.
    opened(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, which, place, length) });
}

/// The plays' numbers are large, and sets of libc's have room for them.
pub(crate) fn raise_limit_of_fds() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes and reads a limit of ours.
    unsafe {
        opened(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit));
        limit.rlim_cur = limit.rlim_max;
        opened(libc::setrlimit(libc::RLIMIT_NOFILE, &limit));
    }
}

fn opened(answer: c_int) -> RawFd {
    assert!(answer >= 0, "{}", io::Error::last_os_error());
    answer
}
