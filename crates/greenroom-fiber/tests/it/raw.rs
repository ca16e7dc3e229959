//! What the tests do to memory, signals and limits behind everybody's back.
//!
//! Knows nothing of what is being tested.
//!
//! # The danger
//!
//! All unsafe code of these tests is here. Some of it is meant to fault: then it runs in a child.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::{fs, io, ptr};

use greenroom_fiber::{Fiber, Options, Pool, Progress};

/// Writes one byte, wherever that is.
pub(crate) fn write_byte(address: usize) {
    // SAFETY: a parked fiber's stack below its frames is nobody's, and where there is no memory a
    // fault is wanted.
    unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
}

/// How many pages of the range are in memory.
pub(crate) fn resident_pages(range: Range<usize>) -> usize {
    let mut pages = vec![0u8; range.len() / 4096];
    let start = ptr::without_provenance_mut(range.start);
    // SAFETY: the kernel writes a byte for each page of the range, and the vector has as many.
    let failed = unsafe { libc::mincore(start, range.len(), pages.as_mut_ptr()) } != 0;
    assert!(!failed, "{}", io::Error::last_os_error());
    pages.iter().filter(|&&page| page & 1 == 1).count()
}

pub(crate) fn errno() -> i32 {
    // SAFETY: it points to this OS thread's errno.
    unsafe { *libc::__errno_location() }
}

pub(crate) fn set_errno(errno: i32) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Runs a closure that borrows from its caller to its end, in a fiber; returns how often it
/// suspended itself.
pub(crate) fn run_borrowing(pool: &Pool, body: impl FnOnce()) -> usize {
    // SAFETY: the fiber has finished before this returns, and its only handle is here.
    let fiber = unsafe { Fiber::new_unchecked(pool, Options::default(), (), body) }.unwrap();
    let mut suspended = 0;
    while fiber.resume() == Progress::Suspended {
        suspended += 1;
    }
    suspended
}

/// Allows this process so many bytes of address space more than it has.
pub(crate) fn limit_address_space(bytes: u64) {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let limit = pages * 4096 + bytes;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: the pointer is valid.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// What a test can have installed for SIGSEGV before the first pool is made.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    Default,
    Ignore,
    /// Exits with 41 if it is told of a fault at 0x10.
    ExitTold,
    /// Exits with 42; takes the signal's number only.
    ExitPlain,
    /// Does nothing, and only once.
    ReturnOnce,
}

pub(crate) fn install(action: Action) {
    let (handler, flags) = match action {
        Action::Default => (libc::SIG_DFL, 0),
        Action::Ignore => (libc::SIG_IGN, 0),
        Action::ExitTold => (exit_told as *const () as usize, libc::SA_SIGINFO | libc::SA_ONSTACK),
        Action::ExitPlain => (exit_plain as *const () as usize, 0),
        Action::ReturnOnce => (do_nothing as *const () as usize, libc::SA_RESETHAND),
    };
    // SAFETY: an all-zero sigaction is valid, and the handlers have the signatures of their flags.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &action, ptr::null_mut()), 0);
    }
}

extern "C" fn exit_told(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's siginfo_t, handed on. _exit may be called in a handler.
    unsafe {
        let address = (*info).si_addr().addr();
        let right = signal == libc::SIGSEGV && address == 0x10 && !context.is_null();
        libc::_exit(if right { 41 } else { 1 })
    }
}

extern "C" fn exit_plain(signal: i32) {
    // SAFETY: _exit may be called in a handler.
    unsafe { libc::_exit(if signal == libc::SIGSEGV { 42 } else { 1 }) }
}

extern "C" fn do_nothing(_: i32) {}

/// Sends SIGSEGV to this thread.
pub(crate) fn raise_segv() {
    // SAFETY: raise may be called anywhere.
    unsafe { libc::raise(libc::SIGSEGV) };
}

/// Runs `body` on an OS thread that the standard library did not make, and so gave no signal stack.
pub(crate) fn on_foreign_thread(body: fn()) {
    extern "C" fn start(body: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: `on_foreign_thread` passes a fn().
        let body = unsafe { std::mem::transmute::<*mut libc::c_void, fn()>(body) };
        body();
        ptr::null_mut()
    }
    let mut thread = MaybeUninit::uninit();
    let body = body as *const () as *mut libc::c_void;
    // SAFETY: the pointers are valid, and the thread is joined.
    unsafe {
        assert_eq!(libc::pthread_create(thread.as_mut_ptr(), ptr::null(), start, body), 0);
        assert_eq!(libc::pthread_join(thread.assume_init(), ptr::null_mut()), 0);
    }
}

/// Where this OS thread's signal stack is, if it has one.
pub(crate) fn signal_stack() -> Option<usize> {
    let mut stack = MaybeUninit::uninit();
    // SAFETY: the pointer is valid, and sigaltstack fills it in.
    let stack: libc::stack_t = unsafe {
        assert_eq!(libc::sigaltstack(ptr::null(), stack.as_mut_ptr()), 0);
        stack.assume_init()
    };
    (stack.ss_flags & libc::SS_DISABLE == 0).then(|| stack.ss_sp.addr())
}
