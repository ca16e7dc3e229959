//! A slab: one mapping, cut into slots of a guard and a stack each.
//!
//! Knows addresses and sizes; never knows who uses a stack.
//!
//! # The danger
//!
//! A slab hands out raw memory, and unmaps it when it is dropped. The pool owns the slabs and is
//! itself owned by every fiber on them, so no slab is dropped while a stack of it is in use.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// An anonymous mapping that is unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Slab {
    start: NonNull<c_void>,
    len: usize,
}

impl Slab {
    /// Maps `len` bytes. Nothing is committed: a page costs memory from its first touch on.
    pub(crate) fn map(len: usize) -> Result<Slab, Errno> {
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no memory
        // that exists already.
        let start = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        // A huge page would commit 2 MiB at the first touch of one stack. A kernel that was built
        // without huge pages answers EINVAL, and needs no advice.
        // SAFETY: the mapping was made above; this advice changes no contents.
        let _ = unsafe { madvise(start, len, Advice::LinuxNoHugepage) };
        let start = NonNull::new(start).expect("mmap returned a null pointer");
        Ok(Slab { start, len })
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start.cast()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length. The pool drops its slabs only
        // when no fiber owns it any more, so nothing lives on the stacks. Unmapping whole mappings
        // cannot fail for want of memory.
        let _ = unsafe { munmap(self.start.as_ptr(), self.len) };
    }
}

/// Gives the pages of a range back to the kernel; they read as zeros when touched again. Guard
/// markers in the range stay.
///
/// # Safety
///
/// The range is page-aligned, lies in a [`Slab`], and holds nothing that is needed.
pub(crate) unsafe fn give_back(start: NonNull<u8>, len: usize) {
    // Locked memory (mlockall) cannot be given back: EINVAL. It then simply stays.
    // SAFETY: the caller owns the range, and its contents are not needed any more.
    let _ = unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxDontNeed) };
}
