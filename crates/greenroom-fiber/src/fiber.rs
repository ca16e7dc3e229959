//! Fibers as their users see them: handles, the closure's outcome, what is refused and why.
//!
//! Never knows where a fiber's memory is; that is [`block`](crate::block)'s.
//!
//! # The danger
//!
//! Handles are counted by hand. [`Fiber`] and [`Output`] each stand for one count, taken when they
//! are made and given up when they are dropped.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::{error, fmt, thread};

use crate::block::{self, Block, Head, State};
use crate::error::StackError;
use crate::pool::Pool;
use crate::prefetch;
use crate::running::{self, Progress};
use crate::stack::STACK_SIZE_DEFAULT;

/// A closure on a stack of its own, which can stop in the middle and go on later.
///
/// This is a counted handle, one pointer wide; a clone is another handle to the same fiber. It
/// derefs to `C`, the *control*: whatever the embedder wants to keep with each fiber. Control,
/// closure and outcome lie in memory of the pool, so that making a fiber usually allocates nothing.
///
/// It has a stack from its first [`resume`](Fiber::resume) until its closure has returned. One is
/// reserved for it from the beginning, so a resume never fails for want of memory.
///
/// # The end of a fiber
///
/// When the last handle is dropped, everything in the fiber is dropped and its memory returns to its
/// pool. What that means depends on how far it came:
///
/// - never resumed: the closure is dropped;
/// - finished: the outcome, if nobody took it, is dropped;
/// - suspended: its stack is **unwound**: a panic without a report comes out of the [`suspend`] in
///   which it waits, and runs the destructors of everything on the stack, before `drop` returns.
///   A body that catches that panic goes on; each further `suspend` throws again. One that loops
///   for ever over caught panics hangs the drop.
///
/// Unwinding happens at once even if the thread is panicking already: frames that may borrow from
/// their surroundings must not outlive the drop. The destructors see [`thread::panicking`] either
/// way. It is impossible, and so the process aborts with a message that names the fiber, when the
/// program is built with `panic=abort`, or when a destructor on the stack calls `suspend`. As in any
/// unwinding, the Rust runtime itself aborts, and names no fiber, when a destructor panics or when
/// the fiber waits inside a function that cannot unwind (`extern "C"`).
///
/// A fiber that holds a handle to itself never ends; its memory stays. It is as safe, and as
/// wasteful, as a cycle of `Rc`s.
///
/// [`suspend`]: crate::suspend
///
/// # Thread exit
///
/// Do not keep handles of suspended fibers in a thread-local until the OS thread ends. Destructors
/// of thread-locals run in no useful order, so a fiber that is unwound among them may find the
/// thread-locals that it was using destroyed. Drop the fibers before the thread's function returns.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use greenroom_fiber::{Fiber, Options, Pool, Progress, suspend};
///
/// let options = Options { id: 7, name: Some("counter".into()), ..Options::default() };
/// let fiber = Fiber::new(&Pool::new(), options, Cell::new(0), || {
///     for count in 1..=3 {
///         Fiber::<Cell<i32>>::current().unwrap().set(count);
///         suspend();
///     }
/// })?;
/// fiber.resume();
/// fiber.resume();
/// assert_eq!(fiber.get(), 2); // `Cell::get`, through Deref
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A handle stays on its OS thread:
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<greenroom_fiber::Fiber<()>>();
/// ```
///
/// ```compile_fail
/// fn is_sync<T: Sync>() {}
/// is_sync::<greenroom_fiber::Fiber<()>>();
/// ```
///
/// A safe fiber borrows nothing:
///
/// ```compile_fail
/// use greenroom_fiber::{Fiber, Options, Pool};
/// let local = 1;
/// let _ = Fiber::new(&Pool::new(), Options::default(), (), || println!("{}", &local));
/// ```
pub struct Fiber<C: 'static> {
    head: NonNull<Head<C>>,
}

/// What a new fiber is called, and how large its stack is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Any number; it appears in reports.
    pub id: u64,
    /// Appears in reports when there is one.
    pub name: Option<Box<str>>,
    /// Bytes of stack. Rounded up to a power of two, to [`STACK_SIZE_MIN`](crate::STACK_SIZE_MIN) at
    /// least, and to sixteen times the size of closure or outcome. Address space only: memory is what
    /// the fiber touches.
    pub stack_size: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { id: 0, name: None, stack_size: STACK_SIZE_DEFAULT }
    }
}

/// A fiber that was not made, with everything that was to go into it.
pub struct NotCreated<C, F> {
    /// Why there was no memory.
    pub error: StackError,
    /// The control, untouched.
    pub control: C,
    /// The closure, not called.
    pub body: F,
}

/// The handle that can take what comes out of a fiber's closure. Derefs to its [`Fiber`].
///
/// ```
/// use greenroom_fiber::{Fiber, Options, Pool};
///
/// let output = Fiber::new(&Pool::new(), Options::default(), (), || "done").unwrap();
/// assert!(output.take().is_none());
/// output.resume();
/// assert_eq!(output.take().unwrap().unwrap(), "done");
/// assert!(output.take().is_none());
/// ```
pub struct Output<C: 'static, T> {
    fiber: Fiber<C>,
    outcome: PhantomData<T>,
}

impl<C: 'static> Fiber<C> {
    /// Makes a fiber that will call `body` on a stack from `pool`. Nothing runs yet.
    ///
    /// With an idle stack in the pool it costs about as much as a small allocation, and neither
    /// allocates nor makes a system call, unless control and closure take more than a few hundred
    /// bytes.
    ///
    /// # Errors
    ///
    /// When there is no memory for its block or no address space for its stack; control and closure
    /// come back with the reason.
    #[inline]
    #[expect(clippy::new_ret_no_self, reason = "the output is the new fiber's first handle")]
    pub fn new<T, F>(
        pool: &Pool,
        options: Options,
        control: C,
        body: F,
    ) -> Result<Output<C, T>, NotCreated<C, F>>
    where
        T: 'static,
        F: FnOnce() -> T + 'static,
    {
        Fiber::new_with(pool, options, || control, body).map_err(NotCreated::with_control)
    }

    /// [`Fiber::new`] with a control that is made when there is a place for it.
    ///
    /// A control of many fields is written right there in this way, which is several nanoseconds less
    /// than moving it. If `control` panics there is no fiber, and its panic comes out here.
    ///
    /// # Errors
    ///
    /// As [`Fiber::new`]; `control` comes back uncalled.
    #[inline]
    pub fn new_with<T, F, K>(
        pool: &Pool,
        options: Options,
        control: K,
        body: F,
    ) -> Result<Output<C, T>, NotCreated<K, F>>
    where
        T: 'static,
        F: FnOnce() -> T + 'static,
        K: FnOnce() -> C,
    {
        // SAFETY: neither the closure nor its outcome borrows anything.
        unsafe { Fiber::create(pool, options, control, body) }
    }

    /// [`Fiber::new`] for a closure that borrows from its surroundings.
    ///
    /// # Errors
    ///
    /// As [`Fiber::new`].
    ///
    /// # Safety
    ///
    /// What `F` and `T` borrow must stay borrowable until the fiber's last handle is gone, or until
    /// it has finished and its outcome was taken. Handles can be cloned, also by the fiber itself
    /// through [`Fiber::current`], and can be forgotten: a fiber that is suspended for ever keeps
    /// its borrows for ever. So the caller must see to it, on every way out of the borrowed scope,
    /// panics included, that the fiber has finished.
    #[inline]
    pub unsafe fn new_unchecked<T, F>(
        pool: &Pool,
        options: Options,
        control: C,
        body: F,
    ) -> Result<Output<C, T>, NotCreated<C, F>>
    where
        F: FnOnce() -> T,
    {
        // SAFETY: the caller's promise.
        let created = unsafe { Fiber::create(pool, options, || control, body) };
        created.map_err(NotCreated::with_control)
    }

    /// # Safety
    ///
    /// As [`Fiber::new_unchecked`].
    #[inline]
    unsafe fn create<T, F, K>(
        pool: &Pool,
        options: Options,
        control: K,
        body: F,
    ) -> Result<Output<C, T>, NotCreated<K, F>>
    where
        F: FnOnce() -> T,
        K: FnOnce() -> C,
    {
        let stack_size = options.stack_size.max(Block::<C, T, F>::STACK_SIZE_MIN);
        let berth = match pool.admit(stack_size, Block::<C, T, F>::ROOM) {
            Ok(berth) => berth,
            Err(error) => return Err(NotCreated { error, control, body }),
        };
        let Options { id, name, .. } = options;
        // SAFETY: the berth is from this pool and for this block; the borrows are the caller's promise.
        let head = unsafe { Block::write(pool, berth, id, name, control, body) };
        Ok(Output { fiber: Fiber { head }, outcome: PhantomData })
    }

    /// The fiber that runs on this OS thread right now, the innermost one if fibers are nested.
    ///
    /// `None` on the thread's own stack, and in a fiber whose control is not a `C`.
    #[inline]
    pub fn current() -> Option<Fiber<C>> {
        let header = running::running()?;
        // SAFETY: a fiber that runs is alive.
        let head = unsafe { Head::of(header) }?;
        // SAFETY: as above. The new handle is counted before it exists.
        block::hold(unsafe { header.as_ref() });
        Some(Fiber { head })
    }

    /// Calls `f` with the fiber that [`Fiber::current`] would return, without the cost of a handle.
    #[inline]
    pub fn with_current<R>(f: impl FnOnce(Option<&Fiber<C>>) -> R) -> R {
        // SAFETY: a fiber that runs is alive.
        let head = running::running().and_then(|header| unsafe { Head::of(header) });
        // Not counted, and so never dropped: a fiber outlives the code that runs on it.
        let fiber = head.map(|head| ManuallyDrop::new(Fiber { head }));
        f(fiber.as_deref())
    }

    /// Runs the fiber until it suspends itself or ends. A panic in its closure ends it, and is its
    /// outcome; it does not come out here.
    ///
    /// Together with [`suspend`](crate::suspend) it costs a few nanoseconds.
    ///
    /// # Panics
    ///
    /// If the fiber has finished, or runs already: a fiber cannot resume itself, nor one that it
    /// was resumed by.
    #[inline(always)]
    #[track_caller]
    pub fn resume(&self) -> Progress {
        // SAFETY: this handle is borrowed until then.
        unsafe { running::resume(self.head.cast()) }
    }

    /// Asks the processor to fetch the fiber's control into its cache, and all that is known of the
    /// fiber without its stack.
    ///
    /// A hint for whoever knows the fiber that comes next but a few: among thousands of parked
    /// fibers, waiting for memory is most of the cost.
    #[inline]
    pub fn prefetch(&self) {
        prefetch::block(self.head.cast());
    }

    /// The same for the frames that [`Fiber::resume`] goes back to.
    ///
    /// Good for several fibers in a row that will be resumed next: the processor looks their
    /// addresses up together.
    #[inline]
    pub fn prefetch_stack(&self) {
        let header = &self.head().header;
        if let Some(top) = header.stack_top() {
            prefetch::frames(top, header.switch.left_at());
        }
    }

    /// The number from [`Options::id`].
    pub fn id(&self) -> u64 {
        self.head().header.id
    }

    /// The name from [`Options::name`].
    pub fn name(&self) -> Option<&str> {
        self.head().header.name.as_deref()
    }

    /// Whether it was ever resumed.
    pub fn has_started(&self) -> bool {
        self.head().header.state.get() != State::Fresh
    }

    /// Whether [`Fiber::resume`] would run it: it neither runs, nor waits for a fiber that it has
    /// resumed, nor has finished.
    pub fn is_resumable(&self) -> bool {
        self.head().header.state.get().is_resumable()
    }

    /// Whether its closure has returned or panicked.
    pub fn is_finished(&self) -> bool {
        self.head().header.state.get().is_finished()
    }

    /// Bytes of its stack.
    pub fn stack_size(&self) -> usize {
        self.head().header.stack_size()
    }

    /// The addresses of its stack, without the guard below. `None` before its first resume and when
    /// it has finished: then it has no stack.
    pub fn stack_range(&self) -> Option<Range<usize>> {
        self.head().header.stack_range()
    }

    /// Whether both handles belong to the same fiber.
    pub fn ptr_eq(&self, other: &Fiber<C>) -> bool {
        self.head == other.head
    }

    #[inline]
    fn head(&self) -> &Head<C> {
        // SAFETY: a handle keeps its block valid; all that changes in it are cells.
        unsafe { self.head.as_ref() }
    }
}

impl<C: 'static> Clone for Fiber<C> {
    #[inline]
    fn clone(&self) -> Fiber<C> {
        block::hold(&self.head().header);
        Fiber { head: self.head }
    }
}

impl<C: 'static> Drop for Fiber<C> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this handle is counted, and is gone after this.
        unsafe { block::let_go(self.head) };
    }
}

impl<C: 'static> Deref for Fiber<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.head().control
    }
}

impl<C: 'static> fmt::Debug for Fiber<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fiber")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("state", &self.head().header.state.get())
            .finish_non_exhaustive()
    }
}

impl<C: 'static, T> Output<C, T> {
    /// Takes what came out of the closure: its value, or the payload of its panic. `None` before
    /// the fiber has finished, and when it was taken already.
    #[inline]
    pub fn take(&self) -> Option<thread::Result<T>> {
        // SAFETY: this is a handle, and it was made together with the fiber, with the same `T`.
        unsafe { block::take_outcome(self.fiber.head.cast()) }
    }

    /// Gives up the outcome and keeps the fiber.
    #[inline]
    pub fn into_fiber(self) -> Fiber<C> {
        self.fiber
    }
}

impl<C: 'static, T> Deref for Output<C, T> {
    type Target = Fiber<C>;

    #[inline]
    fn deref(&self) -> &Fiber<C> {
        &self.fiber
    }
}

impl<C: 'static, T> fmt::Debug for Output<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Output").field(&self.fiber).finish()
    }
}

impl<C, F, K: FnOnce() -> C> NotCreated<K, F> {
    #[cold]
    fn with_control(self) -> NotCreated<C, F> {
        NotCreated { error: self.error, control: (self.control)(), body: self.body }
    }
}

impl<C, F> fmt::Debug for NotCreated<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotCreated").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<C, F> fmt::Display for NotCreated<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<C, F> error::Error for NotCreated<C, F> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<C, F> From<NotCreated<C, F>> for StackError {
    fn from(refused: NotCreated<C, F>) -> StackError {
        refused.error
    }
}
