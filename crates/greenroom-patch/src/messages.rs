//! The calls that move several messages at once.
//!
//! # Safety
//!
//! Pointers are passed on to the kernel as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_uint},
    ptr,
    time::Duration,
};

use greenroom::{Instant, foreign::Here, io::Interest};
use libc::{mmsghdr, timespec};

use crate::{file, hook::Green, poll::timespec_of, receive, send, sleep::duration, wait::Wait};

hooks! {
    fn recvmmsg(
        fd: c_int,
        messages: *mut mmsghdr,
        count: c_uint,
        flags: c_int,
        timeout: *mut timespec,
    ) -> c_int {
        green(here) { receive_messages(here, fd, messages, count, flags, timeout) }
        else syscall!(SYS_recvmmsg, fd, messages, count, flags, timeout)
    }

    fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int {
        green(here) { send_messages(here, fd, messages, count, flags) }
        else syscall!(SYS_sendmmsg, fd, messages, count, flags)
    }
}

/// Waits for all messages, or with `MSG_WAITFORONE` for the first. As in the kernel, the timeout is looked at
/// after each message and ends no wait, and the socket's own is one for each message.
unsafe fn receive_messages(
    here: Here,
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    timeout: *mut timespec,
) -> Green {
    let never_waits = libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE;
    if file::is_standard(fd) || flags & never_waits != 0 || messages.is_null() {
        return Green::Pass;
    }
    let begin = Instant::now();
    let limit = match timeout.is_null() {
        true => None,
        false => match duration(timeout) {
            Ok(limit) => Some(limit),
            Err(errno) => return Err(errno).into(),
        },
    };
    let left_of = |limit: Duration| limit.saturating_sub(begin.elapsed());
    let is_over = || limit.is_some_and(|limit| left_of(limit).is_zero());
    let first_only = flags & libc::MSG_WAITFORONE != 0;
    let fills = flags & libc::MSG_WAITALL != 0 && count > 0 && file::is_stream(fd);
    let mut received = 0;
    loop {
        let rest = messages.wrapping_add(received);
        let left = count as usize - received;
        let now = |flags| {
            // An error that comes after a message is left at the socket, for the next call to tell.
            if received > 0 && file::has_error(fd) {
                return Ok(0);
            }
            let mut time = limit.map(|limit| timespec_of(left_of(limit)));
            let time = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
            // SAFETY: libc's caller answers for so many messages; the time is ours.
            unsafe { syscall!(SYS_recvmmsg, fd, rest, left, flags, time) }
        };
        let more = if fills {
            // SAFETY: not null, and libc's caller answers for it.
            let message = unsafe { &mut *rest };
            receive::fill(here, fd, &mut message.msg_hdr, flags).map(|length| {
                message.msg_len = length as c_uint;
                1
            })
        } else {
            let now = receive::end_of_messages(fd, flags, now);
            Wait::new(here, fd, Interest::Read).until_done(now)
        };
        match more {
            Ok(0) => break,
            Ok(more) => received += more,
            Err(errno) if received == 0 => return Err(errno).into(),
            Err(_) => break,
        }
        if received >= count as usize || first_only || is_over() {
            break;
        }
    }
    if let Some(limit) = limit
        && received > 0
    {
        write_rest(timeout, left_of(limit));
    }
    Ok(received).into()
}

/// The kernel leaves what is left of a timeout.
fn write_rest(timeout: *mut timespec, rest: Duration) {
    // SAFETY: libc's caller passed it to be read and written, and it was read.
    let timeout = unsafe { &mut *timeout };
    timeout.tv_sec = rest.as_secs().cast_signed();
    timeout.tv_nsec = rest.subsec_nanos().into();
}

/// The kernel takes so many messages at once (`UIO_MAXIOV`).
const MESSAGES_MAX: usize = 1024;

/// Whether the message after those that were sent met an error, and not a want of room. It was told to nobody then, as
/// the kernel does it. (A Unix socket's error is there at the next try as well.)
fn was_error(fd: c_int) -> bool {
    !file::is_stream(fd)
        && file::Errors::of(fd) == file::Errors::Kept
        && file::is_ready(fd, Interest::Write, Duration::ZERO) != Ok(false)
}

/// Sends all messages. One of a stream that found room for a part of itself is sent to its end before the next;
/// if that fails it is the last.
unsafe fn send_messages(
    here: Here,
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Green {
    if file::is_standard(fd) || flags & libc::MSG_DONTWAIT != 0 {
        return Green::Pass;
    }
    let count = MESSAGES_MAX.min(count as usize);
    let mut sent = 0;
    loop {
        // Each message has the socket's time for itself.
        let mut wait = Wait::new(here, fd, Interest::Write);
        let (next, left) = (messages.wrapping_add(sent), count - sent);
        // SAFETY: libc's caller answers for so many messages.
        let now = |flags| unsafe { syscall!(SYS_sendmmsg, fd, next, left, flags) };
        match send::first(&mut wait, fd, flags, now) {
            Ok(0) => break,
            Ok(more) => sent += more,
            Err(errno) if sent == 0 => return Err(errno).into(),
            Err(_) => break,
        }
        // SAFETY: the kernel has read and written this one.
        let last = unsafe { &mut *messages.wrapping_add(sent - 1) };
        let begun = last.msg_len as usize;
        let length = send::rest_of_message(&mut wait, fd, &last.msg_hdr, begun, flags);
        let length = length.unwrap_or(begun);
        last.msg_len = length as c_uint;
        if sent >= count || length < send::length_of(&last.msg_hdr) || was_error(fd) {
            break;
        }
    }
    Ok(sent).into()
}
