//! Starting green threads.
//!
//! Gives a closure a stack and a place in the ready queue. Runs nothing itself: a spawned thread
//! first runs when whoever spawned it waits.

use std::{
    cell::Cell,
    error, fmt, io,
    mem::needs_drop,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    rc::Rc,
    time::Duration,
};

use greenroom_fiber::{Fiber, Options, STACK_SIZE_MAX, STACK_SIZE_MIN, StackError};
use greenroom_hub::TimerKey;

use crate::{
    hub::local::{Local, existing, local, try_local},
    thread::{
        self, Blocked, Control, End, JoinHandle, Thread, Waiter,
        join::{self, Unstarted},
        link,
        throw::Throw,
    },
    time::deadline_after,
};

/// Starts a green thread on this OS thread's hub.
///
/// The closure needs neither `Send` nor anything else: a green thread never changes OS thread. It
/// first runs when the caller waits (joins, sleeps, reads, yields), in the order of spawning.
///
/// A panic in it is what [`JoinHandle::join`] returns and harms nobody else. If the handle was
/// dropped, the panic is printed with the thread's name, and what `f` returns is dropped by the thread, so
/// that its destructor may wait.
///
/// Costs some tens of nanoseconds: the stack comes from a pool, and nothing is allocated.
///
/// # Panics
///
/// If there is no memory or address space for another stack. [`Builder::spawn`] returns that as
/// an error.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
///
/// let sum = Rc::new(Cell::new(0));
/// let handles: Vec<_> = (1..=10)
///     .map(|n| {
///         let sum = Rc::clone(&sum);
///         greenroom::spawn(move || sum.set(sum.get() + n))
///     })
///     .collect();
/// for handle in handles {
///     handle.join()?;
/// }
/// assert_eq!(sum.get(), 55);
/// # Ok::<(), greenroom::JoinError>(())
/// ```
#[inline]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match Builder::new().spawn(f) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn a green thread: {error}"),
    }
}

/// Starts a green thread once `delay` is over.
///
/// It starts even if the caller is gone by then. Until it starts it can be joined as any other.
///
/// # Panics
///
/// As [`spawn`].
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let begin = Instant::now();
/// let handle = greenroom::spawn_after(Duration::from_millis(5), || 42);
/// assert_eq!(handle.join()?, 42);
/// assert!(begin.elapsed() >= Duration::from_millis(5));
/// # Ok::<(), greenroom::JoinError>(())
/// ```
#[track_caller]
pub fn spawn_after<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    delayed(delay, None, f)
}

/// Starts a green thread once `delay` is over, unless the green thread that calls this is gone by
/// then; in that case `f` is dropped unrun and joining says that it was cancelled.
///
/// Called from an OS thread's own stack it is [`spawn_after`].
///
/// # Panics
///
/// As [`spawn`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{sleep, spawn, spawn_after_local, testing};
///
/// testing::run(|| {
///     let second = Duration::from_secs(1);
///     let kept = spawn(move || spawn_after_local(second, || 1).join().unwrap());
///     assert_eq!(kept.join().unwrap(), 1);
///     let orphan = spawn(move || spawn_after_local(second, || 1)).join().unwrap();
///     sleep(2 * second);
///     assert!(orphan.join().unwrap_err().is_cancelled());
/// });
/// ```
#[track_caller]
pub fn spawn_after_local<F, T>(delay: Duration, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    delayed(delay, Owner::current(), f)
}

/// Settings of a green thread before it is spawned.
///
/// ```
/// let handle = greenroom::thread::Builder::new()
///     .name("deep")
///     .stack_size(4 << 20)
///     .spawn(|| greenroom::thread::current().name())?;
/// assert_eq!(handle.join()?.as_deref(), Some("deep"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A thread without a name, with a stack of the default size.
    #[inline]
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A name, for reports.
    pub fn name(mut self, name: impl Into<Box<str>>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// The size of its stack in bytes, rounded up to a power of two.
    ///
    /// The default is 256 KiB, or what the environment variable `GREENROOM_STACK_SIZE` says in
    /// bytes. A stack costs address space; memory only as far down as it was used. It is larger than
    /// was asked for if the closure, or what it returns, would hardly fit.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::thread::Builder;
    ///
    /// fn depth(left: u32) -> u32 {
    ///     let frame = std::hint::black_box([0; 1024]);
    ///     if left == 0 { frame[0] } else { 1 + depth(left - 1) }
    /// }
    ///
    /// let deep = Builder::new().name("deep").stack_size(16 << 20).spawn(|| depth(1000))?;
    /// assert_eq!(deep.join()?, 1000);
    /// assert!(Builder::new().stack_size(2 << 30).spawn(|| ()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Starts the thread. See [`spawn`](crate::spawn).
    ///
    /// # Errors
    ///
    /// If no hub can be made for this OS thread, if the stack size is over 1 GiB, or if there is no
    /// memory or address space for the stack. The closure is dropped.
    #[inline]
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let local = try_local().map_err(SpawnError::Hub)?;
        let handle = create(local, self, f)?;
        local.hub.borrow_mut().queue(Waiter::Thread(handle.fiber().clone()));
        Ok(handle)
    }
}

/// Why no green thread was spawned.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// This OS thread has no hub yet, and none could be made.
    Hub(io::Error),
    /// There is no memory or no address space for a stack, or it is larger than one can be.
    Stack(StackError),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpawnError::Hub(error) => write!(f, "no hub could be made for this OS thread: {error}"),
            SpawnError::Stack(error) => error.fmt(f),
        }
    }
}

impl error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            SpawnError::Hub(error) => Some(error),
            SpawnError::Stack(error) => Some(error),
        }
    }
}

impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> io::Error {
        match error {
            SpawnError::Hub(error) => error,
            SpawnError::Stack(error) => error.into(),
        }
    }
}

/// The default stack size, read from the environment once for each hub.
///
/// # Errors
///
/// If the variable is no number, or no size a stack can have.
pub(crate) fn default_stack_size() -> io::Result<usize> {
    let Some(text) = std::env::var_os("GREENROOM_STACK_SIZE") else {
        return Ok(greenroom_fiber::STACK_SIZE_DEFAULT);
    };
    let bytes = text.to_str().and_then(|text| text.trim().parse().ok());
    bytes.filter(|bytes| (STACK_SIZE_MIN..=STACK_SIZE_MAX).contains(bytes)).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "GREENROOM_STACK_SIZE is {text:?}; it must be a number of bytes from \
                 {STACK_SIZE_MIN} to {STACK_SIZE_MAX}"
            ),
        )
    })
}

/// Bytes of stack for each byte of a closure and of what it returns. Both are moved in and out by
/// value, and without optimisation each move is a copy in a frame of its own.
const STACK_PER_BYTE_MOVED: usize = 32;

/// A thread that is in the hub's list but in no queue yet.
#[inline]
#[track_caller]
fn create<F, T>(local: &Local, settings: Builder, f: F) -> Result<JoinHandle<T>, SpawnError>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let id = local.threads.borrow_mut().new_id();
    let stack_size = settings.stack_size.unwrap_or(local.stack_size);
    let stack_size = stack_size.max(STACK_PER_BYTE_MOVED * (size_of::<F>() + size_of::<T>()));
    let options = Options { id, name: settings.name, stack_size };
    let (spawned_at, now) = (Location::caller(), local.hub.borrow().now());
    let control = || Control::new(spawned_at, now);
    let created = Fiber::new_with(&local.pool, options, control, move || body(f));
    let output = created.map_err(|refused| SpawnError::Stack(refused.error))?;
    local.threads.borrow_mut().insert((*output).clone());
    Ok(JoinHandle::new(output))
}

/// What runs on the new stack: the closure, and a net under it.
pub(super) fn body<F: FnOnce() -> T, T>(f: F) -> Option<T> {
    let unwanted = with_fiber(|fiber| {
        fiber.started();
        fiber.throw.get() != Throw::No
    });
    // Stopped before it began: the closure is dropped here, unrun.
    if unwanted {
        ended_early(move || drop(f));
        return None;
    }
    // Not returned through the net: without optimisation each step of a return is a copy, and what
    // threads return may be large.
    let mut value = None;
    let net = catch_unwind(AssertUnwindSafe(|| value = Some(f())));
    with_fiber(|fiber| {
        if let Err(payload) = net {
            fiber.set_panic(payload);
        }
        if needs_drop::<T>() && fiber.detached.get() {
            drop_unwanted(&mut value);
        }
        link::run(fiber);
        thread::local::end(fiber);
    });
    value
}

/// Drops what nobody will ask for while there is a stack whose destructors may wait.
#[cold]
fn drop_unwanted<T>(value: &mut Option<T>) {
    let unwanted = value.take();
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(unwanted))) {
        join::tell_of(format_args!("dropping what a green thread returned"), payload);
    }
}

#[cold]
fn ended_early(drop_closure: impl FnOnce()) {
    // There is nothing to be thrown out of. Destructors may wait.
    with_fiber(|fiber| fiber.throw.set(Throw::No));
    let outcome = catch_unwind(AssertUnwindSafe(drop_closure));
    with_fiber(|fiber| {
        let panic = outcome.err().filter(|payload| join::end_of(&**payload) == End::Panicked);
        let unstarted = || Box::new(Unstarted { killed: !fiber.cancelled.get() }) as Box<_>;
        fiber.set_panic(panic.unwrap_or_else(unstarted));
        link::run(fiber);
        thread::local::end(fiber);
    });
}

fn with_fiber<R>(f: impl FnOnce(&Fiber<Control>) -> R) -> R {
    Fiber::<Control>::with_current(|fiber| f(fiber.expect("a thread's body runs on its fiber")))
}

/// Which green thread a delayed start depends on.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    slot: u32,
    id: u64,
}

impl Owner {
    /// The green thread that runs now; `None` on an OS thread's own stack, which outlives its hub.
    pub(crate) fn current() -> Option<Owner> {
        Fiber::<Control>::with_current(|fiber| fiber.map(Owner::of))
    }

    pub(crate) fn of(fiber: &Fiber<Control>) -> Owner {
        Owner { slot: fiber.slot.get(), id: fiber.id() }
    }

    /// The green thread itself, if it is alive.
    pub(crate) fn thread(self, local: &Local) -> Option<Thread> {
        let fiber = local.threads.borrow().find(self.slot, self.id).cloned();
        fiber.map(Thread::from_fiber)
    }

    pub(crate) fn is_alive(self, local: &Local) -> bool {
        local.threads.borrow().find(self.slot, self.id).is_some()
    }
}

#[track_caller]
fn delayed<F, T>(delay: Duration, owner: Option<Owner>, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let local = local();
    // Goes with the closure, run or not: a thread that is killed before its start needs no timer.
    let start = StartTimer(Rc::default());
    let timer = Rc::clone(&start.0);
    let checked = move || {
        drop(start);
        if owner.is_some_and(|owner| !owner.is_alive(crate::hub::local::local())) {
            drop(f);
            std::panic::resume_unwind(Box::new(Unstarted { killed: false }));
        }
        f()
    };
    let handle = match create(local, Builder::new(), checked) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn a green thread: {error}"),
    };
    let fiber = handle.fiber();
    let mut hub = local.hub.borrow_mut();
    fiber.park(Blocked::Sleep, hub.now());
    let deadline = deadline_after(&hub, delay);
    timer.set(Some(hub.arm(deadline, Waiter::Thread(fiber.clone()))));
    drop(hub);
    handle
}

/// The timer of a delayed start, cancelled when it is dropped.
struct StartTimer(Rc<Cell<Option<TimerKey>>>);

impl Drop for StartTimer {
    fn drop(&mut self) {
        if let (Some(key), Some(local)) = (self.0.get(), existing()) {
            local.hub.borrow_mut().cancel(key);
        }
    }
}
