//! libc's functions as actors call them. Each notes its answer, `errno`, and all that is written back.
//!
//! `errno` is set to a value of nobody's before, so that a call that succeeds can be seen to leave it alone.
//!
//! # Safety
//!
//! Buffers are the wrappers' own, longer than what they say, and are looked at for bytes written beyond. Where a call is
//! to be given an address of nothing, it is one of the first page, which is never mapped.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_void},
    fmt::Write,
    mem,
    os::fd::{BorrowedFd, RawFd},
    ptr,
};

use libc::{iovec, mmsghdr, msghdr, sockaddr, sockaddr_storage, socklen_t, timespec};

use crate::stage::Actor;

/// What `errno` is before each call.
const UNTOUCHED: c_int = 4242;

/// What no call writes.
const BLANK: u8 = 0xEE;
const MARGIN: usize = 16;

/// An address of nothing.
pub(crate) const NOWHERE: usize = 16;

pub(crate) fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    assert!(fd >= 0, "{fd} is no fd");
    // SAFETY: not -1; scripts use numbers of files that their stage keeps open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn errno() -> *mut c_int {
    // SAFETY: has no conditions.
    unsafe { libc::__errno_location() }
}

fn name_of(errno: c_int) -> String {
    match errno {
        UNTOUCHED => "untouched".into(),
        _ => std::io::Error::from_raw_os_error(errno).to_string(),
    }
}

/// Short ones are shown, of long ones a sum.
pub(crate) fn show(bytes: &[u8]) -> String {
    if bytes.len() <= 24 {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{} bytes {sum:016x}", bytes.len())
}

/// A buffer of `length` bytes with a margin.
struct Room(Vec<u8>, usize);

impl Room {
    fn new(length: usize) -> Room {
        Room(vec![BLANK; length + MARGIN], length)
    }

    fn part(&mut self) -> iovec {
        iovec { iov_base: self.0.as_mut_ptr().cast(), iov_len: self.1 }
    }

    /// What was written, of which nothing may lie beyond.
    fn filled(&self, count: usize) -> &[u8] {
        let (filled, rest) = self.0.split_at(count.min(self.1));
        assert!(rest.iter().all(|&byte| byte == BLANK), "bytes beyond the answer were written");
        filled
    }
}

fn parts(buffers: &[&[u8]]) -> Vec<iovec> {
    let part =
        |bytes: &&[u8]| iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    buffers.iter().map(part).collect()
}

fn header() -> msghdr {
    // SAFETY: all zeroes is a header of nothing.
    unsafe { mem::zeroed() }
}

fn count(answer: i64) -> usize {
    usize::try_from(answer).unwrap_or(0)
}

/// What is to be known of a received message beside its bytes.
fn about(header: &msghdr, name_room: usize) -> String {
    let mut text = format!(
        "name {} of {name_room}, flags {:#x}",
        header.msg_namelen,
        header.msg_flags & !libc::MSG_CMSG_CLOEXEC
    );
    let (mut descriptors, mut next) = (
        Vec::new(),
        // SAFETY: the header was filled by the kernel.
        unsafe { libc::CMSG_FIRSTHDR(header) },
    );
    while !next.is_null() {
        // SAFETY: inside the header's control bytes.
        let (control, data) = unsafe { (*next, libc::CMSG_DATA(next)) };
        let length = control.cmsg_len - data.addr().wrapping_sub(next.addr());
        write!(text, ", control {} {length}", control.cmsg_type).expect("memory takes all");
        if control.cmsg_level == libc::SOL_SOCKET && control.cmsg_type == libc::SCM_RIGHTS {
            for at in 0..length / size_of::<c_int>() {
                // SAFETY: so many descriptors lie there.
                descriptors.push(unsafe { data.cast::<c_int>().add(at).read_unaligned() });
            }
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    for fd in descriptors {
        assert!(
            rustix::io::fcntl_getfd(borrow(fd)).is_ok(),
            "a descriptor that was passed is open"
        );
        // SAFETY: this end's own, which nobody else knows.
        unsafe { libc::syscall(libc::SYS_close, fd) };
    }
    text
}

impl Actor {
    /// Any call. Its name is what is noted of the arguments.
    pub(crate) fn call<A: Into<i64>>(&mut self, name: &str, call: impl FnOnce() -> A) -> i64 {
        // SAFETY: this OS thread's own.
        unsafe { *errno() = UNTOUCHED };
        let answer = call().into();
        // SAFETY: as above.
        let after = unsafe { *errno() };
        self.note(format_args!("{name} = {answer}, {}", name_of(after)));
        answer
    }

    /// A call whose answer is a number of an fd, of which only that it is one is noted.
    pub(crate) fn call_for_fd(&mut self, name: &str, call: impl FnOnce() -> c_int) -> RawFd {
        let mut fd = -1;
        self.call(name, || {
            fd = call();
            fd.min(0)
        });
        fd
    }

    /// A call that is not noted, for its answer depends on chance.
    pub(crate) fn recv_quietly(&mut self, fd: RawFd, length: usize) -> Vec<u8> {
        let mut room = Room::new(length);
        // SAFETY: the room is so long.
        let answer = unsafe { libc::recv(fd, room.0.as_mut_ptr().cast(), length, 0) };
        assert!(answer >= 0, "{}", std::io::Error::last_os_error());
        room.filled(answer as usize).to_vec()
    }

    pub(crate) fn recv(&mut self, fd: RawFd, length: usize, flags: c_int) -> i64 {
        let mut room = Room::new(length);
        let buffer = room.0.as_mut_ptr().cast();
        // SAFETY: the room is so long.
        let answer = self.call(&format!("recv({length}, {flags:#x})"), || unsafe {
            libc::recv(fd, buffer, length, flags) as i64
        });
        self.note(show(room.filled(count(answer))));
        answer
    }

    /// By this function, whatever it does with a buffer of this length.
    pub(crate) fn read_by(
        &mut self,
        name: &str,
        length: usize,
        call: impl FnOnce(*mut c_void, usize) -> isize,
    ) -> i64 {
        let mut room = Room::new(length);
        let buffer = room.0.as_mut_ptr().cast();
        let answer = self.call(name, || call(buffer, length) as i64);
        self.note(show(room.filled(count(answer))));
        answer
    }

    pub(crate) fn recvfrom(&mut self, fd: RawFd, length: usize, flags: c_int) -> i64 {
        let mut room = Room::new(length);
        let buffer = room.0.as_mut_ptr().cast();
        // SAFETY: all zeroes is an address of no family.
        let mut from: sockaddr_storage = unsafe { mem::zeroed() };
        let mut from_length = size_of_val(&from) as socklen_t;
        let name = ptr::from_mut(&mut from).cast::<sockaddr>();
        // SAFETY: the room is so long, and so is the address.
        let answer = self.call(&format!("recvfrom({length}, {flags:#x})"), || unsafe {
            libc::recvfrom(fd, buffer, length, flags, name, &mut from_length) as i64
        });
        self.note(format_args!(
            "{} from {from_length} bytes, family {}",
            show(room.filled(count(answer))),
            from.ss_family
        ));
        answer
    }

    pub(crate) fn read(&mut self, fd: RawFd, length: usize) -> i64 {
        // SAFETY: the room is so long.
        self.read_by(&format!("read({length})"), length, |to, length| unsafe {
            libc::read(fd, to, length)
        })
    }

    pub(crate) fn readv(&mut self, fd: RawFd, lengths: &[usize]) -> i64 {
        let mut rooms: Vec<Room> = lengths.iter().map(|&length| Room::new(length)).collect();
        let parts: Vec<iovec> = rooms.iter_mut().map(Room::part).collect();
        // SAFETY: each room is so long.
        let answer = self.call(&format!("readv({})", lengths.len()), || unsafe {
            libc::readv(fd, parts.as_ptr(), parts.len() as c_int) as i64
        });
        self.note_parts(&rooms, count(answer));
        answer
    }

    fn note_parts(&mut self, rooms: &[Room], mut left: usize) {
        let mut all = Vec::new();
        for room in rooms {
            all.extend_from_slice(room.filled(left.min(room.1)));
            left = left.saturating_sub(room.1);
        }
        self.note(show(&all));
    }

    pub(crate) fn recvmsg(
        &mut self,
        fd: RawFd,
        lengths: &[usize],
        control_room: usize,
        flags: c_int,
    ) -> i64 {
        let mut rooms: Vec<Room> = lengths.iter().map(|&length| Room::new(length)).collect();
        let mut parts: Vec<iovec> = rooms.iter_mut().map(Room::part).collect();
        // SAFETY: all zeroes is an address of no family.
        let mut from: sockaddr_storage = unsafe { mem::zeroed() };
        let mut control = vec![0_u64; control_room.div_ceil(8)];
        let mut header = header();
        header.msg_name = ptr::from_mut(&mut from).cast();
        header.msg_namelen = size_of_val(&from) as socklen_t;
        header.msg_iov = parts.as_mut_ptr();
        header.msg_iovlen = parts.len() as _;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control_room as _;
        header.msg_flags = 0x5555;
        // SAFETY: a header of parts that are as long as they say.
        let answer = self.call(&format!("recvmsg({lengths:?}, {flags:#x})"), || unsafe {
            libc::recvmsg(fd, &mut header, flags) as i64
        });
        self.note_parts(&rooms, count(answer));
        if answer >= 0 {
            let about = about(&header, size_of_val(&from));
            self.note(about);
        } else {
            self.note(format_args!(
                "name {}, control {}, flags {:#x} as before",
                header.msg_namelen, header.msg_controllen, header.msg_flags
            ));
        }
        answer
    }

    pub(crate) fn recvmmsg(
        &mut self,
        fd: RawFd,
        messages: usize,
        length: usize,
        flags: c_int,
        timeout: Option<timespec>,
    ) -> i64 {
        let mut rooms: Vec<Room> = (0..messages).map(|_| Room::new(length)).collect();
        let mut parts: Vec<iovec> = rooms.iter_mut().map(Room::part).collect();
        let message = |part: &mut iovec| {
            let mut header = header();
            header.msg_iov = part;
            header.msg_iovlen = 1;
            mmsghdr { msg_hdr: header, msg_len: 77 }
        };
        let mut all: Vec<mmsghdr> = parts.iter_mut().map(message).collect();
        let mut time = timeout;
        let timeout = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: so many messages of one part.
        let answer = self.call(&format!("recvmmsg({messages}, {length}, {flags:#x})"), || unsafe {
            libc::recvmmsg(fd, all.as_mut_ptr(), messages as _, flags as _, timeout)
        });
        for (at, (room, message)) in rooms.iter().zip(&all).enumerate() {
            let filled = if at < count(answer) { message.msg_len as usize } else { 0 };
            let bytes = show(room.filled(filled));
            self.note(format_args!("{bytes} {} {:#x}", message.msg_len, message.msg_hdr.msg_flags));
        }
        answer
    }

    pub(crate) fn send(&mut self, fd: RawFd, bytes: &[u8], flags: c_int) -> i64 {
        // SAFETY: the bytes are there.
        self.call(&format!("send({}, {flags:#x})", bytes.len()), || unsafe {
            libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) as i64
        })
    }

    /// Of which only whether some, all, or none were taken is noted: what there is room for is the kernel's business.
    pub(crate) fn send_some(&mut self, fd: RawFd, bytes: &[u8], flags: c_int) -> i64 {
        // SAFETY: this OS thread's own.
        unsafe { *errno() = UNTOUCHED };
        // SAFETY: the bytes are there.
        let answer = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) as i64 };
        // SAFETY: as above.
        let after = name_of(unsafe { *errno() });
        self.note_some("send", answer, bytes.len(), &after);
        answer
    }

    pub(crate) fn write_some(&mut self, fd: RawFd, bytes: &[u8]) -> i64 {
        // SAFETY: this OS thread's own.
        unsafe { *errno() = UNTOUCHED };
        // SAFETY: the bytes are there.
        let answer = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) as i64 };
        // SAFETY: as above.
        let after = name_of(unsafe { *errno() });
        self.note_some("write", answer, bytes.len(), &after);
        answer
    }

    fn note_some(&mut self, name: &str, answer: i64, length: usize, after: &str) {
        let taken = match answer {
            ..0 => "failed",
            0 => "none",
            _ if count(answer) < length => "some",
            _ => "all",
        };
        self.note(format_args!("{name} of {length}: {taken}, {after}"));
    }

    pub(crate) fn sendto(
        &mut self,
        fd: RawFd,
        bytes: &[u8],
        flags: c_int,
        to: &rustix::net::SocketAddrAny,
    ) -> i64 {
        // SAFETY: the bytes are there, and the address is as long as it says.
        self.call(&format!("sendto({}, {flags:#x})", bytes.len()), || unsafe {
            libc::sendto(
                fd,
                bytes.as_ptr().cast(),
                bytes.len(),
                flags,
                to.as_ptr().cast(),
                to.addr_len(),
            ) as i64
        })
    }

    pub(crate) fn write(&mut self, fd: RawFd, bytes: &[u8]) -> i64 {
        // SAFETY: the bytes are there.
        self.call(&format!("write({})", bytes.len()), || unsafe {
            libc::write(fd, bytes.as_ptr().cast(), bytes.len()) as i64
        })
    }

    pub(crate) fn writev(&mut self, fd: RawFd, buffers: &[&[u8]]) -> i64 {
        let parts = parts(buffers);
        // SAFETY: the bytes are there.
        self.call(&format!("writev({})", parts.len()), || unsafe {
            libc::writev(fd, parts.as_ptr(), parts.len() as c_int) as i64
        })
    }

    /// Passes descriptors along, if there are any.
    pub(crate) fn sendmsg(
        &mut self,
        fd: RawFd,
        buffers: &[&[u8]],
        passed: &[RawFd],
        flags: c_int,
    ) -> i64 {
        let mut parts = parts(buffers);
        let mut control = vec![0_u64; 32];
        let mut header = header();
        header.msg_iov = parts.as_mut_ptr();
        header.msg_iovlen = parts.len() as _;
        if !passed.is_empty() {
            header.msg_control = control.as_mut_ptr().cast();
            let length = size_of_val(passed) as u32;
            // SAFETY: there is room for a few descriptors.
            unsafe {
                header.msg_controllen = libc::CMSG_SPACE(length) as _;
                let first = libc::CMSG_FIRSTHDR(&header);
                (*first).cmsg_level = libc::SOL_SOCKET;
                (*first).cmsg_type = libc::SCM_RIGHTS;
                (*first).cmsg_len = libc::CMSG_LEN(length) as _;
                ptr::copy_nonoverlapping(
                    passed.as_ptr(),
                    libc::CMSG_DATA(first).cast(),
                    passed.len(),
                );
            }
        }
        // SAFETY: a header of parts that are as long as they say.
        self.call(&format!("sendmsg({}, {flags:#x})", parts.len()), || unsafe {
            libc::sendmsg(fd, &header, flags) as i64
        })
    }

    pub(crate) fn sendmmsg(&mut self, fd: RawFd, messages: &[&[u8]], flags: c_int) -> i64 {
        let mut parts = parts(messages);
        let message = |part: &mut iovec| {
            let mut header = header();
            header.msg_iov = part;
            header.msg_iovlen = 1;
            mmsghdr { msg_hdr: header, msg_len: 77 }
        };
        let mut all: Vec<mmsghdr> = parts.iter_mut().map(message).collect();
        // SAFETY: so many messages of one part.
        let answer = self.call(&format!("sendmmsg({}, {flags:#x})", messages.len()), || unsafe {
            libc::sendmmsg(fd, all.as_mut_ptr(), messages.len() as _, flags as _)
        });
        let lengths: Vec<u32> = all.iter().map(|message| message.msg_len).collect();
        let text = if lengths.len() > 10 {
            format!("{} messages", lengths.len())
        } else {
            format!("{lengths:?}")
        };
        self.note(text);
        answer
    }

    pub(crate) fn close(&mut self, fd: RawFd) -> i64 {
        // SAFETY: scripts close what they own, or what nobody owns.
        self.call("close", || unsafe { libc::close(fd) })
    }

    pub(crate) fn shutdown(&mut self, fd: RawFd, how: c_int) -> i64 {
        // SAFETY: has no conditions.
        self.call(&format!("shutdown({how})"), || unsafe { libc::shutdown(fd, how) })
    }

    /// Accepts, and notes how the connection is set and of what length its address is said to be.
    pub(crate) fn accept4(&mut self, fd: RawFd, flags: c_int, address_room: u32) -> RawFd {
        // SAFETY: all zeroes is an address of no family.
        let mut from: sockaddr_storage = unsafe { mem::zeroed() };
        let mut length = address_room;
        let name = ptr::from_mut(&mut from).cast::<sockaddr>();
        // SAFETY: the address is at least so long.
        let new = self.call_for_fd(&format!("accept4({flags:#x})"), || unsafe {
            libc::accept4(fd, name, &mut length, flags)
        });
        self.note(format_args!("address of {length}, family {}", from.ss_family));
        if new >= 0 {
            let descriptor = rustix::io::fcntl_getfd(borrow(new)).expect("it is open");
            let file = rustix::fs::fcntl_getfl(borrow(new)).expect("it is open");
            self.note(format_args!("{descriptor:?} {file:?}"));
        }
        new
    }

    pub(crate) fn accept(&mut self, fd: RawFd) -> RawFd {
        // SAFETY: no address is wanted.
        self.call_for_fd("accept", || unsafe { libc::accept(fd, ptr::null_mut(), ptr::null_mut()) })
    }

    pub(crate) fn connect(&mut self, fd: RawFd, to: &rustix::net::SocketAddrAny) -> i64 {
        // SAFETY: the address is as long as it says.
        self.call("connect", || unsafe { libc::connect(fd, to.as_ptr().cast(), to.addr_len()) })
    }

    pub(crate) fn sendfile(
        &mut self,
        to: RawFd,
        from: RawFd,
        at: Option<i64>,
        length: usize,
    ) -> i64 {
        let mut place = at.unwrap_or(-1);
        let offset = if at.is_some() { ptr::from_mut(&mut place) } else { ptr::null_mut() };
        // SAFETY: the place is there.
        let answer = self.call(&format!("sendfile({at:?}, {length})"), || unsafe {
            libc::sendfile(to, from, offset, length) as i64
        });
        self.note(format_args!("at {place}"));
        answer
    }

    pub(crate) fn splice(
        &mut self,
        [from, to]: [RawFd; 2],
        [at, onto]: [Option<i64>; 2],
        length: usize,
        flags: u32,
    ) -> i64 {
        let mut places = [at.unwrap_or(-1), onto.unwrap_or(-1)];
        let [first, second] = &mut places;
        let first = if at.is_some() { ptr::from_mut(first) } else { ptr::null_mut() };
        let second = if onto.is_some() { ptr::from_mut(second) } else { ptr::null_mut() };
        // SAFETY: the places are there.
        let answer = self
            .call(&format!("splice({at:?}, {onto:?}, {length}, {flags:#x})"), || unsafe {
                libc::splice(from, first, to, second, length, flags) as i64
            });
        self.note(format_args!("at {places:?}"));
        answer
    }
}
