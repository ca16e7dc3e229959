//! The calls that move bytes between two fds inside the kernel.
//!
//! # Safety
//!
//! Pointers are read and written as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    cell::Cell,
    ffi::{c_int, c_uint},
    os::fd::RawFd,
    time::Duration,
};

use greenroom::{foreign::Here, io::Interest};
use libc::{c_void, loff_t, off_t, size_t, ssize_t};

use crate::{
    file,
    hook::Green,
    raw::{Errno, Result},
    wait::Wait,
};

hooks! {
    fn sendfile(out: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
        green(here) { send_file(here, out, from, offset, count) }
        else syscall!(SYS_sendfile, out, from, offset, count)
    }

    fn sendfile64(out: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
        green(here) { send_file(here, out, from, offset, count) }
        else syscall!(SYS_sendfile, out, from, offset, count)
    }

    fn splice(
        from: c_int,
        from_offset: *mut loff_t,
        to: c_int,
        to_offset: *mut loff_t,
        count: size_t,
        flags: c_uint,
    ) -> ssize_t {
        green(here) { splice_green(here, [from, to], [from_offset, to_offset], count, flags) }
        else syscall!(SYS_splice, from, from_offset, to, to_offset, count, flags)
    }
}

/// So many bytes are on their way from a file to a socket at once.
const CHUNK: usize = 64 << 10;

/// `sendfile` has no flag by which it would not wait for room. So what goes to a socket is read and
/// sent: one copy more, and nothing of the file is passed by.
unsafe fn send_file(
    here: Here,
    out: RawFd,
    from: RawFd,
    offset: *mut off_t,
    count: size_t,
) -> Green {
    let both_wait = file::is_standard(out) || !file::is_stream(out) || file::can_wait(from);
    if both_wait || file::is_nonblocking(out) != Ok(false) {
        return Green::Pass;
    }
    // A file of its own place is read at that place, which moves on by what was sent.
    let begin = match offset.is_null() {
        // SAFETY: asks for a place.
        true => unsafe { syscall!(SYS_lseek, from, 0, libc::SEEK_CUR) }.map(|at| at as off_t),
        // SAFETY: not null, and libc's caller passed it to be read and written.
        false => Ok(unsafe { *offset }),
    };
    let Ok(begin) = begin else { return Green::Pass };
    let mut wait = Wait::blocking(here, out, Interest::Write);
    let sent = copy(&mut wait, out, from, begin, count);
    if let Ok(sent) = sent {
        let end = begin + sent as off_t;
        if offset.is_null() {
            // SAFETY: sets the place of an open file.
            let _ = unsafe { syscall!(SYS_lseek, from, end, libc::SEEK_SET) };
        } else {
            // SAFETY: as above.
            unsafe { *offset = end };
        }
    }
    sent.into()
}

fn copy(wait: &mut Wait, out: RawFd, from: RawFd, begin: off_t, count: usize) -> Result {
    let mut buffer = vec![0u8; count.min(CHUNK)];
    let mut sent = 0;
    while sent < count {
        let want = buffer.len().min(count - sent);
        let at = begin + sent as off_t;
        // SAFETY: as long as the buffer is.
        let read = unsafe { syscall!(SYS_pread64, from, buffer.as_mut_ptr(), want, at) };
        let length = match read {
            Ok(0) => break,
            Ok(length) => length,
            Err(_) if sent > 0 => break,
            Err(errno) => return Err(errno),
        };
        let more = if length == want && sent + length < count { libc::MSG_MORE } else { 0 };
        let part = |done: usize| {
            let rest = buffer[done..length].as_ptr().cast::<c_void>();
            let flags = libc::MSG_DONTWAIT | more;
            // SAFETY: inside the buffer.
            unsafe { syscall!(SYS_sendto, out, rest, length - done, flags, 0usize, 0usize) }
        };
        match wait.until_all(length, part) {
            Ok(part) => {
                sent += part;
                if part < length {
                    break;
                }
            }
            Err(_) if sent > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(sent)
}

/// The flag of `splice` by which it does not wait counts for the pipe, and not for a socket on the other side.
/// So both are looked at before.
unsafe fn splice_green(
    here: Here,
    [from, to]: [RawFd; 2],
    [from_offset, to_offset]: [*mut loff_t; 2],
    count: size_t,
    flags: c_uint,
) -> Green {
    let standard = file::is_standard(from) || file::is_standard(to);
    if standard || count == 0 || flags & libc::SPLICE_F_NONBLOCK != 0 {
        return Green::Pass;
    }
    let ends = [(from, Interest::Read), (to, Interest::Write)];
    let not_ready = Cell::new(None);
    let splice = || {
        // Of one that is no file, the wait says so.
        let is_late = |&(fd, interest)| file::is_ready(fd, interest, Duration::ZERO) != Ok(true);
        not_ready.set(ends.iter().position(is_late));
        if not_ready.get().is_some() {
            return Err(Errno::AGAIN);
        }
        let flags = flags | libc::SPLICE_F_NONBLOCK;
        // SAFETY: libc's caller answers for the offsets.
        unsafe { syscall!(SYS_splice, from, from_offset, to, to_offset, count, flags) }
    };
    let mut waits = ends.map(|(fd, interest)| Wait::new(here, fd, interest));
    // If both are ready, another was faster, or there is less room than the call wants.
    let wait = |whole: &mut Wait| match not_ready.get() {
        Some(place) => waits[place].once(),
        None => whole.pause(),
    };
    Wait::new(here, to, Interest::Write).until_done_by(splice, wait).into()
}
