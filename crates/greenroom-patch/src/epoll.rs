//! `epoll_wait` and its kind: a set of the caller's, which is waited for as any other fd.
//!
//! So an event loop that was never written for this shares its OS thread with other green threads.
//!
//! # Safety
//!
//! Events are written by the kernel where libc's caller says.

#![allow(unsafe_code)]

use std::{ffi::c_int, ptr, time::Duration};

use greenroom::{Instant, foreign::Here};
use libc::{epoll_event, sigset_t, timespec};

use crate::{
    alarm::alarm,
    file,
    hook::Green,
    mask::{MASK_BYTES, Mask},
    memory::copy_pair,
    multiplex::{Question, until_answered},
    poll::timespec_of,
    raw::{Errno, Result},
    set::Member,
    sleep::duration,
    wait::{count_look, errno},
};

hooks! {
    fn epoll_wait(set: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int {
        green(here) { wait_for(here, set, events, most, timeout, ptr::null()) }
        else syscall!(SYS_epoll_pwait, set, events, most, timeout, ptr::null::<sigset_t>(), MASK_BYTES)
    }

    fn epoll_pwait(
        set: c_int,
        events: *mut epoll_event,
        most: c_int,
        timeout: c_int,
        mask: *const sigset_t,
    ) -> c_int {
        green(here) { wait_for(here, set, events, most, timeout, mask) }
        else syscall!(SYS_epoll_pwait, set, events, most, timeout, mask, MASK_BYTES)
    }

    fn epoll_pwait2(
        set: c_int,
        events: *mut epoll_event,
        most: c_int,
        time: *const timespec,
        mask: *const sigset_t,
    ) -> c_int {
        green(here) { wait_by_time(here, set, events, most, time, mask) }
        else syscall!(SYS_epoll_pwait2, set, events, most, time, mask, MASK_BYTES)
    }
}

struct Epoll {
    set: c_int,
    events: *mut epoll_event,
    most: c_int,
    mask: Mask,
}

impl Question for Epoll {
    fn look(&mut self, time: Duration) -> Result {
        let &mut Epoll { set, events, most, mask: Mask(mask) } = self;
        let ms = c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: libc's caller answers for the events and the mask.
        let found = unsafe { syscall!(SYS_epoll_pwait, set, events, most, ms, mask, MASK_BYTES) };
        if found != Ok(0) || mask.is_null() {
            return found;
        }
        // Without time to wait, that call delivers no pending signal. This one does.
        let (nobody, none, mut at_once) = (0usize, 0usize, timespec_of(Duration::ZERO));
        // SAFETY: reads a mask which the kernel has just read.
        unsafe { syscall!(SYS_ppoll, nobody, none, &raw mut at_once, mask, MASK_BYTES) }
    }

    fn members(&self) -> Vec<Member> {
        vec![Member { fd: self.set, events: libc::EPOLLIN as u32 }]
    }

    fn is_answered_once(&self) -> bool {
        true
    }

    fn is_masked(&self) -> bool {
        !self.mask.is_none()
    }

    fn signals(&self) -> u64 {
        // SAFETY: a look was answered, so the kernel has read the mask.
        unsafe { self.mask.admits() }
    }
}

unsafe fn wait_for(
    here: Here,
    set: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
    mask: *const sigset_t,
) -> Green {
    if timeout == 0 {
        only_looks(here);
        return Green::Pass;
    }
    // All that is negative is for ever.
    let time = u64::try_from(timeout).ok().map(Duration::from_millis);
    let deadline = time.map(|time| Instant::now() + time);
    let question = Epoll { set, events, most, mask: Mask(mask) };
    // SAFETY: libc's caller answers for the events.
    unsafe { until_found_or_alarm(here, question, deadline) }
}

unsafe fn wait_by_time(
    here: Here,
    set: c_int,
    events: *mut epoll_event,
    most: c_int,
    time: *const timespec,
    mask: *const sigset_t,
) -> Green {
    let mut deadline = None;
    if !time.is_null() {
        // This time libc's own does not read, so one that is not there is no more than an error.
        // SAFETY: any two words are such a time.
        let Some(time) = (unsafe { copy_pair(time) }) else { return Green::Pass };
        match duration(&raw const time) {
            Ok(Duration::ZERO) => {
                only_looks(here);
                return Green::Pass;
            }
            Err(_) => return Green::Pass,
            Ok(time) => deadline = Some(Instant::now() + time),
        }
    }
    let question = Epoll { set, events, most, mask: Mask(mask) };
    // SAFETY: libc's caller answers for the events.
    unsafe { until_found_or_alarm(here, question, deadline) }
}

/// Who gives way does so before it looks: what a set has reported it may not report again, and whoever is to be stopped
/// would not hear of it.
fn until_reported(here: Here, question: &mut Epoll, deadline: Option<Instant>) -> Green {
    if here.must_give_way()
        && !file::is_standard(question.set)
        && let Err(stop) = here.give_way()
    {
        return Green::Done(Err(errno(stop)));
    }
    until_answered(here, question, deadline)
}

/// An event loop that has something else to do looks in between, and may never come to wait. It hears of a stop where it
/// reads and writes.
fn only_looks(here: Here) {
    let _ = count_look(here);
}

/// An event loop takes an error of this call for a fault of its own, and panics or aborts. So whose thread is to be
/// stopped is told that all its fds are ready, and hears the reason from the calls that it tries then. One that goes on
/// after that many rounds has none to try.
const ROUNDS_MAX: u8 = 16;

/// # Safety
///
/// The events have room for the most that are wanted.
unsafe fn until_found_or_alarm(
    here: Here,
    mut question: Epoll,
    deadline: Option<Instant>,
) -> Green {
    #[cfg(not(target_feature = "crt-static"))]
    crate::context::tell_if_blind();
    let answer = until_reported(here, &mut question, deadline);
    let Green::Done(Err(Errno::CANCELED | Errno::TIMEDOUT)) = answer else { return answer };
    if here.refused_before().is_none_or(|(_, refusals)| refusals > ROUNDS_MAX) {
        return answer;
    }
    // SAFETY: as promised.
    match unsafe { alarm(question.set, question.events, question.most) } {
        0 => answer,
        count => Green::Done(Ok(count)),
    }
}
