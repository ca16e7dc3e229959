//! Which fiber this OS thread runs now, and the two steps that change it: resume and suspend.
//!
//! Never chooses a fiber and never frees one.
//!
//! # The danger
//!
//! [`suspend`] leaves the stack of the fiber that the thread-local names. If that were not the stack
//! that the caller runs on, two threads of control would share frames. So the thread-local is set
//! here and nowhere else, around each entry to a stack, and set back by whoever entered: entries
//! nest strictly, as the stacks themselves do.
//!
//! A fiber has a stack from its first entry until its switch says that it has finished; it is taken
//! and put back here and nowhere else.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::thread;

use crate::block::{self, Header, State};
use crate::report;
use crate::switch::{Left, Switch};

thread_local! {
    /// The innermost fiber that runs on this OS thread; null on the thread's own stack.
    ///
    /// Const-initialised and without a destructor: a plain memory access, legal in a signal handler
    /// and during the thread's exit.
    static RUNNING: Cell<*const Header> = const { Cell::new(ptr::null()) };
}

/// How [`Fiber::resume`](crate::Fiber::resume) came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The fiber called [`suspend`] and can be resumed.
    Suspended,
    /// The fiber's closure has returned or panicked; what came out of it waits in its
    /// [`Output`](crate::Output).
    Finished,
}

/// The innermost fiber that runs on this OS thread.
#[inline]
pub(crate) fn running() -> Option<NonNull<Header>> {
    NonNull::new(RUNNING.get().cast_mut())
}

/// Suspends the fiber that runs now: whoever resumed it goes on, and this call returns when the
/// fiber is resumed again.
///
/// Costs a few instructions, and no system call. Among nested fibers it suspends the innermost.
///
/// # Panics
///
/// On the thread's own stack, where no fiber runs.
///
/// It also unwinds, without a report, if the fiber's last handle is dropped in the meantime: see
/// [`Fiber`](crate::Fiber).
///
/// ```
/// use greenroom_fiber::{Fiber, Options, Pool, Progress, suspend};
///
/// let fiber = Fiber::new(&Pool::new(), Options::default(), (), || suspend()).unwrap();
/// assert_eq!(fiber.resume(), Progress::Suspended);
/// assert_eq!(fiber.resume(), Progress::Finished);
/// ```
#[inline(always)]
#[track_caller]
pub fn suspend() {
    let Some(header) = running() else { nothing_to_suspend() };
    // SAFETY: a fiber that runs is alive: whoever resumed it borrows a handle, and whoever unwinds
    // it owns the last one.
    let header = unsafe { header.as_ref() };
    // SAFETY: the caller runs on the stack of the fiber that RUNNING names.
    if !unsafe { header.switch.leave() } {
        suspended_while_unwinding(header);
    }
}

#[cold]
#[track_caller]
fn nothing_to_suspend() -> ! {
    panic!("suspend: no fiber runs here; only code inside a fiber can be suspended");
}

/// What [`suspend`] does while the fiber is being unwound: there is nobody to resume it any more.
#[cold]
fn suspended_while_unwinding(header: &Header) -> ! {
    // Only the unwinding itself can be on its way here when none was before: this is a destructor,
    // and to throw from it would abort as well, without a name.
    if thread::panicking() && header.state.get() == State::Unwinding {
        report::abort_naming(header, "called suspend in a destructor while it was being unwound");
    }
    Switch::unwind_further();
}

/// Runs a fiber until it suspends itself or ends.
///
/// # Safety
///
/// `at` is the header of a fiber's whole block, of which a handle is borrowed until this returns.
// Always inlined, with what calls it: a return that follows a switch is never predicted.
#[inline(always)]
#[track_caller]
pub(crate) unsafe fn resume(at: NonNull<Header>) -> Progress {
    // SAFETY: the borrowed handle keeps the block valid.
    let header = unsafe { at.as_ref() };
    let left = match header.state.get() {
        State::Suspended => {
            header.state.set(State::Running);
            let _entry = Entry::to(at);
            // SAFETY: the state said that the switch is suspended.
            unsafe { header.switch.enter() }
        }
        State::Fresh => {
            header.state.set(State::Running);
            let (base, limit) = header.take_stack();
            let _entry = Entry::to(at);
            // SAFETY: the state said that the switch was not started. It lies at the start of the
            // block, which does not move and is kept by the handle. The stack was just taken, and
            // goes back when the switch has finished. `block::run` does not unwind, and is
            // called once and there.
            unsafe { Switch::start(at.cast(), base, limit, |at| block::run(at.cast())) }
        }
        _ => not_resumable(header),
    };
    match left {
        Left::Suspended => {
            header.state.set(State::Suspended);
            Progress::Suspended
        }
        Left::Finished => {
            header.state.set(State::Finished);
            // SAFETY: the switch has finished, so nothing lives on the stack.
            unsafe { header.put_stack() };
            Progress::Finished
        }
    }
}

/// Unwinds the stack of a suspended fiber. Afterwards it is finished.
///
/// # Safety
///
/// `at` is the header of a fiber's whole block, and the caller owns its last handle. The fiber is
/// suspended.
#[cold]
pub(crate) unsafe fn unwind(at: NonNull<Header>) {
    // SAFETY: the last handle keeps the block valid.
    let header = unsafe { at.as_ref() };
    if cfg!(panic = "abort") {
        report::abort_naming(
            header,
            "was dropped before it ended, and panic=abort leaves no way to run its destructors",
        );
    }
    let state = if thread::panicking() { State::UnwindingInPanic } else { State::Unwinding };
    header.state.set(state);
    {
        let _entry = Entry::to(at);
        // SAFETY: the fiber is suspended, as the caller promises.
        unsafe { header.switch.unwind() };
    }
    header.state.set(State::Finished);
    // SAFETY: the switch has finished, so nothing lives on the stack.
    unsafe { header.put_stack() };
}

#[cold]
#[track_caller]
fn not_resumable(header: &Header) -> ! {
    let name = report::Name::of(header);
    match header.state.get() {
        State::Finished | State::Taken => panic!("resume: {name} has finished; it cannot go on"),
        _ if ptr::eq(RUNNING.get(), header) => {
            panic!("resume: {name} runs already; a fiber cannot resume itself")
        }
        _ => panic!(
            "resume: {name} runs already, and waits for the fiber it resumed; a fiber cannot \
             resume one that it was resumed by"
        ),
    }
}

/// The time that another stack is entered for: names its fiber in [`RUNNING`], and in the end the
/// one that entered.
struct Entry {
    from: *const Header,
}

impl Entry {
    #[inline]
    fn to(header: NonNull<Header>) -> Entry {
        Entry { from: RUNNING.replace(header.as_ptr()) }
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        RUNNING.set(self.from);
    }
}
