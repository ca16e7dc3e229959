//! The calls that wait for a lock of the OS thread, or for a signal of another.
//!
//! They are no waits of a hub's: whoever waits here keeps the OS thread. Making them green would not be sound, since
//! such locks are owned by OS threads, and a second green thread of one OS thread is the same owner to
//! them. But one who holds such a lock and steps aside can have its sibling wait for it for ever; so a wait on a
//! green thread that lasts is told of, with the cause and the remedy. std's locks come here by `syscall`.
//!
//! # Safety
//!
//! Pointers are passed on as libc's caller gave them, to libc's own functions or to the kernel.

#![allow(unsafe_code)]
#![cfg(not(target_feature = "crt-static"))]

use std::{
    ffi::{c_int, c_long},
    process, ptr,
    time::Duration,
};

use greenroom::foreign::Here;
use libc::{pthread_cond_t, pthread_mutex_t, pthread_rwlock_t, sem_t, timespec};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    hook::{self, Green},
    memory::copy_pair,
    next::Next,
    raw::{Errno, Result, Word},
    sleep,
};

/// A wait that lasts so long is told of.
const LONG: Duration = Duration::from_secs(1);

hooks! {
    fn pthread_mutex_lock(mutex: *mut pthread_mutex_t) -> c_int {
        green(here) {
            match libc::pthread_mutex_trylock(mutex) {
                libc::EBUSY => watch(here, "pthread_mutex_lock", mutex, |end| {
                    libc::pthread_mutex_timedlock(mutex, end)
                }),
                answer => Green::Done(Ok(answer.word())),
            }
        }
        else found(&NEXT, |next| next(mutex))
    }

    fn pthread_rwlock_rdlock(lock: *mut pthread_rwlock_t) -> c_int {
        green(here) {
            watch(here, "pthread_rwlock_rdlock", lock, |end| pthread_rwlock_timedrdlock(lock, end))
        }
        else found(&NEXT, |next| next(lock))
    }

    fn pthread_rwlock_wrlock(lock: *mut pthread_rwlock_t) -> c_int {
        green(here) {
            watch(here, "pthread_rwlock_wrlock", lock, |end| pthread_rwlock_timedwrlock(lock, end))
        }
        else found(&NEXT, |next| next(lock))
    }

    fn pthread_cond_wait(condition: *mut pthread_cond_t, mutex: *mut pthread_mutex_t) -> c_int {
        green(here) {
            let woken = watch(here, "pthread_cond_wait", condition, |end| {
                pthread_cond_clockwait(condition, mutex, libc::CLOCK_REALTIME, end)
            });
            // Whoever takes such a wait up again has missed what came in between; but anybody may be
            // woken without a reason, and looks for itself.
            match woken {
                Green::Pass => Green::Done(Ok(0)),
                done => done,
            }
        }
        else found(&NEXT, |next| next(condition, mutex))
    }

    fn sem_wait(semaphore: *mut sem_t) -> c_int {
        green(here) {
            let waited = watch(here, "sem_wait", semaphore, |end| {
                // Of calls with an end the kernel takes up none again, whatever the handler of a signal asks for.
                while libc::sem_timedwait(semaphore, end) != 0 {
                    if hook::errno() != Errno::INTR {
                        return hook::errno().0;
                    }
                }
                0
            });
            match waited {
                // Of `errno`, not of the answer.
                Green::Done(Ok(error)) if error != 0 => Err(Errno(error as i32)).into(),
                waited => waited,
            }
        }
        else found(&NEXT, |next| next(semaphore))
    }

    fn syscall(
        number: c_long,
        a: c_long,
        b: c_long,
        c: c_long,
        d: c_long,
        e: c_long,
        f: c_long,
    ) -> c_long {
        green(here) {
            if number == libc::SYS_futex {
                let timeout = ptr::with_exposed_provenance(d as usize);
                wait_for_word(here, a as usize, b, c as u32, timeout, f as u32)
            } else {
                Green::Pass
            }
        }
        else crate::raw::call(number, &[a.word(), b.word(), c.word(), d.word(), e.word(), f.word()])
    }
}

unsafe extern "C" {
    fn pthread_rwlock_timedrdlock(lock: *mut pthread_rwlock_t, end: *const timespec) -> c_int;
    fn pthread_rwlock_timedwrlock(lock: *mut pthread_rwlock_t, end: *const timespec) -> c_int;
    fn pthread_cond_clockwait(
        condition: *mut pthread_cond_t,
        mutex: *mut pthread_mutex_t,
        clock: libc::clockid_t,
        end: *const timespec,
    ) -> c_int;
}

/// Before our constructors have run, those of libraries may lock already. The loader can be asked then.
fn found<F: Copy, A: Word>(next: &Next<F>, call: impl FnOnce(F) -> A) -> Result {
    next.find();
    match next.get() {
        Some(next) => Ok(call(next).word()),
        // There is no lock without the C library.
        None => process::abort(),
    }
}

/// Waits by a call that takes a time of day as its end; if that comes, says so, and leaves the rest to the
/// call without an end.
fn watch<T>(
    here: Here,
    call: &str,
    lock: *const T,
    wait_until: impl FnOnce(*const timespec) -> c_int,
) -> Green {
    let now = clock_gettime(ClockId::Realtime);
    let end = timespec { tv_sec: now.tv_sec + LONG.as_secs().cast_signed(), tv_nsec: now.tv_nsec };
    hook::keeping_errno(|| match wait_until(&end) {
        libc::ETIMEDOUT => {
            here.report_lock(call, lock.addr(), LONG, None);
            Green::Pass
        }
        answer => Green::Done(Ok(answer.word())),
    })
}

/// `futex`: what std waits with, and most other libraries that do not use pthread.
unsafe fn wait_for_word(
    here: Here,
    word: usize,
    operation: c_long,
    expected: u32,
    timeout: *const timespec,
    mask: u32,
) -> Green {
    let operation = operation as c_int;
    let flags = operation & !libc::FUTEX_CMD_MASK;
    let is_by_day = flags & libc::FUTEX_CLOCK_REALTIME != 0;
    let clock = if is_by_day { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC };
    let now = sleep::now(clock);
    // The first takes a span of time, the second the end of one; and only the second knows the time of day.
    let (start, mask) = match operation & libc::FUTEX_CMD_MASK {
        libc::FUTEX_WAIT if !is_by_day => (now, libc::FUTEX_BITSET_MATCH_ANY as u32),
        libc::FUTEX_WAIT_BITSET => (Duration::ZERO, mask),
        _ => return Green::Pass,
    };
    let end = if timeout.is_null() {
        None
    } else {
        // SAFETY: libc's caller passes a time to be read.
        let Some(time) = (unsafe { copy_pair(timeout) }) else { return Green::Pass };
        let Ok(time) = sleep::duration(&raw const time) else { return Green::Pass };
        Some(start.saturating_add(time))
    };
    let soon = now + LONG;
    if end.is_some_and(|end| end <= soon) {
        return Green::Pass;
    }
    let operation = flags | libc::FUTEX_WAIT_BITSET;
    let wait_until = |end: Option<Duration>| {
        let end = end.map(|end| timespec {
            tv_sec: end.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: end.subsec_nanos().into(),
        });
        let end = end.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: libc's caller answers for the word; the time is ours.
        unsafe { syscall!(SYS_futex, word, operation, expected, end, 0usize, mask) }
    };
    let waited = loop {
        let waited = wait_until(Some(soon));
        // A wait with an end the kernel does not take up again, whatever the handler of a signal asks for.
        if waited != Err(Errno::INTR) || end.is_some() {
            break waited;
        }
    };
    match waited {
        Err(Errno::TIMEDOUT) => {
            let call = "a lock of the standard library or a futex";
            let left = end.map(|end| end.saturating_sub(soon));
            hook::keeping_errno(|| here.report_lock(call, word, LONG, left));
            wait_until(end).into()
        }
        done => done.into(),
    }
}
