//! A stack in hand, and how large it may be: the limits, and the size classes that let one stack
//! serve many fibers in turn.
//!
//! Knows addresses only; never maps, touches or frees memory.

use std::ops::Range;
use std::ptr::NonNull;

/// Bytes of a stack when [`Options`](crate::Options) does not say otherwise.
///
/// They are address space, not memory: a fiber pays for the pages that it touches.
pub const STACK_SIZE_DEFAULT: usize = 256 << 10;

/// Bytes of the smallest stack. Smaller wishes are rounded up.
pub const STACK_SIZE_MIN: usize = 16 << 10;

/// Bytes of the largest stack. Larger wishes are refused with an error.
pub const STACK_SIZE_MAX: usize = 1 << 30;

/// Bytes of the smallest guard below a stack.
///
/// Rust code touches each page of a large frame in turn and would be stopped by a single page. C
/// code that was built without stack probes may step over one page, but hardly over 16.
pub const GUARD_SIZE_MIN: usize = 64 << 10;

/// How many size classes there are: one for each power of two from the smallest stack to the largest.
pub(crate) const CLASS_COUNT: usize =
    (STACK_SIZE_MAX.trailing_zeros() - STACK_SIZE_MIN.trailing_zeros() + 1) as usize;

const _: () = assert!(STACK_SIZE_MIN.is_power_of_two() && STACK_SIZE_MAX.is_power_of_two());
const _: () = assert!(STACK_SIZE_MIN <= STACK_SIZE_DEFAULT && STACK_SIZE_DEFAULT <= STACK_SIZE_MAX);

/// A power of two between the smallest and the largest stack size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass(u8);

impl SizeClass {
    /// The smallest class of at least `bytes`; `None` above the largest stack size.
    #[inline]
    pub(crate) fn holding(bytes: usize) -> Option<SizeClass> {
        if bytes > STACK_SIZE_MAX {
            return None;
        }
        let bytes = bytes.max(STACK_SIZE_MIN).next_power_of_two();
        Some(SizeClass((bytes.trailing_zeros() - STACK_SIZE_MIN.trailing_zeros()) as u8))
    }

    /// The class with this index, which is below [`CLASS_COUNT`].
    pub(crate) fn at(index: usize) -> SizeClass {
        assert!(index < CLASS_COUNT, "there are {CLASS_COUNT} size classes");
        SizeClass(index as u8)
    }

    #[inline]
    pub(crate) fn bytes(self) -> usize {
        STACK_SIZE_MIN << self.0
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A stack that nobody else has. Whoever holds it may write to it, and owes it back to its pool.
#[derive(Debug)]
pub(crate) struct Stack {
    top: NonNull<u8>,
    class: SizeClass,
}

impl Stack {
    /// `top` is where the first byte is pushed: at most [`COLOUR_STEP`] * ([`COLOURS`] - 1) bytes
    /// below the end of the stack's last page.
    #[inline]
    pub(crate) fn new(top: NonNull<u8>, class: SizeClass) -> Stack {
        Stack { top, class }
    }

    /// Where the first byte is pushed: everything below, down to [`Stack::range`]'s start, is free.
    #[inline]
    pub(crate) fn top(&self) -> NonNull<u8> {
        self.top
    }

    #[inline]
    pub(crate) fn class(&self) -> SizeClass {
        self.class
    }

    /// The addresses of the whole stack, without its guard.
    #[inline]
    pub(crate) fn range(&self) -> Range<usize> {
        let end = self.top.addr().get().next_multiple_of(COLOUR_SPAN);
        end - self.class.bytes()..end
    }
}

/// Tops of stacks are spread over this many offsets within their last page.
///
/// All stacks end on a page boundary. Without the spread the busiest bytes of all of them would
/// compete for the same few sets of the processor's caches.
pub(crate) const COLOURS: usize = 16;

/// Bytes between two colours: one cache line.
pub(crate) const COLOUR_STEP: usize = 64;

/// Ends of stacks are multiples of this, and tops lie less than this below them: the smallest page.
const COLOUR_SPAN: usize = 4096;

const _: () = assert!(COLOURS * COLOUR_STEP < COLOUR_SPAN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_rounded_up_to_a_power_of_two() {
        let cases = [
            (0, STACK_SIZE_MIN),
            (1, STACK_SIZE_MIN),
            (STACK_SIZE_MIN, STACK_SIZE_MIN),
            (STACK_SIZE_MIN + 1, 2 * STACK_SIZE_MIN),
            (STACK_SIZE_DEFAULT, STACK_SIZE_DEFAULT),
            (STACK_SIZE_MAX - 1, STACK_SIZE_MAX),
            (STACK_SIZE_MAX, STACK_SIZE_MAX),
        ];
        for (wish, got) in cases {
            let class = SizeClass::holding(wish).unwrap();
            assert_eq!(class.bytes(), got, "wish {wish}");
            assert!(class.index() < CLASS_COUNT, "wish {wish}");
        }
    }

    #[test]
    fn wishes_above_the_largest_size_have_no_class() {
        assert_eq!(SizeClass::holding(STACK_SIZE_MAX + 1), None);
        assert_eq!(SizeClass::holding(usize::MAX), None);
    }
}
