//! The control block: everything about one fiber but its stack.
//!
//! Knows layout, life and death of a block; never switches by itself.
//!
//! ```text
//!   low   ┌──────────────────────────────┐ the block's address, a multiple of 64
//!         │ header                       │ the same for all fibers
//!         │ control: C                   │ what the embedder keeps with the fiber
//!         │ slot: closure, then outcome  │ size known to whoever made the fiber
//!   high  └──────────────────────────────┘
//! ```
//!
//! Blocks lie close together in [`cells`](crate::cells), so that what the hub asks of a fiber that
//! waits or has ended does not touch its stack: that is a page of its own, and with many fibers
//! finding it takes longer than running it.
//!
//! # The danger
//!
//! A handle is a pointer to a block, and all types but `C` are erased. The block is valid from
//! [`Block::write`] until the last handle calls [`let_go`]; the header's table remembers what was
//! erased.
#![allow(unsafe_code)]

use std::any::TypeId;
use std::cell::{Cell, UnsafeCell};
use std::mem::{self, ManuallyDrop};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::thread;

use crate::cells::{Place, Room};
use crate::pool::{Berth, Pool};
use crate::stack::{SizeClass, Stack};
use crate::switch::Switch;
use crate::{report, running};

/// The part of a block that every fiber has. What a switch touches comes first, and fills one cache
/// line.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) switch: Switch,
    /// Handles, at least one until the block is gone.
    handles: Cell<u32>,
    pub(crate) state: Cell<State>,
    class: SizeClass,
    table: &'static Table,
    /// The top of its stack, while it has one.
    top: Cell<Option<NonNull<u8>>>,
    pool: Pool,
    pub(crate) id: u64,
    pub(crate) name: Option<Box<str>>,
    place: Place,
}

/// Whoever knows the switch knows the header.
const _: () = assert!(mem::offset_of!(Header, switch) == 0);

impl Header {
    /// The addresses of the fiber's stack without the guard, while it has one.
    pub(crate) fn stack_range(&self) -> Option<Range<usize>> {
        self.top.get().map(|top| Stack::new(top, self.class).range())
    }

    /// The addresses of the guard below the stack.
    pub(crate) fn guard_range(&self) -> Option<Range<usize>> {
        self.stack_range().map(|Range { start, .. }| start - self.pool.guard_size()..start)
    }

    /// Bytes of the stack that it has, or will have, or had.
    pub(crate) fn stack_size(&self) -> usize {
        self.class.bytes()
    }

    /// Where the frames of a fiber that waits begin.
    #[inline]
    pub(crate) fn stack_top(&self) -> Option<NonNull<u8>> {
        self.top.get()
    }

    /// Takes the stack that was reserved for a fresh fiber: its base and its limit.
    #[inline]
    pub(crate) fn take_stack(&self) -> (usize, usize) {
        let stack = self.pool.take(self.class);
        self.top.set(Some(stack.top()));
        (stack.top().addr().get(), stack.range().start)
    }

    /// Gives the stack back.
    ///
    /// # Safety
    ///
    /// Nothing lives on it any more.
    #[inline]
    pub(crate) unsafe fn put_stack(&self) {
        let top = self.top.take().expect("a fiber that ends has a stack");
        self.pool.put(Stack::new(top, self.class));
    }
}

/// What is going on with a fiber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Never resumed; the slot holds the closure, and a stack is reserved.
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
    room: Room,
    run: unsafe fn(NonNull<Header>),
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
        room: Self::ROOM,
        run: Self::run,
        slot_offset: mem::offset_of!(Self, slot),
        drop_closure: drop_erased::<F>,
        drop_outcome: drop_erased::<thread::Result<T>>,
    };

    /// The memory that such a block needs.
    pub(crate) const ROOM: Room = Room::of::<Self>();

    /// Bytes of stack of which closure or outcome take a sixteenth at most. Both are moved in and out
    /// by value, and without optimisation each move is a copy in a frame of its own.
    pub(crate) const STACK_SIZE_MIN: usize = 16 * size_of::<Slot<T, F>>();

    /// Writes the block of a new fiber; the one handle is the result.
    ///
    /// # Safety
    ///
    /// The berth came from `pool`, for [`Self::ROOM`]. What `T` and `F` borrow outlives the fiber's
    /// last handle.
    #[inline]
    pub(crate) unsafe fn write(
        pool: &Pool,
        berth: Berth,
        id: u64,
        name: Option<Box<str>>,
        control: impl FnOnce() -> C,
        closure: F,
    ) -> NonNull<Head<C>> {
        let block = berth.block.cast::<Self>();
        let at = block.as_ptr();
        let unwritten = Unwritten { pool, berth, room: Self::ROOM };
        // SAFETY: the berth has room for such a block, is aligned for it and belongs to nobody else.
        unsafe { (&raw mut (*at).head.control).write(control()) };
        let Berth { place, class, .. } = unwritten.into_berth();
        let header = Header {
            switch: Switch::new(),
            table: Self::TABLE,
            handles: Cell::new(1),
            state: Cell::new(State::Fresh),
            class,
            top: Cell::new(None),
            pool: pool.clone(),
            id,
            name,
            place,
        };
        // SAFETY: as above.
        unsafe {
            (&raw mut (*at).head.header).write(header);
            let slot = Slot { closure: ManuallyDrop::new(closure) };
            (&raw mut (*at).slot).write(UnsafeCell::new(slot));
        }
        block.cast()
    }

    /// The root of the fiber's stack: calls the closure, keeps what comes out. Does not unwind.
    ///
    /// # Safety
    ///
    /// As for [`run`], and the block is a `Self`.
    unsafe fn run(header: NonNull<Header>) {
        // SAFETY: a block is valid while its fiber runs. The slot holds the closure, and nobody
        // else touches it until the state says that the fiber has finished.
        unsafe {
            let slot = (*header.cast::<Self>().as_ptr()).slot.get();
            let closure = ManuallyDrop::take(&mut (*slot).closure);
            let outcome = catch_unwind(AssertUnwindSafe(closure));
            (&raw mut (*slot).outcome).write(ManuallyDrop::new(outcome));
        }
    }
}

/// Calls a fiber's closure and keeps what comes out. Does not unwind.
///
/// # Safety
///
/// Called once, on the fiber's own stack, when it is resumed for the first time.
#[inline]
pub(crate) unsafe fn run(header: NonNull<Header>) {
    // SAFETY: a fiber that runs is alive, and its table was made with its block.
    unsafe { (header.as_ref().table.run)(header) };
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

/// Drops everything in a block, and gives its memory back to the pool.
///
/// # Safety
///
/// The caller has the last handle, and gives it up.
#[inline(never)]
unsafe fn end<C>(head: NonNull<Head<C>>) {
    let header_at = head.cast::<Header>();
    // SAFETY: the last handle keeps the block valid until `Remains` is gone.
    let header = unsafe { header_at.as_ref() };
    let is_reserved = match header.state.get() {
        State::Fresh => true,
        State::Finished | State::Taken => false,
        State::Suspended => {
            // SAFETY: it is suspended, and the last handle is here.
            unsafe { running::unwind(header_at) };
            if header.handles.get() > 1 {
                // A destructor on the stack has asked for the running fiber, and kept the handle.
                // Nobody is left who could take the outcome.
                // SAFETY: the fiber has finished.
                unsafe { drop_slot(header_at) };
                header.handles.set(header.handles.get() - 1);
                return;
            }
            false
        }
        // Whoever resumes a fiber borrows a handle until it comes back: safe code cannot get here.
        State::Running | State::Unwinding | State::UnwindingInPanic => {
            report::abort_naming(header, "lost its last handle while it was running");
        }
    };
    // Whatever is dropped may panic; what comes after it is then dropped nevertheless.
    let remains = Remains { header: header_at, is_reserved };
    // SAFETY: this is the last handle, so nobody looks at the control any more.
    let control = Control(unsafe { &raw mut (*head.as_ptr()).control });
    // SAFETY: nor does anybody look at the slot.
    unsafe { drop_slot(header_at) };
    control.drop_now();
    remains.give_back();
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

/// A berth whose block is not written yet; given back should the control not come.
struct Unwritten<'a> {
    pool: &'a Pool,
    berth: Berth,
    room: Room,
}

impl Unwritten<'_> {
    #[inline]
    fn into_berth(self) -> Berth {
        ManuallyDrop::new(self).berth
    }
}

impl Drop for Unwritten<'_> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: the berth is this pool's and for this room. Nothing was written that needs a drop.
        unsafe { self.pool.dismiss(self.berth, self.room, true) };
    }
}

/// A control that nobody looks at any more; dropped also when something else has panicked.
struct Control<C>(*mut C);

impl<C> Control<C> {
    #[inline]
    fn drop_now(self) {
        let control = ManuallyDrop::new(self).0;
        // SAFETY: whoever made `self` gave the value up, and this is the one place that drops it.
        unsafe { control.drop_in_place() };
    }
}

impl<C> Drop for Control<C> {
    #[cold]
    fn drop(&mut self) {
        Control(self.0).drop_now();
    }
}

/// A header whose fiber is over, and the memory that it lies in.
struct Remains {
    header: NonNull<Header>,
    /// It never had a stack: one is reserved still.
    is_reserved: bool,
}

impl Remains {
    /// Drops the header and gives the memory back.
    #[inline]
    fn give_back(self) {
        let Remains { header, is_reserved } = *ManuallyDrop::new(self);
        // SAFETY: `end` has the last handle. The header is moved out field by field before the memory,
        // in which it lies, is given back; its switch has finished or was never started, and so needs
        // no drop.
        unsafe {
            let at = header.as_ptr();
            (&raw mut (*at).name).drop_in_place();
            let pool = (&raw mut (*at).pool).read();
            let room = (*at).table.room;
            let berth = Berth { block: header.cast(), place: (*at).place, class: (*at).class };
            pool.dismiss(berth, room, is_reserved);
        }
    }
}

impl Drop for Remains {
    #[cold]
    fn drop(&mut self) {
        Remains { header: self.header, is_reserved: self.is_reserved }.give_back();
    }
}
