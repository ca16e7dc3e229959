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
//! 2. it does not move while it has a stack: the code there points to it;
//! 3. its stack is used for nothing else from the first entry until it has finished.
//!
//! [`running`](crate::running) keeps the first and the third, [`block`](crate::block) the second.
#![allow(unsafe_code)]

use std::arch::asm;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic;
use std::ptr::{self, NonNull};

use corosensei::stack::{self, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// One stack that can be entered and left, from its first entry to its end.
pub(crate) struct Switch {
    /// There from [`Switch::start`] on, until the stack is finished.
    coroutine: UnsafeCell<MaybeUninit<Coroutine<(), (), (), Bounds>>>,
    /// The way out, which lies at the stack's root. Null before the first entry, and again from the
    /// moment on when the stack is being unwound: then there is no leaving any more.
    way_out: Cell<*const Yielder<(), ()>>,
    /// Where the stack pointer was when the stack was left last; for prefetching only.
    left_at: Cell<*const u8>,
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
    /// A switch without a stack.
    #[inline]
    pub(crate) const fn new() -> Switch {
        Switch {
            coroutine: UnsafeCell::new(MaybeUninit::uninit()),
            way_out: Cell::new(ptr::null()),
            left_at: Cell::new(ptr::null()),
        }
    }

    /// Goes to a stack for the first time, and runs `root` there; returns when it is left.
    ///
    /// `root` is given the address of the switch. If it needs no more than that, the stack is made
    /// ready with a few stores.
    ///
    /// # Safety
    ///
    /// The switch was not started, and does not move until it has finished. From `limit` to `base`, a
    /// multiple of 64, there is a stack that is used for nothing else until then, with a guard below.
    /// `root` does not unwind, and what it borrows outlives that time.
    #[inline]
    pub(crate) unsafe fn start<F>(at: NonNull<Switch>, base: usize, limit: usize, root: F) -> Left
    where
        F: FnOnce(NonNull<Switch>),
    {
        let root = move |way_out: &Yielder<(), ()>, ()| {
            // SAFETY: the switch does not move while its code runs (promise 2).
            unsafe { at.as_ref() }.way_out.set(ptr::from_ref(way_out));
            root(at);
        };
        // SAFETY: the stack and what `root` borrows are the caller's promises. A switch that was not
        // started has no coroutine yet, so nothing is lost or borrowed when one is written; from then
        // on it is suspended.
        unsafe {
            let coroutine = Coroutine::with_stack_unchecked(Bounds { base, limit }, root);
            let switch = at.as_ref();
            (*switch.coroutine.get()).write(coroutine);
            switch.enter()
        }
    }

    /// Goes to the other stack; returns when it is left.
    ///
    /// # Safety
    ///
    /// The switch is suspended: started and left, not entered, not finished.
    #[inline]
    pub(crate) unsafe fn enter(&self) -> Left {
        // SAFETY: a switch that is suspended has a coroutine. Not being entered, it is not borrowed by
        // another `enter`, and the code on its stack does not touch it. Once it has finished nobody
        // enters it again, so it is dropped here.
        unsafe {
            let coroutine = (*self.coroutine.get()).as_mut_ptr();
            match (*coroutine).resume(()) {
                CoroutineResult::Yield(()) => Left::Suspended,
                CoroutineResult::Return(()) => {
                    coroutine.drop_in_place();
                    Left::Finished
                }
            }
        }
    }

    /// The lowest frame of a stack that was left; meaningless for any other. For prefetching only.
    #[inline]
    pub(crate) fn left_at(&self) -> *const u8 {
        self.left_at.get()
    }

    /// Goes back to whoever entered; returns when entered again. `false`: the stack is being
    /// unwound, so there is no leaving it.
    ///
    /// # Safety
    ///
    /// The caller runs on this switch's own stack.
    #[inline(always)]
    pub(crate) unsafe fn leave(&self) -> bool {
        // SAFETY: the way out lies at the root of the stack that the caller runs on, so it is alive
        // as long as that code is.
        let Some(way_out) = (unsafe { self.way_out.get().as_ref() }) else { return false };
        self.left_at.set(stack_pointer());
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
    /// As for [`enter`](Switch::enter). Afterwards the switch has finished.
    #[cold]
    pub(crate) unsafe fn unwind(&self) {
        self.way_out.set(ptr::null());
        // SAFETY: as in `enter`.
        unsafe {
            let coroutine = (*self.coroutine.get()).as_mut_ptr();
            (*coroutine).force_unwind();
            coroutine.drop_in_place();
        }
    }

    /// Throws a panic without a report, for code that tried to leave a stack that is being unwound.
    #[cold]
    pub(crate) fn unwind_further() -> ! {
        struct Unwound;
        panic::resume_unwind(Box::new(Unwound))
    }
}

/// Where the caller's frame ends, as nearly as the compiler tells.
#[inline(always)]
fn stack_pointer() -> *const u8 {
    let at: *const u8;
    // SAFETY: reads a register, and touches no memory.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, rsp", out(reg) at, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mov {}, sp", out(reg) at, options(nomem, nostack, preserves_flags));
    }
    at
}

/// The stack that corosensei may use.
struct Bounds {
    base: usize,
    limit: usize,
}

// SAFETY: `Switch::start`'s caller promises a stack between the two bounds, with a guard below.
unsafe impl stack::Stack for Bounds {
    #[inline]
    fn base(&self) -> StackPointer {
        // SAFETY: the base lies above the limit.
        unsafe { StackPointer::new_unchecked(self.base) }
    }

    #[inline]
    fn limit(&self) -> StackPointer {
        // SAFETY: the limit is an address in a mapping, and the kernel maps nothing at zero.
        unsafe { StackPointer::new_unchecked(self.limit) }
    }
}
