//! How a green thread hears that something may have become of its children: one has ended, stopped or gone on.
//!
//! The end of one child is an fd's readiness. For everything else there is no fd, and an OS thread waits in the
//! green thread's stead: a helper of its own, for it may wait for ever, and the helpers that `offload` has
//! are few. It looks without reaping, since a child is every OS thread's of its process.
//! There is a bound on those threads, beyond which a green thread looks now and then. Reaps nobody.
//!
//! # Safety
//!
//! The system calls here write nowhere.

#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    mem,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use greenroom::{
    Instant,
    foreign::{Here, Stop},
    io::Interest,
};
use libc::{id_t, idtype_t, pid_t, timespec};
use rustix::{
    event::{EventfdFlags, eventfd},
    io::{fcntl_dupfd_cloexec, write},
    process::{Pid, PidfdFlags, getpgrp, pidfd_open},
};

use crate::{
    hook::keeping_errno,
    raw::{Errno, Result},
    wait,
};

/// Which children, and which of their changes, as `waitid` has it.
#[derive(Clone, Copy)]
pub(super) struct Whose {
    pub(super) which: idtype_t,
    pub(super) id: id_t,
    pub(super) changes: c_int,
}

impl Whose {
    pub(super) fn of_wait4(pid: pid_t, options: c_int) -> Whose {
        let (which, id) = match pid {
            1.. => (libc::P_PID, pid.unsigned_abs()),
            0 => (libc::P_PGID, getpgrp().as_raw_nonzero().get().unsigned_abs()),
            -1 => (libc::P_ALL, 0),
            _ => (libc::P_PGID, pid.unsigned_abs()),
        };
        Whose { which, id, changes: options | libc::WEXITED }
    }

    /// An fd that is readable when what is waited for has happened; if there is one.
    fn open_end(self) -> Option<OwnedFd> {
        if self.changes & (libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED) != libc::WEXITED {
            return None;
        }
        match self.which {
            libc::P_PID => {
                let pid = Pid::from_raw(pid_t::try_from(self.id).ok()?)?;
                // What is traced stops, which is reported unasked.
                if is_traced(pid) { None } else { pidfd_open(pid, PidfdFlags::empty()).ok() }
            }
            libc::P_PIDFD => {
                // One of our own: the caller's may be closed meanwhile.
                // SAFETY: not negative, or the kernel would have refused it; nothing is kept.
                let fd = unsafe { BorrowedFd::borrow_raw(self.id as c_int) };
                fcntl_dupfd_cloexec(fd, 0).ok()
            }
            _ => None,
        }
    }
}

/// Without a `/proc` nobody is.
fn is_traced(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    let status = status.unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|pid| pid.trim() != "0")
}

/// Helpers at most that wait for children. One goes on waiting when its green thread does not any more.
const HELPERS_MAX: usize = 64;

/// Between two looks where nothing else tells.
const PAUSE: Duration = Duration::from_millis(2);

/// So often a destructor that runs because of a panic pauses, with its whole OS thread.
const DESTRUCTOR_PAUSES: u32 = 50;

static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// A wait that may take several rounds.
pub(super) struct Change {
    here: Here,
    whose: Whose,
    end: Option<OwnedFd>,
    /// Between the end and its being reported a tracer may come first.
    has_ended: bool,
    pauses_in_destructor: u32,
}

impl Change {
    /// To be called when the kernel has nothing to report.
    pub(super) fn new(here: Here, whose: Whose) -> Change {
        let end = keeping_errno(|| whose.open_end());
        Change { here, whose, end, has_ended: false, pauses_in_destructor: 0 }
    }

    /// Waits until there may be something to report.
    ///
    /// # Errors
    ///
    /// What is made of a stop.
    pub(super) fn wait(&mut self) -> Result<()> {
        if thread::panicking() {
            return self.pause_in_destructor();
        }
        if self.has_ended {
            return self.pause();
        }
        if let Some(end) = self.end.take() {
            self.has_ended = self.until_readable(end)?;
            return Ok(());
        }
        if let Some(bell) = keeping_errno(|| start_helper(self.whose))
            && self.until_readable(bell)?
        {
            return Ok(());
        }
        self.pause()
    }

    /// False if the kernel refuses, or somebody has closed the fd who did not open it.
    fn until_readable(&self, fd: impl AsRawFd) -> Result<bool> {
        match self.here.wait(fd.as_raw_fd(), Interest::Read, None) {
            Ok(()) => Ok(true),
            Err(Stop::Closed) => {
                // Not for us to close any more: the number may be another's.
                mem::forget(fd);
                Ok(false)
            }
            Err(Stop::Refused(_)) => Ok(false),
            Err(stop) => Err(wait::errno(stop)),
        }
    }

    fn pause(&self) -> Result<()> {
        self.here.sleep_until(Instant::now() + PAUSE).map_err(wait::errno)
    }

    /// Nothing may switch: the OS thread waits, but not for long.
    #[cold]
    fn pause_in_destructor(&mut self) -> Result<()> {
        if self.pauses_in_destructor == DESTRUCTOR_PAUSES {
            return Err(Errno::CANCELED);
        }
        self.pauses_in_destructor += 1;
        let pause = timespec { tv_sec: 0, tv_nsec: PAUSE.as_nanos() as i64 };
        // SAFETY: a time of ours to be read. If a signal ends the pause, it was a short one.
        let _ = unsafe { syscall!(SYS_nanosleep, ptr::from_ref(&pause), 0usize) };
        Ok(())
    }
}

/// Has an OS thread wait; what is returned is readable when it has done so. `None` if there are too many, or
/// none can be had.
fn start_helper(whose: Whose) -> Option<Arc<OwnedFd>> {
    let place = Place::take()?;
    let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?);
    let rung = Arc::clone(&bell);
    let helper = thread::Builder::new().name("greenroom-children".into()).stack_size(HELPER_STACK);
    helper
        .spawn(move || {
            until_reportable(whose);
            drop(place);
            // An eventfd of ours has room for one.
            let _ = write(&*rung, &1u64.to_ne_bytes());
        })
        .ok()?;
    Some(bell)
}

/// It makes two system calls.
const HELPER_STACK: usize = 128 << 10;

/// The right to be one of the helpers.
struct Place;

impl Place {
    fn take() -> Option<Place> {
        let more = |count| (count < HELPERS_MAX).then_some(count + 1);
        HELPERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Blocks the OS thread until there is something to report, or nobody of whom anything could be.
fn until_reportable(Whose { which, id, changes }: Whose) {
    let (all, nowhere) = (u64::MAX, ptr::null_mut::<u64>());
    // SAFETY: a set of signals of ours to be read. A process's signals are for those of its OS threads to
    // handle that it knows of.
    let _ = unsafe {
        syscall!(
            SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            ptr::from_ref(&all),
            nowhere,
            size_of_val(&all)
        )
    };
    let changes = changes | libc::WNOWAIT;
    // Whatever else it says, the one who asks is to look.
    let look = || {
        // SAFETY: nothing is written where null is.
        unsafe { syscall!(SYS_waitid, which, id, nowhere, changes, nowhere) }
    };
    while let Err(Errno::INTR) = look() {}
}
