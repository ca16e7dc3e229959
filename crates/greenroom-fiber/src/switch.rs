//! The switch: from the resumer's stack to the fiber's and back. The only file that knows corosensei.
//!
//! Knows one stack and the code at its root; never knows whose turn it is, nor what the code does.
//!
//! # The danger
//!
//! A switch exchanges the processor's stack pointer. Everything that the compiler believes about
//! who owns which stack memory then rests on three promises, which the Safety sections here ask for:
//!
//! 1. a [`Switch`] is entered only while it is suspended, and left only from its own stack, so the
//!    running stacks nest strictly;
//! 2. it never moves: the code on the stack points to it;
//! 3. its stack outlives it, and is not reused while frames live on it.
//!
//! [`running`](crate::running) keeps the first, [`block`](crate::block) the other two.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::panic;
use std::ptr;

use corosensei::stack::{self, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// One stack that can be entered and left.
pub(crate) struct Switch {
    coroutine: UnsafeCell<Coroutine<(), (), (), Bounds>>,
    /// The way out, which lies at the stack's root. Null before the first entry, and again from the
    /// moment on when the stack is being unwound: then there is no leaving any more.
    way_out: Cell<*const Yielder<(), ()>>,
}

/// How a switch came back to whoever entered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// By [`Switch::leave`]; its frames are still there.
    Suspended,
    /// By the end of the code at its root; the stack is empty.
    Finished,
}

impl Switch {
    /// Writes a switch to `place`, ready to run `root` on the stack that ends there.
    ///
    /// # Safety
    ///
    /// `place` is valid for writes, a multiple of 64, and stays where it is. The memory from `limit`
    /// to `place` is a stack that is used for nothing else until the switch is finished or dropped,
    /// with a guard below. `root` does not unwind.
    #[inline]
    pub(crate) unsafe fn write<F: FnOnce()>(place: *mut Switch, limit: usize, root: F) {
        let bounds = Bounds { base: place.addr(), limit };
        let root = move |way_out: &Yielder<(), ()>, ()| {
            // SAFETY: the switch stays at `place` while its code runs (promise 2).
            unsafe { &(*place).way_out }.set(ptr::from_ref(way_out));
            root();
        };
        // SAFETY: the caller lends the stack for as long as the switch lives, and what `root`
        // borrows is the caller's promise too.
        unsafe {
            let coroutine = UnsafeCell::new(Coroutine::with_stack_unchecked(bounds, root));
            place.write(Switch { coroutine, way_out: Cell::new(ptr::null()) });
        }
    }

    /// Goes to the other stack; returns when it is left.
    ///
    /// # Safety
    ///
    /// The switch is suspended: written or left, not entered, not finished.
    #[inline]
    pub(crate) unsafe fn enter(&self) -> Left {
        // SAFETY: not being entered, the coroutine is not borrowed by another `enter`, and the code
        // on its stack does not touch it.
        match unsafe { &mut *self.coroutine.get() }.resume(()) {
            CoroutineResult::Yield(()) => Left::Suspended,
            CoroutineResult::Return(()) => Left::Finished,
        }
    }

    /// Goes back to whoever entered; returns when entered again. `false`: the stack is being
    /// unwound, so there is no leaving it.
    ///
    /// # Safety
    ///
    /// The caller runs on this switch's own stack.
    #[inline]
    pub(crate) unsafe fn leave(&self) -> bool {
        // SAFETY: the way out lies at the root of the stack that the caller runs on, so it is alive
        // as long as that code is.
        let Some(way_out) = (unsafe { self.way_out.get().as_ref() }) else { return false };
        way_out.suspend(());
        true
    }

    /// Unwinds the stack to its root, which drops everything on it.
    ///
    /// The code on the stack sees a panic come out of [`Switch::leave`]. If it catches that and
    /// tries to leave again, `leave` answers `false`.
    ///
    /// # Safety
    ///
    /// The switch was entered and left, and is not entered now.
    #[cold]
    pub(crate) unsafe fn unwind(&self) {
        self.way_out.set(ptr::null());
        // SAFETY: as in `enter`.
        unsafe { &mut *self.coroutine.get() }.force_unwind();
    }

    /// Throws a panic without a report, for code that tried to leave a stack that is being unwound.
    #[cold]
    pub(crate) fn unwind_further() -> ! {
        struct Unwound;
        panic::resume_unwind(Box::new(Unwound))
    }
}

/// The part of a stack that corosensei may use.
struct Bounds {
    base: usize,
    limit: usize,
}

// SAFETY: `Switch::write`'s caller promises a stack between the two bounds, with a guard below.
unsafe impl stack::Stack for Bounds {
    #[inline]
    fn base(&self) -> StackPointer {
        // SAFETY: the base is the address of a switch, which is not null.
        unsafe { StackPointer::new_unchecked(self.base) }
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        // SAFETY: the limit is an address in a mapping, and the kernel maps nothing at zero.
        unsafe { StackPointer::new_unchecked(self.limit) }
    }
}
