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

use std::{ffi::c_int, mem::MaybeUninit, ptr};

use greenroom::foreign::Here;
use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};

use crate::{
    children::change::{Change, Whose},
    file,
    hook::Green,
    raw::Errno,
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

unsafe fn wait_for(
    here: Here,
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> Green {
    if options & IS_NOT_OURS != 0 {
        return Green::Pass;
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
    // A pidfd whose user wants to hear "would block" does not wait either.
    let by_fd = which == libc::P_PIDFD;
    if options & IS_NOT_OURS != 0 || by_fd && file::is_nonblocking(id as c_int) != Ok(false) {
        return Green::Pass;
    }
    let mut own = MaybeUninit::<siginfo_t>::uninit();
    let info = if info.is_null() { own.as_mut_ptr() } else { info };
    let mut change = None;
    loop {
        // SAFETY: a pointer of libc's caller's, or of ours.
        let answer =
            unsafe { syscall!(SYS_waitid, which, id, info, options | libc::WNOHANG, NO_USAGE) };
        match answer {
            // SAFETY: a call that succeeds has written this field: zero if there is nothing to report.
            Ok(_) if unsafe { (&raw const (*info).si_signo).read_unaligned() } == 0 => {
                let change = change.get_or_insert_with(|| {
                    Change::new(here, Whose { which, id, changes: options })
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
