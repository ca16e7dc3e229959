//! Green threads: spawn them, wait for them, be one.
//!
//! Knows fibers and the hub; knows no sockets. `park` is the only door to suspension, `run` the
//! only place that resumes anyone.

pub(crate) mod join;
pub(crate) mod link;
pub(crate) mod local;
pub(crate) mod scope;
pub(crate) mod spawn;

pub(crate) mod control;
pub(crate) mod errno;
pub(crate) mod holder;
pub(crate) mod park;
pub(crate) mod registry;
pub(crate) mod run;
pub(crate) mod signals;
pub(crate) mod throw;
pub(crate) mod wait_queue;

use std::{fmt, os::fd::RawFd, rc::Rc};

use greenroom_fiber::Fiber;
use greenroom_hub::Interest;

pub use join::{JoinError, JoinHandle};
pub use link::{End, Link};
pub use local::LocalKey;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use spawn::{Builder, SpawnError, spawn, spawn_after, spawn_after_local};
pub use throw::catch_panic;

use control::State;
pub(crate) use control::{Control, Waiter};
use holder::Holders;
use throw::Throw;

/// Names a green thread, for as long as the process lives: no two of one OS thread are ever equal.
///
/// Zero is the OS thread's own stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThreadId(pub(crate) u64);

impl fmt::Display for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A green thread as others see it: its id and its name.
///
/// A clone is the same thread. Holding one keeps some hundred bytes, but neither the thread from
/// ending nor its stack. It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::thread::Thread>();
/// ```
#[derive(Clone)]
pub struct Thread(Who);

#[derive(Clone)]
enum Who {
    Green(Fiber<Control>),
    Root,
}

impl Thread {
    pub(crate) fn from_fiber(fiber: Fiber<Control>) -> Thread {
        Thread(Who::Green(fiber))
    }

    /// This thread's id.
    pub fn id(&self) -> ThreadId {
        match &self.0 {
            Who::Green(fiber) => ThreadId(fiber.id()),
            Who::Root => ThreadId(0),
        }
    }

    /// Its name, if it was given one. For the OS thread's own stack: the OS thread's name.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::thread::{Builder, current};
    ///
    /// let thread = Builder::new().name("reader").spawn(|| current().id())?;
    /// assert_eq!(thread.thread().name().as_deref(), Some("reader"));
    /// assert!(!thread.thread().is_finished() && !current().is_finished());
    /// assert_eq!(thread.thread().id(), thread.join()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> Option<Rc<str>> {
        match &self.0 {
            Who::Green(fiber) => fiber.name().map(Rc::from),
            Who::Root => std::thread::current().name().map(Rc::from),
        }
    }

    /// True if it has ended. The OS thread's own stack never has.
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Who::Green(fiber) => fiber.state() == State::Finished,
            Who::Root => false,
        }
    }

    /// Kills the thread: unwinds it where it waits, or at its next wait if it does not, so that its
    /// destructors run. Joining it then says that it was killed.
    ///
    /// True if it was alive. Does not wait for its end: join it for that. The unwinding passes
    /// through the thread's own code, and `catch_unwind` there sees it; the thread is thrown into
    /// again at its next wait, a thousand times over, after which the process aborts and names it;
    /// [`catch_panic`] lets it pass. One that has not started never runs its function; what that
    /// owns is dropped by the thread, whose destructors may wait. Its [`link`](Thread::link)ed
    /// functions are called in any case, and may wait as well: a thread that is killed once more
    /// meanwhile is thrown out of that. A thread that kills itself goes on until its next wait.
    ///
    /// Costs about as much as a wake-up; unwinding costs microseconds.
    ///
    /// # Panics
    ///
    /// If it is an OS thread's own stack, which nobody may unwind. Under `panic = "abort"`, if the
    /// thread has started.
    ///
    /// # Examples
    ///
    /// A worker that outlives its jobs' panics and can be killed all the same: it catches nothing, but
    /// joins a green thread for each job. If it is killed, so is the job.
    ///
    /// ```
    /// use greenroom::{scope, sleep, spawn, sync::channel};
    /// use std::time::Duration;
    ///
    /// let (jobs, to_do) = channel::unbounded::<fn()>();
    /// let worker = spawn(move || {
    ///     for job in to_do {
    ///         if let Err(error) = scope(|s| s.spawn(job).join()) {
    ///             assert_eq!(error.to_string(), "the green thread panicked: no");
    ///         }
    ///     }
    /// });
    /// jobs.send(|| panic!("no")).unwrap();
    /// jobs.send(|| sleep(Duration::MAX)).unwrap();
    /// sleep(Duration::from_millis(1));
    /// assert!(worker.thread().kill());
    /// assert!(worker.join().unwrap_err().is_killed());
    /// ```
    #[track_caller]
    pub fn kill(&self) -> bool {
        let Who::Green(fiber) = &self.0 else {
            panic!("an OS thread's own stack cannot be killed; only green threads can");
        };
        if fiber.state() == State::Finished {
            return false;
        }
        if fiber.has_started() {
            throw::assert_can_unwind("killing");
        }
        run::throw_out(fiber.clone());
        true
    }

    /// Ends the thread if it has not started: its function is dropped, unrun, and joining it says
    /// that it was cancelled. Its [`link`](Thread::link)ed functions are called.
    ///
    /// False if it has started.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{spawn, yield_now};
    ///
    /// let (unborn, started) = (spawn(|| 1), spawn(yield_now));
    /// assert!(unborn.thread().cancel());
    /// yield_now();
    /// assert!(!started.thread().cancel());
    /// assert!(unborn.join().unwrap_err().is_cancelled() && started.join().is_ok());
    /// ```
    pub fn cancel(&self) -> bool {
        match &self.0 {
            Who::Green(fiber) if !fiber.has_started() => {
                // A kill stays one.
                if fiber.throw.get() == Throw::No {
                    fiber.cancelled.set(true);
                }
                run::throw_out(fiber.clone());
                true
            }
            _ => false,
        }
    }

    /// Has `f` called when the thread ends, however it does: it returns, panics, is killed or
    /// cancelled. If it has ended, or all that was linked to it has been called, `f` is called now, by
    /// the caller.
    ///
    /// Linked functions run one after the other on the thread's own stack, before those who join
    /// it go on; they may wait. One that panics is printed, and the others run all the same.
    ///
    /// Costs an allocation or two.
    ///
    /// # Panics
    ///
    /// If it is an OS thread's own stack, whose end is not seen.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::thread::End;
    ///
    /// let worker = greenroom::spawn(|| 42);
    /// worker.link(|thread, end| {
    ///     assert_eq!(end, End::Returned);
    ///     println!("{thread} {end}");
    /// });
    /// worker.join()?;
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    #[track_caller]
    pub fn link(&self, f: impl FnOnce(&Thread, End) + 'static) -> Link {
        match &self.0 {
            Who::Green(fiber) => link::link(fiber, Box::new(f)),
            Who::Root => panic!("nothing can be linked to the end of an OS thread's own stack"),
        }
    }

    /// Takes a linked function back, so that it is dropped uncalled. False if it was called before,
    /// or taken back, or belongs to another thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let worker = greenroom::spawn(|| 42);
    /// let link = worker.thread().link(|_, _| unreachable!("it was taken back"));
    /// assert!(worker.thread().unlink(link));
    /// assert_eq!(worker.join()?, 42);
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn unlink(&self, link: Link) -> bool {
        match &self.0 {
            Who::Green(fiber) => link::unlink(fiber, link),
            Who::Root => false,
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Who::Green(fiber) => describe(fiber, f),
            Who::Root => f.write_str("the root"),
        }
    }
}

/// The green thread that runs now; outside of green threads, the OS thread's own stack.
///
/// ```
/// use greenroom::thread;
///
/// let child = thread::Builder::new().name("reader").spawn(|| {
///     assert_eq!(thread::current().name().as_deref(), Some("reader"));
///     thread::current().id()
/// })?;
/// assert_eq!(child.thread().id(), child.join()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn current() -> Thread {
    match Fiber::<Control>::current() {
        Some(fiber) => Thread::from_fiber(fiber),
        None => Thread(Who::Root),
    }
}

/// True on a green thread, false on an OS thread's own stack.
///
/// # Examples
///
/// ```
/// use greenroom::{spawn, thread::is_green};
///
/// assert!(!is_green() && spawn(is_green).join()?);
/// # Ok::<(), greenroom::JoinError>(())
/// ```
#[inline]
pub fn is_green() -> bool {
    Fiber::<Control>::with_current(|fiber| fiber.is_some())
}

/// Writes `green thread "name" (7)`.
pub(crate) fn describe(fiber: &Fiber<Control>, f: &mut impl fmt::Write) -> fmt::Result {
    match fiber.name() {
        Some(name) => write!(f, "green thread {name:?} ({})", fiber.id()),
        None => write!(f, "green thread {}", fiber.id()),
    }
}

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiter::Thread(fiber) | Waiter::Throw(fiber) => describe(fiber, f),
            Waiter::Root(_) | Waiter::ThrowRoot(_) => f.write_str("the root"),
            Waiter::Call(callback) => fmt::Display::fmt(callback, f),
            Waiter::Post(_) => f.write_str("the hub, for what other OS threads send"),
        }
    }
}

/// What a green thread waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Blocked {
    /// Not at all.
    No,
    /// It was spawned and has not run yet.
    NotStarted,
    /// A deadline: it sleeps, or its start is delayed.
    Sleep,
    /// An fd.
    Fd(RawFd, Interest),
    /// Another green thread's end.
    Join(ThreadId),
    /// Work on another OS thread.
    Offload(&'static &'static str),
    /// A moment in which nobody else could run.
    Quiet,
    /// Somebody else on this hub.
    Call(&'static &'static str),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blocked::No => f.write_str("may run"),
            Blocked::NotStarted => f.write_str("has not started"),
            Blocked::Sleep => f.write_str("sleeps"),
            Blocked::Fd(fd, interest) => write!(f, "waits to {interest} fd {fd}"),
            Blocked::Join(id) => write!(f, "waits for green thread {id} to end"),
            Blocked::Offload(what) => write!(f, "waits for another OS thread: {what}"),
            Blocked::Quiet => f.write_str("waits until everyone is parked"),
            Blocked::Call(what) => write!(f, "waits for {what}"),
        }
    }
}

/// Tells who holds what is waited for, as it is at the time.
pub(crate) type AskHolders<'a> = &'a dyn Fn() -> Holders;

/// Why somebody parks: what it waits for, and how to learn who holds that.
///
/// It is asked where the waiter's stack is, and only when somebody wants to know: so it costs a wait nothing, and
/// is true however often what is waited for was handed on since.
#[derive(Clone, Copy)]
pub(crate) struct Reason<'a> {
    pub(crate) blocked: Blocked,
    pub(crate) holders: Option<AskHolders<'a>>,
}

impl From<Blocked> for Reason<'_> {
    #[inline(always)]
    fn from(blocked: Blocked) -> Self {
        Reason { blocked, holders: None }
    }
}
