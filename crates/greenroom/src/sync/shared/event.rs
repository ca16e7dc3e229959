//! Something that happens once, with a value, and that threads of any hub may wait for.
//!
//! Keeps the value; who waits for it `gate` knows. Knows nothing of who sends.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use greenroom_hub::Instant;

use super::{
    gate::{Gate, Passage},
    guarded::Guarded,
    hub_wait::{HubBell, wait},
};
use crate::{
    Elapsed,
    sync::{AlreadySent, after, refuse_unwinding},
};

/// A value that is sent once, and that everybody gets who waits for it or asks later: green threads
/// of any hub, and plain OS threads. The twin of [`sync::Event`](crate::sync::Event), with the same
/// methods.
///
/// Sending never waits. FIFO: those who wait are called in the order in which they came; those of
/// different hubs run at the same time. Each gets a clone, made on its own stack;
/// [`with`](Event::with) and [`wait_with`](Event::wait_with) lend the value instead.
///
/// *Kill and timeout.* Whoever is thrown out of its wait leaves the queue; nothing is used up, so
/// nothing has to be handed on.
///
/// A look costs a lock; waiting and waking are told of [here](super). An event takes an allocation
/// when it is made, and one for each reset.
///
/// ```
/// use std::{sync::Arc, thread};
/// use greenroom::{spawn, sync::shared::Event};
///
/// let address = Arc::new(Event::new());
/// let theirs = Arc::clone(&address);
/// let os_thread = thread::spawn(move || theirs.wait());
/// let theirs = Arc::clone(&address);
/// let green_thread = spawn(move || theirs.wait());
/// address.send("localhost:80")?;
/// assert_eq!(green_thread.join()?, "localhost:80");
/// assert_eq!(os_thread.join().unwrap(), "localhost:80");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// What may not be seen by another OS thread cannot be sent:
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>() {}
/// is_sync::<greenroom::sync::shared::Event<std::rc::Rc<u8>>>();
/// ```
pub struct Event<T> {
    /// Those who wait keep hold of what they wait for: a reset does not take it from them.
    round: Mutex<Arc<Round<T>>>,
}

/// From one reset to the next.
struct Round<T> {
    value: OnceLock<T>,
    /// Opened when the value is there.
    guarded: Guarded<Gate<HubBell>>,
}

impl<T> Round<T> {
    fn new() -> Arc<Round<T>> {
        let guarded = Guarded { lock: Mutex::new(Gate::new()) };
        Arc::new(Round { value: OnceLock::new(), guarded })
    }

    /// The value, once it has been sent, or `None` if it was not before `deadline`.
    #[track_caller]
    fn wait(&self, deadline: Option<Instant>) -> Option<&T> {
        if self.value.get().is_none() {
            let waited = wait(&self.guarded, Passage, &"an event", deadline);
            if waited.is_err() && deadline.is_none() {
                refuse_unwinding("an event");
            }
        }
        self.value.get()
    }
}

impl<T> Event<T> {
    /// An event that has not happened.
    pub fn new() -> Event<T> {
        Event { round: Mutex::new(Round::new()) }
    }

    /// Sends the value: everybody who waits has it. Never waits, and may be called anywhere.
    ///
    /// # Errors
    ///
    /// If a value was sent before and not [`reset`](Event::reset): the error has this one, and the
    /// first stays.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::shared::Event::new();
    /// event.send(1)?;
    /// assert_eq!(event.send(2).unwrap_err().into_inner(), 2);
    /// assert_eq!(event.wait(), 1);
    /// # Ok::<(), greenroom::sync::AlreadySent<i32>>(())
    /// ```
    pub fn send(&self, value: T) -> Result<(), AlreadySent<T>> {
        let round = self.round();
        round.value.set(value).map_err(AlreadySent)?;
        round.guarded.change(Gate::open);
        Ok(())
    }

    /// True if a value was sent, and not reset since: then no wait waits.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::shared::Event::new();
    /// assert!(!event.is_set() && event.try_get().is_none());
    /// event.send(1)?;
    /// assert!(event.is_set() && event.try_get() == Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_set(&self) -> bool {
        self.round().value.get().is_some()
    }

    /// Forgets the value, so that another can be sent. Nothing happens if none was sent: those who
    /// wait go on waiting.
    ///
    /// Whoever has been woken by the value gets it, also if this comes before it runs.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::shared::Event::new();
    /// event.send(1)?;
    /// event.reset();
    /// assert_eq!(event.try_get(), None);
    /// event.send(2)?;
    /// assert_eq!(event.try_get(), Some(2));
    /// # Ok::<(), greenroom::sync::AlreadySent<i32>>(())
    /// ```
    pub fn reset(&self) {
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        if round.value.get().is_none() {
            return;
        }
        let old = std::mem::replace(&mut *round, Round::new());
        drop(round);
        // The value may do anything in its destructor, this event included.
        drop(old);
    }

    /// Lends the value to `f`, if it was sent. Never waits.
    ///
    /// `f` may do anything, also reset this event.
    ///
    /// # Examples
    ///
    /// ```
    /// let event = greenroom::sync::shared::Event::new();
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
    /// use std::{sync::Arc, thread};
    /// use greenroom::sync::shared::Event;
    ///
    /// let event = Arc::new(Event::new());
    /// let theirs = Arc::clone(&event);
    /// let length = thread::spawn(move || theirs.wait_with(String::len));
    /// event.send("four".to_string())?;
    /// assert_eq!(length.join().unwrap(), 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn wait_with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(self.round().wait(None).expect("only a value ends this wait"))
    }

    /// A look at the current round, without its value.
    fn round(&self) -> Arc<Round<T>> {
        Arc::clone(&self.round.lock().unwrap_or_else(PoisonError::into_inner))
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
    /// use std::{sync::Arc, thread};
    /// use greenroom::sync::shared::Event;
    ///
    /// let event = Arc::new(Event::new());
    /// let theirs = Arc::clone(&event);
    /// let sends = thread::spawn(move || theirs.send(7).is_ok());
    /// assert_eq!(event.wait(), 7);
    /// assert!(sends.join().unwrap());
    /// ```
    #[track_caller]
    pub fn wait(&self) -> T {
        self.wait_with(T::clone)
    }

    /// As [`wait`](Event::wait), but for `timeout` at most. What is sent in the same moment is had.
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
    /// use greenroom::{Elapsed, sync::shared::Event};
    ///
    /// let event = Event::<u8>::new();
    /// assert_eq!(event.wait_timeout(Duration::from_millis(1)), Err(Elapsed));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<T, Elapsed> {
        if let Some(value) = self.try_get() {
            return Ok(value);
        }
        self.round().wait(Some(after(timeout))).cloned().ok_or(Elapsed)
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
    /// use greenroom::sync::shared::Event;
    ///
    /// let answer = Event::<Result<u16, String>>::new();
    /// answer.send_error("nobody answers".to_string()).unwrap();
    /// assert_eq!(answer.wait(), Err("nobody answers".to_string()));
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
            .field("waiting", &round.guarded.look(Gate::waiting))
            .finish()
    }
}
