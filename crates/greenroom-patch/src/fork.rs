//! `vfork`, whose child runs in its parent's memory: announced, so that no call of the child's takes the parent's
//! hub for its own.
//!
//! `fork` needs nothing of the kind, since its child sees by itself that the hub is its parent's; nor does
//! `posix_spawn`, whose child calls nothing but what libc has inside. Not there in a static program.
//!
//! # Safety
//!
//! `vfork` returns twice into the same frame, so no frame of ours may be left by then: the function goes over
//! into libc's, with registers and stack as it found them.

#![allow(unsafe_code)]
#![cfg(not(target_feature = "crt-static"))]

use std::{arch::naked_asm, ffi::c_void, process};

use greenroom::foreign::about_to_vfork;
use libc::pid_t;

use crate::{hook::c_name, next::Next};

// SAFETY: this is its type, and what libc has under this name.
static NEXT: Next<unsafe extern "C" fn() -> pid_t> = unsafe { Next::new(c_name("vfork\0")) };

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

/// Announces the child, and says where libc's function is.
extern "C" fn announce() -> *const c_void {
    about_to_vfork();
    if NEXT.get().is_none() {
        NEXT.find();
    }
    NEXT.get().map_or_else(|| process::abort(), |next| next as *const c_void)
}

// SAFETY (of the names): libc's functions of these names have this type, and these go over into them.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn vfork() -> pid_t {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("sub rsp, 8", "call {announce}", "add rsp, 8", "jmp rax", announce = sym announce);
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "stp x29, x30, [sp, #-16]!",
        "bl {announce}",
        "ldp x29, x30, [sp], #16",
        "mov x16, x0",
        "br x16",
        announce = sym announce,
    );
}

#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn __vfork() -> pid_t {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("jmp {vfork}", vfork = sym vfork);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("b {vfork}", vfork = sym vfork);
}
