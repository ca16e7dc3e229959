//! The calls that make connections.
//!
//! Neither `accept` nor `connect` knows a flag by which one call would not wait. So the open file is
//! made non-blocking for the length of the call, once nothing is known to keep it from answering at once. Others who use
//! the same file at that moment may hear "would block" where they would have waited: in this process
//! they call again, for they too come through here, and wait for the moment to be over.
//!
//! # Safety
//!
//! Pointers are passed on to the kernel as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    cell::Cell,
    ffi::c_int,
    os::fd::RawFd,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use greenroom::{foreign::Here, io::Interest};
use libc::{sockaddr, socklen_t};

use crate::{
    file,
    hook::{self, Green},
    raw::{Errno, Result},
    wait::Wait,
};

hooks! {
    fn accept(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int {
        green(here) { accept_green(here, fd, address, length, 0) }
        else syscall!(SYS_accept4, fd, address, length, 0),
        again was_moment(fd, Interest::Read)
    }

    fn accept4(
        fd: c_int,
        address: *mut sockaddr,
        length: *mut socklen_t,
        flags: c_int,
    ) -> c_int {
        green(here) { accept_green(here, fd, address, length, flags) }
        else syscall!(SYS_accept4, fd, address, length, flags),
        again was_moment(fd, Interest::Read)
    }

    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
        also __connect,
        green(here) { connect_green(here, fd, address, length) }
        else syscall!(SYS_connect, fd, address, length)
    }
}

/// Which process has an open file in a mode that is not its user's; zero is none.
static MOMENT: AtomicU32 = AtomicU32::new(0);

/// How many such moments have begun.
static MOMENTS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// This OS thread has the turn, or takes it.
    static HAS_TURN: Cell<bool> = const { Cell::new(false) };
    /// How many moments had begun when it was last told to make a call again.
    static MOMENTS_MET: Cell<u32> = const { Cell::new(0) };
}

/// The turn of one OS thread to have a file in another mode. It is three system calls long, without a switch.
struct Turn {
    is_ours: bool,
}

impl Turn {
    /// Waits until nobody else has it. Who finds that its own OS thread has it is a handler of a signal that has
    /// interrupted the holder, and cannot wait for that.
    fn take() -> Turn {
        if HAS_TURN.replace(true) {
            return Turn { is_ours: false };
        }
        // SAFETY: has no conditions.
        let me = unsafe { syscall!(SYS_getpid) }.map_or(u32::MAX, |process| process as u32);
        loop {
            let holder = MOMENT.load(Ordering::Relaxed);
            // Another process's: the thread that would end it was not forked along.
            let is_free = holder == 0 || holder != me;
            if is_free
                && MOMENT.compare_exchange(holder, me, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return Turn { is_ours: true };
            }
            // SAFETY: has no conditions.
            let _ = unsafe { syscall!(SYS_sched_yield) };
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_ours {
            MOMENT.store(0, Ordering::Release);
            HAS_TURN.set(false);
        }
    }
}

/// The time in which a file is non-blocking that its user wants to block.
struct Moment {
    fd: RawFd,
    mode: usize,
    /// Until the mode is set back, which comes first.
    _turn: Turn,
}

impl Moment {
    /// `None` if the user wants the file non-blocking.
    fn begin(fd: RawFd) -> Result<Option<Moment>> {
        let turn = Turn::take();
        MOMENTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: reads and sets flags of an open file, if it is one.
        unsafe {
            let mode = syscall!(SYS_fcntl, fd, libc::F_GETFL, 0usize)?;
            if mode & libc::O_NONBLOCK as usize != 0 {
                return Ok(None);
            }
            syscall!(SYS_fcntl, fd, libc::F_SETFL, mode | libc::O_NONBLOCK as usize)?;
            Ok(Some(Moment { fd, mode, _turn: turn }))
        }
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        // SAFETY: sets flags of an open file, if it still is one.
        let _ = unsafe { syscall!(SYS_fcntl, self.fd, libc::F_SETFL, self.mode) };
    }
}

/// Whether a call that failed met such a moment of somebody else's, and is to be made again.
#[cold]
fn was_moment(fd: RawFd, interest: Interest) -> bool {
    if hook::errno() != Errno::AGAIN || file::timeout(fd, interest).is_some() {
        return false;
    }
    if users_wish(fd) != Ok(false) {
        return false;
    }
    // All moments that the call can have met are over. If none has begun since the last time, it failed by itself: a
    // file may have no time to wait at all, which the kernel does not tell from one without a limit.
    let moments = MOMENTS.load(Ordering::Relaxed);
    MOMENTS_MET.replace(moments) != moments
}

/// Whether the user wants the file non-blocking, whatever the moment makes of it.
fn users_wish(fd: RawFd) -> Result<bool> {
    let _turn = Turn::take();
    file::is_nonblocking(fd)
}

unsafe fn accept_green(
    here: Here,
    fd: RawFd,
    address: *mut sockaddr,
    length: *mut socklen_t,
    flags: c_int,
) -> Green {
    let is_refused = flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) != 0;
    if is_refused || !file::is_listening(fd) {
        return Green::Pass;
    }
    if file::is_standard(fd) || users_wish(fd) != Ok(false) {
        return Green::Pass;
    }
    let accept = || {
        if !file::is_ready(fd, Interest::Read, Duration::ZERO)? {
            return Err(Errno::AGAIN);
        }
        // SAFETY: libc's caller answers for where the address is to be written.
        let now = || unsafe { syscall!(SYS_accept4, fd, address, length, flags) };
        // Between the look and the call another may be faster, and then the call would wait.
        let moment = Moment::begin(fd)?;
        let accepted = now();
        drop(moment);
        // A Unix socket that was shut down says so only to a call that waits, and at once.
        if accepted == Err(Errno::AGAIN) && file::is_shut(fd) { now() } else { accepted }
    };
    Wait::blocking(here, fd, Interest::Read).until_done(accept).into()
}

unsafe fn connect_green(
    here: Here,
    fd: RawFd,
    address: *const sockaddr,
    length: socklen_t,
) -> Green {
    if file::is_standard(fd) || !file::can_connect_later(fd) || users_wish(fd) != Ok(false) {
        return Green::Pass;
    }
    let is_under_way = Cell::new(false);
    let attempt = || {
        let _moment = Moment::begin(fd)?;
        // SAFETY: libc's caller answers for the address.
        match unsafe { syscall!(SYS_connect, fd, address, length) } {
            // Asked once more, the kernel tells how the attempt ended, and settles it.
            Err(Errno(libc::EINPROGRESS | libc::EALREADY)) => {
                is_under_way.set(true);
                Err(Errno::AGAIN)
            }
            Err(Errno(libc::EISCONN)) if is_under_way.get() => Ok(0),
            done => done,
        }
    };
    // If it was not begun, the other's queue is full, of which our fd's readiness tells nothing.
    let wait = |wait: &mut Wait| if is_under_way.get() { wait.once() } else { wait.pause() };
    match Wait::blocking(here, fd, Interest::Write).until_done_by(attempt, wait) {
        Err(Errno::AGAIN) if is_under_way.get() => Err(Errno(libc::EINPROGRESS)).into(),
        done => done.into(),
    }
}
