//! Prefetching: asks the processor for cache lines that will be needed soon.
//!
//! A hint only: never changes what a program does.
//!
//! # The danger
//!
//! None to memory: a prefetch of any address, mapped or not, has no effect but on the cache. The
//! instructions need `unsafe` only because they are instructions.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

const LINE: usize = 64;

/// Lines below the top of a stack that the frames of a fiber take which has just begun.
const LINES_BELOW_TOP: usize = 8;

/// Bytes that a switch saves below the stack pointer, at most.
const SAVED_BYTES: usize = 32;

/// Lines of the lowest frame of one who waits.
const LINES_OF_FRAME: usize = 3;

/// Lines of a block that a resume and what leads to it touch.
const LINES_OF_BLOCK: usize = 4;

/// Asks the processor to fetch a value, which may be anywhere in memory, into its cache.
///
/// A hint for whoever knows what it will need some hundred instructions later. Costs one.
///
/// ```
/// let far = Box::new(7);
/// greenroom_fiber::prefetch(&*far);
/// assert_eq!(*far, 7);
/// ```
#[inline]
pub fn prefetch<T>(value: &T) {
    fetch(ptr::from_ref(value).cast());
}

/// Fetches the uppermost lines of a stack.
#[inline]
pub(crate) fn below(top: NonNull<u8>) {
    for line in 1..=LINES_BELOW_TOP {
        fetch(top.as_ptr().wrapping_sub(line * LINE));
    }
}

/// Fetches what a stack that was left with its pointer at `left_at` is entered by: the link at its
/// top, and the lowest frame.
#[inline]
pub(crate) fn frames(top: NonNull<u8>, left_at: *const u8) {
    fetch(top.as_ptr().wrapping_sub(LINE));
    for line in 0..LINES_OF_FRAME {
        fetch(left_at.wrapping_sub(SAVED_BYTES).wrapping_add(line * LINE));
    }
}

/// Fetches a block.
#[inline]
pub(crate) fn block(block: NonNull<u8>) {
    block_at(block, 0);
}

/// Fetches what lies `offset` bytes above a block.
#[inline]
pub(crate) fn block_at(block: NonNull<u8>, offset: usize) {
    for line in 0..LINES_OF_BLOCK {
        fetch(block.as_ptr().wrapping_add(offset + line * LINE));
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
