//! Waiting for a green thread to end, and how it ended.
//!
//! Knows the control block and `park`; resumes nobody.

use std::{
    any::Any,
    error, fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use greenroom_fiber::{Fiber, Output};
use greenroom_hub::Wake;

use crate::{
    debug::say_panic,
    hub::local::local,
    thread::{
        Blocked, Control, End, Link, SpawnError, Thread, ThreadId, control::State, park,
        throw::Thrown,
    },
    time::deadline_after,
};

/// Owns the right to wait for a green thread's end and to have what it returned.
///
/// Dropping it lets the thread run on by itself; if it then panics, or has already, that is
/// printed with its name. Not `Send`: a green thread belongs to the OS thread it was spawned on.
///
/// To wait for a thread that has not ended costs two switches. Whoever is killed or out of time while
/// it joins lets go of the handle; the thread goes on.
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::JoinHandle<()>>();
/// ```
///
/// A thread is joined once:
///
/// ```compile_fail,E0382
/// let handle = greenroom::spawn(|| {});
/// let first = handle.join();
/// let second = handle.join();
/// ```
pub struct JoinHandle<T> {
    output: Output<Control, Option<T>>,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(output: Output<Control, Option<T>>) -> JoinHandle<T> {
        JoinHandle { output }
    }

    pub(crate) fn fiber(&self) -> &Fiber<Control> {
        &self.output
    }

    /// Waits until the thread has ended, and returns what its function returned.
    ///
    /// Runs other green threads meanwhile, also when called from `main`.
    ///
    /// # Errors
    ///
    /// If the thread panicked ([`JoinError::into_panic`] has what it panicked with), or if it was
    /// killed or cancelled. Called while this thread unwinds from a panic: that it may not wait.
    ///
    /// # Panics
    ///
    /// If a thread joins itself, or if nothing is left that could ever end the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let handle = greenroom::spawn(|| 6 * 7);
    /// assert_eq!(handle.join()?, 42);
    ///
    /// let handle = greenroom::spawn(|| panic!("oh no"));
    /// let error = handle.join().unwrap_err();
    /// assert_eq!(error.into_panic().unwrap().downcast_ref(), Some(&"oh no"));
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    #[inline]
    pub fn join(self) -> Result<T, JoinError> {
        if !self.is_finished() {
            self.wait(None)?;
        }
        self.outcome()
    }

    /// Waits until the thread has ended, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// The handle, if the thread is still alive by then. How the thread ended is inside the `Ok`,
    /// as [`join`](JoinHandle::join) returns it.
    ///
    /// # Panics
    ///
    /// As [`join`](JoinHandle::join).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let handle = greenroom::spawn(|| greenroom::sleep(Duration::from_millis(20)));
    /// let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
    /// handle.join()?;
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        if !self.is_finished() {
            match self.wait(Some(timeout)) {
                Err(error) => return Ok(Err(error)),
                Ok(()) if !self.is_finished() => return Err(self),
                Ok(()) => {}
            }
        }
        Ok(self.outcome())
    }

    /// True if the thread has ended, so that joining does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{spawn, yield_now};
    ///
    /// let thread = spawn(|| 1);
    /// assert!(!thread.is_finished());
    /// yield_now();
    /// assert!(thread.is_finished() && thread.thread().is_finished());
    /// ```
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.output.state() == State::Finished
    }

    /// The thread itself: its id and name.
    pub fn thread(&self) -> Thread {
        Thread::from_fiber((*self.output).clone())
    }

    /// Kills the thread: [`Thread::kill`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let sleeper = greenroom::spawn(|| greenroom::sleep(Duration::MAX));
    /// greenroom::yield_now();
    /// assert!(sleeper.kill());
    /// assert!(sleeper.join().unwrap_err().is_killed());
    /// ```
    pub fn kill(&self) -> bool {
        self.thread().kill()
    }

    /// Cancels the thread if it has not started: [`Thread::cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// let thread = greenroom::spawn(|| unreachable!("it was cancelled"));
    /// assert!(thread.cancel());
    /// assert!(thread.join().unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(&self) -> bool {
        self.thread().cancel()
    }

    /// Has `f` called when the thread ends, or now if it has: [`Thread::link`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::{spawn, thread::End};
    ///
    /// let thread = spawn(|| ());
    /// thread.link(|_, end| assert_eq!(end, End::Cancelled));
    /// thread.cancel();
    /// assert!(thread.join().unwrap_err().is_cancelled());
    /// ```
    pub fn link(&self, f: impl FnOnce(&Thread, End) + 'static) -> Link {
        self.thread().link(f)
    }

    /// Takes a linked function back: [`Thread::unlink`].
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::spawn;
    ///
    /// let thread = spawn(|| ());
    /// let link = thread.link(|_, _| unreachable!("it was taken back"));
    /// assert!(thread.unlink(link));
    /// thread.join()?;
    /// # Ok::<(), greenroom::JoinError>(())
    /// ```
    pub fn unlink(&self, link: Link) -> bool {
        self.thread().unlink(link)
    }

    /// Waits until the thread has ended, and leaves its result where it is.
    ///
    /// # Errors
    ///
    /// If the caller unwinds from a panic and so cannot wait.
    pub(crate) fn wait_end(&self) -> Result<(), JoinError> {
        if self.is_finished() { Ok(()) } else { self.wait(None) }
    }

    #[inline(always)]
    fn wait(&self, timeout: Option<Duration>) -> Result<(), JoinError> {
        let fiber: &Fiber<Control> = &self.output;
        let me = Fiber::<Control>::with_current(|me| me.is_some_and(|me| me.ptr_eq(fiber)));
        assert!(!me, "a green thread cannot join itself: it would wait for its own end");
        let deadline = timeout.map(|timeout| deadline_after(&local().hub.borrow(), timeout));
        // Taken back also if this wait is unwound.
        let _waiting = Waiting(fiber);
        let wake = park::until_called(Blocked::Join(ThreadId(fiber.id())), deadline, |joiner| {
            fiber.set_joiner(Some(joiner));
        });
        match wake {
            Ok(Wake::Expired | Wake::Called) => Ok(()),
            Ok(wake) => unreachable!("a join is not woken by {wake:?}"),
            Err(park::Unwinding) => Err(JoinError::unwinding()),
        }
    }

    #[inline]
    fn outcome(&self) -> Result<T, JoinError> {
        match self.output.take() {
            Some(Ok(Some(value))) => Ok(value),
            _ => Err(JoinError::of(&self.output)),
        }
    }
}

struct Waiting<'a>(&'a Fiber<Control>);

impl Drop for Waiting<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set_joiner(None);
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if self.is_finished() {
            tell_panic(&self.output);
        } else {
            self.output.detached.set(true);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("thread", &self.thread())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// Why joining gave no value.
///
/// `Send` and `Sync`, so it fits into [`std::io::Error::other`] and into any boxed error.
///
/// ```
/// fn read_all() -> std::io::Result<()> {
///     greenroom::spawn(|| panic!("no")).join().map_err(std::io::Error::other)
/// }
/// assert_eq!(read_all().unwrap_err().to_string(), "the green thread panicked: no");
///
/// let error = greenroom::spawn(|| panic!("no")).join().unwrap_err();
/// assert_eq!(format!("{error:?}"), r#"JoinError(Panicked("no"))"#);
/// ```
#[derive(Debug)]
pub struct JoinError(Ending);

#[derive(Debug)]
enum Ending {
    Panicked(Payload),
    Killed,
    Unstarted(Unstarted),
    NotSpawned(SpawnError),
    Orphaned,
    Unwinding,
}

/// What a thread panicked with. The lock is never contended: it makes the error `Sync`, as boxed
/// errors are expected to be.
struct Payload(Mutex<Box<dyn Any + Send>>);

impl fmt::Debug for Payload {
    /// The text, for this is what `unwrap` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match text_of(&**payload) {
            Some(text) => text.fmt(f),
            None => f.write_str("Any { .. }"),
        }
    }
}

/// What a thread that never ran its function "panicked" with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unstarted {
    /// It was to end either way, and not only if it had not started.
    pub(crate) killed: bool,
}

/// How a thread ended whose function did not return.
pub(crate) fn end_of(payload: &(dyn Any + Send)) -> End {
    if let Some(unstarted) = payload.downcast_ref::<Unstarted>() {
        return if unstarted.killed { End::Killed } else { End::Cancelled };
    }
    match payload.downcast_ref::<Thrown>() {
        Some(Thrown::Killed) => End::Killed,
        _ => End::Panicked,
    }
}

impl JoinError {
    #[cold]
    fn of(control: &Control) -> JoinError {
        let payload = control.take_panic().expect("a thread without a value left a reason");
        JoinError::of_payload(payload)
    }

    pub(crate) fn of_payload(payload: Box<dyn Any + Send>) -> JoinError {
        JoinError(match payload.downcast_ref::<Unstarted>() {
            Some(&unstarted) => Ending::Unstarted(unstarted),
            None if end_of(&*payload) == End::Killed => Ending::Killed,
            None => Ending::Panicked(Payload(Mutex::new(payload))),
        })
    }

    /// Another hub could not spawn it.
    pub(crate) fn not_spawned(error: SpawnError) -> JoinError {
        JoinError(Ending::NotSpawned(error))
    }

    /// The process forked, and the other hub is not in this child.
    pub(crate) fn orphaned() -> JoinError {
        JoinError(Ending::Orphaned)
    }

    /// Whoever wants to wait unwinds from a panic.
    pub(crate) fn unwinding() -> JoinError {
        JoinError(Ending::Unwinding)
    }

    /// It was killed before it started.
    pub(crate) fn killed_unstarted() -> JoinError {
        JoinError(Ending::Unstarted(Unstarted { killed: true }))
    }

    /// True if the thread panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Ending::Panicked(_))
    }

    /// True if the thread was killed: unwound from outside at one of its waits, or before it
    /// started.
    pub fn is_killed(&self) -> bool {
        matches!(self.0, Ending::Killed | Ending::Unstarted(Unstarted { killed: true }))
    }

    /// True if the thread never ran its function: it was cancelled, or killed before it started.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Ending::Unstarted(_) | Ending::NotSpawned(_))
    }

    /// What the thread panicked with, to be looked at or given to
    /// [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    ///
    /// This error again, if it was no panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{panic::resume_unwind, time::Duration};
    /// use greenroom::{sleep, spawn};
    ///
    /// let panics = spawn(|| resume_unwind(Box::new("no"))).join().unwrap_err();
    /// assert!(panics.is_panic() && !panics.is_killed() && !panics.is_cancelled());
    /// assert_eq!(panics.into_panic().unwrap().downcast_ref(), Some(&"no"));
    ///
    /// let sleeper = spawn(|| sleep(Duration::MAX));
    /// greenroom::yield_now();
    /// sleeper.kill();
    /// let killed = sleeper.join().unwrap_err();
    /// assert!(killed.is_killed() && killed.into_panic().is_err());
    /// ```
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.0 {
            Ending::Panicked(Payload(payload)) => {
                Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner))
            }
            _ => Err(self),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ending::Panicked(Payload(payload)) => {
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                write!(f, "the green thread {}", telling(&**payload))
            }
            Ending::Killed => f.write_str("the green thread was killed"),
            Ending::Unstarted(Unstarted { killed: false }) => {
                f.write_str("the green thread was cancelled before it started")
            }
            Ending::Unstarted(Unstarted { killed: true }) => {
                f.write_str("the green thread was killed before it started")
            }
            Ending::NotSpawned(error) => write!(f, "the green thread was not spawned: {error}"),
            Ending::Orphaned => f.write_str(
                "the green thread was on another hub, which is not in this forked process",
            ),
            Ending::Unwinding => f.write_str("a thread that unwinds from a panic cannot wait"),
        }
    }
}

impl error::Error for JoinError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Ending::NotSpawned(error) => Some(error),
            _ => None,
        }
    }
}

/// Prints that a thread panicked, if it did and nobody has asked yet.
#[inline]
pub(crate) fn tell_panic(fiber: &Fiber<Control>) {
    if let Some(payload) = fiber.take_panic() {
        tell(fiber, payload);
    }
}

#[cold]
fn tell(fiber: &Fiber<Control>, payload: Box<dyn Any + Send>) {
    if end_of(&*payload) == End::Panicked {
        let thread = Thread::from_fiber(fiber.clone());
        say_panic(format_args!("{thread} that nobody joined {}", telling(&*payload)));
    }
    drop_payload(payload);
}

/// Prints that somebody panicked, unless that was the unwinding of a kill.
#[cold]
pub(crate) fn tell_of(who: fmt::Arguments<'_>, payload: Box<dyn Any + Send>) {
    if end_of(&*payload) == End::Panicked {
        say_panic(format_args!("{who} {}", telling(&*payload)));
    }
    drop_payload(payload);
}

/// What a panic carries may itself panic when it is dropped.
fn drop_payload(payload: Box<dyn Any + Send>) {
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload)));
    std::mem::forget(dropped);
}

/// Tells what a panic said, as far as it was text.
pub(crate) fn telling(payload: &(dyn Any + Send)) -> String {
    match text_of(payload) {
        Some(text) => format!("panicked: {text}"),
        None => "panicked with something that is no text".into(),
    }
}

fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}
