//! What the hub keeps of each green thread: its state, and why it waits.
//!
//! Knows no stacks: a [`Control`] lies beside its fiber, or in the hub's own state for the root, and
//! neither the fiber crate nor the hub crate looks into it.

use std::{any::Any, cell::Cell, fmt, panic::Location, rc::Rc};

use greenroom_fiber::Fiber;
use greenroom_hub as hub;

use crate::{
    hub::{
        Callback,
        local::{Local, existing},
        remote::Post,
    },
    thread::{
        Blocked, join,
        link::{End, Links},
        local::Locals,
        scope::Children,
        throw::{Limit, Throw},
    },
};

/// Who can be woken on this hub.
///
/// A clone is the same waiter. While a waiter lies in the ready queue or at a source, this handle
/// keeps its control block.
#[derive(Clone, Debug)]
pub(crate) enum Waiter {
    /// A green thread.
    Thread(Fiber<Control>),
    /// The OS thread's own stack, which runs the loop while it waits.
    Root(Rc<Control>),
    /// A timer's or a listener's function.
    Call(Rc<Callback>),
    /// A green thread that is to be thrown out of its wait, by a timer or by a call: see `throw`.
    // Without a field for why: as long as every variant is one pointer, a waiter is moved in two
    // registers.
    Throw(Fiber<Control>),
    /// The OS thread's own stack, whose time is over.
    ThrowRoot(Rc<Control>),
    /// The hub's wait for what other OS threads send.
    Post(Rc<Post>),
}

impl Waiter {
    /// The control block of whoever it is that waits; a callback has none.
    fn control(&self) -> Option<&Control> {
        match self {
            Waiter::Thread(fiber) | Waiter::Throw(fiber) => Some(fiber),
            Waiter::Root(control) | Waiter::ThrowRoot(control) => Some(control),
            Waiter::Call(_) | Waiter::Post(_) => None,
        }
    }

    /// True for green threads, false for the root and callbacks.
    pub(crate) fn is_thread(&self) -> bool {
        matches!(self, Waiter::Thread(_) | Waiter::Throw(_))
    }

    /// True until something has ended its wait.
    pub(crate) fn is_parked(&self) -> bool {
        self.control().is_some_and(Control::is_parked)
    }

    /// Notes which of several sources is about to call it.
    pub(crate) fn note_source(&self, source: u32) {
        if let Some(control) = self.control() {
            control.source.set(source);
        }
    }
}

impl hub::Waiter for Waiter {
    #[inline]
    fn settle(&self, wake: hub::Wake) -> bool {
        match self {
            Waiter::Thread(fiber) => fiber.settle(wake),
            Waiter::Root(control) => control.settle(wake),
            Waiter::Call(callback) => callback.settle(wake),
            Waiter::Throw(fiber) => fiber.settle_throw(wake),
            Waiter::ThrowRoot(control) => control.settle_throw(wake),
            Waiter::Post(post) => post.settle(),
        }
    }

    #[inline]
    fn prefetch(&self) {
        if let Waiter::Thread(fiber) | Waiter::Throw(fiber) = self {
            fiber.prefetch();
            // It will run soon, and may end.
            if fiber.state() != State::Parked {
                fiber.prefetch_stack();
                if let Some(local) = existing() {
                    local.threads.borrow().prefetch(fiber.slot.get());
                }
            }
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
    /// Why it is to be thrown out of its next wait.
    pub(crate) throw: Cell<Throw>,
    /// The limit of time it will meet first.
    pub(crate) limit: Cell<Limit>,
    /// How often it was thrown out of a wait without arriving.
    pub(crate) throws: Cell<u32>,
    /// Waits that may not be thrown out of, for what they wait for borrows from this stack.
    pub(crate) holds_out: Cell<bool>,
    /// Foreign code on it blocks the OS thread instead of waiting.
    pub(crate) stays: Cell<bool>,
    /// Waits of foreign code that were refused in a row.
    pub(crate) refusals: Cell<u8>,
    /// Killed before it started, by somebody who wanted only that.
    pub(crate) cancelled: Cell<bool>,
    /// Which of several sources ended its wait.
    pub(crate) source: Cell<u32>,
    pub(crate) end: Cell<End>,
    pub(crate) links: Links,
    /// All that was linked has been called. From here on it is called at once.
    pub(crate) links_are_over: Cell<bool>,
    pub(crate) locals: Locals,
    /// The scope it belongs to, if it borrows from one.
    pub(crate) children: Cell<Option<Rc<Children>>>,
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
            throw: Cell::new(Throw::No),
            limit: Cell::new(Limit::NONE),
            throws: Cell::new(0),
            holds_out: Cell::new(false),
            stays: Cell::new(false),
            refusals: Cell::new(0),
            cancelled: Cell::new(false),
            source: Cell::new(0),
            end: Cell::new(End::Returned),
            links: Links::default(),
            links_are_over: Cell::new(false),
            locals: Locals::default(),
            children: Cell::new(None),
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

    /// The wait ends by an unwinding that nobody threw. If nothing had ended it before, nothing has come
    /// of it, and least of all a call.
    #[cold]
    pub(crate) fn break_off(&self) {
        if self.state.get() == State::Parked {
            self.wake.set(hub::Wake::Expired);
        }
        self.started();
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

    /// True from the beginning of a wait until something has ended it.
    pub(crate) fn is_parked(&self) -> bool {
        self.state.get() == State::Parked
    }

    /// True from the beginning of a wait until it goes on.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state.get(), State::Parked | State::Woken)
    }

    /// To be thrown out of its next wait; ends the wait it is in. A timer says by this that a
    /// limit is over; who kills has noted that before.
    fn settle_throw(&self, wake: hub::Wake) -> bool {
        if wake == hub::Wake::Expired && self.throw.get() == Throw::No {
            self.throw.set(Throw::TimeIsOver);
        }
        if self.state.get() != State::Parked {
            return false;
        }
        self.state.set(State::Woken);
        // Not by whom it waited for: what that one had to give is still to be had.
        self.wake.set(hub::Wake::Expired);
        true
    }

    /// True if what ended the last wait was a call, and not a deadline or a throw.
    pub(crate) fn was_called(&self) -> bool {
        self.wake.get() == hub::Wake::Called
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

    /// Its function did not return, but threw this.
    #[cold]
    pub(crate) fn set_panic(&self, payload: Box<dyn Any + Send>) {
        self.end.set(join::end_of(&*payload));
        self.panic.set(Some(payload));
    }

    pub(crate) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.panic.take()
    }
}

/// The control block of whoever runs now.
#[inline]
pub(crate) fn with_current<R>(local: &Local, f: impl FnOnce(&Control) -> R) -> R {
    Fiber::<Control>::with_current(|fiber| match fiber {
        Some(fiber) => f(fiber),
        None => f(&local.root),
    })
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("state", &self.state.get())
            .field("blocked", &self.blocked.get())
            .finish_non_exhaustive()
    }
}
