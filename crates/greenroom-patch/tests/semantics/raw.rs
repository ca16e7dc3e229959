//! Calls that are not in the repertoire of every actor.
//!
//! # Safety
//!
//! Buffers are slices; other numbers are the kernel's to judge.

#![allow(unsafe_code)]

use std::{ffi::c_int, mem, os::fd::RawFd};

use libc::{iovec, mmsghdr, msghdr};

pub(crate) fn recv(fd: RawFd, room: &mut [u8], flags: c_int) -> i64 {
    // SAFETY: the room is so long.
    unsafe { libc::recv(fd, room.as_mut_ptr().cast(), room.len(), flags) as i64 }
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

/// Receives bytes, closes what descriptors came along, and counts both.
pub(crate) fn receive_descriptors(fd: RawFd, length: usize) -> (usize, usize) {
    let (mut bytes, mut control) = (vec![0_u8; length], [0_u64; 32]);
    let mut part = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
    // SAFETY: all zeroes is a header of nothing.
    let mut header: msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the parts are as long as they say.
    let count = unsafe { libc::recvmsg(fd, &mut header, 0) };
    assert!(count > 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel filled the header, and descriptors that came are this end's own.
    let descriptors = unsafe {
        let first = libc::CMSG_FIRSTHDR(&header);
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
}

/// How many messages were sent, and how long each is said to be then.
pub(crate) fn send_messages(fd: RawFd, messages: &[&[u8]]) -> Option<(i64, Vec<u32>)> {
    let part = |bytes: &&[u8]| iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
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
