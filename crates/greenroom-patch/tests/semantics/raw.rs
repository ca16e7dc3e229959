//! Calls that are not in the repertoire of every actor.
//!
//! # Safety
//!
//! Buffers are slices; other numbers are the kernel's to judge.

#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicU32, Ordering},
};

use libc::{iovec, mmsghdr, msghdr, timespec, timeval, ucred};

use crate::{calls::NOWHERE, stage::Actor};

pub(crate) fn recv(fd: RawFd, room: &mut [u8], flags: c_int) -> i64 {
    // SAFETY: the room is so long.
    unsafe { libc::recv(fd, room.as_mut_ptr().cast(), room.len(), flags) as i64 }
}

/// Receives, and tells what `errno` is then, which was this before.
pub(crate) fn recv_and_errno(fd: RawFd, room: &mut [u8], before: c_int) -> (i64, c_int) {
    // SAFETY: this OS thread's own; the room is so long.
    unsafe {
        *libc::__errno_location() = before;
        let answer = libc::recv(fd, room.as_mut_ptr().cast(), room.len(), 0) as i64;
        (answer, *libc::__errno_location())
    }
}

pub(crate) fn read(fd: RawFd, room: &mut [u8]) -> i64 {
    // SAFETY: the room is so long.
    unsafe { libc::read(fd, room.as_mut_ptr().cast(), room.len()) as i64 }
}

pub(crate) fn write(fd: RawFd, bytes: &[u8]) -> i64 {
    // SAFETY: the bytes are there.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) as i64 }
}

pub(crate) fn send(fd: RawFd, bytes: &[u8], flags: c_int) -> i64 {
    // SAFETY: the bytes are there.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) as i64 }
}

/// Fills a socket that nobody reads, until there has been no room for a while: TCP finds a little more as bytes
/// arrive at the other end.
pub(crate) fn fill(fd: RawFd) {
    let mut in_vain = 0;
    while in_vain < 30 {
        match send(fd, &[0; 10_000], libc::MSG_DONTWAIT) {
            1.. => in_vain = 0,
            _ => in_vain += 1,
        }
        crate::stage::nap();
    }
}

/// Receives bytes, with room for control data. `f` has how many came, and the header as the kernel has filled it.
fn receive_with_control<R>(
    fd: RawFd,
    length: usize,
    flags: c_int,
    f: impl FnOnce(isize, &msghdr) -> R,
) -> R {
    let (mut bytes, mut control) = (vec![0_u8; length], [0_u64; 32]);
    let mut part = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
    // SAFETY: all zeroes is a header of nothing.
    let mut header: msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the parts are as long as they say.
    let count = unsafe { libc::recvmsg(fd, &mut header, flags) };
    f(count, &header)
}

/// Receives bytes, closes what descriptors came along, and counts both.
pub(crate) fn receive_descriptors(fd: RawFd, length: usize) -> (usize, usize) {
    receive_with_control(fd, length, 0, |count, header| {
        assert!(count > 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the kernel filled the header, and descriptors that came are this end's own.
        let descriptors = unsafe {
            let first = libc::CMSG_FIRSTHDR(header);
            if first.is_null() {
                0
            } else {
                let count = ((*first).cmsg_len - libc::CMSG_LEN(0) as usize) / size_of::<c_int>();
                for at in 0..count {
                    let fd = libc::CMSG_DATA(first).cast::<c_int>().add(at).read_unaligned();
                    libc::syscall(libc::SYS_close, fd);
                }
                count
            }
        };
        (count as usize, descriptors)
    })
}

/// How many messages were sent, and how long each is said to be then.
pub(crate) fn send_messages(fd: RawFd, messages: &[&[u8]]) -> Option<(i64, Vec<u32>)> {
    let part =
        |bytes: &&[u8]| iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut parts: Vec<iovec> = messages.iter().map(part).collect();
    let message = |part: &mut iovec| {
        // SAFETY: all zeroes is a header of nothing.
        let mut header: msghdr = unsafe { mem::zeroed() };
        header.msg_iov = part;
        header.msg_iovlen = 1;
        mmsghdr { msg_hdr: header, msg_len: 77 }
    };
    let mut all: Vec<mmsghdr> = parts.iter_mut().map(message).collect();
    // SAFETY: so many messages of one part.
    let sent = unsafe { libc::sendmmsg(fd, all.as_mut_ptr(), all.len() as _, 0) };
    (sent >= 0).then(|| (i64::from(sent), all.iter().map(|message| message.msg_len).collect()))
}

/// A timer that is over once, after so long.
pub(crate) fn timer_after(millis: i64) -> OwnedFd {
    let time = |millis: i64| timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 };
    let timer = libc::itimerspec { it_interval: time(0), it_value: time(millis) };
    // SAFETY: makes a file, which is nobody else's, and reads the time.
    unsafe {
        let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::timerfd_settime(fd, 0, &timer, std::ptr::null_mut()), 0);
        OwnedFd::from_raw_fd(fd)
    }
}

/// The calls at places of a file.
pub(crate) fn positioned(it: &mut Actor, file: RawFd) {
    let mut room = [0_u8; 40];
    let mut part = iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let part = &raw mut part;
    let bytes = room.as_mut_ptr().cast();
    // SAFETY: the room is so long, and its one part lives as long.
    unsafe {
        it.call("pread", || libc::pread(file, bytes, 40, 77) as i64);
        it.call("pread64", || libc::pread64(file, bytes, 40, 9990) as i64);
        it.call("preadv", || libc::preadv(file, part, 1, 300) as i64);
        it.call("preadv2", || libc::preadv2(file, part, 1, -1, 0) as i64);
        it.call("pwrite", || libc::pwrite(file, bytes, 40, 700) as i64);
        it.call("pwritev", || libc::pwritev(file, part, 1, 800) as i64);
        it.call("pwritev2", || libc::pwritev2(file, part, 1, 900, 0) as i64);
        it.call("pread of nowhere", || libc::pread(file, bytes, 40, -5) as i64);
    }
    it.note(crate::calls::show(&room));
}

/// Sends a file from its place until nothing is left, and counts the bytes.
pub(crate) fn send_file_all(to: RawFd, from: RawFd, length: usize) -> usize {
    let mut sent = 0;
    loop {
        // SAFETY: without an offset the file's own place is meant.
        match unsafe { libc::sendfile(to, from, std::ptr::null_mut(), length) } {
            0 => return sent,
            count => sent += usize::try_from(count).expect("nothing goes wrong here"),
        }
    }
}

/// Sends a file once from its beginning: what was sent, and its place afterwards.
pub(crate) fn send_file(to: RawFd, from: RawFd, length: usize) -> (i64, i64) {
    // SAFETY: without an offset the file's own place is meant, which is then asked for.
    unsafe {
        let sent = libc::sendfile(to, from, std::ptr::null_mut(), length) as i64;
        (sent, libc::lseek(from, 0, libc::SEEK_CUR))
    }
}

pub(crate) fn splice_at(from: RawFd, place: &mut i64, to: RawFd, length: usize) -> i64 {
    // SAFETY: the place is there.
    unsafe { libc::splice(from, place, to, std::ptr::null_mut(), length, 0) as i64 }
}

/// Duplicates by each way, and closes the duplicates.
pub(crate) fn duplicate(it: &mut Actor, fd: RawFd) {
    // SAFETY: the numbers that are closed were made here.
    unsafe {
        let new = it.call_for_fd("dup", || libc::dup(fd));
        it.call("dup2 of itself", || i64::from(libc::dup2(fd, fd)) - i64::from(fd));
        it.call("dup2 of nothing", || libc::dup2(-1, new));
        it.call("dup2 of nothing, of itself", || libc::dup2(-1, -1));
        it.call("dup2", || i64::from(libc::dup2(fd, new)) - i64::from(new));
        it.call("dup3", || i64::from(libc::dup3(fd, new, libc::O_CLOEXEC)) - i64::from(new));
        it.call("dup3 of itself", || libc::dup3(fd, fd, 0));
        it.call("dup3 of nothing", || libc::dup3(-1, new, 0));
        it.call("dup3 with a flag", || libc::dup3(fd, new, 1));
        it.call("dup2 to nothing", || libc::dup2(fd, -1));
        it.close(new);
    }
}

unsafe extern "C" {
    fn closefrom(first: c_int);
}

/// Closes many numbers at once, of which some were made here.
pub(crate) fn close_many(it: &mut Actor) {
    // SAFETY: numbers so high are this function's own: one script uses it, and its performances come one after the other.
    unsafe {
        let first = libc::fcntl(0, libc::F_DUPFD, 900);
        assert!(first >= 900, "{}", std::io::Error::last_os_error());
        let second = libc::fcntl(0, libc::F_DUPFD, 950);
        it.call("close_range", || libc::close_range(900, 940, 0));
        it.call("close", || libc::close(first));
        it.call("close_range to mark", || {
            libc::close_range(900, 1000, libc::CLOSE_RANGE_CLOEXEC as c_int)
        });
        it.call("fcntl", || libc::fcntl(second, libc::F_GETFD));
        it.call("close_range the wrong way", || libc::close_range(9, 3, 0));
        it.call("closefrom", || {
            closefrom(900);
            0
        });
        it.call("close", || libc::close(second));
    }
}

/// Calls that would close a number if they were not refused.
pub(crate) fn close_in_vain(it: &mut Actor, fd: RawFd) {
    let number = fd.cast_unsigned();
    // SAFETY: nothing is closed.
    unsafe {
        it.call("dup2 of nothing", || libc::dup2(-1, fd));
        it.call("dup3 of nothing", || libc::dup3(-1, fd, 0));
        it.call("dup3 with a flag", || libc::dup3(0, fd, 0x40));
        it.call("close_range with a flag", || libc::close_range(number, number, 0x40));
        it.call("close_range the wrong way", || libc::close_range(number, number - 1, 0));
    }
}

/// Each call on a number that is nobody's.
pub(crate) fn wrong_number(it: &mut Actor, fd: RawFd) {
    it.recv(fd, 8, 0);
    it.recv(fd, 8, libc::MSG_WAITALL);
    it.recvfrom(fd, 8, 0);
    it.recvmsg(fd, &[8], 0, 0);
    it.recvmsg(fd, &[8], 0, libc::MSG_WAITALL);
    it.recvmmsg(fd, 2, 8, 0, None);
    it.read(fd, 8);
    it.readv(fd, &[8]);
    it.readv(fd, &[]);
    it.send(fd, b"x", 0);
    it.sendmsg(fd, &[b"x"], &[], 0);
    it.sendmmsg(fd, &[b"x"], 0);
    it.write(fd, b"x");
    it.write(fd, b"");
    it.writev(fd, &[b"x"]);
    it.writev(fd, &[]);
    it.accept(fd);
    it.sendfile(fd, fd, None, 8);
    it.splice([fd, fd], [None; 2], 8, 0);
}

/// Buffers that are not there, and numbers that are too large. Where the kernel takes a message before it finds that
/// out, it is gone.
pub(crate) fn wrong_pointers(it: &mut Actor, one: RawFd, other: RawFd) {
    let nowhere = NOWHERE as *mut libc::c_void;
    let many = vec![iovec { iov_base: nowhere, iov_len: 0 }; 1025];
    let null: *mut libc::c_void = std::ptr::null_mut();
    // SAFETY: the kernel refuses what is not there, which is what is tested.
    unsafe {
        it.call("read to nowhere", || libc::read(one, nowhere, 4) as i64);
        it.call("recv to nowhere", || libc::recv(one, nowhere, 4, 0) as i64);
        it.call("write from nowhere", || libc::write(other, nowhere, 4) as i64);
        it.call("send from nowhere", || libc::send(other, nowhere, 4, 0) as i64);
        it.call("read too much", || libc::read(one, nowhere, usize::MAX) as i64);
        it.call("write too much", || libc::write(other, nowhere, usize::MAX) as i64);
        it.call("send too much", || libc::send(other, nowhere, usize::MAX, 0) as i64);
        for count in [-1, 1025, c_int::MAX] {
            it.call(&format!("readv {count}"), || libc::readv(one, many.as_ptr(), count) as i64);
            it.call(&format!("writev {count}"), || {
                libc::writev(other, many.as_ptr(), count) as i64
            });
        }
        it.call("readv null", || libc::readv(one, null.cast_const().cast(), 1) as i64);
        it.call("writev null", || libc::writev(other, null.cast_const().cast(), 1) as i64);
        it.call("recvmsg null", || libc::recvmsg(one, null.cast(), 0) as i64);
        it.call("sendmsg null", || libc::sendmsg(other, null.cast_const().cast(), 0) as i64);
        it.call("recvmsg of nowhere", || libc::recvmsg(one, nowhere.cast(), 0) as i64);
        it.call("sendmsg of nowhere", || libc::sendmsg(other, nowhere.cast(), 0) as i64);
        it.call("recvmmsg null", || libc::recvmmsg(one, null.cast(), 1, 0, null.cast()));
        it.call("sendmmsg null", || libc::sendmmsg(other, null.cast(), 1, 0));
        it.call("recvmmsg of nowhere", || libc::recvmmsg(one, nowhere.cast(), 1, 0, null.cast()));
        it.call("sendmmsg of nowhere", || libc::sendmmsg(other, nowhere.cast(), 1, 0));
        let mut header: msghdr = mem::zeroed();
        header.msg_iov = many.as_ptr().cast_mut();
        header.msg_iovlen = many.len() as _;
        for flags in [0, libc::MSG_WAITALL] {
            it.call("recvmsg of many", || libc::recvmsg(one, &mut header, flags) as i64);
        }
        it.call("sendmsg of many", || libc::sendmsg(other, &header, 0) as i64);
        it.call("recvfrom nowhere", || {
            let mut room = [0_u8; 4];
            libc::recvfrom(one, room.as_mut_ptr().cast(), 4, 0, nowhere.cast(), null.cast()) as i64
        });
        it.call("connect nowhere", || libc::connect(one, nowhere.cast(), 16));
        it.call("connect to nothing", || libc::connect(one, null.cast(), 0));
    }
}

pub(crate) fn nanosleep(it: &mut Actor, time: timespec) {
    // SAFETY: the time is there.
    it.call("nanosleep", || unsafe { libc::nanosleep(&time, std::ptr::null_mut()) });
}

pub(crate) fn clock_nanosleep(it: &mut Actor, clock: c_int, flags: c_int, time: timespec) {
    // SAFETY: the time is there.
    it.call(&format!("clock_nanosleep({clock}, {flags})"), || unsafe {
        libc::clock_nanosleep(clock, flags, &time, std::ptr::null_mut())
    });
}

pub(crate) fn usleep(it: &mut Actor, micros: u32) {
    // SAFETY: has no conditions.
    it.call("usleep", || unsafe { libc::usleep(micros) });
}

pub(crate) fn sleep(it: &mut Actor, seconds: u32) {
    // SAFETY: has no conditions.
    it.call("sleep", || unsafe { libc::sleep(seconds) });
}

pub(crate) fn sched_yield(it: &mut Actor) {
    // SAFETY: has no conditions.
    it.call("sched_yield", || unsafe { libc::sched_yield() });
}

/// Sleeps whose time is not there.
pub(crate) fn sleep_for_nothing(it: &mut Actor) {
    let (null, rest) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: a time that is not there is refused, which is what is tested.
    unsafe {
        it.call("nanosleep null", || libc::nanosleep(null, rest));
        for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME] {
            it.call("clock_nanosleep null", || libc::clock_nanosleep(clock, 0, null, rest));
        }
    }
}

pub(crate) fn now(clock: c_int) -> timespec {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for the time.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut now) }, 0);
    now
}

/// Makes a number mean another file.
pub(crate) fn replace(number: RawFd, with: RawFd) {
    // SAFETY: the number goes on to be its owner's.
    assert_eq!(unsafe { libc::dup2(with, number) }, number);
}

/// Closes a number inside of libc, which is not seen.
pub(crate) fn close_by_stream(number: RawFd) {
    // SAFETY: the number is given to the stream, which is closed with it.
    unsafe {
        let stream = libc::fdopen(number, c"r+".as_ptr());
        assert!(!stream.is_null(), "{}", std::io::Error::last_os_error());
        assert_eq!(libc::fclose(stream), 0);
    }
}

/// Closes a number without libc.
pub(crate) fn close_by_system_call(number: RawFd) {
    // SAFETY: scripts close what they own.
    unsafe { rustix::io::close(number) };
}

/// An option whose value is a number, or as here a flag.
pub(crate) fn set_option(fd: &impl AsRawFd, level: c_int, option: c_int, value: c_int) {
    let (length, value) = (size_of_val(&value) as u32, (&raw const value).cast());
    // SAFETY: the value is there, and so long.
    let set = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value, length) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// An option whose value is a time.
pub(crate) fn set_time(fd: &impl AsRawFd, level: c_int, option: c_int, time: timeval) {
    let (length, value) = (size_of_val(&time) as u32, (&raw const time).cast());
    // SAFETY: the value is there, and so long.
    let set = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value, length) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

const WRITER_BYTES: u32 = size_of::<ucred>() as u32;

/// Sends bytes as if another user did: what was sent, or why not.
pub(crate) fn send_as(fd: RawFd, bytes: &[u8], user: u32) -> String {
    let mut control = [0_u64; 8];
    let mut part = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeroes is a header of nothing.
    let mut header: msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: there is room for one writer; the parts are as long as they say.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(WRITER_BYTES) as _;
        let first = libc::CMSG_FIRSTHDR(&header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_CREDENTIALS;
        (*first).cmsg_len = libc::CMSG_LEN(WRITER_BYTES) as _;
        let writer = ucred { pid: libc::getpid(), uid: user, gid: user };
        libc::CMSG_DATA(first).cast::<ucred>().write_unaligned(writer);
        match libc::sendmsg(fd, &header, 0) {
            -1 => std::io::Error::last_os_error().to_string(),
            sent => format!("sent {sent}"),
        }
    }
}

/// Receives bytes, and says how many, and who wrote them.
pub(crate) fn receive_with_writer(fd: RawFd, length: usize, flags: c_int) -> String {
    receive_with_control(fd, length, flags, |count, header| {
        // SAFETY: the kernel filled the header.
        let first = unsafe { libc::CMSG_FIRSTHDR(header) };
        if first.is_null() {
            return format!("{count} of nobody");
        }
        // SAFETY: not null, and the writer is all that the tests ask for.
        let writer = unsafe { libc::CMSG_DATA(first).cast::<ucred>().read_unaligned() };
        format!(
            "{count} of {}, {} in {} control bytes",
            writer.uid, writer.gid, header.msg_controllen
        )
    })
}

/// The numbers of the last send without a copy of which a notice has come; -1 is none.
pub(crate) fn last_notice(fd: RawFd) -> i64 {
    let mut last = -1;
    loop {
        let mut control = [0_u64; 32];
        // SAFETY: all zeroes is a header of nothing.
        let mut header: msghdr = unsafe { mem::zeroed() };
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control) as _;
        // SAFETY: there is room for control bytes, which the kernel fills.
        unsafe {
            if libc::recvmsg(fd, &mut header, libc::MSG_ERRQUEUE) < 0 {
                return last;
            }
            let first = libc::CMSG_FIRSTHDR(&header);
            let notice = libc::CMSG_DATA(first).cast::<libc::sock_extended_err>().read_unaligned();
            last = i64::from(notice.ee_data);
        }
    }
}

/// Tries to connect, whatever comes of it.
pub(crate) fn connect(fd: RawFd, to: &rustix::net::SocketAddrAny) {
    // SAFETY: the address is as long as it says.
    unsafe { libc::connect(fd, to.as_ptr().cast(), to.addr_len()) };
}

/// A pipe with a name, which it has no more when this returns: its ends.
pub(crate) fn named_pipe() -> (OwnedFd, OwnedFd) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("greenroom-semantics-pipe-{}-{number}\0", std::process::id());
    let path = std::env::temp_dir().join(name).into_os_string().into_encoded_bytes();
    let path = path.as_ptr().cast();
    // SAFETY: the path ends with a zero, and the files that are made are nobody else's.
    unsafe {
        assert_eq!(libc::mkfifo(path, 0o600), 0, "{}", std::io::Error::last_os_error());
        let reader = libc::open(path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC);
        let writer = libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC);
        libc::unlink(path);
        assert!(reader >= 0 && writer >= 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::fcntl(reader, libc::F_SETFL, 0), 0);
        (OwnedFd::from_raw_fd(reader), OwnedFd::from_raw_fd(writer))
    }
}

/// A reader of a pipe to which nobody has ever written.
pub(crate) fn reader_of_nobody() -> OwnedFd {
    let (reader, _) = named_pipe();
    // SAFETY: a folder's path; what is made is nobody else's.
    unsafe {
        let path = format!("/proc/self/fd/{}\0", reader.as_raw_fd());
        let fd = libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_NONBLOCK);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::fcntl(fd, libc::F_SETFL, 0), 0);
        OwnedFd::from_raw_fd(fd)
    }
}

/// Lets the process have no number more than it has, and gives the limit that it had.
pub(crate) fn leave_no_number() -> libc::rlimit {
    // SAFETY: all zeroes is a limit; the number that is closed was made here.
    unsafe {
        let mut limit: libc::rlimit = mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let first_free = libc::dup(0);
        libc::close(first_free);
        limit_numbers(libc::rlimit { rlim_cur: first_free as _, ..limit });
        limit
    }
}

pub(crate) fn limit_numbers(limit: libc::rlimit) {
    // SAFETY: reads the limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// Tries to connect between virtual machines, twice, with little patience.
pub(crate) fn connect_to_machine(it: &mut Actor) {
    const PATIENCE: c_int = 6;
    // SAFETY: all zeroes is an address; what is made is closed here.
    unsafe {
        let fd = it.call_for_fd("socket", || libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0));
        if fd < 0 {
            return;
        }
        let socket = OwnedFd::from_raw_fd(fd);
        set_time(&socket, libc::AF_VSOCK, PATIENCE, timeval { tv_sec: 0, tv_usec: 150_000 });
        let mut to: libc::sockaddr_vm = mem::zeroed();
        to.svm_family = libc::AF_VSOCK as _;
        (to.svm_cid, to.svm_port) = (libc::VMADDR_CID_LOCAL, 4444);
        let (to, length) = ((&raw const to).cast(), size_of_val(&to) as u32);
        for _ in 0..2 {
            it.call("connect", || libc::connect(fd, to, length));
        }
    }
}

pub(crate) fn splice(from: RawFd, to: RawFd, length: usize) -> i64 {
    let nowhere = std::ptr::null_mut();
    // SAFETY: no places are meant.
    unsafe { libc::splice(from, nowhere, to, nowhere, length, 0) as i64 }
}

/// Waits for two messages at once.
pub(crate) fn receive_two(fd: RawFd) -> i64 {
    let mut room = [[0_u8; 8]; 2];
    let mut parts =
        room.each_mut().map(|room| iovec { iov_base: room.as_mut_ptr().cast(), iov_len: 8 });
    let mut messages = parts.each_mut().map(|part| {
        // SAFETY: all zeroes is a header of nothing.
        let mut header: msghdr = unsafe { mem::zeroed() };
        header.msg_iov = part;
        header.msg_iovlen = 1;
        mmsghdr { msg_hdr: header, msg_len: 0 }
    });
    // SAFETY: two messages of one part each.
    i64::from(unsafe { libc::recvmmsg(fd, messages.as_mut_ptr(), 2, 0, std::ptr::null_mut()) })
}

pub(crate) fn sleep_by(clock: c_int, millis: i64) {
    let time = timespec { tv_sec: 0, tv_nsec: millis * 1_000_000 };
    // SAFETY: the time is there.
    assert_eq!(unsafe { libc::clock_nanosleep(clock, 0, &time, std::ptr::null_mut()) }, 0);
}

/// A child that begins to be traced after this time, and stops at once then.
pub(crate) fn child_to_be_traced(after: std::time::Duration) -> i32 {
    let micros = after.as_micros() as u32;
    // SAFETY: the child of a process with several threads makes system calls alone, by functions that are allowed
    // there, and ends by `_exit`.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "{}", std::io::Error::last_os_error());
        if child == 0 {
            // What others close is to be closed.
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
            libc::usleep(micros);
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            libc::raise(libc::SIGSTOP);
            libc::_exit(0);
        }
        child
    }
}

/// Waits for a child: whether it has stopped, and not ended.
pub(crate) fn has_stopped(child: i32) -> bool {
    let mut status = 0;
    // SAFETY: there is room for the status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    libc::WIFSTOPPED(status)
}

pub(crate) fn kill(child: i32) {
    // SAFETY: a child of ours, which nobody else waits for.
    unsafe { libc::kill(child, libc::SIGKILL) };
}

/// Waits for the end of a child, if nobody else has.
pub(crate) fn reap(child: i32) {
    // SAFETY: no status is wanted.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// A child that receives, sleeps and ends with the count; meanwhile the parent does something. The count.
pub(crate) fn fork_and_receive(fd: RawFd, meanwhile: impl FnOnce()) -> i32 {
    let mut room = [0_u8; 8];
    let mut status = 0;
    // SAFETY: the child of a process with several threads makes system calls alone, by functions that are allowed
    // there, and ends by `_exit`.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "{}", std::io::Error::last_os_error());
        if child == 0 {
            let count = libc::recv(fd, room.as_mut_ptr().cast(), room.len(), 0);
            libc::usleep(1000);
            let twin = libc::dup(fd);
            libc::close(twin);
            libc::_exit(count as c_int);
        }
        meanwhile();
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
    }
    libc::WEXITSTATUS(status)
}
