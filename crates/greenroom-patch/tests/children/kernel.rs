//! libc's calls as C makes them, with what they return, write and leave in `errno`; and children to wait for.
//!
//! Knows no green thread.
//!
//! # Safety
//!
//! A forked child calls what a forked child may while its parent has other threads: system calls, and code of
//! the case that only makes such; it leaves by `_exit`. A child of `vfork` runs above its parent's frame, and never
//! returns into it. Pointers are to variables that outlive the call.

#![allow(unsafe_code)]

use std::{arch::naked_asm, ffi::c_int, mem, ptr, time::Duration};

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};

/// What is in `errno` and in the status before a call, to see whether the call touches it.
pub(crate) const BEFORE: c_int = 4242;

/// How a call ended: its answer, `errno`, and the status.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) answer: pid_t,
    pub(crate) errno: c_int,
    pub(crate) status: c_int,
}

impl Ended {
    /// Without the number of the child, which is never the same twice.
    #[track_caller]
    pub(crate) fn of(self, pid: pid_t) -> Ended {
        assert_eq!(self.answer, pid, "{self:?}");
        Ended { answer: 1, ..self }
    }
}

fn ended(call: impl FnOnce(*mut c_int) -> pid_t) -> Ended {
    let mut status = BEFORE;
    // SAFETY: this OS thread's own errno.
    unsafe { *libc::__errno_location() = BEFORE };
    let answer = call(&mut status);
    // SAFETY: as above.
    Ended { answer, errno: unsafe { *libc::__errno_location() }, status }
}

pub(crate) fn wait() -> Ended {
    // SAFETY: see the head of this file.
    ended(|status| unsafe { libc::wait(status) })
}

pub(crate) fn waitpid(pid: pid_t, options: c_int) -> Ended {
    // SAFETY: see the head of this file.
    ended(|status| unsafe { libc::waitpid(pid, status, options) })
}

unsafe extern "C" {
    fn wait3(status: *mut c_int, options: c_int, usage: *mut rusage) -> pid_t;
    fn __waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t;
    fn __wait(status: *mut c_int) -> pid_t;
    fn vfork() -> pid_t;
}

pub(crate) fn other_names(pid: Option<pid_t>) -> Ended {
    // SAFETY: see the head of this file.
    ended(|status| unsafe { pid.map_or_else(|| __wait(status), |pid| __waitpid(pid, status, 0)) })
}

/// Of one child, or of any; and whether memory was used.
pub(crate) fn with_usage(pid: Option<pid_t>, options: c_int) -> (Ended, bool) {
    // SAFETY: all of a rusage may be zero.
    let mut usage: rusage = unsafe { mem::zeroed() };
    // SAFETY: see the head of this file.
    let ended = ended(|status| unsafe {
        match pid {
            Some(pid) => libc::wait4(pid, status, options, &mut usage),
            None => wait3(status, options, &mut usage),
        }
    });
    (ended, usage.ru_maxrss > 0)
}

/// What `waitid` writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Info {
    pub(crate) signal: c_int,
    pub(crate) code: c_int,
    pub(crate) pid: pid_t,
    pub(crate) status: c_int,
}

pub(crate) fn waitid(which: idtype_t, id: id_t, options: c_int) -> (Ended, Info) {
    // SAFETY: all of a siginfo may be zero.
    let mut info: siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: see the head of this file.
    let ended = ended(|_| unsafe { libc::waitid(which, id, &mut info, options) });
    // SAFETY: zero, or of a child.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    (ended, Info { signal: info.si_signo, code: info.si_code, pid, status })
}

pub(crate) fn waitid_without_info(which: idtype_t, id: id_t, options: c_int) -> Ended {
    // SAFETY: see the head of this file.
    ended(|_| unsafe { libc::waitid(which, id, ptr::null_mut(), options) })
}

/// Forks; the child ends with what `child` returns.
pub(crate) fn fork(child: impl FnOnce() -> c_int) -> pid_t {
    // SAFETY: see the head of this file.
    match unsafe { libc::fork() } {
        // SAFETY: ends the process without destructors, which are the parent's to run.
        0 => unsafe { libc::_exit(child()) },
        pid => {
            assert!(pid > 0, "the kernel forks");
            pid
        }
    }
}

/// Forks by `vfork`; the child ends with what `child` returns.
pub(crate) fn fork_in_place(child: extern "C" fn() -> c_int) -> pid_t {
    // SAFETY: see the head of this file.
    let pid = unsafe { vfork_and_call(child, libc::_exit) };
    assert!(pid > 0, "the kernel forks");
    pid
}

// In one piece, so that no frame is left by the child that its parent is to find.
#[unsafe(naked)]
unsafe extern "C" fn vfork_and_call(
    child: extern "C" fn() -> c_int,
    end: unsafe extern "C" fn(c_int) -> !,
) -> pid_t {
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "push rbx",
        "push rbp",
        "sub rsp, 8",
        "mov rbx, rdi",
        "mov rbp, rsi",
        "call {vfork}@PLT",
        "test eax, eax",
        "jnz 2f",
        "call rbx",
        "mov edi, eax",
        "call rbp",
        "2:",
        "add rsp, 8",
        "pop rbp",
        "pop rbx",
        "ret",
        vfork = sym vfork,
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-32]!",
        "stp x19, x20, [sp, #16]",
        "mov x19, x0",
        "mov x20, x1",
        "bl {vfork}",
        "cbnz w0, 2f",
        "blr x19",
        "blr x20",
        "2:",
        "ldp x19, x20, [sp, #16]",
        "ldp x29, x30, [sp], #32",
        "ret",
        vfork = sym vfork,
    );
}

/// A child that ends with `code` after some time.
pub(crate) fn child_after(millis: u64, code: c_int) -> pid_t {
    fork(move || {
        nap(millis);
        code
    })
}

/// A child that lives until it is killed.
pub(crate) fn child_for_ever() -> pid_t {
    fork(|| {
        loop {
            nap(1000);
        }
    })
}

/// libc's own sleep, made green where it is.
pub(crate) fn nap(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

pub(crate) fn send(pid: pid_t, signal: c_int) {
    // SAFETY: to a child of ours.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

pub(crate) fn stop_myself() {
    // SAFETY: goes on when it is told to.
    assert_eq!(unsafe { libc::raise(libc::SIGSTOP) }, 0);
}

/// Makes the parent the tracer of this process.
pub(crate) fn be_traced() {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) }, 0);
}

/// Lets a traced child that has stopped go on. Only its tracing OS thread may.
pub(crate) fn let_go_on(pid: pid_t) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_CONT, pid, 0, 0) }, 0);
}

/// The child is the first of a group of its own.
pub(crate) fn make_group(pid: pid_t) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::setpgid(pid, pid) }, 0);
}

/// The kernel forgets children as they end.
pub(crate) fn ignore_children() {
    // SAFETY: no handler.
    assert_ne!(unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) }, libc::SIG_ERR);
}

pub(crate) fn pidfd(pid: pid_t, flags: u32) -> c_int {
    // SAFETY: touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) } as c_int;
    assert!(fd >= 0);
    fd
}

pub(crate) fn close(fd: c_int) -> c_int {
    // SAFETY: of the case's own.
    unsafe { libc::close(fd) }
}

pub(crate) fn dup2(old: c_int, new: c_int) -> c_int {
    // SAFETY: both of the case's own.
    unsafe { libc::dup2(old, new) }
}

pub(crate) fn pipe() -> (c_int, c_int) {
    let mut fds = [0; 2];
    // SAFETY: room for two.
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    (fds[0], fds[1])
}

pub(crate) fn read_byte(fd: c_int) -> Option<u8> {
    let mut byte = 0u8;
    // SAFETY: room for one.
    (unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } == 1).then_some(byte)
}

pub(crate) fn write_byte(fd: c_int, byte: u8) -> isize {
    // SAFETY: one byte.
    unsafe { libc::write(fd, (&raw const byte).cast(), 1) }
}

/// Runs a program in the place of this one; returns if that fails.
pub(crate) fn exec(program: &std::ffi::CStr) {
    let arguments = [program.as_ptr(), ptr::null()];
    // SAFETY: strings of C, and a null behind the last.
    unsafe { libc::execvp(program.as_ptr(), arguments.as_ptr()) };
}

/// Has a command run before `exec` in the child, which makes std fork.
pub(crate) fn before_exec(
    command: &mut std::process::Command,
    hook: impl FnMut() -> std::io::Result<()> + Send + Sync + 'static,
) {
    use std::os::unix::process::CommandExt;
    // SAFETY: the cases' hooks make system calls only.
    unsafe { command.pre_exec(hook) };
}

pub(crate) fn system(command: &std::ffi::CStr) -> c_int {
    // SAFETY: a string of C.
    unsafe { libc::system(command.as_ptr()) }
}
