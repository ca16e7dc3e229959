//! What the hub keeps of each green thread: its state, and why it waits.
//!
//! Knows no stacks: a [`Control`] sits at the top of its fiber's stack, or in the hub's own state
//! for the root, and neither the fiber crate nor the hub crate looks into it.

use std::{any::Any, cell::Cell, fmt, panic::Location, rc::Rc};

use greenroom_fiber::Fiber;
use greenroom_hub as hub;

use crate::{hub::Callback, thread::Blocked};

/// Who can be woken on this hub.
///
/// A clone is the same waiter. While a waiter lies in the ready queue or at a source, this handle
/// keeps its stack alive.
#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    /// A green thread.
    Thread(Fiber<Control>),
    /// The OS thread's own stack, which runs the loop while it waits.
    Root(Rc<Control>),
    /// A timer's or a listener's function.
    Call(Rc<Callback>),
}

impl hub::Waiter for Waiter {
    #[inline]
    fn settle(&self, wake: hub::Wake) -> bool {
        match self {
            Waiter::Thread(fiber) => fiber.settle(wake),
            Waiter::Root(control) => control.settle(wake),
            Waiter::Call(callback) => callback.settle(wake),
        }
    }

    #[inline]
    fn prefetch(&self) {
        if let Waiter::Thread(fiber) = self {
            fiber.prefetch();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Runs, or is in the ready queue without waiting for anything.
    Runnable,
    /// Waits: the next wake-up ends the wait.
    Parked,
    /// Was woken and is in the ready queue: later wake-ups are for nobody.
    Woken,
    /// Its function has returned, panicked or was unwound.
    Finished,
}

/// A green thread's control block.
pub(crate) struct Control {
    state: Cell<State>,
    wake: Cell<hub::Wake>,
    /// To be unwound at its next wait.
    doomed: Cell<bool>,
    /// How often that was done.
    unwinds: Cell<u32>,
    /// The handle is gone: nobody will ask how it ended.
    pub(crate) detached: Cell<bool>,
    /// What it waits for, for those who look at it from outside.
    pub(crate) blocked: Cell<Blocked>,
    pub(crate) blocked_since: Cell<hub::Instant>,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) spawned: hub::Instant,
    /// Its place in the hub's list of threads.
    pub(crate) slot: Cell<u32>,
    joiner: Cell<Option<Waiter>>,
    /// What its panic carried, until somebody asks.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

impl Control {
    pub(crate) fn new(spawned_at: &'static Location<'static>, now: hub::Instant) -> Control {
        Control {
            state: Cell::new(State::Runnable),
            wake: Cell::new(hub::Wake::Called),
            doomed: Cell::new(false),
            unwinds: Cell::new(0),
            detached: Cell::new(false),
            blocked: Cell::new(Blocked::NotStarted),
            blocked_since: Cell::new(now),
            spawned_at,
            spawned: now,
            slot: Cell::new(0),
            joiner: Cell::new(None),
            panic: Cell::new(None),
        }
    }

    /// The control block of an OS thread's own stack.
    pub(crate) fn root(at: &'static Location<'static>, now: hub::Instant) -> Control {
        let control = Control::new(at, now);
        control.started();
        control
    }

    #[inline]
    fn settle(&self, wake: hub::Wake) -> bool {
        if self.state.get() != State::Parked {
            // Its time is over, and before it came to run its fd was closed: a last look at the
            // number would be at another file.
            if self.state.get() == State::Woken && wake == hub::Wake::Closed {
                self.wake.set(wake);
            }
            return false;
        }
        self.state.set(State::Woken);
        self.wake.set(wake);
        true
    }

    /// From here on a wake-up counts.
    #[inline]
    pub(crate) fn park(&self, blocked: Blocked, now: hub::Instant) {
        debug_assert_eq!(self.state.get(), State::Runnable, "only who runs can begin to wait");
        self.state.set(State::Parked);
        self.blocked.set(blocked);
        self.blocked_since.set(now);
    }

    /// The wait is over: what ended it.
    #[inline]
    pub(crate) fn unpark(&self) -> hub::Wake {
        debug_assert_eq!(self.state.get(), State::Woken, "a waiter runs because it was woken");
        self.state.set(State::Runnable);
        self.blocked.set(Blocked::No);
        self.wake.get()
    }

    /// Its function runs for the first time: a start that was delayed or killed is a wait that is
    /// over.
    #[inline]
    pub(crate) fn started(&self) {
        self.state.set(State::Runnable);
        self.blocked.set(Blocked::No);
    }

    pub(crate) fn state(&self) -> State {
        self.state.get()
    }

    /// True from the beginning of a wait until it goes on.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state.get(), State::Parked | State::Woken)
    }

    pub(crate) fn doom(&self) {
        self.doomed.set(true);
    }

    #[inline]
    pub(crate) fn is_doomed(&self) -> bool {
        self.doomed.get()
    }

    /// Counts how often it is thrown out of a wait.
    pub(crate) fn count_unwind(&self) -> u32 {
        self.unwinds.set(self.unwinds.get() + 1);
        self.unwinds.get()
    }

    /// Notes that the thread has ended, and gives whoever waits for that.
    #[inline]
    pub(crate) fn finish(&self) -> Option<Waiter> {
        self.state.set(State::Finished);
        self.joiner.take()
    }

    #[inline]
    pub(crate) fn set_joiner(&self, joiner: Option<Waiter>) {
        self.joiner.set(joiner);
    }

    pub(crate) fn set_panic(&self, payload: Box<dyn Any + Send>) {
        self.panic.set(Some(payload));
    }

    pub(crate) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.panic.take()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("state", &self.state.get())
            .field("blocked", &self.blocked.get())
            .finish_non_exhaustive()
    }
}
