//! The calls that read: from sockets, pipes, and whatever else makes one wait.
//!
//! Each is tried as a call that does not wait, by a flag of the call and not of the file; what that
//! answers is what the blocking call would have answered.
//!
//! # Safety
//!
//! Pointers and lengths are passed on to the kernel as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_void},
    mem, process, ptr,
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
    fn recv(fd: c_int, buffer: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
        green(here) { receive(here, fd, buffer, length, flags, NOBODY, NO_LENGTH) }
        else syscall!(SYS_recvfrom, fd, buffer, length, flags, NOBODY, NO_LENGTH)
    }

    fn recvfrom(
        fd: c_int,
        buffer: *mut c_void,
        length: size_t,
        flags: c_int,
        from: *mut sockaddr,
        from_length: *mut socklen_t,
    ) -> ssize_t {
        green(here) { receive(here, fd, buffer, length, flags, from, from_length) }
        else syscall!(SYS_recvfrom, fd, buffer, length, flags, from, from_length)
    }

    fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
        green(here) { receive_message(here, fd, message, flags) }
        else syscall!(SYS_recvmsg, fd, message, flags)
    }

    fn read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t {
        also __read,
        green(here) {
            let part = iovec { iov_base: buffer, iov_len: length };
            read_parts(here, fd, &part, 1)
        }
        else syscall!(SYS_read, fd, buffer, length)
    }

    fn readv(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        green(here) { read_parts(here, fd, parts, count) }
        else syscall!(SYS_readv, fd, parts, count)
    }

    // What a compiler makes of the same calls where it knows how long the buffer is.

    fn __recv_chk(
        fd: c_int,
        buffer: *mut c_void,
        length: size_t,
        room: size_t,
        flags: c_int,
    ) -> ssize_t {
        green(here) {
            if length > room { Green::Pass } else { receive(here, fd, buffer, length, flags, NOBODY, NO_LENGTH) }
        }
        else { fits(length, room); syscall!(SYS_recvfrom, fd, buffer, length, flags, NOBODY, NO_LENGTH) }
    }

    fn __recvfrom_chk(
        fd: c_int,
        buffer: *mut c_void,
        length: size_t,
        room: size_t,
        flags: c_int,
        from: *mut sockaddr,
        from_length: *mut socklen_t,
    ) -> ssize_t {
        green(here) {
            if length > room { Green::Pass } else { receive(here, fd, buffer, length, flags, from, from_length) }
        }
        else { fits(length, room); syscall!(SYS_recvfrom, fd, buffer, length, flags, from, from_length) }
    }

    fn __read_chk(fd: c_int, buffer: *mut c_void, length: size_t, room: size_t) -> ssize_t {
        green(here) {
            let part = iovec { iov_base: buffer, iov_len: length };
            if length > room { Green::Pass } else { read_parts(here, fd, &part, 1) }
        }
        else { fits(length, room); syscall!(SYS_read, fd, buffer, length) }
    }
}

const NOBODY: *mut sockaddr = ptr::null_mut();
const NO_LENGTH: *mut socklen_t = ptr::null_mut();

/// Never waits by itself, so there is nothing to do for us: asked not to, or for pending errors.
const NEVER_WAITS: c_int = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE;

/// glibc's own would end the process here, with a word of its own.
fn fits(length: usize, room: usize) {
    if length > room {
        process::abort();
    }
}

unsafe fn receive(
    here: Here,
    fd: c_int,
    buffer: *mut c_void,
    length: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_length: *mut socklen_t,
) -> Green {
    if file::is_standard(fd) || flags & NEVER_WAITS != 0 {
        return Green::Pass;
    }
    let mut wait = Wait::new(here, fd, Interest::Read);
    let flags = flags | libc::MSG_DONTWAIT;
    let part = |done: usize| {
        let rest = buffer.wrapping_byte_add(done);
        // SAFETY: libc's caller answers for the buffer, of which `done` bytes are filled, and for
        // where the sender is to be written.
        unsafe { syscall!(SYS_recvfrom, fd, rest, length - done, flags, from, from_length) }
    };
    fill(&mut wait, fd, length, flags, part).into()
}

/// Reads once, or with `MSG_WAITALL` until the buffer is full.
fn fill(
    wait: &mut Wait,
    fd: c_int,
    length: usize,
    flags: c_int,
    mut part: impl FnMut(usize) -> Result,
) -> Result {
    // A message is not joined with the next one.
    if flags & libc::MSG_WAITALL == 0 || !file::is_stream(fd) {
        return wait.until_done(end_of_messages(fd, || part(0)));
    }
    if flags & libc::MSG_PEEK == 0 {
        return wait.until_all(length, part);
    }
    // What was only looked at is still there, so the fd stays ready; what is missing is waited for by
    // looking again.
    wait.until_done(|| part(0))?;
    loop {
        let seen = part(0)?;
        if seen >= length || seen == 0 || file::is_shut(fd) || wait.pause().is_err() {
            return Ok(seen);
        }
    }
}

/// A blocking receive of messages ends, with nothing, when the read side was shut down; one that does not wait
/// hears "would block" for ever. So who hears it again, after the fd was said to be ready, asks.
fn end_of_messages(fd: c_int, mut receive: impl FnMut() -> Result) -> impl FnMut() -> Result {
    let mut waited = false;
    move || match receive() {
        Err(Errno::AGAIN) if waited && file::is_shut(fd) => Ok(0),
        Err(Errno::AGAIN) => {
            waited = true;
            Err(Errno::AGAIN)
        }
        received => received,
    }
}

unsafe fn receive_message(here: Here, fd: c_int, message: *mut msghdr, flags: c_int) -> Green {
    if file::is_standard(fd) || flags & NEVER_WAITS != 0 || message.is_null() {
        return Green::Pass;
    }
    // SAFETY: libc's caller passes a message header, and nobody else has it meanwhile.
    let message = unsafe { &mut *message };
    let Ok(count) = c_int::try_from(message.msg_iovlen) else { return Green::Pass };
    // SAFETY: the header's parts are valid while the call lasts.
    let Some(parts) = (unsafe { Parts::new(message.msg_iov, count) }) else { return Green::Pass };
    let mut wait = Wait::new(here, fd, Interest::Read);
    let flags = flags | libc::MSG_DONTWAIT;
    let part = |done: usize| {
        if done == 0 {
            // The kernel writes back lengths and flags only when there is a message.
            // SAFETY: as libc's caller passed it.
            return unsafe { syscall!(SYS_recvmsg, fd, ptr::from_mut(message), flags) };
        }
        parts.after(done, |rest, count| {
            // Name, control and flags are those of the first part. What comes with descriptors or
            // credentials is left to the next call, as the kernel does it.
            // SAFETY: all zeroes is a message header without name, control and parts.
            let mut tail: msghdr = unsafe { mem::zeroed() };
            tail.msg_iov = rest.cast_mut();
            tail.msg_iovlen = count;
            // SAFETY: the rest of the caller's parts.
            unsafe { syscall!(SYS_recvmsg, fd, ptr::from_mut(&mut tail), flags) }
        })
    };
    fill(&mut wait, fd, parts.length(), flags, part).into()
}

/// Reads from any fd.
unsafe fn read_parts(here: Here, fd: c_int, parts: *const iovec, count: c_int) -> Green {
    // SAFETY: libc's caller answers for the parts.
    let Some(all) = (unsafe { Parts::new(parts, count) }) else { return Green::Pass };
    if file::is_standard(fd) || all.length() == 0 {
        return Green::Pass;
    }
    let mut wait = Wait::new(here, fd, Interest::Read);
    // SAFETY: all zeroes is a message header without name, control and parts.
    let mut message: msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts.cast_mut();
    message.msg_iovlen = count as usize;
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the caller's parts.
    let receive = || unsafe { syscall!(SYS_recvmsg, fd, ptr::from_mut(&mut message), flags) };
    let received = wait.until_done(end_of_messages(fd, receive));
    if received != Err(Errno::NOTSOCK) {
        return received.into();
    }
    if !file::can_wait(fd) {
        return Green::Pass;
    }
    // SAFETY: the caller's parts; -1 is the file's own place.
    let now =
        || unsafe { syscall!(SYS_preadv2, fd, parts, count, -1isize, 0usize, libc::RWF_NOWAIT) };
    match wait.until_done(now) {
        Err(Errno::OPNOTSUPP) => {}
        done => return done.into(),
    }
    // The file knows no such flag. Then `poll` is believed; if another reader is faster after it, the OS thread
    // waits in the kernel.
    let after_look = || match file::is_ready(fd, Interest::Read, Duration::ZERO)? {
        // SAFETY: the caller's parts.
        true => unsafe { syscall!(SYS_readv, fd, parts, count) },
        false => Err(Errno::AGAIN),
    };
    wait.until_done(after_look).into()
}
