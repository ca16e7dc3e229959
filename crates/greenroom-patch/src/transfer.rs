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
    wait::{BYTES_MAX, Wait},
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

unsafe fn send_file(
    here: Here,
    out: RawFd,
    from: RawFd,
    offset: *mut off_t,
    count: size_t,
) -> Green {
    // Too large a number is for the kernel to refuse.
    let is_something = 0 < count && count <= isize::MAX as usize;
    let is_standard = file::is_standard(out);
    if is_standard
        || !is_something
        || file::can_wait(from)
        || file::is_nonblocking(out) != Ok(false)
    {
        return Green::Pass;
    }
    if file::is_stream(out) {
        return to_socket(here, out, from, offset, count);
    }
    if !file::is_pipe(out) {
        return Green::Pass;
    }
    let now = || {
        let flags = libc::SPLICE_F_NONBLOCK;
        // SAFETY: libc's caller answers for the offset, and a pipe has none.
        unsafe { syscall!(SYS_splice, from, offset, out, 0usize, count, flags) }
    };
    Wait::new(here, out, Interest::Write).until_done(now).into()
}

/// `sendfile` has no flag by which it would not wait for room. So what goes to a socket is read and
/// sent: one copy more, and nothing of the file is passed by.
fn to_socket(here: Here, out: RawFd, from: RawFd, offset: *mut off_t, count: size_t) -> Green {
    // A file of its own place is read at that place, which moves on by what was sent.
    let begin = match offset.is_null() {
        // SAFETY: asks for a place.
        true => unsafe { syscall!(SYS_lseek, from, 0, libc::SEEK_CUR) }.map(|at| at as off_t),
        // SAFETY: not null, and libc's caller passed it to be read and written.
        false => Ok(unsafe { *offset }),
    };
    let Ok(begin) = begin else { return Green::Pass };
    let sent = copy(here, out, from, begin, count.min(BYTES_MAX));
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

fn copy(here: Here, out: RawFd, from: RawFd, begin: off_t, count: usize) -> Result {
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
            // Of a folder, this call has another word for that.
            Err(Errno(libc::EISDIR)) => return Err(Errno::INVAL),
            Err(errno) => return Err(errno),
        };
        let more = if length == want && sent + length < count { libc::MSG_MORE } else { 0 };
        let part = |done: usize| {
            let rest = buffer[done..length].as_ptr().cast::<c_void>();
            let flags = libc::MSG_DONTWAIT | more;
            // SAFETY: inside the buffer.
            unsafe { syscall!(SYS_sendto, out, rest, length - done, flags, 0usize, 0usize) }
        };
        // The socket's time to send is that of each chunk, as in the kernel.
        match Wait::new(here, out, Interest::Write).until_all(length, part) {
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

/// So many bytes a stream socket surely takes without waiting when `poll` finds room.
const PIECE: usize = 2048;

/// The flag of `splice` by which it does not wait counts for the pipe, and not for a socket on the other side.
/// So both are looked at before; and a socket is given no more at once than it has room for.
unsafe fn splice_green(
    here: Here,
    [from, to]: [RawFd; 2],
    [from_offset, to_offset]: [*mut loff_t; 2],
    count: size_t,
    flags: c_uint,
) -> Green {
    let waits = flags & !FLAGS == 0 && flags & libc::SPLICE_F_NONBLOCK == 0 && count > 0;
    // Nothing that can wait has places, and the kernel refuses to be told one.
    let has_place = |fd, offset: *mut loff_t| offset.is_null() || !file::can_wait(fd);
    let makes_sense = (file::is_pipe(from) || file::is_pipe(to))
        && has_place(from, from_offset)
        && has_place(to, to_offset);
    let standard = file::is_standard(from) || file::is_standard(to);
    if standard || !waits || !makes_sense || !file::lead_on(from, to) {
        return Green::Pass;
    }
    // Between pipes, the mode of each counts for both.
    let ends = [from, to];
    if ends.into_iter().all(file::is_pipe)
        && ends.into_iter().any(|fd| file::is_nonblocking(fd) != Ok(false))
    {
        return Green::Pass;
    }
    let flags = flags | libc::SPLICE_F_NONBLOCK;
    let piece = if file::is_stream(to) { PIECE } else { count };
    let mut moved = 0;
    loop {
        let piece = piece.min(count - moved);
        let step = both_ready(here, [from, to], || {
            // SAFETY: libc's caller answers for the offsets.
            unsafe { syscall!(SYS_splice, from, from_offset, to, to_offset, piece, flags) }
        });
        match step {
            Err(errno) if moved == 0 => return Err(errno).into(),
            Ok(more) if more > 0 => moved += more,
            _ => break,
        }
        let is_done = moved >= count || !file::is_stream(to);
        if is_done || file::is_ready(from, Interest::Read, Duration::ZERO) != Ok(true) {
            break;
        }
    }
    Ok(moved).into()
}

/// The flags that `splice` knows.
const FLAGS: c_uint =
    libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MORE | libc::SPLICE_F_GIFT;

/// Waits until one can be read and the other written, in the same moment, and then moves bytes.
fn both_ready(here: Here, [from, to]: [RawFd; 2], mut splice: impl FnMut() -> Result) -> Result {
    let ends = [(from, Interest::Read), (to, Interest::Write)];
    let not_ready = Cell::new(None);
    let step = || {
        // Of one that is no file, the wait says so.
        let is_late = |&(fd, interest)| {
            let is_at_end =
                || interest == Interest::Read && file::is_pipe(fd) && file::has_no_writer(fd);
            file::is_ready(fd, interest, Duration::ZERO) != Ok(true) && !is_at_end()
        };
        not_ready.set(ends.iter().position(is_late));
        if not_ready.get().is_some() { Err(Errno::AGAIN) } else { splice() }
    };
    let mut waits = ends.map(|(fd, interest)| Wait::new(here, fd, interest));
    // If both are ready, another was faster, or there is less room than the call wants.
    let wait = |whole: &mut Wait| match not_ready.get() {
        Some(place) => waits[place].once(),
        None => whole.pause(),
    };
    Wait::new(here, to, Interest::Write).until_done_by(step, wait)
}
