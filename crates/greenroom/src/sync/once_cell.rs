//! A value that is made by the first who needs it, who may wait meanwhile.
//!
//! Knows who makes it and who waits for that. Knows nothing of how.

use std::{
    cell::{self, Cell},
    convert::Infallible,
    fmt,
    time::Duration,
};

use super::{after, refuse_unwinding};
use crate::{
    Elapsed,
    thread::{Blocked, holder::Holder, park::Unwinding, wait_queue::WaitQueue},
};

/// A cell that is set once, with the methods of [`std::sync::OnceLock`], for the green threads of
/// one OS thread.
///
/// [`get_or_init`](OnceCell::get_or_init) makes the value if there is none; others who want it
/// meanwhile wait until it is there. If whoever makes it panics, fails, is killed or thrown out by
/// [`with_timeout`](crate::with_timeout), whoever waits longest makes it, with its own function:
/// FIFO. [`wait`](OnceCell::wait) is for those who cannot make it.
///
/// A thread that is killed while it waits leaves the queue; if it was just to make the value, the
/// next one does.
///
/// Costs a look at a cell once the value is there. Nothing is allocated.
///
/// ```
/// use std::{rc::Rc, time::Duration};
/// use greenroom::{sleep, spawn, sync::OnceCell};
///
/// let settings = Rc::new(OnceCell::new());
/// let readers = [1, 2].map(|n| {
///     let settings = Rc::clone(&settings);
///     spawn(move || {
///         *settings.get_or_init(|| {
///             sleep(Duration::from_millis(1));
///             n
///         })
///     })
/// });
/// assert_eq!(readers.map(|reader| reader.join().unwrap()), [1, 1]);
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::OnceCell<u8>>();
/// ```
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// Who makes the value. Nobody, once it is there.
    maker: Cell<Holder>,
    /// Those who would make it, should it come to that.
    queue: WaitQueue,
    /// Those who leave that to others.
    lookers: WaitQueue,
}

impl<T> OnceCell<T> {
    /// A cell without a value.
    pub const fn new() -> OnceCell<T> {
        OnceCell {
            value: cell::OnceCell::new(),
            maker: Cell::new(Holder::Nobody),
            queue: WaitQueue::new(),
            lookers: WaitQueue::new(),
        }
    }

    /// The value, if it is there. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, to be changed.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut cell = greenroom::sync::OnceCell::new();
    /// assert!(cell.get_mut().is_none());
    /// cell.set(1)?;
    /// *cell.get_mut().unwrap() += 1;
    /// assert_eq!(cell.into_inner(), Some(2));
    /// # Ok::<(), i32>(())
    /// ```
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Sets the value. Never waits.
    ///
    /// # Errors
    ///
    /// The value, if there is one already, or if somebody is making one now.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = greenroom::sync::OnceCell::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.maker.get() != Holder::Nobody {
            return Err(value);
        }
        self.value.set(value)?;
        self.lookers.call_all();
        Ok(())
    }

    /// Waits until somebody else has set or made the value. Makes none itself.
    ///
    /// # Panics
    ///
    /// If this thread is the one that makes the value. If it would have to wait in a hub callback, or in a
    /// destructor that runs because of a panic or a kill; [`get`](OnceCell::get) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use greenroom::{spawn, sync::OnceCell};
    ///
    /// let port = Rc::new(OnceCell::new());
    /// let theirs = Rc::clone(&port);
    /// let client = spawn(move || *theirs.wait());
    /// port.set(8080).unwrap();
    /// assert_eq!(client.join().unwrap(), 8080);
    /// ```
    #[track_caller]
    pub fn wait(&self) -> &T {
        match self.look(None) {
            Ok(value) => value,
            Err(Elapsed) => refuse_unwinding("a value"),
        }
    }

    /// As [`wait`](OnceCell::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if there is none in time: at once in a destructor that runs because of a panic or a kill.
    ///
    /// # Panics
    ///
    /// If this thread is the one that makes the value. If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::OnceCell};
    ///
    /// let cell = OnceCell::<u8>::new();
    /// assert_eq!(cell.wait_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// ```
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<&T, Elapsed> {
        self.look(Some(timeout))
    }

    #[track_caller]
    fn look(&self, timeout: Option<Duration>) -> Result<&T, Elapsed> {
        if self.value.get().is_none() {
            self.maker.get().refuse_me("waits for a value that it is to make");
            // Whatever ended the wait, what counts is whether the value is there.
            let _ = self.lookers.wait(Blocked::Call(&"a value"), timeout.map(after), || ());
        }
        self.value.get().ok_or(Elapsed)
    }

    /// The value; if it is not there, `f` makes it, or somebody else's function does while this
    /// waits.
    ///
    /// # Panics
    ///
    /// With what `f` panics with; the cell stays as it was. If `f` itself, on the thread it was
    /// called on, wants the value. If it would have to wait for another's in a hub callback, or in
    /// a destructor that runs because of a panic or a kill.
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = greenroom::sync::OnceCell::new();
    /// assert_eq!(cell.get_or_init(|| 1), &1);
    /// assert_eq!(cell.get_or_init(|| 2), &1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        let made = self.get_or_try_init(|| Ok::<T, Infallible>(f()));
        match made {
            Ok(value) => value,
        }
    }

    /// The value; if it is not there, `f` makes it, or somebody else's function does while this
    /// waits.
    ///
    /// # Errors
    ///
    /// What `f` fails with, if it was called; the cell stays as it was. Whoever waits then tries
    /// its own.
    ///
    /// # Panics
    ///
    /// As [`get_or_init`](OnceCell::get_or_init).
    ///
    /// # Examples
    ///
    /// ```
    /// let cell = greenroom::sync::OnceCell::new();
    /// assert!(cell.get_or_try_init(|| "x".parse::<u8>()).is_err());
    /// assert_eq!(cell.get_or_try_init(|| "7".parse::<u8>()), Ok(&7));
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_or_try_init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        self.try_init(f)
    }

    /// The value.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, so that another can be set.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut cell = greenroom::sync::OnceCell::from(1);
    /// assert_eq!(cell.take(), Some(1));
    /// assert_eq!(cell.get(), None);
    /// ```
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    #[cold]
    #[track_caller]
    fn try_init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if self.maker.get() != Holder::Nobody {
            self.maker.get().refuse_me("needs a value to make that very value");
            let wake = self.queue.wait(Blocked::Call(&"a value"), None, || self.hand_on());
            if let Err(Unwinding) = wake {
                refuse_unwinding("a value");
            }
            if let Some(value) = self.value.get() {
                return Ok(value);
            }
        }
        self.maker.set(Holder::me());
        // Also if it fails or is thrown out.
        let making = Making(self);
        let value = f()?;
        let is_first = self.value.set(value).is_ok();
        assert!(is_first, "nobody sets a value that is being made");
        drop(making);
        Ok(self.value.get().expect("the value has just been made"))
    }

    /// Whoever was to make the value is through: it is there, or whoever waits longest makes it.
    fn hand_on(&self) {
        if self.value.get().is_some() {
            self.maker.set(Holder::Nobody);
            self.queue.call_all();
            self.lookers.call_all();
            return;
        }
        self.maker.set(Holder::Called);
        if !self.queue.call_one() {
            self.maker.set(Holder::Nobody);
        }
    }
}

/// Somebody makes the value.
struct Making<'a, T>(&'a OnceCell<T>);

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        self.0.hand_on();
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.value.get()).finish()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> OnceCell<T> {
        let cell = OnceCell::new();
        let Ok(()) = cell.value.set(value) else { unreachable!("a new cell has no value") };
        cell
    }
}
