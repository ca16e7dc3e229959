//! Functions that the hub calls: timers and fd listeners.
//!
//! A callback is a second kind of waiter, not a second path: it goes through the ready queue like a
//! green thread, and runs on the root's stack. It may spawn, arm, cancel and write to a socket that
//! has room; it may not block.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    os::fd::{AsFd, AsRawFd, RawFd},
    panic::Location,
    rc::Rc,
    time::Duration,
};

use greenroom_hub::{Interest, ListenerKey, TimerKey, Wake};

use crate::{
    debug::say,
    hub::local::{Local, existing, local},
    io::ListenError,
    thread::{Waiter, join, spawn::Owner},
    time::deadline_after,
};

/// One function the hub calls, and what it is armed for.
pub(crate) struct Callback {
    function: RefCell<Option<Function>>,
    state: Cell<State>,
    armed: Cell<Armed>,
    /// The green thread without which a timer does not fire.
    owner: Option<Owner>,
    made_at: &'static Location<'static>,
    is_timer: bool,
}

enum Function {
    Once(Box<dyn FnOnce()>),
    Every(Box<dyn FnMut(RawFd)>),
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
    fn new(function: Function, owner: Option<Owner>, at: &'static Location<'static>) -> Rc<Self> {
        Rc::new(Callback {
            is_timer: matches!(function, Function::Once(_)),
            function: RefCell::new(Some(function)),
            state: Cell::new(State::Pending),
            armed: Cell::new(Armed::Nothing),
            owner,
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
        let owner_is_gone = self.owner.is_some_and(|owner| !owner.is_alive(local));
        let function = self.function.take();
        self.state.set(State::Spent);
        if let Some(Function::Once(function)) = function {
            let run = || if owner_is_gone { drop(function) } else { function() };
            let _ = call(local, run, self);
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
        let _ = call(local, || drop(function), self);
    }

    /// [`end`](Callback::end), where what the function owns is dropped in the midst of the loop.
    fn end_in_loop(&self, local: &Local) {
        if let Err(payload) = local.as_callback(|| self.end()) {
            tell(local, self, payload);
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
    local.pulse.beat();
    let outcome = local.as_callback(function);
    local.pulse.beat();
    outcome.map_err(|payload| tell(local, who, payload))
}

#[cold]
fn tell(local: &Local, who: &Callback, payload: Box<dyn Any + Send>) {
    say(format_args!("{who} {}", join::telling(&*payload)));
    std::mem::forget(local.as_callback(|| drop(payload)));
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whose = if self.is_timer { "timer" } else { "listener" };
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

/// A function to be called once, at a time. Returned by
/// [`call_after_global`](crate::hub::call_after_global) and
/// [`call_after_local`](crate::hub::call_after_local).
///
/// Dropping it changes nothing: the timer still fires. A clone is the same timer.
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
    /// Takes the timer back. The function and all it owns are dropped now.
    ///
    /// True if that kept it from being called; false if it was called or cancelled before.
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
/// Dropping it changes nothing: the listener stays. A clone is the same listener.
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
    pub fn remove(&self) -> bool {
        self.0.end()
    }

    /// True until it is removed, its fd is declared closed, or its function panics.
    pub fn is_listening(&self) -> bool {
        !self.0.is_over()
    }
}

#[track_caller]
pub(super) fn call_after(delay: Duration, owner: Option<Owner>, f: Box<dyn FnOnce()>) -> Timer {
    let local = local();
    let callback = Callback::new(Function::Once(f), owner, Location::caller());
    let mut hub = local.hub.borrow_mut();
    let deadline = deadline_after(&hub, delay);
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

/// Ends every timer and listener of a hub, dropping what they own.
pub(crate) fn cancel_all(local: &Local) {
    let hub = local.hub.borrow();
    let timers = hub.timers().map(|(_, waiter)| waiter);
    let listeners = hub.listeners().map(|(_, _, waiter)| waiter);
    let callbacks: Vec<_> = timers
        .chain(listeners)
        .chain(hub.ready())
        .filter_map(|waiter| match waiter {
            Waiter::Call(callback) => Some(callback.clone()),
            _ => None,
        })
        .collect();
    drop(hub);
    for callback in callbacks {
        callback.end_in_loop(local);
    }
}
