//! The calls that close: whoever waits for the fd on a hub is told before.
//!
//! They do so on every OS thread, and in no other way differ from libc's. `shutdown` needs no word: the
//! kernel wakes whoever waits. `dup` and its kind make a number mean a file, which the hub sees by itself.
//!
//! # Safety
//!
//! Numbers are passed on to the kernel.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint};

use greenroom::foreign::{Closing, about_to_close, is_awaited};

use crate::file;

hooks! {
    fn close(fd: c_int) -> c_int {
        also __close,
        before about_to_close(fd..=fd),
        else syscall!(SYS_close, fd)
    }

    fn dup2(old: c_int, new: c_int) -> c_int {
        also __dup2,
        before replaces(old, new),
        else if old == new { file::is_nonblocking(old).map(|_| new as usize) } else { syscall!(SYS_dup3, old, new, 0) }
    }

    fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
        before if flags & !libc::O_CLOEXEC == 0 { replaces(old, new) } else { None },
        else syscall!(SYS_dup3, old, new, flags)
    }

    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
        before closes(first, last, flags).then(|| about_to_close(number(first)..=number(last))),
        else syscall!(SYS_close_range, first, last, flags)
    }

    fn closefrom(first: c_int) -> () {
        before about_to_close(first..=c_int::MAX),
        else syscall!(SYS_close_range, first.max(0), c_uint::MAX, 0)
    }
}

/// The number `new` is about to mean another file; unless nothing comes of it.
fn replaces(old: c_int, new: c_int) -> Option<Closing> {
    let is_done = old != new && (!is_awaited(&(new..=new)) || file::is_open(old));
    is_done.then(|| about_to_close(new..=new))
}

/// Not if the range is to be closed by `exec` only, or is refused.
fn closes(first: c_uint, last: c_uint, flags: c_int) -> bool {
    first <= last && flags & !(libc::CLOSE_RANGE_UNSHARE as c_int) == 0
}

fn number(fd: c_uint) -> c_int {
    c_int::try_from(fd).unwrap_or(c_int::MAX)
}
