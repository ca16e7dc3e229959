//! `poll` and its kind.
//!
//! # Safety
//!
//! The caller's array is read here only when the kernel has answered a question in it. A time is read where the
//! caller says it is, as libc's own function does.

#![allow(unsafe_code)]

use std::{ffi::c_int, mem::size_of, process, ptr, slice, time::Duration};

use greenroom::{Instant, foreign::Here};
use libc::{nfds_t, pollfd, sigset_t, size_t, timespec};

use crate::{
    hook::Green,
    mask::{MASK_BYTES, Mask},
    multiplex::{Question, only_look, until_answered},
    raw::Result,
    set::Member,
    sleep::duration,
};

hooks! {
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        green(here) { poll_for(here, fds, count, timeout) }
        else poll_in_kernel(fds, count, timeout)
    }

    fn __poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        green(here) { poll_for(here, fds, count, timeout) }
        else poll_in_kernel(fds, count, timeout)
    }

    fn ppoll(
        fds: *mut pollfd,
        count: nfds_t,
        time: *const timespec,
        mask: *const sigset_t,
    ) -> c_int {
        green(here) { poll_by_time(here, fds, count, time, mask) }
        else ppoll_in_kernel(fds, count, time, mask)
    }

    // What a compiler makes of the same calls where it knows how long the array is.

    fn __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, bytes: size_t) -> c_int {
        green(here) {
            if fits(count, bytes) { poll_for(here, fds, count, timeout) } else { Green::Pass }
        }
        else {
            abort_unless(fits(count, bytes));
            poll_in_kernel(fds, count, timeout)
        }
    }

    fn __ppoll_chk(
        fds: *mut pollfd,
        count: nfds_t,
        time: *const timespec,
        mask: *const sigset_t,
        bytes: size_t,
    ) -> c_int {
        green(here) {
            if fits(count, bytes) { poll_by_time(here, fds, count, time, mask) } else { Green::Pass }
        }
        else {
            abort_unless(fits(count, bytes));
            ppoll_in_kernel(fds, count, time, mask)
        }
    }
}

fn fits(count: nfds_t, bytes: size_t) -> bool {
    count <= (bytes / size_of::<pollfd>()) as nfds_t
}

/// glibc's own would end the process here, with a word of its own.
fn abort_unless(fits: bool) {
    if !fits {
        process::abort();
    }
}

struct Poll {
    fds: *mut pollfd,
    count: nfds_t,
    mask: Mask,
}

impl Question for Poll {
    fn look(&mut self, time: Duration) -> Result {
        let time = timespec_of(time);
        // SAFETY: libc's caller answers for the array and the mask.
        unsafe { ppoll_in_kernel(self.fds, self.count, &raw const time, self.mask.0) }
    }

    fn members(&self) -> Vec<Member> {
        if self.count == 0 {
            return Vec::new();
        }
        // SAFETY: the kernel was there, and has found so many.
        let fds = unsafe { slice::from_raw_parts(self.fds, self.count as usize) };
        fds.iter().map(|ask| Member { fd: ask.fd, events: (ask.events & EVENTS) as u32 }).collect()
    }

    fn is_masked(&self) -> bool {
        !self.mask.is_none()
    }

    fn signals(&self) -> u64 {
        // SAFETY: a look was answered, so the kernel has read the mask.
        unsafe { self.mask.admits() }
    }
}

/// What one may ask about. Other bits of an `events` mean nothing, or something else to epoll.
const EVENTS: i16 = libc::POLLIN
    | libc::POLLPRI
    | libc::POLLOUT
    | libc::POLLRDNORM
    | libc::POLLRDBAND
    | libc::POLLWRNORM
    | libc::POLLWRBAND
    | libc::EPOLLMSG as i16
    | libc::POLLRDHUP;

unsafe fn poll_for(here: Here, fds: *mut pollfd, count: nfds_t, timeout: c_int) -> Green {
    if timeout == 0 {
        return only_look(here, &mut Poll { fds, count, mask: Mask::NONE });
    }
    // All that is negative is for ever.
    let time = u64::try_from(timeout).ok().map(Duration::from_millis);
    let deadline = time.map(|time| Instant::now() + time);
    until_answered(here, &mut Poll { fds, count, mask: Mask::NONE }, deadline)
}

unsafe fn poll_by_time(
    here: Here,
    fds: *mut pollfd,
    count: nfds_t,
    time: *const timespec,
    mask: *const sigset_t,
) -> Green {
    let deadline = match (!time.is_null()).then(|| duration(time)) {
        None => None,
        Some(Ok(Duration::ZERO)) => {
            return only_look(here, &mut Poll { fds, count, mask: Mask(mask) });
        }
        // What is no time is for the kernel to refuse.
        Some(Err(_)) => return Green::Pass,
        Some(Ok(time)) => Some(Instant::now() + time),
    };
    until_answered(here, &mut Poll { fds, count, mask: Mask(mask) }, deadline)
}

unsafe fn poll_in_kernel(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> Result {
    let time = u64::try_from(timeout).ok().map(|ms| timespec_of(Duration::from_millis(ms)));
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the caller answers for the array.
    unsafe { ppoll_in_kernel(fds, count, time, ptr::null()) }
}

unsafe fn ppoll_in_kernel(
    fds: *mut pollfd,
    count: nfds_t,
    time: *const timespec,
    mask: *const sigset_t,
) -> Result {
    // The kernel writes back how much time was left, which is not the caller's to see.
    // SAFETY: null, or a time.
    let mut time = (!time.is_null()).then(|| unsafe { *time });
    let time = time.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    // SAFETY: the caller answers for the array and the mask.
    unsafe { syscall!(SYS_ppoll, fds, count as usize, time, mask, MASK_BYTES) }
}

pub(crate) fn timespec_of(time: Duration) -> timespec {
    timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
