//! What cases ask of the kernel that no safe call offers: to lack a system call, to ignore a signal.
//!
//! Knows nothing of who asks.
//!
//! # Safety
//!
//! The filter is four instructions that look at the number of a call, which the kernel checks before
//! it takes them. It holds for the calling OS thread and its children until they end, and no other
//! call is touched. Ignoring a signal installs no code.

#![allow(unsafe_code)]

/// From now on this OS thread has no such system call: it fails with `ENOSYS`.
pub(crate) fn forget_call(number: libc::c_long) {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let jump = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let end = (libc::BPF_RET | libc::BPF_K) as u16;
    let refuse = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let number = u32::try_from(number).unwrap();
    // The number of the call stands first in what a filter sees.
    let mut steps = [
        libc::sock_filter { code: load, jt: 0, jf: 0, k: 0 },
        libc::sock_filter { code: jump, jt: 0, jf: 1, k: number },
        libc::sock_filter { code: end, jt: 0, jf: 0, k: refuse },
        libc::sock_filter { code: end, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: both only read their arguments; `program` and `steps` outlive the calls.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    };
    assert!(done, "the kernel takes the filter: {}", std::io::Error::last_os_error());
}

/// From now on the kernel forgets children as they end.
pub(crate) fn ignore_sigchld() {
    // SAFETY: sets how a signal is dealt with, without a handler.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    assert_ne!(before, libc::SIG_ERR);
}
