//! A library that other programs load, with the patch in it.
//!
//! # Safety
//!
//! The table is that of `calls.c`, passed on by `host.c`.

#![allow(unsafe_code)]

use greenroom_patch as _;

/// # Safety
///
/// `calls` points to a table of `calls.c`, which is there for good.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn run_checks(calls: *const checks::Calls) {
    checks::std_calls();
    // SAFETY: as the caller promises.
    checks::c_calls("other library", unsafe { &*calls });
}
