//! The signal mask that some calls bring along, in force while they wait.
//!
//! Blocks and delivers nothing by itself: that is done by the kernel, in a system call that is given the
//! mask.
//!
//! # Safety
//!
//! A mask is read where libc's caller says it is, but only when the kernel has read it there.

#![allow(unsafe_code)]

use std::{mem::size_of, ptr};

use libc::sigset_t;

/// Bytes of a mask as the kernel knows it; libc's type has room for more.
pub(crate) const MASK_BYTES: usize = size_of::<u64>();

/// A mask of a call, if it has one.
#[derive(Clone, Copy)]
pub(crate) struct Mask(pub(crate) *const sigset_t);

impl Mask {
    pub(crate) const NONE: Mask = Mask(ptr::null());

    pub(crate) fn is_none(self) -> bool {
        self.0.is_null()
    }

    /// The signals that are blocked on this OS thread and would not be under the mask; bit by bit.
    ///
    /// # Safety
    ///
    /// The kernel has read the mask.
    pub(crate) unsafe fn admits(self) -> u64 {
        if self.is_none() {
            return 0;
        }
        // SAFETY: it can be read, as the caller knows. Nobody promises that it lies at a multiple of eight.
        let mask = unsafe { self.0.cast::<u64>().read_unaligned() };
        let mut blocked = 0u64;
        let nothing = ptr::null::<u64>();
        // SAFETY: changes nothing, and writes the mask that is in force.
        let asked = unsafe {
            syscall!(SYS_rt_sigprocmask, libc::SIG_BLOCK, nothing, &raw mut blocked, MASK_BYTES)
        };
        if asked.is_ok() { blocked & !mask } else { 0 }
    }
}
