//! The guard below a stack: memory that cannot be touched, so that an overflow is a fault.
//!
//! Never knows what the stack is for.
//!
//! # The danger
//!
//! A guard makes a range of memory unusable. Installed over live memory it would destroy it
//! (`MADV_GUARD_INSTALL` drops the pages); left out, an overflow would run into the neighbour's
//! stack. The callers hand in the part of a slot that no stack covers, before the slot's first use.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{MprotectFlags, mprotect};

/// `MADV_GUARD_INSTALL` of Linux 6.13: page-table markers instead of a mapping of its own.
///
/// The range must be anonymous memory that is not locked; older kernels answer `EINVAL`. The
/// markers survive `MADV_DONTNEED` and go with the mapping.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// How the guard below each stack is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// [`Guard::Install`] where the kernel knows it, else [`Guard::Protect`]. Tried at the pool's
    /// first stack.
    #[default]
    Auto,
    /// `MADV_GUARD_INSTALL`, Linux 6.13 and newer. Takes no mapping of its own, so that a million
    /// stacks fit the default limit of 65,530 mappings in a process (`vm.max_map_count`).
    Install,
    /// `mprotect(PROT_NONE)`, on every kernel. Costs two mappings for each stack, so the limit is
    /// reached at about 32,000 stacks.
    Protect,
}

impl Guard {
    /// Makes `len` bytes from `start` untouchable; returns the kind that is in force from now on.
    ///
    /// # Safety
    ///
    /// The range is page-aligned, belongs to a mapping of the caller, and holds nothing.
    pub(crate) unsafe fn install(self, start: NonNull<u8>, len: usize) -> Result<Guard, Errno> {
        match self {
            Guard::Install => {
                // SAFETY: the caller owns the range, and nothing lives in it.
                unsafe { install_markers(start, len) }?;
                Ok(Guard::Install)
            }
            Guard::Protect => {
                // SAFETY: the caller owns the range, and nothing lives in it.
                unsafe { mprotect(start.as_ptr().cast(), len, MprotectFlags::empty()) }?;
                Ok(Guard::Protect)
            }
            // SAFETY: the caller's promise is passed on unchanged.
            Guard::Auto => match unsafe { Guard::Install.install(start, len) } {
                // SAFETY: as above; a failed MADV_GUARD_INSTALL has changed nothing.
                Err(Errno::INVAL) => unsafe { Guard::Protect.install(start, len) },
                result => result,
            },
        }
    }
}

/// # Safety
///
/// As for [`Guard::install`].
unsafe fn install_markers(start: NonNull<u8>, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller owns the range, and nothing lives in it. rustix has no name for this
    // advice; libc's wrapper passes the number through.
    let failed = unsafe { libc::madvise(start.as_ptr().cast(), len, MADV_GUARD_INSTALL) } != 0;
    if failed {
        // SAFETY: __errno_location always points to this thread's errno.
        return Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }));
    }
    Ok(())
}
