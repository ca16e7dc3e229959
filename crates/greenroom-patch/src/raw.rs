//! System calls, made by the instruction itself.
//!
//! They cannot reach a function of ours, need no library, and leave `errno` alone. Knows numbers
//! and registers, and nothing of what a call means.
//!
//! # Safety
//!
//! The kernel reads and writes where the arguments point. Callers pass on what libc's caller was to
//! answer for, or what they own themselves.

#![allow(unsafe_code)]

use std::{arch::asm, ffi::c_long};

/// What a failed call leaves: a value of `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) const AGAIN: Errno = Errno(libc::EAGAIN);
    pub(crate) const BADF: Errno = Errno(libc::EBADF);
    pub(crate) const CANCELED: Errno = Errno(libc::ECANCELED);
    pub(crate) const INVAL: Errno = Errno(libc::EINVAL);
    pub(crate) const INTR: Errno = Errno(libc::EINTR);
    pub(crate) const NOTSOCK: Errno = Errno(libc::ENOTSOCK);
    pub(crate) const OPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP);
    pub(crate) const PIPE: Errno = Errno(libc::EPIPE);
    pub(crate) const TIMEDOUT: Errno = Errno(libc::ETIMEDOUT);
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Errno {
        Errno(errno.raw_os_error())
    }
}

pub(crate) type Result<T = usize> = std::result::Result<T, Errno>;

/// What may stand in a register. Signed numbers are widened with their sign, as the kernel expects.
pub(crate) trait Word {
    fn word(self) -> usize;
}

impl Word for i32 {
    fn word(self) -> usize {
        self as isize as usize
    }
}

impl Word for u32 {
    fn word(self) -> usize {
        self as usize
    }
}

impl Word for i64 {
    fn word(self) -> usize {
        self as usize
    }
}

impl Word for usize {
    fn word(self) -> usize {
        self
    }
}

impl Word for isize {
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Word for *const T {
    fn word(self) -> usize {
        self.addr()
    }
}

impl<T> Word for *mut T {
    fn word(self) -> usize {
        self.addr()
    }
}

/// Makes the system call of this number: `syscall!(SYS_recvfrom, fd, buffer, length, …)`.
macro_rules! syscall {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::raw::call(libc::$number, &[$($crate::raw::Word::word($argument)),*])
    };
}

/// # Safety
///
/// As the call of this number demands of its arguments.
#[inline]
pub(crate) unsafe fn call(number: c_long, arguments: &[usize]) -> Result {
    let mut words = [0; 6];
    words[..arguments.len()].copy_from_slice(arguments);
    // SAFETY: the caller answers for the arguments.
    let answer = unsafe { enter(number, words) };
    // The last page of addresses is never an answer; there the kernel leaves errors.
    match answer {
        -4095..=-1 => Err(Errno(-answer as i32)),
        _ => Ok(answer as usize),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn enter(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let answer;
    // SAFETY: the kernel keeps all registers but rax, rcx and r11; memory is the caller's business.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn enter(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let answer;
    // SAFETY: the kernel keeps all registers but x0; memory is the caller's business.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a as isize => answer,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    answer
}
