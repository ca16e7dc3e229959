//! The only door to suspension.
//!
//! Every wait of the library comes through here: arm what should end it, stop, and when it goes on
//! disarm the rest. Knows nothing of what is done with the wake-up. Nothing is borrowed and no
//! lock is held while a thread is stopped.

use std::{os::fd::RawFd, rc::Rc, thread::panicking};

use greenroom_fiber::{Fiber, suspend};
use greenroom_hub::{
    Instant, Interest, ListenError, ListenerKey, SourceKey, TimerKey, Wake, WakeId,
};

use crate::{
    hub::local::{Local, local},
    thread::{Blocked, Control, Waiter, run},
};

/// What a green thread is thrown when it is killed. Never seen outside: the end of its stack
/// catches it.
#[derive(Debug)]
pub(crate) struct Killed;

/// The thread unwinds, so nothing can be waited for: a switch in a destructor would let others run
/// in the middle of this thread's panic, of which the OS thread keeps one count for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwinding;

/// Waits until `deadline`.
pub(crate) fn until(deadline: Instant) -> Result<Wake, Unwinding> {
    let mut armed = Armed::begin()?;
    armed.deadline(Some(deadline));
    Ok(armed.park(Blocked::Sleep(deadline)))
}

/// Waits until somebody on this hub calls the waiter that `announce` is given.
pub(crate) fn until_called(
    blocked: Blocked,
    deadline: Option<Instant>,
    announce: impl FnOnce(Waiter),
) -> Result<Wake, Unwinding> {
    let mut armed = Armed::begin()?;
    armed.deadline(deadline);
    announce(armed.me.clone());
    Ok(armed.park(blocked))
}

/// Waits until another OS thread has dropped the id that `announce` is given into the mailbox.
pub(crate) fn until_posted(
    blocked: Blocked,
    announce: impl FnOnce(WakeId),
) -> Result<Wake, Unwinding> {
    let mut armed = Armed::begin()?;
    let id = armed.local.hub.borrow_mut().expect(armed.me.clone());
    armed.expected = Some(id);
    announce(id);
    Ok(armed.park(blocked))
}

/// Which fd a wait is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// One of ours, attached to the hub.
    Attached(SourceKey, RawFd),
    /// Any other, by its number.
    Foreign(RawFd),
}

/// Waits until an fd is ready or the deadline passes.
pub(crate) fn until_ready(
    source: Source,
    interest: Interest,
    deadline: Option<Instant>,
) -> Result<Result<Wake, ListenError<Waiter>>, Unwinding> {
    let mut armed = Armed::begin()?;
    let me = armed.me.clone();
    let mut hub = armed.local.hub.borrow_mut();
    let (listener, fd) = match source {
        Source::Attached(key, fd) => (hub.listen(key, interest, me), fd),
        Source::Foreign(fd) => (hub.listen_fd(fd, interest, me, false), fd),
    };
    drop(hub);
    match listener {
        Ok(listener) => armed.listener = Some(listener),
        Err(error) => return Ok(Err(error)),
    }
    armed.deadline(deadline);
    Ok(Ok(armed.park(Blocked::Fd(fd, interest, deadline))))
}

/// Lets everyone else who is ready run first. Not a wait: there is nothing to arm, and nothing that
/// could end it but its turn.
#[inline]
pub(crate) fn yield_now(local: &'static Local) {
    if panicking() {
        return;
    }
    match Fiber::<Control>::current() {
        Some(fiber) => {
            throw_if_doomed(&fiber);
            local.hub.borrow_mut().queue(Waiter::Thread(fiber));
            suspend();
            Fiber::<Control>::with_current(|fiber| {
                throw_if_doomed(fiber.expect("a thread that is resumed is the one that runs"));
            });
        }
        None => {
            refuse_in_callback(local);
            local.hub.borrow_mut().queue(Waiter::Root(local.root.clone()));
            run::until_woken(local);
        }
    }
}

/// A wait that has begun: what is armed to end it, disarmed when it is over, also by unwinding.
struct Armed {
    me: Waiter,
    local: &'static Local,
    listener: Option<ListenerKey>,
    timer: Option<TimerKey>,
    expected: Option<WakeId>,
}

impl Armed {
    #[inline]
    fn begin() -> Result<Armed, Unwinding> {
        if panicking() {
            return Err(Unwinding);
        }
        let local = local();
        let me = match Fiber::<Control>::current() {
            Some(fiber) => {
                throw_if_doomed(&fiber);
                Waiter::Thread(fiber)
            }
            None => {
                refuse_in_callback(local);
                Waiter::Root(Rc::clone(&local.root))
            }
        };
        Ok(Armed { me, local, listener: None, timer: None, expected: None })
    }

    fn deadline(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline.filter(|&deadline| deadline != Instant::NEVER) {
            self.timer = Some(self.local.hub.borrow_mut().arm(deadline, self.me.clone()));
        }
    }

    #[inline]
    fn park(self, blocked: Blocked) -> Wake {
        control(&self.me).park(blocked, self.local.hub.borrow().now());
        self.stop()
    }

    /// Leaves this stack, or on the root runs the loop, until somebody has called.
    #[inline]
    fn stop(self) -> Wake {
        match &self.me {
            Waiter::Thread(fiber) => {
                suspend();
                let wake = fiber.unpark();
                throw_if_doomed(fiber);
                wake
            }
            Waiter::Root(root) => {
                run::until_woken(self.local);
                root.unpark()
            }
            Waiter::Call(_) => unreachable!("callbacks do not block"),
        }
    }
}

impl Drop for Armed {
    #[inline]
    fn drop(&mut self) {
        if self.listener.is_none() && self.timer.is_none() && self.expected.is_none() {
            return;
        }
        let mut hub = self.local.hub.borrow_mut();
        if let Some(listener) = self.listener {
            hub.unlisten(listener);
        }
        if let Some(timer) = self.timer {
            hub.cancel(timer);
        }
        if let Some(id) = self.expected {
            hub.unexpect(id);
        }
    }
}

#[inline]
fn refuse_in_callback(local: &Local) {
    assert!(
        !local.in_callback.get(),
        "a hub callback may not block: it runs on the hub's own stack, so everyone would wait \
         with it; spawn a green thread from it instead"
    );
}

#[inline]
fn control(waiter: &Waiter) -> &Control {
    match waiter {
        Waiter::Thread(fiber) => fiber,
        Waiter::Root(control) => control,
        Waiter::Call(_) => unreachable!("callbacks do not block"),
    }
}

/// Unwinds a thread that was killed. Thrown again at every wait, so that one that catches the
/// first does not live on.
#[inline]
fn throw_if_doomed(control: &Control) {
    if control.is_doomed() {
        std::panic::resume_unwind(Box::new(Killed));
    }
}
