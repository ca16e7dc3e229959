//! The body of each program here: all checks that it has code for.
//!
//! # Safety
//!
//! The tables are made by `calls.c`, which is linked in under two names.

#![allow(unsafe_code)]

use checks::Calls;

unsafe extern "C" {
    fn object_calls() -> *const Calls;
    #[cfg(not(target_feature = "crt-static"))]
    fn linked_calls() -> *const Calls;
}

pub(crate) fn main() {
    checks::std_calls();
    // SAFETY: made by `calls.c`, and there for good.
    checks::c_calls("object", unsafe { &*object_calls() });
    #[cfg(not(target_feature = "crt-static"))]
    // SAFETY: as above.
    checks::c_calls("library", unsafe { &*linked_calls() });
}
