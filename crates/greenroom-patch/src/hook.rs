//! What all functions of ours have in common: one look at where we are, and libc's answer.
//!
//! Knows no call by name.
//!
//! # Safety
//!
//! A function that is defined here is called in place of libc's, by code that knows nothing of it,
//! from anywhere: before `main`, in signal handlers, in a forked child, while locks are held. So up to the one
//! check whether this is a green thread nothing is done but loads from memory, and nothing here may unwind.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_uint};

use crate::raw::{Errno, Result};

/// What becomes of a call on a green thread.
pub(crate) enum Green {
    /// It is done, and this is its answer.
    Done(Result),
    /// It is nothing to wait for, or nothing that can be waited for: the next function may have it.
    Pass,
}

impl From<Result> for Green {
    fn from(result: Result) -> Green {
        Green::Done(result)
    }
}

/// The type of an answer: -1 is a failure, and `errno` says which.
pub(crate) trait Answer {
    const FAILED: Self;
    fn from_word(word: usize) -> Self;
}

impl Answer for c_int {
    const FAILED: c_int = -1;
    fn from_word(word: usize) -> c_int {
        word as c_int
    }
}

impl Answer for c_uint {
    const FAILED: c_uint = c_uint::MAX;
    fn from_word(word: usize) -> c_uint {
        word as c_uint
    }
}

impl Answer for () {
    const FAILED: () = ();
    fn from_word(_: usize) {}
}

impl Answer for c_long {
    const FAILED: c_long = -1;
    fn from_word(word: usize) -> c_long {
        word as c_long
    }
}

impl Answer for isize {
    const FAILED: isize = -1;
    fn from_word(word: usize) -> isize {
        word as isize
    }
}

/// Answers as libc does. `errno` is touched only by a failure.
pub(crate) fn answer<A: Answer>(result: Result) -> A {
    match result {
        Ok(word) => A::from_word(word),
        Err(errno) => {
            set_errno(errno);
            A::FAILED
        }
    }
}

pub(crate) fn set_errno(Errno(value): Errno) {
    // SAFETY: the address of this OS thread's own errno.
    unsafe { *libc::__errno_location() = value };
}

pub(crate) fn errno() -> Errno {
    // SAFETY: the address of this OS thread's own errno.
    Errno(unsafe { *libc::__errno_location() })
}

/// Runs what is no part of the call that was asked for, whose `errno` would mislead.
pub(crate) fn keeping_errno<T>(f: impl FnOnce() -> T) -> T {
    let before = errno();
    let done = f();
    set_errno(before);
    done
}

/// Defines functions that stand in front of libc's, of the same name and type.
///
/// What stands after `also` is the same function under another name of libc's.
/// What follows `before` is done first, on any thread, and its value dropped when the call is done.
///
/// On a green thread the block after `green` is run, which gives a [`Green`]. Anywhere else, and for
/// [`Green::Pass`], the next function of that name has the call, or where there is none the system call
/// after `else`, a [`Result`]. If that fails, and what follows `again` is true, it is called again.
macro_rules! hooks {
    ($($(#[$attribute:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $answer:ty {
        $(also $alias:ident,)?
        $(green($here:ident) $green:block)?
        $(before $before:expr,)?
        else $system:expr
        $(, again $again:expr)?
    })*) => {$(
        $(#[$attribute])*
        // SAFETY (of the name): libc's function of this name has this type, and this one does what it does.
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe, reason = "not every body needs the promise")]
        unsafe extern "C" fn $name($($arg: $type),*) -> $answer {
            static NEXT: $crate::next::Next<unsafe extern "C" fn($($type),*) -> $answer> = {
                let name = $crate::hook::c_name(concat!(stringify!($name), "\0"));
                // SAFETY: the declaration above is libc's.
                unsafe { $crate::next::Next::new(name) }
            };
            /// Run by the loader, before `main`.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static FIND: extern "C" fn() = { extern "C" fn find() { NEXT.find(); } find };
            $(if let Some($here) = greenroom::foreign::Here::get() {
                // SAFETY: what libc's caller promises of the arguments is passed on.
                let green: $crate::hook::Green = unsafe { $green }.into();
                if let $crate::hook::Green::Done(result) = green {
                    return $crate::hook::answer(result);
                }
            })?
            $(let _until_done = $before;)?
            $(
                let before = $crate::hook::errno();
                const _: &str = stringify!($again);
            )?
            #[allow(clippy::never_loop, reason = "most calls are made once")]
            loop {
                let answer: $answer = match NEXT.get() {
                    // SAFETY: as above.
                    Some(next) => unsafe { next($($arg),*) },
                    // SAFETY: as above.
                    None => $crate::hook::answer(unsafe { $system }),
                };
                $(if answer == <$answer as $crate::hook::Answer>::FAILED && $again {
                    // That failure is not the caller's.
                    $crate::hook::set_errno(before);
                    continue;
                })?
                return answer;
            }
        }

        $(
            // SAFETY (of the name): as above, and libc's are one function too. It goes over into ours with
            // registers and stack as it found them, whatever the arguments are.
            #[unsafe(no_mangle)]
            #[unsafe(naked)]
            unsafe extern "C" fn $alias() {
                #[cfg(target_arch = "x86_64")]
                std::arch::naked_asm!("jmp {one}", one = sym $name);
                #[cfg(target_arch = "aarch64")]
                std::arch::naked_asm!("b {one}", one = sym $name);
            }
        )?
    )*};
}

/// A name as the loader takes it.
pub(crate) const fn c_name(name: &'static str) -> &'static std::ffi::CStr {
    match std::ffi::CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("a name of C ends with its only zero"),
    }
}
