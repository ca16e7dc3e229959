//! What cases ask of the kernel that no safe call offers: a fork, a signal's handler or mask, another
//! standard error.
//!
//! Knows no green thread.
//!
//! # Safety
//!
//! A forked child has the forking OS thread alone. A case forks while no other OS thread of its
//! process holds a lock that the child waits for, and leaves the child by `_exit`. The handler only
//! counts, in an atomic. Standard error is never closed, only made another file.

#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    mem,
    os::fd::{AsFd, AsRawFd},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

/// Plays `child` in a forked child, which then ends, with 0 if it did not panic; returns its number.
pub(crate) fn fork(child: impl FnOnce()) -> Pid {
    // SAFETY: see the head of this file.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the process, without destructors: those are the parent's to run.
        unsafe { libc::_exit(c_int::from(outcome.is_err())) };
    }
    Pid::from_raw(pid).expect("the kernel forks")
}

/// Waits until a child has ended, and panics if it has not ended well.
#[track_caller]
pub(crate) fn assert_ended_well(child: Pid) {
    let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "{status:?}");
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_signal: c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Signals handled so far, of those that [`count_signals`] was told of.
pub(crate) fn signals() -> u32 {
    SIGNALS.load(Ordering::Relaxed)
}

/// Counts signals of a kind from now on. System calls that one interrupts fail with `EINTR`.
pub(crate) fn count_signals(kind: Signal) {
    // SAFETY: a zeroed action has an empty mask and no flags, SA_RESTART among them; the handler
    // has the signature of one without SA_SIGINFO, and does what the head of this file allows.
    let failed = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        libc::sigaction(kind.as_raw(), &action, ptr::null_mut())
    };
    assert_eq!(failed, 0);
}

/// Sends a signal that is handled to one OS thread of this process.
pub(crate) fn interrupt(thread: Pid, kind: Signal) {
    let (process, thread) = (rustix::process::getpid(), thread.as_raw_nonzero().get());
    // SAFETY: sends a signal that is handled.
    unsafe {
        libc::syscall(libc::SYS_tgkill, process.as_raw_nonzero().get(), thread, kind.as_raw())
    };
}

/// Lets this OS thread be sent `SIGURG` without its being handled, until [`answer_signals`].
pub(crate) fn defer_signals() {
    mask(libc::SIG_BLOCK);
}

/// Handles `SIGURG` again, and at once if it was sent meanwhile.
pub(crate) fn answer_signals() {
    mask(libc::SIG_UNBLOCK);
}

fn mask(how: c_int) {
    // SAFETY: the set is plain memory that the C library fills and the kernel reads.
    let failed = unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGURG);
        libc::pthread_sigmask(how, &set, ptr::null_mut())
    };
    assert_eq!(failed, 0);
}

/// True if `SIGURG` was sent to this OS thread since [`defer_signals`].
pub(crate) fn is_signal_deferred() -> bool {
    // SAFETY: the set is plain memory that the kernel fills.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        assert_eq!(libc::sigpending(&mut set), 0);
        libc::sigismember(&set, libc::SIGURG) == 1
    }
}

/// Makes standard error the same file as `file`.
pub(crate) fn replace_stderr(file: impl AsFd) {
    // SAFETY: both numbers are open; see the head of this file.
    let number = unsafe { libc::dup2(file.as_fd().as_raw_fd(), libc::STDERR_FILENO) };
    assert_eq!(number, libc::STDERR_FILENO);
}
