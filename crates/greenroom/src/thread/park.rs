//! The only door to suspension.
//!
//! Every wait of the library comes through here: arm what should end it, stop, and when it goes on
//! disarm the rest. Knows nothing of what is done with the wake-up. Nothing is borrowed and no
//! lock is held while a thread is stopped.

use std::{os::fd::RawFd, thread::panicking};

use greenroom_fiber::{Fiber, suspend};
use greenroom_hub::{
    Instant, Interest, ListenError, ListenerKey, SourceKey, TimerKey, Wake, WakeId,
};

use crate::{
    debug::trace,
    foreign::{self, Away},
    hub::local::{Local, local},
    thread::{
        AskHolders, Blocked, Control, Reason, Waiter,
        errno::Errno,
        run,
        throw::{Refusal, refusal, throw_if_asked},
    },
};

/// The thread unwinds, so nothing can be waited for: a switch in a destructor would let others run
/// in the middle of this thread's panic, of which the OS thread keeps one count for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwinding;

/// Waits until `deadline`.
pub(crate) fn until(deadline: Instant) -> Result<Wake, Unwinding> {
    let me = Me::here()?;
    let _timer = me.arm(Some(deadline));
    Ok(me.park(Blocked::Sleep))
}

/// Waits until somebody on this hub calls the waiter that `announce` is given, or until `deadline`.
#[inline(always)]
pub(crate) fn until_called<'a>(
    reason: impl Into<Reason<'a>>,
    deadline: Option<Instant>,
    announce: impl FnOnce(Waiter),
) -> Result<Wake, Unwinding> {
    let me = Me::here()?;
    announce(me.waiter());
    if deadline.is_none() {
        return Ok(me.park(reason));
    }
    let _timer = me.arm(deadline);
    Ok(me.park(reason))
}

/// Waits until one of several sources ends the wait of the waiter that `announce` is given, or until
/// `deadline`, which is [`Wake::Expired`]. Which one it was, they know. If `announce` finds that there is nothing
/// to wait for, and says so by false, there is no wait.
pub(crate) fn until_any(
    blocked: Blocked,
    deadline: Option<Instant>,
    announce: impl FnOnce(&Waiter) -> bool,
) -> Result<Wake, Unwinding> {
    let me = Me::here()?;
    if !announce(&me.waiter()) {
        return Ok(Wake::Called);
    }
    let _timer = me.arm(deadline);
    Ok(me.park(blocked))
}

/// Waits until another OS thread has dropped the id that `announce` is given into the mailbox, or
/// until `deadline`.
pub(crate) fn until_posted(
    blocked: Blocked,
    deadline: Option<Instant>,
    announce: impl FnOnce(WakeId),
) -> Result<Wake, Unwinding> {
    let me = Me::here()?;
    let id = me.local().hub.borrow_mut().expect(me.waiter());
    let _expected = Expected { local: me.local(), id };
    announce(id);
    let _timer = me.arm(deadline);
    Ok(me.park(blocked))
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
///
/// Whatever the wake-up was: others ran after it, and if one of them has closed the file, its
/// number may mean another one by now. Then what is told is [`Wake::Closed`].
pub(crate) fn until_ready(
    source: Source,
    interest: Interest,
    deadline: Option<Instant>,
) -> Result<Result<Wake, ListenError<Waiter>>, Unwinding> {
    let me = Me::here()?;
    let mut hub = me.local().hub.borrow_mut();
    let (listener, fd) = match source {
        Source::Attached(key, fd) => (hub.listen(key, interest, me.waiter()), fd),
        Source::Foreign(fd) => (hub.listen_fd(fd, interest, me.waiter(), false), fd),
    };
    drop(hub);
    let key = match listener {
        Ok(key) => key,
        Err(error) => return Ok(Err(error)),
    };
    let local = me.local();
    let _listener = Listener { local, key };
    let _timer = me.arm(deadline);
    let wake = me.park(Blocked::Fd(fd, interest));
    let is_same_file = local.hub.borrow().is_attached(key.source());
    Ok(Ok(if is_same_file { wake } else { Wake::Closed }))
}

// Beneath frames that cannot be unwound: the same waits, which end by a refusal instead of a throw.

/// As [`until`].
pub(crate) fn until_or_refused(deadline: Instant) -> Result<Wake, Refusal> {
    let me = Me::beneath()?;
    let _timer = me.arm(Some(deadline));
    me.leave_unless_refused(Blocked::Sleep)
}

/// As [`until_posted`].
pub(crate) fn until_posted_or_refused(
    blocked: Blocked,
    deadline: Option<Instant>,
    announce: impl FnOnce(WakeId),
) -> Result<Wake, Refusal> {
    let me = Me::beneath()?;
    let id = me.local().hub.borrow_mut().expect(me.waiter());
    let _expected = Expected { local: me.local(), id };
    announce(id);
    let _timer = me.arm(deadline);
    me.leave_unless_refused(blocked)
}

/// As [`until_ready`] of a foreign fd; behind others who wait for it.
pub(crate) fn until_ready_or_refused(
    fd: RawFd,
    interest: Interest,
    deadline: Option<Instant>,
) -> Result<Result<Wake, ListenError<Waiter>>, Refusal> {
    let me = Me::beneath()?;
    let local = me.local();
    let listener = local.hub.borrow_mut().listen_fd_in_line(fd, interest, me.waiter());
    let key = match listener {
        Ok(key) => key,
        Err(error) => return Ok(Err(error)),
    };
    let _listener = Listener { local, key };
    let _timer = me.arm(deadline);
    let wake = me.leave_unless_refused(Blocked::Fd(fd, interest))?;
    // Another OS thread may have said so when the wake-up was under way.
    foreign::hear(local);
    let is_same_file = local.hub.borrow().is_attached(key.source());
    Ok(Ok(if is_same_file { wake } else { Wake::Closed }))
}

/// As [`yield_now`], also for somebody who is to be thrown out.
pub(crate) fn yield_beneath(local: &'static Local) {
    let Some(fiber) = Fiber::<Control>::current() else { return };
    if panicking() {
        return;
    }
    let _errno = Errno::keep(&local.errno);
    let away = Away::take();
    local.hub.borrow_mut().queue(Waiter::Thread(fiber));
    stop(local, None);
    drop(away);
}

/// Lets everyone else who is ready run first. Not a wait: there is nothing to arm, and nothing that
/// could end it but its turn.
// As for `Me::park`.
#[inline(always)]
pub(crate) fn yield_now(local: &'static Local) {
    if panicking() {
        return;
    }
    match Fiber::<Control>::current() {
        Some(fiber) => {
            throw_if_asked(&fiber);
            local.hub.borrow_mut().queue(Waiter::Thread(fiber));
            let errno = Errno::keep(&local.errno);
            stop(local, None);
            drop(errno);
            Fiber::<Control>::with_current(|fiber| {
                throw_if_asked(fiber.expect("a thread that is resumed is the one that runs"));
            });
        }
        None => {
            refuse_in_callback(local);
            throw_if_asked(&local.root);
            local.hub.borrow_mut().queue(Waiter::Root(local.root.clone()));
            let errno = Errno::keep(&local.errno);
            let away = Away::take();
            run::until_woken(local, None);
            drop((away, errno));
            throw_if_asked(&local.root);
        }
    }
}

/// Lets time pass for somebody who is to be thrown out and does not go, so that it does not hurt the others.
#[cold]
pub(crate) fn pause(local: &'static Local, deadline: Instant) {
    let Some(fiber) = Fiber::<Control>::current() else { return };
    let me = Me::Green(fiber, local);
    let _timer = me.arm(Some(deadline));
    // Refused before, and now as well: that it waited is all that counts.
    let _ = me.leave_unless_refused(Blocked::Sleep);
}

/// Calls in a row that one may make without waiting before the others get their turn.
pub(crate) const CALLS_IN_A_ROW_MAX: u32 = 128;

/// Counts a call that may have to wait, before it is made. Somebody whose data never ends would
/// otherwise hold the loop for as long as it keeps coming.
#[inline]
pub(crate) fn count_call(local: &'static Local) {
    let calls = local.calls_in_a_row.get() + 1;
    local.calls_in_a_row.set(calls);
    if calls > CALLS_IN_A_ROW_MAX {
        share(local);
    }
}

#[cold]
fn share(local: &'static Local) {
    local.calls_in_a_row.set(0);
    if !local.in_callback.get() {
        yield_now(local);
    }
}

/// Who is about to wait.
enum Me {
    Green(Fiber<Control>, &'static Local),
    Root(&'static Local),
}

impl Me {
    #[inline(always)]
    fn here() -> Result<Me, Unwinding> {
        if panicking() {
            return Err(Unwinding);
        }
        let local = local();
        match Fiber::<Control>::current() {
            Some(fiber) => {
                throw_if_asked(&fiber);
                Ok(Me::Green(fiber, local))
            }
            None => {
                refuse_in_callback(local);
                throw_if_asked(&local.root);
                Ok(Me::Root(local))
            }
        }
    }

    /// Who is about to wait beneath frames that cannot be unwound.
    fn beneath() -> Result<Me, Refusal> {
        if panicking() {
            return Err(Refusal::Unwinding);
        }
        let local = local();
        let Some(fiber) = Fiber::<Control>::current() else {
            unreachable!("only green threads wait beneath others")
        };
        match refusal(&fiber) {
            Some(refusal) => Err(refusal),
            None => Ok(Me::Green(fiber, local)),
        }
    }

    #[inline]
    fn local(&self) -> &'static Local {
        match self {
            Me::Green(_, local) | Me::Root(local) => local,
        }
    }

    #[inline]
    fn waiter(&self) -> Waiter {
        match self {
            Me::Green(fiber, _) => Waiter::Thread(fiber.clone()),
            Me::Root(local) => Waiter::Root(local.root.clone()),
        }
    }

    fn arm(&self, deadline: Option<Instant>) -> Timer {
        let local = self.local();
        let deadline = deadline.filter(|&deadline| deadline != Instant::NEVER);
        let key = deadline.map(|deadline| local.hub.borrow_mut().arm(deadline, self.waiter()));
        Timer { local, key }
    }

    /// Leaves this stack until somebody has called. Who is to be thrown out hears that instead, unless the
    /// wait ended by what was waited for.
    fn leave_unless_refused(&self, blocked: Blocked) -> Result<Wake, Refusal> {
        let Me::Green(fiber, local) = self else {
            unreachable!("only green threads wait beneath others")
        };
        let _errno = Errno::keep(&local.errno);
        let away = Away::take();
        let now = local.hub.borrow().now();
        fiber.park(blocked, now);
        stop(local, None);
        drop(away);
        let wake = fiber.unpark();
        match refusal(fiber) {
            Some(refusal) if wake == Wake::Expired => Err(refusal),
            _ => Ok(wake),
        }
    }

    /// Leaves this stack, or on the root runs the loop, until somebody has called.
    // One frame less to return through: a return that follows a switch is never predicted.
    #[inline(always)]
    fn park<'a>(self, reason: impl Into<Reason<'a>>) -> Wake {
        let Reason { blocked, holders } = reason.into();
        let now = self.local().hub.borrow().now();
        match self {
            Me::Green(fiber, local) => {
                fiber.park(blocked, now);
                let errno = Errno::keep(&local.errno);
                stop(local, holders);
                drop(errno);
                let wake = fiber.unpark();
                throw_if_asked(&fiber);
                wake
            }
            Me::Root(local) => {
                local.root.park(blocked, now);
                let waits = RootWaits(local);
                let errno = Errno::keep(&local.errno);
                let away = Away::take();
                run::until_woken(local, holders);
                drop((away, waits, errno));
                let wake = local.root.unpark();
                throw_if_asked(&local.root);
                wake
            }
        }
    }
}

/// Leaves this stack until it is resumed to go on.
#[inline(always)]
fn stop(local: &Local, holders: Option<AskHolders<'_>>) {
    suspend();
    while local.looks.get() {
        be_looked_at(local, holders);
    }
}

/// Was resumed only to tell where and for whom it waits, and goes back there.
#[cold]
fn be_looked_at(local: &Local, holders: Option<AskHolders<'_>>) {
    local.looks.set(false);
    local.holders.set(holders.map(|ask| ask()));
    let here = std::ptr::from_ref(&local).addr();
    let limit = Fiber::<Control>::with_current(|fiber| Some(fiber?.stack_range()?.start));
    // One who is near the end of its stack would overflow it only because somebody looked.
    if limit.is_some_and(|limit| here - limit >= STACK_TO_LOOK_MIN) {
        trace::walk(&mut local.seen.borrow_mut());
    }
    suspend();
}

/// Bytes of stack that are left for walking it.
const STACK_TO_LOOK_MIN: usize = 8 << 10;

/// The root is in the loop. Should the loop end by unwinding (a deadlock, or a kernel that refuses to
/// wait), the root's wait is over all the same, and the hub works again at the next use.
struct RootWaits(&'static Local);

impl Drop for RootWaits {
    fn drop(&mut self) {
        if panicking() {
            self.0.root.break_off();
        }
    }
}

/// An armed deadline; taken back when the wait is over, also by unwinding.
struct Timer {
    local: &'static Local,
    key: Option<TimerKey>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.local.hub.borrow_mut().cancel(key);
        }
    }
}

/// A place at an fd; given up when the wait is over, also by unwinding.
struct Listener {
    local: &'static Local,
    key: ListenerKey,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.local.hub.borrow_mut().unlisten(self.key);
    }
}

/// A wait that another OS thread may end; forgotten when it is over, also by unwinding.
struct Expected {
    local: &'static Local,
    id: WakeId,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.local.hub.borrow_mut().unexpect(self.id);
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
