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

/// What `errno` was; set back when this is dropped. So whoever waits finds it as it was, whatever
/// others called meanwhile.
pub(super) struct Errno {
    place: *mut c_int,
    value: c_int,
}

impl Errno {
    #[inline(always)]
    pub(super) fn keep() -> Errno {
        // SAFETY: has no conditions.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: this OS thread's errno; see the head of this file.
        Errno { place, value: unsafe { *place } }
    }
}

impl Drop for Errno {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: dropped on the OS thread it was made on, for it is part of a green thread's wait.
        unsafe { *self.place = self.value };
    }
}
