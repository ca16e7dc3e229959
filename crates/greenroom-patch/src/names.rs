//! The calls that look up names of hosts and services: each is made as a whole on a helper OS thread, while its
//! green thread waits.
//!
//! What libc does there may be a file, a socket, or a library that the administrator has chosen; only where
//! a call surely does none of that, it is made on the spot. Knows what all lookups have in common, and none of
//! them by name. In a static program none of this is there: libc's own functions could not be reached.
//!
//! # Safety
//!
//! `errno` and `h_errno` are those of the OS thread that asks for their addresses.

#![allow(unsafe_code)]

mod addresses;
mod entries;

use std::{
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind},
};

use greenroom::foreign::{Here, Stop};

use crate::{
    hook::{errno, set_errno},
    raw::Errno,
    wait,
};

unsafe extern "C" {
    fn __h_errno_location() -> *mut c_int;
}

/// `h_errno`: the lookup failed inside, and `errno` says why.
const NETDB_INTERNAL: c_int = -1;
/// `h_errno`: it may go well another time.
const TRY_AGAIN: c_int = 2;

/// What a call leaves beside its answer, on the OS thread that makes it.
#[derive(Clone, Copy)]
struct Aside {
    errno: Errno,
    h_errno: c_int,
}

impl Aside {
    fn here() -> Aside {
        // SAFETY: the address of this OS thread's own.
        Aside { errno: errno(), h_errno: unsafe { *__h_errno_location() } }
    }

    fn leave_here(self) {
        set_errno(self.errno);
        set_h_errno(self.h_errno);
    }
}

fn set_h_errno(value: c_int) {
    // SAFETY: the address of this OS thread's own.
    unsafe { *__h_errno_location() = value };
}

/// Why there is no answer.
enum Missed {
    /// The thread is to be stopped.
    Stopped(Errno),
    /// There is no helper, and none can be started.
    NoHelper,
    /// This is a destructor that runs because of a panic, in which nothing may switch. A lookup has limits of
    /// its own, so it may block.
    Unwinding,
}

/// Has `job` done on a helper. It owns what it needs, for it goes on if its waiter is stopped; and
/// what it returns is dropped then.
///
/// The helper's `errno` and `h_errno` are this OS thread's before, and returned after.
fn look_up<T: Send + 'static>(
    here: Here,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, Aside), Missed> {
    let before = Aside::here();
    let job = move || {
        before.leave_here();
        let answer = job();
        (answer, Aside::here())
    };
    // The frames above are libc's callers', which must not be unwound.
    match catch_unwind(AssertUnwindSafe(|| here.offload(&"a name lookup", job))) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Stop::Unwinding)) => Err(Missed::Unwinding),
        // It has panicked over a setting that is no number, and said so.
        Ok(Err(Stop::NoHelper)) | Err(_) => Err(Missed::NoHelper),
        Ok(Err(stop)) => Err(Missed::Stopped(wait::errno(stop))),
    }
}

/// Has the function that ours stands in front of called, although the constructor that finds it has not run:
/// this is called by another library's constructor. If there is none, it is `$failed`.
macro_rules! find_and_call {
    ($failed:expr, ($($argument:expr),* $(,)?) $(,)?) => {{
        NEXT.find();
        Ok(match NEXT.get() {
            Some(next) => next($($argument),*) as usize,
            None => {
                $crate::hook::set_errno($crate::raw::Errno(libc::ENOSYS));
                $failed
            }
        })
    }};
}
use find_and_call;
