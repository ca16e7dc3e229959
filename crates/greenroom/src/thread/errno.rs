//! The C library's `errno`, kept across a wait.
//!
//! Knows nothing of what is waited for.
//!
//! # Safety
//!
//! The address of `errno` is the OS thread's own and valid as long as the OS thread runs, and a
//! green thread never changes its OS thread: the address from before a wait is good after it.

#![allow(unsafe_code)]

use std::ffi::c_int;

/// Where an OS thread's `errno` is. Asked for once, for it never moves and asking is a call.
#[derive(Debug)]
pub(crate) struct ErrnoPlace(*mut c_int);

impl ErrnoPlace {
    pub(crate) fn of_this_os_thread() -> ErrnoPlace {
        // SAFETY: has no conditions.
        ErrnoPlace(unsafe { libc::__errno_location() })
    }
}

/// What `errno` was; set back when this is dropped. So whoever waits finds it as it was, whatever
/// others called meanwhile.
pub(crate) struct Errno<'a> {
    place: &'a ErrnoPlace,
    value: c_int,
}

impl Errno<'_> {
    #[inline(always)]
    pub(crate) fn keep(place: &ErrnoPlace) -> Errno<'_> {
        // SAFETY: this OS thread's errno, for a place is not `Send`; see the head of this file.
        Errno { place, value: unsafe { *place.0 } }
    }
}

impl Drop for Errno<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: dropped on the OS thread it was made on, for it is not `Send`: the place is not `Sync`.
        unsafe { *self.place.0 = self.value };
    }
}
