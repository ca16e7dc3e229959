//! Functions that the hub calls: timers and fd listeners.
//!
//! A callback is a second kind of waiter, not a second path: it goes through the ready queue like a
//! green thread, and runs on the root's stack. It may spawn, arm, cancel and write to a socket that
//! has room; it may not block.

use std::{
    cell::{Cell, RefCell},
    fmt,
    os::fd::{AsFd, AsRawFd, RawFd},
    panic::Location,
    rc::Rc,
    time::Duration,
};

use greenroom_hub::{Interest, ListenerKey, TimerKey, Wake};

use crate::{
    hub::local::{Local, existing, local},
    io::ListenError,
    thread::{Waiter, spawn::Owner},
    time::deadline_after,
};

/// One function the hub calls, and what it is armed for.
pub(crate) struct Callback {
    function: RefCell<Option<Function>>,
    state: Cell<State>,
    armed: Cell<Armed>,
    /// What a timer was asked for; a listener has none.
    terms: Option<Terms>,
    made_at: &'static Location<'static>,
}

enum Function {
    /// A timer's.
    Once(Box<dyn FnOnce()>),
    /// That of a timer and all its copies.
    Shared(Rc<dyn Fn()>),
    /// A listener's.
    Every(Box<dyn FnMut(RawFd)>),
}

#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) delay: Duration,
    /// The green thread without which the timer does not fire.
    pub(super) owner: Option<Owner>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Armed.
    Pending,
    /// In the ready queue.
    Queued,
    /// Ran for the last time, or was cancelled.
    Spent,
}

#[derive(Clone, Copy, Debug)]
enum Armed {
    Nothing,
    Timer(TimerKey),
    Listener(ListenerKey, RawFd),
}

impl Callback {
    fn new(function: Function, terms: Option<Terms>, at: &'static Location<'static>) -> Rc<Self> {
        Rc::new(Callback {
            function: RefCell::new(Some(function)),
            state: Cell::new(State::Pending),
            armed: Cell::new(Armed::Nothing),
            terms,
            made_at: at,
        })
    }

    /// The hub's part: queues it unless it is queued, or over.
    pub(crate) fn settle(&self, wake: Wake) -> bool {
        // Also if it is queued: by the time it runs the number may mean another file.
        if wake == Wake::Closed {
            self.armed.set(Armed::Nothing);
        }
        if self.state.get() != State::Pending {
            return false;
        }
        self.state.set(State::Queued);
        true
    }

    /// The loop's part: calls the function, unless it was cancelled meanwhile.
    pub(crate) fn run(self: Rc<Self>, local: &Local) {
        if self.state.get() != State::Queued {
            return;
        }
        match self.armed.get() {
            Armed::Timer(_) => self.fire(local),
            Armed::Listener(_, fd) => self.report(local, fd),
            // Its fd was closed: there is nothing to call it for any more.
            Armed::Nothing => {
                self.end_in_loop(local);
            }
        }
    }

    fn fire(&self, local: &Local) {
        let owner = self.terms.and_then(|terms| terms.owner);
        let owner_is_gone = owner.is_some_and(|owner| !owner.is_alive(local));
        self.state.set(State::Spent);
        if owner_is_gone {
            return self.drop_in_loop(local, self.function.take());
        }
        match self.function.take() {
            Some(Function::Once(function)) => drop(call(local, function, self)),
            Some(Function::Shared(function)) => {
                // It stays in its place meanwhile, so that it can copy its own timer.
                self.function.replace(Some(Function::Shared(Rc::clone(&function))));
                let _ = call(local, || function(), self);
                self.drop_in_loop(local, (function, self.function.take()));
            }
            Some(Function::Every(_)) | None => {}
        }
    }

    fn report(&self, local: &Local, fd: RawFd) {
        self.state.set(State::Pending);
        let Some(Function::Every(mut function)) = self.function.take() else { return };
        let outcome = call(local, || function(fd), self);
        if outcome.is_ok() && self.state.get() == State::Pending {
            self.function.replace(Some(Function::Every(function)));
            return;
        }
        // One that panicked would be called again at once, and panic again.
        self.end_in_loop(local);
        self.drop_in_loop(local, function);
    }

    /// Drops something of the user's in the midst of the loop.
    fn drop_in_loop(&self, local: &Local, owned: impl Sized) {
        if let Err(payload) = local.as_callback(|| drop(owned)) {
            local.tell_panic(format_args!("{self}"), payload);
        }
    }

    /// [`end`](Callback::end), where what the function owns is dropped in the midst of the loop.
    fn end_in_loop(&self, local: &Local) {
        if let Err(payload) = local.as_callback(|| self.end()) {
            local.tell_panic(format_args!("{self}"), payload);
        }
    }

    /// True if it will not run any more: it ran for the last time, was cancelled, or its fd closed.
    fn is_over(&self) -> bool {
        self.state.get() == State::Spent || matches!(self.armed.get(), Armed::Nothing)
    }

    /// Disarms it and drops what it owns. True if it could still have run.
    fn end(&self) -> bool {
        let could_run = !self.is_over();
        self.state.set(State::Spent);
        if let Some(local) = existing() {
            let mut hub = local.hub.borrow_mut();
            match self.armed.replace(Armed::Nothing) {
                Armed::Nothing => {}
                Armed::Timer(key) => drop(hub.cancel(key)),
                Armed::Listener(key, _) => drop(hub.unlisten(key)),
            }
        }
        // Outside of every borrow: what the function owns may have destructors that use the hub.
        let owned = self.function.try_borrow_mut().ok().and_then(|mut function| function.take());
        drop(owned);
        could_run
    }
}

/// Calls a function on the root's stack. A panic is told, and the loop goes on.
fn call(local: &Local, function: impl FnOnce(), who: &Callback) -> Result<(), ()> {
    let outcome = local.as_callback(function);
    outcome.map_err(|payload| local.tell_panic(format_args!("{who}"), payload))
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.terms.is_some() { "timer" } else { "listener" };
        write!(f, "a {whose}'s function, armed at {}", self.made_at)
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("state", &self.state.get())
            .field("armed", &self.armed.get())
            .finish_non_exhaustive()
    }
}

/// A function to be called once, at a time: armed by [`Timer::new`],
/// [`call_after_global`](crate::hub::call_after_global) and their local kin.
///
/// It may not block, and is called between two green threads, in the turn of the loop in which its
/// time has come: earlier deadlines first, equal ones in the order they were armed. So it runs while
/// something on this OS thread waits, never earlier than was asked, and later if others hold the
/// loop. What it panics with is printed (see [`report_panics`](crate::debug::report_panics)), and
/// the loop goes on.
///
/// Dropping a `Timer` changes nothing: it still fires. A clone is the same timer; a
/// [copy](Timer::copy) is another one. All of a hub's timers are cancelled by
/// [`hub::abort`](crate::hub::abort) and at the end of the OS thread. In a forked child they are
/// armed as in the parent.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::hub::Timer>();
/// ```
#[derive(Clone, Debug)]
pub struct Timer(Rc<Callback>);

impl Timer {
    /// Calls `f` when `delay` is over, and once more for each [copy](Timer::copy) of the timer.
    ///
    /// Costs two allocations, O(1) on average for the deadline, and no system call.
    ///
    /// # Panics
    ///
    /// If this OS thread has no hub yet and none can be made, as with [`hub::get`](crate::hub::get).
    ///
    /// # Examples
    ///
    /// A timer that copies itself fires again and again, until the one that is pending is cancelled:
    ///
    /// ```
    /// use std::{cell::{Cell, RefCell}, rc::Rc, time::Duration};
    /// use greenroom::{hub::Timer, sleep, testing};
    ///
    /// testing::run(|| {
    ///     let ticks = Rc::new(Cell::new(0));
    ///     let pending = Rc::new(RefCell::new(None::<Timer>));
    ///     let (count, own) = (Rc::clone(&ticks), Rc::clone(&pending));
    ///     let first = Timer::new(Duration::from_secs(1), move || {
    ///         count.set(count.get() + 1);
    ///         let next = own.borrow().as_ref().and_then(Timer::copy);
    ///         *own.borrow_mut() = next;
    ///     });
    ///     *pending.borrow_mut() = Some(first);
    ///     sleep(Duration::from_millis(3_500));
    ///     assert_eq!(ticks.get(), 3);
    ///     let last = pending.take().unwrap();
    ///     assert!(last.cancel());
    ///     sleep(Duration::from_secs(10));
    ///     assert_eq!(ticks.get(), 3);
    /// });
    /// ```
    #[track_caller]
    pub fn new(delay: Duration, f: impl Fn() + 'static) -> Timer {
        arm(Terms { delay, owner: None }, Function::Shared(Rc::new(f)))
    }

    /// As [`Timer::new`], but neither the timer nor its copies fire if the green thread that calls
    /// this is gone by then: at its deadline the function is dropped uncalled.
    ///
    /// From an OS thread's own stack it is [`Timer::new`].
    ///
    /// # Panics
    ///
    /// As [`Timer::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{hub::Timer, sleep, spawn, testing};
    ///
    /// testing::run(|| {
    ///     let orphan = spawn(|| Timer::new_local(Duration::from_secs(1), || unreachable!()));
    ///     let orphan = orphan.join().unwrap();
    ///     let copy = orphan.copy().unwrap();
    ///     sleep(Duration::from_secs(2));
    ///     assert!(!orphan.is_pending() && !copy.is_pending());
    /// });
    /// ```
    #[track_caller]
    pub fn new_local(delay: Duration, f: impl Fn() + 'static) -> Timer {
        arm(Terms { delay, owner: Owner::current() }, Function::Shared(Rc::new(f)))
    }

    /// Arms another timer with the same function, the same delay, counted from now, and the same
    /// owner if it is a local one. It fires, and is cancelled, by itself.
    ///
    /// `None` once this one fired or was cancelled, for then the function is gone; and always if the
    /// function can be called only once, as that of
    /// [`call_after_global`](crate::hub::call_after_global). While the function is being called it
    /// can still be copied, unless it has cancelled its own timer.
    ///
    /// What the function owns is dropped when the last of the copies is over. Costs one allocation.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    /// use greenroom::{hub::Timer, sleep, testing};
    ///
    /// testing::run(|| {
    ///     let fired = Rc::new(Cell::new(0));
    ///     let count = Rc::clone(&fired);
    ///     let first = Timer::new(Duration::from_secs(2), move || count.set(count.get() + 1));
    ///     sleep(Duration::from_secs(1));
    ///     let second = first.copy().unwrap();
    ///     sleep(Duration::from_millis(1_500));
    ///     assert_eq!((fired.get(), first.is_pending(), second.is_pending()), (1, false, true));
    ///     assert!(first.copy().is_none());
    /// });
    /// ```
    #[track_caller]
    #[must_use = "None says that nothing was armed"]
    pub fn copy(&self) -> Option<Timer> {
        let function = match &*self.0.function.borrow() {
            Some(Function::Shared(function)) => Rc::clone(function),
            _ => return None,
        };
        let terms = self.0.terms.expect("what has a timer's function is a timer");
        Some(arm(terms, Function::Shared(function)))
    }

    /// Takes the timer back. The function is dropped now, and with it all it owns, unless copies of
    /// the timer are left or the function is just being called: then when these are over.
    ///
    /// True if that kept it from being called; false if it was called or cancelled before, which
    /// does no harm.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use greenroom::hub;
    ///
    /// let owned = Rc::new(());
    /// let theirs = Rc::clone(&owned);
    /// let timer = hub::call_after_global(Duration::from_secs(60), move || drop(theirs));
    /// assert!(timer.is_pending() && Rc::strong_count(&owned) == 2);
    /// assert!(timer.cancel());
    /// assert!(!timer.is_pending() && Rc::strong_count(&owned) == 1);
    /// assert!(!timer.cancel());
    /// ```
    pub fn cancel(&self) -> bool {
        self.0.end()
    }

    /// True until the function is called or the timer cancelled.
    pub fn is_pending(&self) -> bool {
        !self.0.is_over()
    }
}

/// A function to be called whenever an fd is ready. Returned by [`add`](crate::hub::add).
///
/// Dropping it changes nothing: the listener stays. A clone is the same listener. All of a hub's
/// listeners are removed by [`hub::abort`](crate::hub::abort) and at the end of the OS thread.
///
/// It stays on its OS thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<greenroom::hub::Listener>();
/// ```
#[derive(Clone, Debug)]
pub struct Listener(Rc<Callback>);

impl Listener {
    /// Takes the listener away. The function and all it owns are dropped now, or, if this is
    /// called from within the function, as soon as it returns.
    ///
    /// True if it was there; false if it was removed before, or its fd was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use greenroom::{hub, io::Interest};
    ///
    /// let (here, _there) = UnixStream::pair()?;
    /// let listener = hub::add(&here, Interest::Read, |_fd| {})?;
    /// assert!(listener.is_listening());
    /// assert!(listener.remove());
    /// assert!(!listener.is_listening() && !listener.remove());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn remove(&self) -> bool {
        self.0.end()
    }

    /// True until it is removed, its fd is declared closed, or its function panics.
    pub fn is_listening(&self) -> bool {
        !self.0.is_over()
    }
}

#[track_caller]
pub(super) fn call_after(terms: Terms, f: Box<dyn FnOnce()>) -> Timer {
    arm(terms, Function::Once(f))
}

#[track_caller]
fn arm(terms: Terms, function: Function) -> Timer {
    let local = local();
    let callback = Callback::new(function, Some(terms), Location::caller());
    let mut hub = local.hub.borrow_mut();
    let deadline = deadline_after(&hub, terms.delay);
    let key = hub.arm(deadline, Waiter::Call(callback.clone()));
    callback.armed.set(Armed::Timer(key));
    Timer(callback)
}

#[track_caller]
pub(super) fn add(
    fd: impl AsFd,
    interest: Interest,
    f: Box<dyn FnMut(RawFd)>,
) -> Result<Listener, ListenError> {
    let local = local();
    let fd = fd.as_fd().as_raw_fd();
    let callback = Callback::new(Function::Every(f), None, Location::caller());
    let waiter = Waiter::Call(callback.clone());
    let listened = local.hub.borrow_mut().listen_fd(fd, interest, waiter, true);
    let key = listened.map_err(|error| ListenError::new(error, &Waiter::Call(callback.clone())))?;
    callback.armed.set(Armed::Listener(key, fd));
    Ok(Listener(callback))
}

/// Ends every timer and listener of a hub, dropping what they own. How many there were.
pub(crate) fn cancel_all(local: &Local) -> usize {
    let callbacks = all(local);
    for callback in &callbacks {
        local.pulse.beat();
        callback.end_in_loop(local);
        local.pulse.beat();
    }
    callbacks.len()
}

/// Keeps what timers and listeners own from ever being dropped: their hub goes, which the destructors
/// would use.
pub(super) fn forget_all(local: &Local) {
    for callback in all(local) {
        std::mem::forget(callback.function.take());
    }
}

/// Those with a function left.
fn all(local: &Local) -> Vec<Rc<Callback>> {
    let hub = local.hub.borrow();
    let timers = hub.timers().map(|(_, waiter)| waiter);
    let listeners = hub.listeners().map(|(_, _, waiter)| waiter);
    let waiters = timers.chain(listeners).chain(hub.ready());
    let callbacks = waiters.filter_map(|waiter| match waiter {
        Waiter::Call(callback) => Some(callback),
        _ => None,
    });
    callbacks.filter(|callback| callback.function.borrow().is_some()).cloned().collect()
}
