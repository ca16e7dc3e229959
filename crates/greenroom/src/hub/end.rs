//! The end of an OS thread: its hub ends first.
//!
//! A green thread may hold, across a wait, what a thread-local of anybody's has lent it. So all of
//! them must be unwound before any thread-local is destroyed. The C library destroys last what was
//! registered first, and nobody can tell it to do otherwise; so the hub's end is registered anew
//! whenever the root leaves the loop and green threads that have run are left behind. Knows no
//! thread-local but its own.
//!
//! # Safety
//!
//! The unsafe code registers a function with the C library, as the standard library does for its
//! thread-locals. The function takes no argument, does not unwind, and finds out by itself whether
//! there is anything left to end, for it is called once for each registration.

#![allow(unsafe_code)]

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    process, ptr,
};

use greenroom_fiber::Fiber;

use crate::{
    debug::say,
    hub::{
        ROUNDS_MAX, callback,
        local::{self, Local, existing},
    },
    thread::{self, Control, Waiter},
};

/// A registration takes 48 bytes until the OS thread ends. After so many the hub's end stays where
/// it is.
const REGISTRATIONS_MAX: u32 = 1 << 16;

unsafe extern "C" {
    fn __cxa_thread_atexit_impl(
        function: extern "C" fn(*mut c_void),
        argument: *mut c_void,
        module: *const u8,
    ) -> c_int;

    /// Keeps a shared library that holds this code loaded until the function was called.
    static __dso_handle: u8;
}

/// Whether the hub would end before all thread-locals that green threads may have used.
#[derive(Debug)]
pub(crate) struct End {
    /// Nothing ends with the main thread but the process: there is nothing to register.
    on_main_thread: bool,
    registrations: Cell<u32>,
    /// How many times somebody had run when it was registered last.
    runs_then: Cell<u64>,
    is_late: Cell<bool>,
}

impl End {
    /// The end of this OS thread's hub, registered for the first time.
    pub(crate) fn new() -> End {
        let end = End {
            on_main_thread: is_main_thread(),
            registrations: Cell::new(0),
            runs_then: Cell::new(0),
            is_late: Cell::new(false),
        };
        end.register();
        end
    }

    /// The root leaves the loop: if green threads are left, the hub's end comes first from now on.
    #[inline]
    pub(crate) fn comes_first(&self, local: &Local) {
        let runs = local.pulse.runs();
        if self.runs_then.replace(runs) != runs && local.threads.borrow().len() > 0 {
            self.register();
        }
    }

    #[cold]
    fn register(&self) {
        if self.on_main_thread {
            return;
        }
        if self.registrations.get() == REGISTRATIONS_MAX {
            self.is_late.set(true);
            return;
        }
        self.registrations.set(self.registrations.get() + 1);
        // SAFETY: see the head of this file. It never fails: without memory it ends the process.
        unsafe { __cxa_thread_atexit_impl(on_end, ptr::null_mut(), &raw const __dso_handle) };
    }
}

/// Called as the OS thread ends, or as the process exits from it.
extern "C" fn on_end(_: *mut c_void) {
    let Some(local) = existing() else { return };
    if is_inside_loop(local) {
        // The process exits: nothing is unwound, as nothing of the other OS threads is.
        return;
    }
    if local.end.is_late.get() {
        refuse_late(local);
    }
    end_all(local);
    // If destructors armed new ones to the last.
    callback::forget_all(local);
    local::take_away();
}

/// Ends whatever the hub has, and again what destructors have left behind meanwhile: no green thread may be
/// alive when the state goes that it uses.
fn end_all(local: &Local) {
    for _ in 0..ROUNDS_MAX {
        super::end(local);
        super::remote::end(local);
        thread::local::end(&local.root);
        let is_over = local.threads.borrow().len() == 0 && local.post.borrow().is_none();
        if is_over && local.root.locals.is_empty() {
            return;
        }
    }
    say(format_args!(
        "destructors that run as an OS thread ends start green threads again and again, \
         {ROUNDS_MAX} times by now"
    ));
    process::abort();
}

/// Thread-locals that the threads left may be using are destroyed already.
#[cold]
fn refuse_late(local: &Local) {
    let threads = local.threads.borrow();
    let Some(fiber) = threads.iter().find(|fiber| fiber.has_started()) else { return };
    say(format_args!(
        "{} is alive while its OS thread ends, whose root has waited more than {} times, so that \
         it is too late to unwind it; join it first, or call hub::abort",
        Waiter::Thread(fiber.clone()),
        REGISTRATIONS_MAX
    ));
    process::abort();
}

fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

/// True if this runs on a green thread, in a callback, or while the root waits: then the process
/// exits from in there.
fn is_inside_loop(local: &Local) -> bool {
    local.in_callback.get()
        || Fiber::<Control>::with_current(|fiber| fiber.is_some())
        || local.root.is_waiting()
}
