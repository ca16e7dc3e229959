//! Something that happens once, with a value, and that many may wait for.
//!
//! Knows who waits and what was sent. Knows nothing of who sends.

use std::{
    cell::{OnceCell, RefCell},
    error, fmt,
    rc::Rc,
    time::Duration,
};

use greenroom_hub::Instant;

use super::{after, refuse_unwinding};
use crate::{
    Elapsed,
    thread::{Blocked, wait_queue::WaitQueue},
};

/// A value that is sent once, and that everybody gets who waits for it or asks later.
///
/// For an outcome that may be an error, send a `Result`: see [`send_error`](Event::send_error).
///
/// Sending never waits and runs nobody. FIFO: those who wait go on in the order in which they came.
/// Each gets a clone, made on its own stack; [`with`](Event::with) and
/// [`wait_with`](Event::wait_with) lend the value instead.
///
/// *Kill and timeout.* Whoever is thrown out of its wait leaves the queue; nothing is used up, so
/// nothing has to be handed on.
///
/// An event costs an allocation when it is made and one for each reset; a send costs a wake-up for
/// each who waits.
///
/// ```
/// use std::rc::Rc;
/// use greenroom::{spawn, sync::Event};
///
/// let address = Rc::new(Event::new());
/// let clients = [1, 2].map(|n| {
///     let address = Rc::clone(&address);
///     spawn(move || format!("client {n} to {}", address.wait()))
/// });
/// address.send("localhost:80")?;
/// let [first, second] = clients.map(|client| client.join().unwrap());
/// assert_eq!((&*first, &*second), ("client 1 to localhost:80", "client 2 to localhost:80"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::sync::Event<u8>>();
/// ```
pub struct Event<T> {
    /// Those who wait keep hold of what they wait for: a reset does not take it from them.
    round: RefCell<Rc<Round<T>>>,
}

/// From one reset to the next.
pub(super) struct Round<T> {
    value: OnceCell<T>,
    queue: WaitQueue,
}

impl<T> Round<T> {
    fn new() -> Rc<Round<T>> {
        Rc::new(Round { value: OnceCell::new(), queue: WaitQueue::new() })
    }

    pub(super) fn value(&self) -> Option<&T> {
        self.value.get()
    }

    pub(super) fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// The value, once it has been sent, or `None` if it was not before `deadline`.
    #[track_caller]
    fn wait(&self, deadline: Option<Instant>) -> Option<&T> {
        if self.value.get().is_none() {
            let wake = self.queue.wait(Blocked::Call(&"an event"), deadline, || {});
            if wake.is_err() && deadline.is_none() {
                refuse_unwinding("an event");
            }
        }
        self.value.get()
    }
}

impl<T> Event<T> {
    /// An event that has not happened.
    pub fn new() -> Event<T> {
        Event { round: RefCell::new(Round::new()) }
    }

    /// Sends the value: everybody who waits has it. Never waits, and may be called anywhere.
    ///
    /// # Errors
    ///
    /// If a value was sent before and not [`reset`](Event::reset): the error has the new one, and
    /// the first stays.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::Event::new();
    /// event.send(1)?;
    /// assert_eq!(event.send(2).unwrap_err().into_inner(), 2);
    /// assert_eq!(event.wait(), 1);
    /// # Ok::<(), greenroom::sync::AlreadySent<i32>>(())
    /// ```
    pub fn send(&self, value: T) -> Result<(), AlreadySent<T>> {
        let round = self.round();
        round.value.set(value).map_err(AlreadySent)?;
        round.queue.call_all();
        Ok(())
    }

    /// True if a value was sent, and not reset since: then no wait waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::Event::new();
    /// assert!(!event.is_set() && event.try_get().is_none());
    /// event.send(1)?;
    /// assert!(event.is_set() && event.try_get() == Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_set(&self) -> bool {
        self.round.borrow().value.get().is_some()
    }

    /// Forgets the value, so that another can be sent. Nothing happens if none was sent: those who
    /// wait go on waiting.
    ///
    /// Whoever has been woken by the value gets it, also if this comes before it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::Event::new();
    /// event.send(1)?;
    /// event.reset();
    /// assert_eq!(event.try_get(), None);
    /// event.send(2)?;
    /// assert_eq!(event.try_get(), Some(2));
    /// # Ok::<(), greenroom::sync::AlreadySent<i32>>(())
    /// ```
    pub fn reset(&self) {
        if self.is_set() {
            let old = self.round.replace(Round::new());
            // The value may do anything in its destructor, this event included.
            drop(old);
        }
    }

    /// Lends the value to `f`, if it was sent. Never waits.
    ///
    /// `f` may do anything, also reset this event.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::Event::new();
    /// assert_eq!(event.with(String::len), None);
    /// event.send("four".to_string())?;
    /// assert_eq!(event.with(String::len), Some(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.round().value.get().map(f)
    }

    /// Waits until the value is sent, and lends it to `f`. Does not wait if it was.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback, or in a destructor that runs because of a panic
    /// or a kill; [`with`](Event::with) works there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use greenroom::{spawn, sync::Event};
    ///
    /// struct Report { lines: u32 }
    ///
    /// let done = Rc::new(Event::new());
    /// let theirs = Rc::clone(&done);
    /// let reader = spawn(move || theirs.wait_with(|report: &Report| report.lines));
    /// done.send(Report { lines: 3 })?;
    /// assert_eq!(reader.join().unwrap(), 3);
    /// # Ok::<(), greenroom::sync::AlreadySent<Report>>(())
    /// ```
    #[track_caller]
    pub fn wait_with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(self.round().wait(None).expect("only a value ends this wait"))
    }

    /// As [`wait_with`](Event::wait_with), but for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Event::wait_timeout); `f` is dropped uncalled.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::Event};
    ///
    /// let (event, soon) = (Event::new(), Duration::from_millis(1));
    /// assert_eq!(event.wait_with_timeout(soon, String::len), Err(Elapsed));
    /// event.send("four".to_string())?;
    /// assert_eq!(event.wait_with_timeout(soon, String::len), Ok(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_with_timeout<R>(
        &self,
        timeout: Duration,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, Elapsed> {
        self.round().wait(Some(after(timeout))).map(f).ok_or(Elapsed)
    }

    pub(super) fn round(&self) -> Rc<Round<T>> {
        Rc::clone(&self.round.borrow())
    }
}

impl<T: Clone> Event<T> {
    /// Waits until the value is sent, and returns a clone of it. Does not wait if it was.
    ///
    /// # Panics
    ///
    /// As [`wait_with`](Event::wait_with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use greenroom::{spawn, sync::Event};
    ///
    /// let done = Rc::new(Event::new());
    /// let theirs = Rc::clone(&done);
    /// let waiter = spawn(move || theirs.wait());
    /// done.send("done")?;
    /// assert_eq!(waiter.join()?, "done");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn wait(&self) -> T {
        self.wait_with(T::clone)
    }

    /// As [`wait`](Event::wait), but for `timeout` at most. A value that is there when this comes to
    /// look is had, even if the time is over.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if it was not sent in time: at once in a destructor that runs because of a panic
    /// or a kill.
    ///
    /// # Panics
    ///
    /// If it would have to wait in a hub callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Elapsed, sync::Event};
    ///
    /// let event = Event::<u8>::new();
    /// assert_eq!(event.wait_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<T, Elapsed> {
        self.wait_with_timeout(timeout, T::clone)
    }

    /// A clone of the value, if it was sent. Never waits.
    pub fn try_get(&self) -> Option<T> {
        self.with(T::clone)
    }
}

impl<T, E> Event<Result<T, E>> {
    /// Sends an error in place of a value: `send(Err(error))`.
    ///
    /// # Errors
    ///
    /// As [`send`](Event::send).
    ///
    /// # Examples
    ///
    /// ```
    /// use greenroom::sync::Event;
    ///
    /// fn port(answer: &Event<Result<u16, String>>) -> Result<u16, String> {
    ///     Ok(answer.wait()? + 1)
    /// }
    /// let answer = Event::new();
    /// answer.send_error("nobody answers".to_string()).unwrap();
    /// assert_eq!(port(&answer), Err("nobody answers".to_string()));
    /// ```
    pub fn send_error(&self, error: E) -> Result<(), AlreadySent<Result<T, E>>> {
        self.send(Err(error))
    }
}

impl<T> Default for Event<T> {
    fn default() -> Event<T> {
        Event::new()
    }
}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let round = self.round();
        f.debug_struct("Event")
            .field("is_set", &round.value.get().is_some())
            .field("waiting", &round.queue.len())
            .finish()
    }
}

/// A value was sent before; this is the one that came too late.
pub struct AlreadySent<T>(pub(super) T);

impl<T> AlreadySent<T> {
    /// The value that was not sent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for AlreadySent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlreadySent").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for AlreadySent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event has been sent a value before; reset it to send another")
    }
}

impl<T> error::Error for AlreadySent<T> {}
