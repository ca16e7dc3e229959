//! The calls that write: to sockets, pipes, and whatever else makes one wait.
//!
//! A blocking write to a stream takes all bytes, however often it must wait for room. What cannot be sent to
//! the end says how far it came, and the next call says why.
//!
//! # Safety
//!
//! Pointers and lengths are passed on to the kernel as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_void},
    mem, ptr,
    time::Duration,
};

use greenroom::{foreign::Here, io::Interest};
use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use crate::{
    file,
    hook::Green,
    parts::Parts,
    raw::{Errno, Result},
    wait::Wait,
};

hooks! {
    fn send(fd: c_int, buffer: *const c_void, length: size_t, flags: c_int) -> ssize_t {
        also __send,
        green(here) { send_bytes(here, fd, buffer, length, flags, ptr::null(), 0) }
        else syscall!(SYS_sendto, fd, buffer, length, flags, 0usize, 0usize)
    }

    fn sendto(
        fd: c_int,
        buffer: *const c_void,
        length: size_t,
        flags: c_int,
        to: *const sockaddr,
        to_length: socklen_t,
    ) -> ssize_t {
        green(here) { send_bytes(here, fd, buffer, length, flags, to, to_length) }
        else syscall!(SYS_sendto, fd, buffer, length, flags, to, to_length)
    }

    fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
        green(here) { send_message(here, fd, message, flags) }
        else syscall!(SYS_sendmsg, fd, message, flags)
    }

    fn write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
        also __write,
        green(here) {
            let part = iovec { iov_base: buffer.cast_mut(), iov_len: length };
            write_parts(here, fd, &part, 1)
        }
        else syscall!(SYS_write, fd, buffer, length)
    }

    fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        green(here) { write_parts(here, fd, parts, count) }
        else syscall!(SYS_writev, fd, parts, count)
    }
}

unsafe fn send_bytes(
    here: Here,
    fd: c_int,
    buffer: *const c_void,
    length: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_length: socklen_t,
) -> Green {
    if file::is_standard(fd) || flags & libc::MSG_DONTWAIT != 0 {
        return Green::Pass;
    }
    let flags = flags | libc::MSG_DONTWAIT;
    let part = |done: usize| {
        let rest = buffer.wrapping_byte_add(done);
        // SAFETY: libc's caller answers for the buffer, of which `done` bytes are sent.
        unsafe { syscall!(SYS_sendto, fd, rest, length - done, flags, to, to_length) }
    };
    Wait::new(here, fd, Interest::Write).until_all(length, part).into()
}

unsafe fn send_message(here: Here, fd: c_int, header: *const msghdr, flags: c_int) -> Green {
    if file::is_standard(fd) || flags & libc::MSG_DONTWAIT != 0 || header.is_null() {
        return Green::Pass;
    }
    // SAFETY: libc's caller passes a message header.
    let header = unsafe { &*header };
    match message(&mut Wait::new(here, fd, Interest::Write), fd, header, flags) {
        Some(sent) => sent.into(),
        None => Green::Pass,
    }
}

/// Sends one message to its end. `None` if it is one that the kernel is to refuse.
///
/// The header and what it points to are libc's caller's, who answers for them.
pub(crate) fn message(wait: &mut Wait, fd: c_int, header: &msghdr, flags: c_int) -> Option<Result> {
    // SAFETY: the header's parts are valid while the call lasts.
    let parts = unsafe { Parts::new(header.msg_iov, c_int::try_from(header.msg_iovlen).ok()?) }?;
    let flags = flags | libc::MSG_DONTWAIT;
    let part = |done: usize| {
        if done == 0 {
            // SAFETY: as libc's caller passed it.
            return unsafe { syscall!(SYS_sendmsg, fd, ptr::from_ref(header), flags) };
        }
        parts.after(done, |rest, count| {
            // Descriptors and credentials went with the first bytes.
            let mut tail = *header;
            tail.msg_control = ptr::null_mut();
            tail.msg_controllen = 0;
            tail.msg_iov = rest.cast_mut();
            tail.msg_iovlen = count;
            // SAFETY: the rest of the caller's parts.
            unsafe { syscall!(SYS_sendmsg, fd, ptr::from_ref(&tail), flags) }
        })
    };
    Some(wait.until_all(parts.length(), part))
}

/// Writes to any fd.
unsafe fn write_parts(here: Here, fd: c_int, parts: *const iovec, count: c_int) -> Green {
    // SAFETY: libc's caller answers for the parts.
    let Some(all) = (unsafe { Parts::new(parts, count) }) else { return Green::Pass };
    if file::is_standard(fd) {
        return Green::Pass;
    }
    let length = all.length();
    let mut wait = Wait::new(here, fd, Interest::Write);
    let send = |done: usize| {
        all.after(done, |rest, count| {
            // SAFETY: all zeroes is a message header without name, control and parts.
            let mut message: msghdr = unsafe { mem::zeroed() };
            message.msg_iov = rest.cast_mut();
            message.msg_iovlen = count;
            let flags = libc::MSG_DONTWAIT;
            // SAFETY: the rest of the caller's parts.
            unsafe { syscall!(SYS_sendmsg, fd, ptr::from_ref(&message), flags) }
        })
    };
    match wait.until_all(length, send) {
        Err(Errno::NOTSOCK) => {}
        done => return done.into(),
    }
    if length == 0 || !file::can_wait(fd) {
        return Green::Pass;
    }
    let now = |done: usize| {
        all.after(done, |rest, count| {
            // SAFETY: the rest of the caller's parts; -1 is the file's own place.
            unsafe { syscall!(SYS_pwritev2, fd, rest, count, -1isize, 0usize, libc::RWF_NOWAIT) }
        })
    };
    match wait.until_all(length, now) {
        Err(Errno::OPNOTSUPP) => {}
        done => return done.into(),
    }
    // The file knows no such flag. Then `poll` is believed.
    let after_look = |done: usize| match file::is_ready(fd, Interest::Write, Duration::ZERO)? {
        true => all.after(done, |rest, count| {
            // SAFETY: the rest of the caller's parts.
            unsafe { syscall!(SYS_writev, fd, rest, count) }
        }),
        false => Err(Errno::AGAIN),
    };
    wait.until_all(length, after_look).into()
}
