//! The functions that ours stand in front of: libc's, or those of another library that stands in
//! front of libc.
//!
//! Found once, when the program is loaded, so that no call of ours ever asks the loader, which takes
//! a lock. Knows no function by name.
//!
//! # Safety
//!
//! An address that the loader gives for a name is called as a function of the type that stands
//! beside the name. They stand beside each other in one place, the macro in `hook.rs`, which takes both from
//! one declaration; that declaration must be libc's.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_void},
    marker::PhantomData,
    mem, ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// The next function of a name, of type `F`.
pub(crate) struct Next<F> {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
    function: PhantomData<fn() -> F>,
}

impl<F: Copy> Next<F> {
    /// # Safety
    ///
    /// `F` is the type of libc's function of this name.
    pub(crate) const unsafe fn new(name: &'static CStr) -> Next<F> {
        assert!(size_of::<F>() == size_of::<*mut c_void>(), "a function is a pointer");
        Next { name, address: AtomicPtr::new(ptr::null_mut()), function: PhantomData }
    }

    /// Asks the loader. For constructors, which run before `main`.
    pub(crate) fn find(&self) {
        // In a static program there is nothing to find: ours has taken the place of libc's.
        #[cfg(not(target_feature = "crt-static"))]
        {
            // SAFETY: the name is a C string. `RTLD_NEXT` is counted from the object of the caller,
            // which is where our own function lies.
            let address = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.address.store(address, Ordering::Relaxed);
        }
        #[cfg(target_feature = "crt-static")]
        let _ = self.name;
    }

    /// `None` in a static program, and before the constructors have run.
    #[inline]
    pub(crate) fn get(&self) -> Option<F> {
        let address = self.address.load(Ordering::Relaxed);
        if address.is_null() {
            return None;
        }
        // SAFETY: the address of the function of that name, which is of this type: see `new`.
        Some(unsafe { mem::transmute_copy::<*mut c_void, F>(&address) })
    }
}
