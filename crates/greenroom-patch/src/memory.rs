//! Memory of a caller of libc's that may not be there.
//!
//! The kernel answers `EFAULT` for such, where a look of ours would end the process. Knows no calls.
//!
//! # Safety
//!
//! The kernel copies, and writes only to what is ours.

#![allow(unsafe_code)]

use std::{ffi::c_void, mem::MaybeUninit, ptr};

use libc::iovec;

use crate::raw::Errno;

/// Copies `to.len()` words from `from`. Returns how many there are up to the first that is missing.
///
/// # Safety
///
/// The caller of libc's promises that the memory can be read, or does not care what becomes of it.
pub(crate) unsafe fn copy_words(from: *const u64, to: &mut [u64]) -> usize {
    let bytes = size_of_val(to);
    let ours = iovec { iov_base: to.as_mut_ptr().cast(), iov_len: bytes };
    let theirs = iovec { iov_base: from.cast::<c_void>().cast_mut(), iov_len: bytes };
    // SAFETY: writes to what is ours. What it reads need not be there.
    let copied = unsafe {
        syscall!(SYS_getpid).and_then(|process| {
            syscall!(SYS_process_vm_readv, process, &raw const ours, 1, &raw const theirs, 1, 0)
        })
    };
    match copied {
        Ok(bytes) => bytes / size_of::<u64>(),
        Err(Errno(libc::EFAULT)) => 0,
        Err(_) => {
            // A sandbox may forbid that call. Then the caller's promise has to do.
            // SAFETY: promised; see above.
            unsafe { ptr::copy(from.cast::<u8>(), to.as_mut_ptr().cast(), bytes) };
            to.len()
        }
    }
}

/// Writes a value to where libc's caller says. False if there is no memory, or it cannot be written to.
///
/// # Safety
///
/// As [`copy_words`], of writing.
pub(crate) unsafe fn give<T: Copy>(value: &T, to: *mut T) -> bool {
    let part = |base: *mut T| iovec { iov_base: base.cast(), iov_len: size_of::<T>() };
    let (ours, theirs) = (part(ptr::from_ref(value).cast_mut()), part(to));
    // SAFETY: reads what is ours. What it writes to need not be there.
    let given = unsafe {
        syscall!(SYS_getpid).and_then(|process| {
            syscall!(SYS_process_vm_writev, process, &raw const ours, 1, &raw const theirs, 1, 0)
        })
    };
    match given {
        Ok(bytes) => bytes == size_of::<T>(),
        Err(Errno(libc::EFAULT)) => false,
        Err(_) => {
            // SAFETY: promised, as in `copy_words`.
            unsafe { to.write_unaligned(*value) };
            true
        }
    }
}

/// A value of two words, such as a time; `None` if it is not there.
///
/// # Safety
///
/// As [`copy_words`]; and any two words are a value of this type.
pub(crate) unsafe fn copy_pair<T: Copy>(from: *const T) -> Option<T> {
    const { assert!(size_of::<T>() == 2 * size_of::<u64>(), "a pair is two words") };
    let mut words = [0; 2];
    // SAFETY: the caller answers for it.
    if unsafe { copy_words(from.cast(), &mut words) } < 2 {
        return None;
    }
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as long as the words are, and each of its bytes is written.
    unsafe { ptr::copy_nonoverlapping(words.as_ptr().cast::<u8>(), value.as_mut_ptr().cast(), 16) };
    // SAFETY: any two words are such a value, as the caller promises.
    Some(unsafe { value.assume_init() })
}
