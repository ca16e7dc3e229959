//! The calls that wait for children. Each looks, as a call that does not wait; where there is nothing to see
//! its green thread waits until there may be, and looks again.
//!
//! So what is reported, written and reaped is the kernel's doing, in one call of the OS thread that
//! asks; a waiter who is stopped has reaped nobody. Knows options by name, and not how to hear of a change.
//!
//! # Safety
//!
//! Pointers are passed on to the kernel as libc's caller gave them.

#![allow(unsafe_code)]

mod change;

use std::{
    ffi::c_int,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use greenroom::foreign::Here;
use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};
use rustix::io::fcntl_dupfd_cloexec;

use crate::{
    children::change::{Change, Whose},
    file,
    hook::Green,
    raw::Errno,
    wait,
};

hooks! {
    fn wait(status: *mut c_int) -> pid_t {
        green(here) { wait_for(here, ANY, status, 0, NO_USAGE) }
        else syscall!(SYS_wait4, ANY, status, 0, NO_USAGE)
    }

    fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
        green(here) { wait_for(here, pid, status, options, NO_USAGE) }
        else syscall!(SYS_wait4, pid, status, options, NO_USAGE)
    }

    fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
        green(here) { wait_for(here, ANY, status, options, usage) }
        else syscall!(SYS_wait4, ANY, status, options, usage)
    }

    fn wait4(pid: pid_t, status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t {
        green(here) { wait_for(here, pid, status, options, usage) }
        else syscall!(SYS_wait4, pid, status, options, usage)
    }

    fn waitid(which: idtype_t, id: id_t, info: *mut siginfo_t, options: c_int) -> c_int {
        green(here) { wait_by_id(here, which, id, info, options) }
        else syscall!(SYS_waitid, which, id, info, options, NO_USAGE)
    }

    // The same by the names that glibc itself uses: in a static program within `system` and `posix_spawn`,
    // which block signals meanwhile, so that nobody else may run.

    #[cfg(not(target_feature = "crt-static"))]
    fn __wait(status: *mut c_int) -> pid_t {
        green(here) { wait_for(here, ANY, status, 0, NO_USAGE) }
        else syscall!(SYS_wait4, ANY, status, 0, NO_USAGE)
    }

    #[cfg(not(target_feature = "crt-static"))]
    fn __waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
        green(here) { wait_for(here, pid, status, options, NO_USAGE) }
        else syscall!(SYS_wait4, pid, status, options, NO_USAGE)
    }
}

const ANY: pid_t = -1;
const NO_USAGE: *mut rusage = ptr::null_mut();

/// Never waits; or asks for what only this very OS thread has started, which nobody can wait for in its stead.
const IS_NOT_OURS: c_int = libc::WNOHANG | libc::__WNOTHREAD;

fn only_look(here: Here, options: c_int) -> Green {
    if options & libc::WNOHANG == 0 {
        return Green::Pass;
    }
    wait::count_look(here).map_or_else(|errno| Green::Done(Err(errno)), |()| Green::Pass)
}

/// Of whom `waitid` is asked.
struct Child {
    id: id_t,
    /// What the number means by now is nothing to a call that waits already.
    _own: Option<OwnedFd>,
}

impl Child {
    /// Under a number of our own. Where there is none, the caller's has to do.
    fn kept(fd: id_t) -> Child {
        // SAFETY: the kernel has just waited by this number, so it is not negative; nothing is kept.
        let theirs = unsafe { BorrowedFd::borrow_raw(fd as c_int) };
        match fcntl_dupfd_cloexec(theirs, 0) {
            Ok(own) => Child { id: own.as_raw_fd().cast_unsigned(), _own: Some(own) },
            Err(_) => Child { id: fd, _own: None },
        }
    }
}

unsafe fn wait_for(
    here: Here,
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> Green {
    if options & IS_NOT_OURS != 0 {
        return only_look(here, options);
    }
    let mut change = None;
    loop {
        // SAFETY: pointers of libc's caller's; written only if there is a child to report.
        match unsafe { syscall!(SYS_wait4, pid, status, options | libc::WNOHANG, usage) } {
            Ok(0) => {
                let change =
                    change.get_or_insert_with(|| Change::new(here, Whose::of_wait4(pid, options)));
                if let Err(errno) = change.wait() {
                    return Green::Done(Err(errno));
                }
            }
            Err(Errno::INTR) => {}
            answer => return Green::Done(answer),
        }
    }
}

unsafe fn wait_by_id(
    here: Here,
    which: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> Green {
    if options & IS_NOT_OURS != 0 {
        return only_look(here, options);
    }
    // A pidfd whose user wants to hear "would block" does not wait either.
    let by_fd = which == libc::P_PIDFD;
    if by_fd && file::is_nonblocking(id as c_int) != Ok(false) {
        return only_look(here, libc::WNOHANG);
    }
    let mut child = Child { id, _own: None };
    let mut own = MaybeUninit::<siginfo_t>::uninit();
    let info = if info.is_null() { own.as_mut_ptr() } else { info };
    let mut change = None;
    loop {
        // SAFETY: a pointer of libc's caller's, or of ours.
        let answer = unsafe {
            syscall!(SYS_waitid, which, child.id, info, options | libc::WNOHANG, NO_USAGE)
        };
        match answer {
            // SAFETY: a call that succeeds has written this field: zero if there is nothing to report.
            Ok(_) if unsafe { (&raw const (*info).si_signo).read_unaligned() } == 0 => {
                if by_fd && change.is_none() {
                    child = Child::kept(id);
                }
                let change = change.get_or_insert_with(|| {
                    Change::new(here, Whose { which, id: child.id, changes: options })
                });
                if let Err(errno) = change.wait() {
                    return Green::Done(Err(errno));
                }
            }
            Err(Errno::INTR) => {}
            answer => return Green::Done(answer),
        }
    }
}
