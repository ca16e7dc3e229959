//! A temporary epoll set: what one fd and one direction cannot express, waited for as one fd.
//!
//! It says that there may be something to find, and nothing of what: that is found by whoever asks with the
//! call that is to be answered. Each event is reported once ("edge-triggered"), since an fd may go on being ready
//! in a way that nobody asked about: a hang-up is reported unasked.
//!
//! # Safety
//!
//! The kernel reads and writes events that lie here. The fds of the members belong to others, who may close
//! them at any time: the numbers are given to the kernel, which tolerates any.

#![allow(unsafe_code)]

use std::{ffi::c_int, os::fd::RawFd};

use greenroom::{
    Instant,
    foreign::{Here, Stop},
};
use libc::epoll_event;

use crate::{
    file,
    mask::MASK_BYTES,
    raw::{Errno, Result},
};

/// An fd and the events it is watched for, as `poll` and epoll number them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    pub(crate) fd: RawFd,
    pub(crate) events: u32,
}

/// Who asks a regular file for these has its answer at once, or waits for what stays. Other things may be news: files of
/// `/proc` tell of mounts, or of pressure. They tell it once, to whoever looks first, and a set looks by itself.
const AT_ONCE: u32 = (libc::POLLIN | libc::POLLRDNORM | libc::POLLOUT | libc::POLLWRNORM) as u32;

/// So many reports are taken out at once.
const REPORTS_MAX: usize = 64;

/// The set; closed when it is dropped.
pub(crate) struct Set {
    epoll: Descriptor,
    /// Readable while one of the signals is pending that end the wait.
    _signals: Option<Descriptor>,
    members: Vec<RawFd>,
}

impl Set {
    /// Watches each of the members, whose fds differ, and for signals, bit by bit. What is ready is reported.
    ///
    /// # Errors
    ///
    /// What the kernel says if it has no room for one thing more, if sets are nested too deep, or if a
    /// member is not open; and `EPERM` if one is a file whose news a set would take away.
    pub(crate) fn new(members: &[Member], signals: u64) -> Result<Set> {
        // SAFETY: makes an fd of our own.
        let epoll =
            Descriptor(unsafe { syscall!(SYS_epoll_create1, libc::EPOLL_CLOEXEC)? } as c_int);
        let mut set = Set { epoll, _signals: None, members: Vec::with_capacity(members.len()) };
        for &member in members {
            if member.events & AT_ONCE == 0 && file::is_regular(member.fd) {
                return Err(Errno(libc::EPERM));
            }
            match set.add(member) {
                Ok(_) => set.members.push(member.fd),
                // A file that never makes anyone wait: what it has to say was found already.
                Err(Errno(libc::EPERM)) => {}
                Err(errno) => return Err(errno),
            }
        }
        if signals != 0 {
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            // SAFETY: reads a mask that lies here.
            let fd = unsafe { syscall!(SYS_signalfd4, -1, &raw const signals, MASK_BYTES, flags)? };
            let fd = Descriptor(fd as c_int);
            set.add(Member { fd: fd.0, events: libc::EPOLLIN as u32 })?;
            set._signals = Some(fd);
        }
        Ok(set)
    }

    fn add(&self, Member { fd, events }: Member) -> Result {
        let mut event = epoll_event { events: events | libc::EPOLLET as u32, u64: 0 };
        // SAFETY: reads an event that lies here.
        unsafe { syscall!(SYS_epoll_ctl, self.epoll.0, libc::EPOLL_CTL_ADD, fd, &raw mut event) }
    }

    /// Waits until something new is reported.
    ///
    /// # Errors
    ///
    /// As [`Here::wait_for_set`].
    pub(crate) fn wait(
        &self,
        here: Here,
        deadline: Option<Instant>,
    ) -> std::result::Result<(), Stop> {
        here.wait_for_set(self.epoll.0, &self.members, deadline)?;
        self.take_reports();
        Ok(())
    }

    /// What is reported from here on is newer than the look that follows.
    fn take_reports(&self) {
        let mut reports = [epoll_event { events: 0, u64: 0 }; REPORTS_MAX];
        let no_mask = 0usize;
        // With its signals, a set has one fd more than members.
        for _ in 0..=(self.members.len() + 1) / REPORTS_MAX {
            let (first, most) = (reports.as_mut_ptr(), REPORTS_MAX);
            // SAFETY: writes so many events at most, which lie here.
            let taken = unsafe {
                syscall!(SYS_epoll_pwait, self.epoll.0, first, most, 0, no_mask, MASK_BYTES)
            };
            if taken != Ok(REPORTS_MAX) {
                break;
            }
        }
    }
}

/// An fd of our own, which is closed without anybody being told: nobody else knows it.
struct Descriptor(c_int);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Its number is free afterwards, whatever is answered.
        // SAFETY: it is ours, and this is its end.
        let _ = unsafe { syscall!(SYS_close, self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn a_file_that_tells_its_news_once_is_not_watched() {
        let mounts = File::open("/proc/self/mounts").unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let member = |fd: RawFd, events: i16| Member { fd, events: events as u32 };
        let mounts = |events| member(mounts.as_raw_fd(), events);
        let reader = |events| member(reader.as_raw_fd(), events);
        for (members, is_watched) in [
            (vec![mounts(libc::POLLPRI)], false),
            (vec![mounts(0)], false),
            (vec![reader(libc::POLLIN), mounts(libc::POLLPRI)], false),
            (vec![mounts(libc::POLLIN)], true),
            (vec![reader(libc::POLLPRI)], true),
            (vec![reader(0)], true),
        ] {
            assert_eq!(Set::new(&members, 0).is_ok(), is_watched, "{members:?}");
        }
    }
}
