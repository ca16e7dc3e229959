//! The control block: everything about one fiber, at the top of the fiber's own stack.
//!
//! Knows layout, life and death of a block; never switches by itself.
//!
//! ```text
//!   high  ┌──────────────────────────────┐ end of the stack's last page
//!         │ colour: 0 to 960 bytes       │
//!         ├──────────────────────────────┤ Stack::top
//!         │ slot: closure, then outcome  │ size known to whoever made the fiber
//!         │ control: C                   │ what the embedder keeps with the fiber
//!         │ header                       │ the same for all fibers
//!         ├──────────────────────────────┤ the block's address, a multiple of 64
//!         │ frames                       │
//!   low   ├──────────────────────────────┤ limit
//!         │ guard                        │
//!         └──────────────────────────────┘
//! ```
//!
//! # The danger
//!
//! A handle is a pointer into the stack that it keeps alive, and all types but `C` are erased.
//! The block is valid from [`Block::write`] until the last handle calls [`let_go`]; the
//! header's table remembers what was erased.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::cell::{Cell, UnsafeCell};
use std::mem::{self, ManuallyDrop};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::thread;

use crate::pool::Pool;
use crate::stack::{SizeClass, Stack};
use crate::switch::Switch;
use crate::{report, running};

/// The part of a block that every fiber has. The fields that a switch touches come first, and fill
/// one cache line.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) switch: Switch,
    /// Handles, at least one until the block is gone.
    handles: Cell<u32>,
    pub(crate) state: Cell<State>,
    class: SizeClass,
    table: &'static Table,
    pub(crate) id: u64,
    pub(crate) name: Option<Box<str>>,
    pool: Pool,
    top: NonNull<u8>,
}

impl Header {
    /// The addresses of the fiber's stack, without the guard.
    pub(crate) fn stack_range(&self) -> Range<usize> {
        Stack::new(self.top, self.class).range()
    }

    /// The addresses of the guard below the stack.
    pub(crate) fn guard_range(&self) -> Range<usize> {
        let limit = self.stack_range().start;
        limit - self.pool.guard_size()..limit
    }
}

/// What is going on with a fiber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Never resumed; the slot holds the closure.
    Fresh,
    /// Stopped in `suspend`, frames on its stack.
    Suspended,
    /// Resumed; it or a fiber that it resumed has the processor.
    Running,
    /// Its last handle is being dropped, and its frames with it.
    Unwinding,
    /// The same, begun while the thread was panicking already.
    UnwindingInPanic,
    /// Ended; the slot holds the outcome.
    Finished,
    /// Ended; the outcome is gone.
    Taken,
}

impl State {
    #[inline]
    pub(crate) fn is_resumable(self) -> bool {
        matches!(self, State::Fresh | State::Suspended)
    }

    pub(crate) fn is_finished(self) -> bool {
        matches!(self, State::Finished | State::Taken)
    }
}

/// What a header remembers of the types that were erased.
struct Table {
    control: TypeId,
    /// Bytes from the header to the slot.
    slot_offset: usize,
    drop_closure: unsafe fn(*mut u8),
    drop_outcome: unsafe fn(*mut u8),
}

/// A header and the embedder's part: what a handle can see.
#[repr(C)]
pub(crate) struct Head<C> {
    pub(crate) header: Header,
    pub(crate) control: C,
}

/// A whole block.
#[repr(C)]
pub(crate) struct Block<C, T, F> {
    head: Head<C>,
    slot: UnsafeCell<Slot<T, F>>,
}

/// The closure until it is called, afterwards what came out of it.
#[repr(C)]
union Slot<T, F> {
    closure: ManuallyDrop<F>,
    outcome: ManuallyDrop<thread::Result<T>>,
}

impl<C: 'static, T, F: FnOnce() -> T> Block<C, T, F> {
    const TABLE: &'static Table = &Table {
        control: TypeId::of::<C>(),
        slot_offset: mem::offset_of!(Self, slot),
        drop_closure: drop_erased::<F>,
        drop_outcome: drop_erased::<thread::Result<T>>,
    };

    const ALIGN: usize = if align_of::<Self>() > 64 { align_of::<Self>() } else { 64 };

    /// Bytes of stack of which the block takes a sixteenth at most. Closure and outcome are moved
    /// in and out by value, and without optimisation each move is a copy in a frame of its own.
    pub(crate) const STACK_SIZE_MIN: usize = 16 * (size_of::<Self>() + Self::ALIGN);

    /// Writes the block of a new fiber to the top of its stack; the one handle is the result.
    ///
    /// # Safety
    ///
    /// `stack` came from `pool` and has [`Self::STACK_SIZE_MIN`] bytes at least. What `T` and `F`
    /// borrow outlives the fiber's last handle.
    #[inline]
    pub(crate) unsafe fn write(
        pool: &Pool,
        stack: Stack,
        id: u64,
        name: Option<Box<str>>,
        control: C,
        closure: F,
    ) -> NonNull<Head<C>> {
        let limit = stack.range().start;
        let top = stack.top();
        let below = size_of::<Self>() + (top.addr().get() - size_of::<Self>()) % Self::ALIGN;
        // SAFETY: the stack is larger than the block and its padding, so this stays within it. It
        // belongs to nobody else, and nothing lives on it.
        unsafe {
            let block = top.sub(below).cast::<Self>().as_ptr();
            let root = move || Self::run(block);
            Switch::write(&raw mut (*block).head.header.switch, limit, root);
            (&raw mut (*block).head.header.handles).write(Cell::new(1));
            (&raw mut (*block).head.header.state).write(Cell::new(State::Fresh));
            (&raw mut (*block).head.header.class).write(stack.class());
            (&raw mut (*block).head.header.table).write(Self::TABLE);
            (&raw mut (*block).head.header.id).write(id);
            (&raw mut (*block).head.header.name).write(name);
            (&raw mut (*block).head.header.pool).write(pool.clone());
            (&raw mut (*block).head.header.top).write(top);
            (&raw mut (*block).head.control).write(control);
            let slot = Slot { closure: ManuallyDrop::new(closure) };
            (&raw mut (*block).slot).write(UnsafeCell::new(slot));
            NonNull::new_unchecked(block.cast())
        }
    }

    /// The root of the fiber's stack: calls the closure, keeps what comes out. Does not unwind.
    ///
    /// # Safety
    ///
    /// Called once, by the fiber itself.
    unsafe fn run(block: *mut Self) {
        // SAFETY: a block is valid while its fiber runs. The slot holds the closure, and nobody
        // else touches it until the state says that the fiber has finished.
        unsafe {
            let slot = (*block).slot.get();
            let closure = ManuallyDrop::take(&mut (*slot).closure);
            let outcome = catch_unwind(AssertUnwindSafe(closure));
            (&raw mut (*slot).outcome).write(ManuallyDrop::new(outcome));
        }
    }
}

impl<C: 'static> Head<C> {
    /// The same block, seen with its control, if that is a `C`.
    ///
    /// # Safety
    ///
    /// The fiber is alive.
    #[inline]
    pub(crate) unsafe fn of(header: NonNull<Header>) -> Option<NonNull<Head<C>>> {
        // SAFETY: the block of a fiber that is alive is valid.
        let table = unsafe { header.as_ref() }.table;
        (table.control == TypeId::of::<C>()).then(|| header.cast())
    }
}

/// Counts one handle more.
#[inline]
pub(crate) fn hold(header: &Header) {
    let handles = header.handles.get().wrapping_add(1);
    header.handles.set(handles);
    // Handles can be forgotten in a loop without using memory.
    if handles == 0 {
        report::abort_naming(header, "has more handles than can be counted");
    }
}

/// Counts one handle less. The last one ends the fiber.
///
/// # Safety
///
/// The caller gives up a handle, and does not touch the block through it any more.
#[inline]
pub(crate) unsafe fn let_go<C>(head: NonNull<Head<C>>) {
    // SAFETY: the caller's handle keeps the block valid.
    let handles = unsafe { &head.as_ref().header.handles };
    if handles.get() == 1 {
        // SAFETY: it is the last handle.
        unsafe { end(head) };
    } else {
        handles.set(handles.get() - 1);
    }
}

/// Takes the outcome out of a finished fiber; `None` if it has none.
///
/// # Safety
///
/// The caller has a handle, and the fiber was written with this `T`.
pub(crate) unsafe fn take_outcome<T>(header: NonNull<Header>) -> Option<thread::Result<T>> {
    // SAFETY: the caller has a handle.
    let state = unsafe { &header.as_ref().state };
    if state.get() != State::Finished {
        return None;
    }
    state.set(State::Taken);
    // SAFETY: the caller has a handle.
    let outcome = unsafe { slot(header) }.cast::<thread::Result<T>>();
    // Read variant by variant, in the sizes in which it was written: a wider load right after
    // narrower stores stalls the processor.
    // SAFETY: the state said that the slot holds the outcome, which now is the caller's.
    unsafe {
        Some(match &*outcome {
            Ok(value) => Ok(ptr::read(value)),
            Err(payload) => Err(ptr::read(payload)),
        })
    }
}

/// Drops everything in a block, and gives the stack back to its pool.
///
/// # Safety
///
/// The caller has the last handle, and gives it up.
#[inline(never)]
unsafe fn end<C>(head: NonNull<Head<C>>) {
    let header_at = head.cast::<Header>();
    // SAFETY: the last handle keeps the block valid until `Remains` is dropped.
    let header = unsafe { header_at.as_ref() };
    match header.state.get() {
        State::Fresh | State::Finished | State::Taken => {}
        State::Suspended => {
            // SAFETY: it is suspended, and the last handle is here.
            unsafe { running::unwind(header) };
            if header.handles.get() > 1 {
                // A destructor on the stack has asked for the running fiber, and kept the handle.
                // Nobody is left who could take the outcome.
                // SAFETY: the fiber has finished.
                unsafe { drop_slot(header_at) };
                header.handles.set(header.handles.get() - 1);
                return;
            }
        }
        // Whoever resumes a fiber borrows a handle until it comes back: safe code cannot get here.
        State::Running | State::Unwinding | State::UnwindingInPanic => {
            report::abort_naming(header, "lost its last handle while it was running");
        }
    }
    // Whatever is dropped may panic; what comes after it is then dropped nevertheless.
    let _remains = Remains(header_at);
    // SAFETY: this is the last handle, so nobody looks at the control any more.
    let _control = DropAtEnd(unsafe { &raw mut (*head.as_ptr()).control });
    // SAFETY: nor does anybody look at the slot.
    unsafe { drop_slot(header_at) };
}

/// Drops what is in the slot.
///
/// # Safety
///
/// The caller has a handle. The fiber neither runs nor is suspended.
#[inline]
unsafe fn drop_slot(header_at: NonNull<Header>) {
    // SAFETY: the caller has a handle.
    let (header, slot) = unsafe { (header_at.as_ref(), slot(header_at)) };
    let drop_slot = match header.state.replace(State::Taken) {
        State::Fresh => header.table.drop_closure,
        State::Finished => header.table.drop_outcome,
        _ => return,
    };
    // SAFETY: the state said what the slot holds, and now says that it holds nothing.
    unsafe { drop_slot(slot) };
}

/// Where the slot of a block is.
///
/// # Safety
///
/// The caller has a handle.
unsafe fn slot(header: NonNull<Header>) -> *mut u8 {
    // SAFETY: a handle keeps the block valid, and the table knows how far its slot is from its
    // header.
    unsafe { header.cast::<u8>().add(header.as_ref().table.slot_offset) }.as_ptr()
}

/// # Safety
///
/// `place` holds a `T` that nobody uses any more.
unsafe fn drop_erased<T>(place: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { place.cast::<T>().drop_in_place() };
}

/// Drops what it points to, also when something else has panicked.
struct DropAtEnd<T>(*mut T);

impl<T> Drop for DropAtEnd<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: whoever made it gave the value up.
        unsafe { self.0.drop_in_place() };
    }
}

/// A header whose fiber is over: drops it and gives the stack back.
struct Remains(NonNull<Header>);

impl Drop for Remains {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `end` has the last handle, and no frame lives on the stack any more. The header is
        // moved out field by field before the stack, on which it lies, is given back.
        unsafe {
            let header = self.0.as_ptr();
            ptr::drop_in_place(&raw mut (*header).switch);
            ptr::drop_in_place(&raw mut (*header).name);
            let pool = (&raw mut (*header).pool).read();
            pool.put(Stack::new((*header).top, (*header).class));
        }
    }
}
