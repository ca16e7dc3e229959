//! The overflow report: turns a fault in a fiber's guard into a message that names the fiber.
//!
//! Never lets anything go on: a stack that has overflowed is beyond help.
//!
//! # The danger
//!
//! A signal handler interrupts any code, a lock holder or the allocator included. It runs on the
//! alternate stack and may do only what is async-signal-safe: here, read the thread-local and the
//! fiber's header, and [`report`](crate::report).
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::Once;

use crate::block::Header;
use crate::error::Bytes;
use crate::report::{self, Name};
use crate::running;

/// A fault in a guard is `SIGSEGV`; `SIGBUS` is here because the standard library watches it too.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

static PREVIOUS: [Previous; 2] =
    [const { Previous(UnsafeCell::new(MaybeUninit::uninit())) }; SIGNALS.len()];

/// The action that was installed before ours. Written once, before ours can run.
struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written under a `Once` before the handler that reads it is installed; only read later.
unsafe impl Sync for Previous {}

/// Installs the handler, the first time in a process that it is called.
pub(crate) fn install_once() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: this runs once, before the handler that reads `previous` is installed.
            unsafe { install(signal, &mut *previous.0.get()) };
        }
    });
}

/// # Safety
///
/// `signal` is one of [`SIGNALS`] and is not handled by us yet.
unsafe fn install(signal: libc::c_int, previous: &mut MaybeUninit<libc::sigaction>) {
    // SAFETY: sigaction is called with valid pointers. The handler has the signature that
    // SA_SIGINFO asks for. The mask and flags of the previous action are kept, so that the kernel
    // prepares for a fault that is not ours just as its handler expects.
    unsafe {
        if libc::sigaction(signal, ptr::null(), previous.as_mut_ptr()) != 0 {
            return;
        }
        let mut action = previous.assume_init();
        let kept = action.sa_flags & (libc::SA_NODEFER | libc::SA_RESTART);
        action.sa_flags = kept | libc::SA_SIGINFO | libc::SA_ONSTACK;
        action.sa_sigaction = on_fault as *const () as libc::sighandler_t;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo_t. si_code > 0 says that the kernel sent it for a
    // fault, and only then si_addr is an address.
    let (from_kernel, address) = unsafe { ((*info).si_code > 0, (*info).si_addr().addr()) };
    if from_kernel && let Some(header) = running::running() {
        // SAFETY: a fiber that runs is alive.
        let header = unsafe { header.as_ref() };
        if header.guard_range().is_some_and(|guard| guard.contains(&address)) {
            overflowed(header, address);
        }
    }
    let index = usize::from(signal != SIGNALS[0]);
    // SAFETY: `install` has written the action before it installed this handler.
    let previous = unsafe { (*PREVIOUS[index].0.get()).assume_init_ref() };
    // SAFETY: the arguments are the kernel's.
    unsafe { hand_on(previous, signal, info, context, from_kernel) };
}

/// Does what would have happened had our handler not been there.
///
/// # Safety
///
/// Called from a signal handler with the handler's own arguments.
unsafe fn hand_on(
    previous: &libc::sigaction,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    from_kernel: bool,
) {
    match previous.sa_sigaction {
        // An ignored fault kills nevertheless; only a signal that somebody sent is ignored.
        libc::SIG_IGN if !from_kernel => {}
        libc::SIG_IGN | libc::SIG_DFL => {
            // SAFETY: plain system calls. The instruction that faulted runs again when the handler
            // returns, and its fault then finds the default action; a sent signal is sent again and
            // is delivered then.
            unsafe {
                set_default(signal);
                if !from_kernel {
                    libc::raise(signal);
                }
            }
        }
        handler => {
            // SAFETY: the address is a handler that was installed with these flags, so it has the
            // signature that they say.
            unsafe {
                if previous.sa_flags & libc::SA_RESETHAND != 0 {
                    set_default(signal);
                }
                if previous.sa_flags & libc::SA_SIGINFO != 0 {
                    type Full = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                    mem::transmute::<libc::sighandler_t, Full>(handler)(signal, info, context);
                } else {
                    type Plain = extern "C" fn(libc::c_int);
                    mem::transmute::<libc::sighandler_t, Plain>(handler)(signal);
                }
            }
        }
    }
}

/// # Safety
///
/// Changes what the process does on a signal.
unsafe fn set_default(signal: libc::c_int) {
    // SAFETY: an all-zero sigaction is the default action with an empty mask.
    unsafe {
        let action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

fn overflowed(header: &Header, address: usize) -> ! {
    let size = Bytes(header.stack_size());
    report::abort_with(format_args!(
        "greenroom: {} overflowed its stack of {size} at address {address:#x}; give it more with \
         Builder::stack_size or GREENROOM_STACK_SIZE\n",
        Name::of(header)
    ));
}
