//! Prefetching: asks the processor for cache lines that will be needed soon.
//!
//! A hint only: never changes what a program does.
//!
//! # The danger
//!
//! None to memory: a prefetch of any address, mapped or not, has no effect but on the cache. The
//! instructions need `unsafe` only because they are instructions.
#![allow(unsafe_code)]

use std::ptr::NonNull;

const LINE: usize = 64;

/// Lines below the top of a stack that a new fiber writes to: its block and its first frames.
const LINES_BELOW_TOP: usize = 6;

/// Fetches the uppermost lines of a stack.
#[inline]
pub(crate) fn below(top: NonNull<u8>) {
    for line in 1..=LINES_BELOW_TOP {
        fetch(top.as_ptr().wrapping_sub(line * LINE));
    }
}

/// Fetches the lines around a block that a resume touches: its header, and the frames below.
#[inline]
pub(crate) fn around(block: NonNull<u8>) {
    let block = block.as_ptr();
    fetch(block);
    fetch(block.wrapping_add(LINE));
    for line in 1..=4 {
        fetch(block.wrapping_sub(line * LINE));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch cannot fault, and SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn fetch(address: *const u8) {
    // SAFETY: a prefetch cannot fault, and changes neither registers nor memory.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{0}]", in(reg) address, options(nostack, preserves_flags, readonly)
        );
    }
}
