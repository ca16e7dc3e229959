//! What safe Rust does not offer: files under numbers that others own, and signals.
//!
//! # Safety
//!
//! Closing or replacing a file by its number breaks the rule that a number belongs to its owner.
//! These tests are about just that: somebody else, a C library say, breaking it. So the owner of
//! such a number is either told, or only ever used through calls that a wrong file cannot make
//! unsound, and forgotten instead of dropped, which would close a number that is not its own.
//!
//! The signal handler only adds to an atomic.

#![allow(unsafe_code)]

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Closes a number behind the back of its owner, who must never close it again.
pub(crate) fn close(number: RawFd) {
    // SAFETY: closing has no precondition on memory; for the owner see the head of this file.
    assert_eq!(unsafe { libc::close(number) }, 0, "{number} was not open");
}

/// Makes `number` mean the file behind `file`, in one step, and closes what it meant before.
pub(crate) fn replace(number: RawFd, file: OwnedFd) {
    // SAFETY: as with `close`.
    assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), number) }, number);
}

/// Takes what a number means.
pub(crate) fn owned(number: RawFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: whoever owned the number has forgotten it, see the head of this file.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// A file known by its number, which somebody else may close at any time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loose(pub(crate) RawFd);

impl AsFd for Loose {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: reading and writing a wrong file is no fault of memory; see the head of this
        // file. That it does not happen is what is tested.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// Lets a UDP socket keep a list of the errors it meets (`IP_RECVERR`), which nobody reads: so the
/// kernel reports it as ready for ever, though there may be nothing to receive.
pub(crate) fn keep_errors(socket: impl AsFd) {
    let (on, fd) = (1 as libc::c_int, socket.as_fd().as_raw_fd());
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads as many bytes as the number has.
    let outcome = unsafe {
        libc::setsockopt(fd, libc::SOL_IP, libc::IP_RECVERR, (&raw const on).cast(), length)
    };
    assert_eq!(outcome, 0);
}

/// Lets a broken pipe's signal end the process, as it does unless std's runtime forbids.
pub(crate) fn die_of_broken_pipes() {
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_signal(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Signals that reach the OS thread which made this, again and again, until it is dropped. They
/// interrupt system calls: the handler is installed without `SA_RESTART`.
pub(crate) struct Bombardment {
    timer: libc::timer_t,
    before: u64,
}

impl Bombardment {
    pub(crate) fn every(interval: Duration) -> Bombardment {
        let before = SIGNALS.load(Ordering::Relaxed);
        let every = libc::timespec { tv_sec: 0, tv_nsec: i64::from(interval.subsec_nanos()) };
        let times = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: all structures are plain numbers, for which zero is a value; those the kernel
        // reads are filled in, and the one it writes is of its type. The handler is
        // async-signal-safe. The timer goes to this OS thread, which outlives it: the value
        // is dropped where it was made, for the raw timer makes it neither `Send` nor `Sync`.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = count_signal as extern "C" fn(libc::c_int) as usize;
            assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()), 0);
            let mut event: libc::sigevent = MaybeUninit::zeroed().assume_init();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = libc::SIGALRM;
            event.sigev_notify_thread_id = rustix::thread::gettid().as_raw_nonzero().get();
            let mut timer = ptr::null_mut();
            let created = libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
            assert_eq!(created, 0);
            assert_eq!(libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()), 0);
            Bombardment { timer, before }
        }
    }

    /// How many signals came so far, on whichever OS thread.
    pub(crate) fn count(&self) -> u64 {
        SIGNALS.load(Ordering::Relaxed) - self.before
    }
}

impl Drop for Bombardment {
    fn drop(&mut self) {
        // SAFETY: made by `every`, deleted once.
        unsafe { libc::timer_delete(self.timer) };
    }
}
