//! The calls that write: to sockets, pipes, and whatever else makes one wait.
//!
//! A blocking write to a stream takes all bytes, however often it must wait for room. What cannot be sent to
//! the end says how far it came, and the next call says why.
//!
//! A message's header is looked at after the kernel has read it once: the kernel refuses what is not there.
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
    receive::control,
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
            // A length that is a negative number is refused by each call in its own way.
            if length > isize::MAX as usize { Green::Pass } else { write_parts(here, fd, &part, 1, true) }
        }
        else syscall!(SYS_write, fd, buffer, length)
    }

    fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
        green(here) { write_parts(here, fd, parts, count, false) }
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
    let part = |done: usize, flags: c_int| {
        let rest = buffer.wrapping_byte_add(done);
        // SAFETY: libc's caller answers for the buffer, of which `done` bytes are sent.
        unsafe { syscall!(SYS_sendto, fd, rest, length - done, flags, to, to_length) }
    };
    let mut wait = Wait::new(here, fd, Interest::Write);
    let sent = first(&mut wait, fd, flags, |flags| part(0, flags));
    sent.and_then(|sent| rest(&mut wait, sent, length, flags, part)).into()
}

unsafe fn send_message(here: Here, fd: c_int, header: *const msghdr, flags: c_int) -> Green {
    if file::is_standard(fd) || flags & libc::MSG_DONTWAIT != 0 || header.is_null() {
        return Green::Pass;
    }
    let mut wait = Wait::new(here, fd, Interest::Write);
    // SAFETY: as libc's caller passed it.
    let send = |flags| unsafe { syscall!(SYS_sendmsg, fd, header, flags) };
    let sent = first(&mut wait, fd, flags, send);
    // SAFETY: the kernel has read the header.
    sent.and_then(|sent| rest_of_message(&mut wait, fd, unsafe { &*header }, sent, flags)).into()
}

/// Sends the first bytes: waits for room, if there is none, and for the connection that this very call begins
/// (`MSG_FASTOPEN`, `TCP_FASTOPEN_CONNECT`).
pub(crate) fn first(
    wait: &mut Wait,
    fd: c_int,
    flags: c_int,
    mut send: impl FnMut(c_int) -> Result,
) -> Result {
    let mut waits_at_unix = None;
    let mut connects = false;
    let sent = wait.until_done(|| {
        // A Unix socket that is found shut while waiting sends no signal.
        let quiet = if waits_at_unix == Some(true) { libc::MSG_NOSIGNAL } else { 0 };
        let begins = if connects { 0 } else { flags & libc::MSG_FASTOPEN };
        match send(flags & !libc::MSG_FASTOPEN | begins | libc::MSG_DONTWAIT | quiet) {
            Err(Errno(libc::EINPROGRESS)) => {
                connects = true;
                Err(Errno::AGAIN)
            }
            Err(Errno::AGAIN) if waits_at_unix.is_none() => {
                waits_at_unix = Some(file::Errors::of(fd) == file::Errors::TakenByUnix);
                Err(Errno::AGAIN)
            }
            // And it tells of an error at first.
            Err(Errno::PIPE) if waits_at_unix == Some(true) => {
                Err(file::take_error(fd).unwrap_or(Errno::PIPE))
            }
            sent => sent,
        }
    });
    match sent {
        Err(Errno::AGAIN) if connects => Err(Errno(libc::EINPROGRESS)),
        sent => sent,
    }
}

/// Sends what is left after the first bytes. Who is told how far a call came is sent no signal.
fn rest(
    wait: &mut Wait,
    sent: usize,
    length: usize,
    flags: c_int,
    mut part: impl FnMut(usize, c_int) -> Result,
) -> Result {
    if sent == 0 {
        return Ok(0);
    }
    let flags = flags & !libc::MSG_FASTOPEN | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    wait.rest(sent, length, |done| part(done, flags))
}

/// Sends what is left of a message whose first bytes the kernel has taken.
///
/// The header and what it points to are libc's caller's, who answers for them.
pub(crate) fn rest_of_message(
    wait: &mut Wait,
    fd: c_int,
    header: &msghdr,
    sent: usize,
    flags: c_int,
) -> Result {
    // SAFETY: the header's parts are valid while the call lasts.
    let Some(parts) = (unsafe { Parts::new(header.msg_iov, header.msg_iovlen as c_int) }) else {
        return Ok(sent);
    };
    rest(wait, sent, parts.length(), flags, |done, flags| {
        parts.after(done, |rest, count| {
            let mut tail = *header;
            // Descriptors went with the first bytes. All else is said of each byte.
            if control(header, libc::SCM_RIGHTS).is_some() {
                tail.msg_control = ptr::null_mut();
                tail.msg_controllen = 0;
            }
            tail.msg_iov = rest.cast_mut();
            tail.msg_iovlen = count;
            // SAFETY: the rest of the caller's parts.
            unsafe { syscall!(SYS_sendmsg, fd, ptr::from_ref(&tail), flags) }
        })
    })
}

/// How many bytes a message has that the kernel has read.
pub(crate) fn length_of(header: &msghdr) -> usize {
    // SAFETY: the header's parts are valid while the call lasts.
    let parts = unsafe { Parts::new(header.msg_iov, header.msg_iovlen as c_int) };
    parts.map_or(0, Parts::length)
}

/// Writes to any fd.
unsafe fn write_parts(
    here: Here,
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    may_be_empty: bool,
) -> Green {
    // SAFETY: libc's caller answers for the parts.
    let Some(all) = (unsafe { Parts::new(parts, count) }) else { return Green::Pass };
    // Unlike `write`, `writev` sends no message that is empty.
    if file::is_standard(fd) || (all.length() == 0 && !may_be_empty) {
        return Green::Pass;
    }
    // SAFETY: all zeroes is a message header without name, control and parts.
    let mut message: msghdr = unsafe { mem::zeroed() };
    message.msg_iov = parts.cast_mut();
    message.msg_iovlen = count as usize;
    let mut wait = Wait::new(here, fd, Interest::Write);
    // SAFETY: the caller's parts.
    let send = |flags| unsafe { syscall!(SYS_sendmsg, fd, ptr::from_ref(&message), flags) };
    match first(&mut wait, fd, 0, send) {
        Err(Errno::NOTSOCK) => {}
        sent => {
            let rest = |sent| rest_of_message(&mut wait, fd, &message, sent, 0);
            return sent.and_then(rest).into();
        }
    }
    if !file::can_wait(fd) {
        return Green::Pass;
    }
    let now = |parts: *const iovec, count: usize| {
        // SAFETY: the caller's parts, or the rest of them; -1 is the file's own place.
        unsafe { syscall!(SYS_pwritev2, fd, parts, count, -1isize, 0usize, libc::RWF_NOWAIT) }
    };
    match wait.until_all(all.length(), |done| all.after(done, now)) {
        Err(Errno::OPNOTSUPP) => {}
        done => return done.into(),
    }
    // The file knows no such flag. Then `poll` is believed, which of a pipe with a name tells that there is room for a
    // page: a write of more would wait in the kernel.
    let most = if file::is_pipe(fd) { libc::PIPE_BUF } else { usize::MAX };
    let after_look = |done| match file::is_ready(fd, Interest::Write, Duration::ZERO)? {
        true => all.within(done, most, |parts, count| {
            // SAFETY: as above.
            unsafe { syscall!(SYS_writev, fd, parts, count) }
        }),
        false => Err(Errno::AGAIN),
    };
    wait.until_all(all.length(), after_look).into()
}
