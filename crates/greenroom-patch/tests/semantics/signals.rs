//! Signals, counted by the OS threads that they are sent to.
//!
//! # Safety
//!
//! The handlers add to a thread-local without a destructor, and do nothing else.

#![allow(unsafe_code)]

use std::{cell::Cell, ffi::c_int, mem, ptr, sync::Once};

thread_local! {
    static PIPE_SIGNALS: Cell<u32> = const { Cell::new(0) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

extern "C" fn count_pipe_signal(_: c_int) {
    PIPE_SIGNALS.set(PIPE_SIGNALS.get() + 1);
}

extern "C" fn count_call(_: c_int) {
    CALLS.set(CALLS.get() + 1);
}

/// Handles a signal by `handler`, for the whole process.
fn install(signal: c_int, handler: extern "C" fn(c_int), flags: c_int) {
    // SAFETY: the handlers above may run anywhere.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
    }
}

/// How many `SIGPIPE` came to this OS thread.
pub(crate) fn pipe_signals() -> u32 {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| install(libc::SIGPIPE, count_pipe_signal, libc::SA_RESTART));
    PIPE_SIGNALS.get()
}

/// A signal whose handler has calls begin again, and one whose handler has them end with `EINTR`.
pub(crate) fn restarting_and_interrupting() -> [c_int; 2] {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        install(libc::SIGUSR1, count_call, libc::SA_RESTART);
        install(libc::SIGUSR2, count_call, 0);
    });
    [libc::SIGUSR1, libc::SIGUSR2]
}

/// An OS thread's address for signals.
#[derive(Clone, Copy)]
pub(crate) struct Address(libc::pthread_t);

pub(crate) fn address() -> Address {
    // SAFETY: has no conditions.
    Address(unsafe { libc::pthread_self() })
}

pub(crate) fn send(to: Address, signal: c_int) {
    // SAFETY: scripts send to OS threads that are still running.
    assert_eq!(unsafe { libc::pthread_kill(to.0, signal) }, 0);
}
