//! This OS thread's hub, as its users see it: which system call it waits with, functions to call
//! at a time or when an fd is ready, and what to tell it about fds closed behind its back.
//!
//! Every OS thread has its own, made at first use. Nothing here needs to be called for green
//! threads and sockets to work.

pub(crate) mod callback;
mod end;
pub(crate) mod local;
mod process_lock;
pub(crate) mod remote;

use std::{
    error, fmt, io,
    os::fd::{AsFd, RawFd},
    time::Duration,
};

use greenroom_hub::Stats as LoopStats;

use crate::{
    io::{Interest, ListenError},
    thread::{run, spawn::Owner},
};

pub(crate) use callback::Callback;
use callback::Terms;
pub use callback::{Listener, Timer};
pub use greenroom_hub::{Backend, UnknownBackend};
use local::{existing, install, local};
pub use remote::{Remote, RemoteError, RemoteJoinHandle};

/// A look at this OS thread's hub.
#[derive(Clone, Copy, Debug)]
pub struct Hub {
    backend: Backend,
}

impl Hub {
    /// The system call it waits with.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::hub::{self, Backend};
    ///
    /// hub::use_hub(Backend::Poll)?;
    /// assert_eq!(hub::get().backend(), Backend::Poll);
    /// # Ok::<(), hub::UseHubError>(())
    /// ```
    pub fn backend(&self) -> Backend {
        self.backend
    }
}

/// This OS thread's hub, made now if there is none.
///
/// # Panics
///
/// If none can be made: no fds are left, this OS thread is ending, or `GREENROOM_HUB`,
/// `GREENROOM_STACK_SIZE` or `GREENROOM_WATCHDOG` asks for what does not exist.
///
/// # Examples
///
/// ```
/// println!("this OS thread waits with {:?}", greenroom::hub::get().backend());
/// ```
pub fn get() -> Hub {
    Hub { backend: local().hub.borrow().backend() }
}

/// Chooses what this OS thread's hub waits with, before its first use or while it is idle.
///
/// Without this call it is what the environment variable `GREENROOM_HUB` says (`epoll` or `poll`),
/// and [`Backend::Epoll`] if that is not set.
///
/// # Errors
///
/// [`UseHubError::Busy`] if green threads are alive, timers armed or fds listened for.
/// [`UseHubError::Io`] if the kernel refuses, or where [`get`] panics. The hub is as it was.
///
/// # Examples
///
/// ```
/// use greenroom::hub::{self, Backend};
///
/// hub::use_hub(Backend::Poll)?;
/// assert_eq!(hub::get().backend(), Backend::Poll);
/// assert_eq!(
///     "kqueue".parse::<Backend>().unwrap_err().to_string(),
///     "unknown hub \"kqueue\"; known are: epoll poll",
/// );
/// # Ok::<(), hub::UseHubError>(())
/// ```
pub fn use_hub(backend: Backend) -> Result<(), UseHubError> {
    let Some(local) = existing() else {
        install(backend, greenroom_hub::Clock::monotonic())?;
        return Ok(());
    };
    let stats = stats();
    if stats.threads + stats.timers + stats.listeners > 0 {
        return Err(UseHubError::Busy(Box::new(stats)));
    }
    Ok(local.hub.borrow_mut().change_backend(backend)?)
}

/// Why the hub still waits with what it did.
#[derive(Debug)]
#[non_exhaustive]
pub enum UseHubError {
    /// It is in use: there is what is alive on it.
    Busy(Box<Stats>),
    /// The kernel refused.
    Io(io::Error),
}

impl fmt::Display for UseHubError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UseHubError::Busy(stats) => write!(
                f,
                "this OS thread's hub is in use and cannot be changed: green threads alive: {}, \
                 timers: {}, listeners: {}; choose it before the first use",
                stats.threads, stats.timers, stats.listeners
            ),
            UseHubError::Io(error) => write!(f, "the kernel refused a new hub: {error}"),
        }
    }
}

impl error::Error for UseHubError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            UseHubError::Busy(_) => None,
            UseHubError::Io(error) => Some(error),
        }
    }
}

impl From<io::Error> for UseHubError {
    fn from(error: io::Error) -> UseHubError {
        UseHubError::Io(error)
    }
}

/// What this OS thread's hub did so far, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Turns in which nobody could run at first, so that the kernel was asked to wait.
    pub sleeps: u64,
    /// The longest that a turn has taken so far, without the time it slept: for so long nobody
    /// looked at timers and fds. The turn that goes on now does not count yet.
    pub longest_turn: Duration,
    /// Times a green thread was resumed or a callback called.
    pub switches: u64,
    /// Waits ended by a deadline.
    pub expired: u64,
    /// Waits ended by an fd that was ready.
    pub fd_ready: u64,
    /// Waits ended because their fd was closed.
    pub closed: u64,
    /// Waits ended by a green thread or by another OS thread.
    pub called: u64,
    /// Green threads alive now.
    pub threads: usize,
    /// The most green threads that were alive at once.
    pub threads_peak: usize,
    /// Green threads that wait now, and whose wait nothing has ended yet.
    pub parked: usize,
    /// Green threads and callbacks that may run now.
    pub ready: usize,
    /// Timers armed now, sleeping green threads among them.
    pub timers: usize,
    /// Waits for fds now.
    pub listeners: usize,
    /// Waits for other OS threads now.
    pub expected: usize,
    /// Bytes of address space taken for stacks and their guards.
    pub stack_bytes_mapped: usize,
    /// Stacks that no green thread is on: one that has not run yet has none.
    pub stacks_idle: usize,
}

/// This OS thread's counts. All zero, and no hub made, if it has none yet. Takes some nanoseconds.
///
/// # Examples
///
/// ```
/// use greenroom::hub;
///
/// let thread = greenroom::spawn(|| {});
/// assert_eq!(hub::stats().threads, 1);
/// thread.join()?;
/// assert_eq!((hub::stats().threads, hub::stats().threads_peak), (0, 1));
/// # Ok::<(), greenroom::JoinError>(())
/// ```
pub fn stats() -> Stats {
    let Some(local) = existing() else { return Stats::default() };
    let LoopStats {
        turns,
        sleeps,
        longest_turn,
        expired,
        fd_ready,
        closed,
        called,
        ready,
        timers,
        listeners,
        expected,
        ..
    } = local.hub.borrow().stats();
    let hub = local.hub.borrow();
    let may_run = hub.ready().filter(|waiter| waiter.is_thread()).count();
    let threads = local.threads.borrow();
    let stacks = local.pool.stats();
    Stats {
        turns,
        sleeps,
        longest_turn,
        switches: local.pulse.runs(),
        expired,
        fd_ready,
        closed,
        called,
        threads: threads.len(),
        threads_peak: threads.peak(),
        parked: threads.len() - may_run - usize::from(crate::thread::is_green()),
        ready,
        timers,
        listeners,
        expected,
        stack_bytes_mapped: stacks.bytes_mapped,
        stacks_idle: stacks.stacks_idle,
    }
}

/// Calls `f` once, on the hub's own stack, when `delay` is over.
///
/// What `f` may do, and when and in which order functions are called, is told at [`Timer`]; one that
/// can be armed again is made by [`Timer::new`]. Costs two allocations.
///
/// # Panics
///
/// If this OS thread has no hub yet and none can be made, as with [`get`].
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// use greenroom::hub;
///
/// let fired = Rc::new(Cell::new(0));
/// let count = Rc::clone(&fired);
/// let first = hub::call_after_global(Duration::from_millis(1), move || count.set(count.get() + 1));
/// let second = hub::call_after_global(Duration::from_millis(1), || unreachable!());
/// assert!(second.cancel());
/// greenroom::sleep(Duration::from_millis(5));
/// assert_eq!(fired.get(), 1);
/// assert!(!first.is_pending());
/// ```
#[track_caller]
pub fn call_after_global(delay: Duration, f: impl FnOnce() + 'static) -> Timer {
    callback::call_after(Terms { delay, owner: None }, Box::new(f))
}

/// Calls `f` as [`call_after_global`] does, unless the green thread that calls this is gone by
/// then.
///
/// From an OS thread's own stack it is [`call_after_global`]. Whether the thread is alive is looked
/// at when the time has come; if not, `f` is dropped then.
///
/// # Panics
///
/// As [`call_after_global`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{hub, sleep, spawn};
///
/// let orphan = spawn(|| hub::call_after_local(Duration::from_millis(1), || unreachable!()));
/// let orphan = orphan.join()?;
/// assert!(orphan.is_pending());
/// sleep(Duration::from_millis(5));
/// assert!(!orphan.is_pending());
/// # Ok::<(), greenroom::JoinError>(())
/// ```
#[track_caller]
pub fn call_after_local(delay: Duration, f: impl FnOnce() + 'static) -> Timer {
    callback::call_after(Terms { delay, owner: Owner::current() }, Box::new(f))
}

/// Calls `f` on the hub's own stack whenever `fd` is ready, until the listener is removed.
///
/// `f` is given the fd's number. It may not block, and should use the readiness up: while the fd
/// is ready, it is called once every turn. A hang-up or an error of the fd counts as ready in both
/// directions, and a regular file always is. If `f` panics, that is printed and the listener removed.
/// Remove the listener before closing the fd.
///
/// Costs two allocations and one system call, and one more before each wait that follows a call.
///
/// # Errors
///
/// If somebody waits for the same fd and direction already and
/// [`allow_multiple_waiters`] is off, or if the fd is not open. `f` is dropped.
///
/// # Panics
///
/// If this OS thread has no hub yet and none can be made, as with [`get`].
///
/// # Examples
///
/// ```
/// use std::{io::{Read, Write}, os::unix::net::UnixStream, time::Duration};
/// use greenroom::{hub, io::Interest};
///
/// let (mut here, there) = UnixStream::pair()?;
/// let mut there_too = there.try_clone()?;
/// let listener = hub::add(&there, Interest::Read, move |_fd| {
///     let mut bytes = [0; 16];
///     assert_eq!(there_too.read(&mut bytes).unwrap(), 5);
/// })?;
/// here.write_all(b"hello")?;
/// greenroom::sleep(Duration::from_millis(1));
/// assert!(hub::remove(&listener));
/// assert!(!hub::remove(&listener));
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn add(
    fd: impl AsFd,
    interest: Interest,
    f: impl FnMut(RawFd) + 'static,
) -> Result<Listener, ListenError> {
    callback::add(fd, interest, Box::new(f))
}

/// Removes a listener, as [`Listener::remove`] does; once removed, again without harm. [`add`] has
/// an example.
pub fn remove(listener: &Listener) -> bool {
    listener.remove()
}

/// Tells the hub that `fd` is about to be closed, or was: every wait for it ends with an error.
///
/// Green sockets do this by themselves. It is for fds closed by other means. Returns how many
/// waited. After the error [`io::is_closed`](crate::io::is_closed) is true of it. Listeners of the fd
/// are over, and what they own is dropped in the loop. They wait no more when this returns, and run
/// at their turn.
///
/// # Examples
///
/// ```
/// use std::os::{fd::AsRawFd, unix::net::UnixStream};
/// use greenroom::{hub, io, io::Interest, spawn, yield_now};
///
/// let (here, _there) = UnixStream::pair()?;
/// let fd = here.as_raw_fd();
/// let reader = spawn(move || io::trampoline(&here, Interest::Read, None));
/// yield_now();
/// assert_eq!(hub::notify_close(fd), 1);
/// assert!(io::is_closed(&reader.join().unwrap().unwrap_err()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_close(fd: RawFd) -> usize {
    existing().map_or(0, |local| local.hub.borrow_mut().notify_close(fd))
}

/// Tells the hub that the number `fd` now means another file: waits for the old one end as with
/// [`notify_close`], and are not confused with waits for the new one.
///
/// # Examples
///
/// ```
/// use std::os::{fd::AsRawFd, unix::net::UnixStream};
/// use greenroom::{hub, io::Interest};
///
/// let (here, _there) = UnixStream::pair()?;
/// let listener = hub::add(&here, Interest::Read, |_fd| {})?;
/// // Somebody has had the number mean another file.
/// assert_eq!(hub::notify_reopened(here.as_raw_fd()), 1);
/// assert!(!listener.is_listening());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn notify_reopened(fd: RawFd) -> usize {
    notify_close(fd)
}

/// A handle by which other OS threads can spawn green threads on this OS thread's hub.
///
/// # Panics
///
/// If this OS thread has no hub yet and none can be made, as with [`get`].
///
/// # Examples
///
/// [`Remote::spawn`] has one.
pub fn remote() -> Remote {
    remote::remote()
}

/// Whether several green threads may wait for the same fd in the same direction, in a queue.
///
/// Not at first: mostly two readers of one stream are a bug, so the second is refused with an
/// error that names both. Where it is allowed they are served first come, first served, one each
/// time the fd is ready. It holds for this OS thread's hub, from here on: who queues already stays.
///
/// # Panics
///
/// If this OS thread has no hub yet and none can be made, as with [`get`].
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use greenroom::{hub, io::Interest};
///
/// let (here, _there) = UnixStream::pair()?;
/// let first = hub::add(&here, Interest::Read, |_fd| {})?;
/// assert!(hub::add(&here, Interest::Read, |_fd| {}).is_err());
/// hub::allow_multiple_waiters(true);
/// let second = hub::add(&here, Interest::Read, |_fd| {})?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn allow_multiple_waiters(allow: bool) {
    local().hub.borrow_mut().allow_multiple_waiters(allow);
}

/// Ends everything on this hub: timers and listeners are cancelled and green threads unwound, so
/// that their destructors run.
///
/// What destructors arm and spawn meanwhile is ended as well, a thousand generations deep.
///
/// Called from the OS thread's own stack it is done when this returns; from a green thread, a
/// callback or a destructor that runs because of a panic, at the end of the turn. Until then the
/// calling green thread can yield and go on; it is unwound too, from where it waits at that time.
/// The root's own wait goes on: if it joins a thread, that thread was killed. The hub works again at
/// its next use.
///
/// # Panics
///
/// The process aborts if a green thread cannot be unwound: under `panic = "abort"`, or if it
/// catches what it is thrown and waits again, a thousand times over.
///
/// # Examples
///
/// ```
/// use std::{rc::Rc, time::Duration};
/// use greenroom::{hub, sleep, spawn, yield_now};
///
/// let shared = Rc::new(());
/// let theirs = Rc::clone(&shared);
/// let sleeper = spawn(move || {
///     let _theirs = theirs;
///     sleep(Duration::from_secs(3600));
/// });
/// yield_now();
/// hub::abort();
/// assert_eq!(Rc::strong_count(&shared), 1);
/// assert!(sleeper.join().unwrap_err().is_killed());
/// ```
pub fn abort() {
    let Some(local) = existing() else { return };
    if local.in_callback.get() || crate::thread::is_green() || std::thread::panicking() {
        local.abort.set(true);
    } else {
        end(local);
    }
}

/// So many generations of what destructors leave behind are ended.
const ROUNDS_MAX: u32 = 1000;

/// The deferred part of [`abort`], and the end of an OS thread.
pub(crate) fn end(local: &local::Local) {
    // Again for what destructors have armed and spawned.
    for _ in 0..ROUNDS_MAX {
        let cancelled = callback::cancel_all(local);
        if cancelled == 0 && local.threads.borrow().len() == 0 {
            break;
        }
        run::end_all(local);
    }
    // Also if a destructor has asked for it again: it is done.
    local.abort.set(false);
}
