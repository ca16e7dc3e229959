//! The exceptions of C++ that are in flight, of which its runtime keeps a list for each OS thread.
//!
//! A call in a `catch` block, or in a destructor that runs because of an exception, may wait; and what siblings throw
//! meanwhile would be chained to the same list, out of order. So the list stays with whoever waits, and others find an empty one.
//! Only for a runtime that the program or one of its libraries is linked with; one that is loaded later is not found.
//!
//! # Safety
//!
//! The C++ runtime's function returns the address of this OS thread's list, whose type the ABI of C++ lays down. It is
//! exchanged as a whole between two calls into the runtime, which keeps no other pointer into it.

#![allow(unsafe_code)]
#![cfg(not(target_feature = "crt-static"))]

use std::{
    ffi::{c_uint, c_void},
    mem, ptr,
};

use crate::{hook::c_name, next::Next};

/// `__cxa_eh_globals` of the ABI.
#[repr(C)]
struct List {
    caught: *mut c_void,
    uncaught_total: c_uint,
}

impl List {
    const EMPTY: List = List { caught: ptr::null_mut(), uncaught_total: 0 };

    fn is_empty(&self) -> bool {
        self.caught.is_null() && self.uncaught_total == 0
    }
}

static NEXT: Next<unsafe extern "C" fn() -> *mut List> =
    // SAFETY: this is its type in the ABI.
    unsafe { Next::new(c_name("__cxa_get_globals\0")) };

/// Run by the loader, before `main`.
#[used]
// SAFETY: a function without arguments, as the loader calls those of this section.
#[unsafe(link_section = ".init_array")]
static FIND: extern "C" fn() = {
    extern "C" fn find() {
        NEXT.find();
    }
    find
};

/// Exceptions that are away.
pub(crate) struct Taken(List);

/// Takes them away, if there are any.
pub(crate) fn take() -> Option<Taken> {
    let get = NEXT.get()?;
    // SAFETY: this OS thread's list, which only the runtime uses, and that not while we are here.
    let list = unsafe { &mut *get() };
    (!list.is_empty()).then(|| Taken(mem::replace(list, List::EMPTY)))
}

/// Puts them back, after the same wait.
pub(crate) fn put_back(Taken(taken): Taken) {
    if let Some(get) = NEXT.get() {
        // SAFETY: as in `take`.
        unsafe { *get() = taken };
    }
}
