//! All that an epoll set watches, reported as ready.
//!
//! What its owner has registered only the kernel knows, and it tells: `/proc/self/fdinfo` has a line for
//! each fd (`tfd: … events: … data: …`). What is reported is what the kernel itself might report at any time, for
//! readiness may be gone when one looks. Knows nothing of the reason.
//!
//! # Safety
//!
//! Events are written where libc's caller says.

#![allow(unsafe_code)]

use std::{ffi::c_int, fs};

use libc::epoll_event;

use crate::memory::give;

/// Writes an event for each fd of the set that is watched for reading or writing, as many as there is room
/// for, and says how many.
///
/// # Safety
///
/// `events` has room for `most`.
pub(crate) unsafe fn alarm(set: c_int, events: *mut epoll_event, most: c_int) -> usize {
    let watched = fs::read_to_string(format!("/proc/self/fdinfo/{set}")).unwrap_or_default();
    let room = usize::try_from(most).unwrap_or(0);
    let reports = watched.lines().filter_map(event).take(room).enumerate();
    reports
        // SAFETY: within the room.
        .take_while(|(index, event)| unsafe { give(event, events.wrapping_add(*index)) })
        .count()
}

/// What a line says of one fd: the event that it would give.
fn event(line: &str) -> Option<epoll_event> {
    let mut words = line.split_whitespace();
    let mut after = |name: &str| {
        words.find(|word| *word == name)?;
        words.next()
    };
    after("tfd:")?;
    let events = u32::from_str_radix(after("events:")?, 16).ok()?;
    let data = u64::from_str_radix(after("data:")?, 16).ok()?;
    let events = events & (libc::EPOLLIN | libc::EPOLLOUT) as u32;
    (events != 0).then_some(epoll_event { events, u64: data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_is_read_as_the_event_it_stands_for() {
        let line = "tfd:        6 events: 8000201d data:     7f1600000006  pos:0 ino:e00151 sdev:f";
        let event = event(line).map(|event| (event.events, event.u64));
        assert_eq!(event, Some(((libc::EPOLLIN | libc::EPOLLOUT) as u32, 0x7f16_0000_0006)));
        for nothing in
            ["pos:\t0", "tfd: 6 events: 40000000 data: 1", "tfd: 6 events: x data: 1", ""]
        {
            assert!(super::event(nothing).is_none(), "{nothing}");
        }
    }
}
