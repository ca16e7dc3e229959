//! The calls that let time pass.
//!
//! A sleep whose thread is to be stopped ends early, and says that it slept: its callers know no
//! other reason for a failure than a signal, after which they sleep on.
//!
//! # Safety
//!
//! Pointers are read and written as libc's caller gave them.

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_uint},
    ptr,
    time::Duration,
};

use greenroom::{Instant, foreign::Here};
use libc::{clockid_t, timespec, useconds_t};

use crate::{
    hook::Green,
    raw::{Errno, Result, Word},
};

hooks! {
    fn nanosleep(time: *const timespec, rest: *mut timespec) -> c_int {
        also __nanosleep,
        green(here) { duration(time).map(|time| sleep_for(here, time)) }
        else syscall!(SYS_nanosleep, time, rest)
    }

    // Answers with an error's number, and leaves `errno` alone.
    fn clock_nanosleep(
        clock: clockid_t,
        flags: c_int,
        time: *const timespec,
        rest: *mut timespec,
    ) -> c_int {
        green(here) { sleep_by_clock(here, clock, flags, time) }
        else Ok(number(syscall!(SYS_clock_nanosleep, clock, flags, time, rest)))
    }

    fn usleep(micros: useconds_t) -> c_int {
        green(here) { Ok(sleep_for(here, Duration::from_micros(micros.into()))) }
        else {
            let time = timespec {
                tv_sec: (micros / 1_000_000).into(),
                tv_nsec: (micros % 1_000_000 * 1000).into(),
            };
            syscall!(SYS_nanosleep, ptr::from_ref(&time), 0usize)
        }
    }

    // Answers with the seconds that are left, which are none.
    fn sleep(seconds: c_uint) -> c_uint {
        green(here) { Ok(sleep_for(here, Duration::from_secs(seconds.into()))) }
        else {
            let mut time = timespec { tv_sec: seconds.into(), tv_nsec: 0 };
            let slept = syscall!(SYS_nanosleep, ptr::from_ref(&time), ptr::from_mut(&mut time));
            Ok(if slept.is_ok() { 0 } else { time.tv_sec as usize })
        }
    }

    fn sched_yield() -> c_int {
        also __sched_yield,
        green(here) {
            here.yield_now();
            Ok(0)
        }
        else syscall!(SYS_sched_yield)
    }
}

/// An error's number as an answer.
fn number(result: Result) -> usize {
    match result {
        Ok(_) => 0,
        Err(Errno(value)) => value.word(),
    }
}

/// By the hub's clock, which is the monotonic one; the time of day is taken for its distance from now.
unsafe fn sleep_by_clock(
    here: Here,
    clock: clockid_t,
    flags: c_int,
    time: *const timespec,
) -> Green {
    if !matches!(clock, libc::CLOCK_MONOTONIC | libc::CLOCK_REALTIME) {
        return Green::Pass;
    }
    let time = match duration(time) {
        Ok(time) => time,
        Err(errno) => return Green::Done(Ok(number(Err(errno)))),
    };
    if flags & libc::TIMER_ABSTIME == 0 {
        sleep_for(here, time);
        return Green::Done(Ok(0));
    }
    sleep_for(here, time.saturating_sub(now(clock)));
    Green::Done(Ok(0))
}

/// What a caller of libc's gives as a time.
pub(crate) fn duration(time: *const timespec) -> Result<Duration> {
    if time.is_null() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: not null, and libc's caller passes a time to be read.
    let time = unsafe { *time };
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Errno::INVAL),
    }
}

pub(crate) fn now(clock: clockid_t) -> Duration {
    let clock = match clock {
        libc::CLOCK_REALTIME => rustix::time::ClockId::Realtime,
        _ => rustix::time::ClockId::Monotonic,
    };
    let now = rustix::time::clock_gettime(clock);
    Duration::try_from(now).unwrap_or_default()
}

fn sleep_for(here: Here, time: Duration) -> usize {
    if time.is_zero() {
        here.yield_now();
    } else {
        // Stopped or not, it is over.
        let _ = here.sleep_until(Instant::now() + time);
    }
    0
}
