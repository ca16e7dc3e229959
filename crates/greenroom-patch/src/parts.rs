//! A buffer in parts, of which some bytes are done with.
//!
//! Knows no calls. Takes no memory: a call that moves fewer parts than there are is a short one, and is
//! made again for the rest.
//!
//! # Safety
//!
//! The parts are those of libc's caller, who answers for them as long as the call lasts.

#![allow(unsafe_code)]

use std::{ffi::c_int, ptr, slice};

use libc::iovec;

/// How many parts a call takes at most (`UIO_MAXIOV`); more are refused, and by each call in its own way.
const PARTS_MAX: usize = 1024;

/// How many parts are given to the kernel at once, once some bytes are done with.
const REST_MAX: usize = 64;

/// All parts of a caller's buffer.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a>(&'a [iovec]);

impl Parts<'_> {
    /// `None` if that is too many or a negative number, about which the kernel is to be asked.
    ///
    /// # Safety
    ///
    /// `parts` points to so many that are valid as long as the value is used. (Where there are none, it
    /// may be null.)
    pub(crate) unsafe fn new<'a>(parts: *const iovec, count: c_int) -> Option<Parts<'a>> {
        let count = usize::try_from(count).ok().filter(|&count| count <= PARTS_MAX)?;
        if count == 0 {
            return Some(Parts(&[]));
        }
        // An address of a caller's own that is not mapped is for the kernel to refuse, with EFAULT; one
        // that is null would be undefined here.
        // SAFETY: not null, and otherwise as the caller promised.
        (!parts.is_null()).then(|| Parts(unsafe { slice::from_raw_parts(parts, count) }))
    }

    /// Bytes in all.
    pub(crate) fn length(self) -> usize {
        self.0.iter().fold(0, |sum, part| sum.saturating_add(part.iov_len))
    }

    /// What is left of the parts after `done` bytes: all of them if that is none.
    pub(crate) fn after<R>(self, done: usize, f: impl FnOnce(*const iovec, usize) -> R) -> R {
        self.within(done, usize::MAX, f)
    }

    /// What is left of the parts after `done` bytes, but no more than `most` bytes.
    pub(crate) fn within<R>(
        self,
        mut done: usize,
        mut most: usize,
        f: impl FnOnce(*const iovec, usize) -> R,
    ) -> R {
        if done == 0 && self.length() <= most {
            return f(self.0.as_ptr(), self.0.len());
        }
        let mut rest = [iovec { iov_base: ptr::null_mut(), iov_len: 0 }; REST_MAX];
        let mut count = 0;
        for part in self.0 {
            if done >= part.iov_len {
                done -= part.iov_len;
                continue;
            }
            if count == REST_MAX || most == 0 {
                break;
            }
            let iov_base = part.iov_base.wrapping_byte_add(done);
            let iov_len = most.min(part.iov_len - done);
            rest[count] = iovec { iov_base, iov_len };
            count += 1;
            most -= iov_len;
            done = 0;
        }
        f(rest.as_ptr(), count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(lengths: &[usize], done: usize) -> Vec<(usize, usize)> {
        with_parts(lengths, |parts| parts.after(done, shown))
    }

    fn within(lengths: &[usize], done: usize, most: usize) -> Vec<(usize, usize)> {
        with_parts(lengths, |parts| parts.within(done, most, shown))
    }

    fn shown(rest: *const iovec, count: usize) -> Vec<(usize, usize)> {
        // SAFETY: so many parts, which live until this returns.
        let rest = unsafe { slice::from_raw_parts(rest, count) };
        rest.iter().map(|part| (part.iov_base.addr(), part.iov_len)).collect()
    }

    fn with_parts<R>(lengths: &[usize], f: impl FnOnce(Parts<'_>) -> R) -> R {
        let mut base = 1000;
        let parts: Vec<iovec> = lengths
            .iter()
            .map(|&iov_len| {
                base += 1000;
                iovec { iov_base: ptr::without_provenance_mut(base), iov_len }
            })
            .collect();
        f(Parts(&parts))
    }

    #[test]
    fn no_more_is_left_than_is_wanted() {
        assert_eq!(within(&[5, 0, 7], 0, 3), [(2000, 3)]);
        assert_eq!(within(&[5, 0, 7], 2, 3), [(2002, 3)]);
        assert_eq!(within(&[5, 0, 7], 2, 4), [(2002, 3), (4000, 1)]);
        assert_eq!(within(&[5, 0, 7], 12, 4), []);
    }

    #[test]
    fn what_is_done_is_left_out_to_the_byte() {
        assert_eq!(rest(&[5, 0, 7], 0), [(2000, 5), (3000, 0), (4000, 7)]);
        assert_eq!(rest(&[5, 0, 7], 3), [(2003, 2), (4000, 7)]);
        assert_eq!(rest(&[5, 0, 7], 5), [(4000, 7)]);
        assert_eq!(rest(&[5, 0, 7], 11), [(4006, 1)]);
        assert_eq!(rest(&[5, 0, 7], 12), []);
        assert_eq!(rest(&[1; 200], 1).len(), REST_MAX);
    }

    #[test]
    fn numbers_of_parts_that_no_call_takes_are_not_looked_at() {
        let nowhere = ptr::without_provenance(16);
        for count in [-1, 1025, c_int::MAX] {
            // SAFETY: not looked at, which is what is tested.
            assert!(unsafe { Parts::new(nowhere, count) }.is_none());
        }
        // SAFETY: as above.
        assert_eq!(unsafe { Parts::new(nowhere, 0) }.map(Parts::length), Some(0));
        // SAFETY: as above.
        assert!(unsafe { Parts::new(ptr::null(), 1) }.is_none());
    }
}
