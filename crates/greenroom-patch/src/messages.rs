//! The calls that move several messages at once.
//!
//! # Safety
//!
//! Pointers are passed on to the kernel as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_uint},
    time::Duration,
};

use greenroom::{Instant, foreign::Here, io::Interest};
use libc::{mmsghdr, timespec};

use crate::{file, hook::Green, sleep::duration, wait::Wait};

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
/// after each message and ends no wait.
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
    let is_over = || limit.is_some_and(|limit| begin.elapsed() >= limit);
    let first_only = flags & libc::MSG_WAITFORONE != 0;
    let part = |done: usize| {
        if done > 0 && (first_only || is_over()) {
            return Ok(0);
        }
        let rest = messages.wrapping_add(done);
        let flags = flags | libc::MSG_DONTWAIT;
        let left = count as usize - done;
        // SAFETY: libc's caller answers for so many messages.
        unsafe { syscall!(SYS_recvmmsg, fd, rest, left, flags, 0usize) }
    };
    let received = Wait::new(here, fd, Interest::Read).until_all(count as usize, part);
    if let (Ok(_), Some(limit)) = (received, limit) {
        write_rest(timeout, limit.saturating_sub(begin.elapsed()));
    }
    received.into()
}

/// The kernel leaves what is left of a timeout.
fn write_rest(timeout: *mut timespec, rest: Duration) {
    // SAFETY: libc's caller passed it to be read and written, and it was read.
    let timeout = unsafe { &mut *timeout };
    timeout.tv_sec = rest.as_secs().cast_signed();
    timeout.tv_nsec = rest.subsec_nanos().into();
}

/// A message of a stream that found room for a part of itself is sent to its end before the next.
unsafe fn send_messages(
    here: Here,
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> Green {
    if file::is_standard(fd) || flags & libc::MSG_DONTWAIT != 0 || messages.is_null() {
        return Green::Pass;
    }
    let mut wait = Wait::new(here, fd, Interest::Write);
    let mut sent = 0;
    while sent < count as usize {
        // SAFETY: libc's caller answers for so many messages.
        let message = unsafe { &mut *messages.wrapping_add(sent) };
        match crate::send::message(&mut wait, fd, &message.msg_hdr, flags) {
            Some(Ok(length)) => message.msg_len = length as c_uint,
            Some(Err(errno)) if sent == 0 => return Err(errno).into(),
            None if sent == 0 => return Green::Pass,
            Some(Err(_)) | None => break,
        }
        sent += 1;
    }
    Ok(sent).into()
}
