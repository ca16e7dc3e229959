//! A limit on the time that a piece of code may take, whatever it waits for.
//!
//! Arms a timer that throws the thread out of its wait. Knows levels and deadlines; what the code waits
//! for it never learns.

use std::{
    error, fmt, io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread::panicking,
    time::Duration,
};

use greenroom_fiber::Fiber;
use greenroom_hub::{Instant as HubInstant, TimerKey};

use super::{Instant, deadline_after};
use crate::{
    hub::local::{Local, local},
    thread::{
        Control, Waiter, control,
        throw::{self, Limit, Throw, Thrown, assert_can_unwind},
    },
};

/// Runs `f`, for `time` at most: when that is over, `f` is unwound from where it waits, so that its
/// destructors run.
///
/// It is thrown out of whatever it waits for: a sleep, a socket, a lock, a join, a channel. If it does not wait
/// when the time is over, it is at its next wait; if there is none, it is in time. Zero throws
/// it out of its first wait.
///
/// A lock that `f` holds when it is thrown out is given back, and a [`Mutex`](crate::sync::Mutex) or a
/// [`RwLock`](crate::sync::RwLock) held for writing is poisoned. A process or a helper OS thread that it
/// waited for goes on.
///
/// Timeouts nest, and each stops at its own `with_timeout`: the outer one passes through the inner. In `f`,
/// `catch_unwind` sees the throw; code that catches it is thrown out of its next wait again, a
/// thousand times over, after which the process aborts and names the thread. To outlive a panic of some
/// code use [`catch_panic`](crate::thread::catch_panic), which lets a throw pass, or run it in a green
/// thread and join that: [`Thread::kill`](crate::thread::Thread::kill) shows how.
///
/// Costs a timer armed and cancelled, some tens of nanoseconds, and allocates nothing; a timeout
/// that fires costs microseconds for the unwinding.
///
/// # Errors
///
/// [`Elapsed`], if `f` was unwound.
///
/// # Panics
///
/// With what `f` panics with. Under `panic = "abort"`, where nothing can be unwound.
///
/// In a destructor that runs because of a panic nothing waits, so there is no timeout either.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{Elapsed, sleep, with_timeout};
///
/// let nap = |ms| sleep(Duration::from_millis(ms));
/// assert_eq!(with_timeout(Duration::from_millis(5), || nap(60_000)), Err(Elapsed));
/// assert_eq!(with_timeout(Duration::from_secs(60), || nap(1)), Ok(()));
///
/// // The outer time is over first, and ends both.
/// let outer = with_timeout(Duration::from_millis(5), || {
///     with_timeout(Duration::from_secs(60), || nap(60_000))
/// });
/// assert_eq!(outer, Err(Elapsed));
/// ```
#[track_caller]
pub fn with_timeout<T>(time: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let local = local();
    let deadline = (!time.is_zero()).then(|| deadline_after(&local.hub.borrow(), time));
    limit(local, deadline, f)
}

/// Runs `f` until `deadline` at most, as [`with_timeout`] does.
///
/// # Errors
///
/// As [`with_timeout`].
///
/// # Panics
///
/// As [`with_timeout`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{Elapsed, Instant, sleep, testing, time::with_deadline};
///
/// testing::run(|| {
///     let end = Instant::now() + Duration::from_secs(3);
///     assert_eq!(with_deadline(end, || sleep(Duration::from_secs(2))), Ok(()));
///     assert_eq!(with_deadline(end, || sleep(Duration::from_secs(2))), Err(Elapsed));
///     assert_eq!(Instant::now(), end);
/// });
/// ```
#[track_caller]
pub fn with_deadline<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let local = local();
    let now = local.hub.borrow().clock().now();
    limit(local, (deadline.on_hub() > now).then(|| deadline.on_hub()), f)
}

/// The time was over before the work was done.
///
/// ```
/// let late: std::io::Error = greenroom::Elapsed.into();
/// assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over before it was done")
    }
}

impl error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// `None` is a deadline that has passed.
#[track_caller]
fn limit<T>(
    local: &'static Local,
    deadline: Option<HubInstant>,
    f: impl FnOnce() -> T,
) -> Result<T, Elapsed> {
    assert_can_unwind("a timeout");
    if panicking() {
        return Ok(f());
    }
    let inside = Inside::begin(local, deadline);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    let arrives = Thrown::TimeIsOver { level: inside.level };
    drop(inside);
    match outcome {
        Ok(value) => Ok(value),
        Err(payload) if payload.downcast_ref() == Some(&arrives) => Err(Elapsed),
        Err(payload) => resume_unwind(payload),
    }
}

/// The time in which one limit more is in force, until it is dropped.
struct Inside {
    local: &'static Local,
    level: u64,
    /// What was in force before.
    outer: Limit,
    timer: Option<TimerKey>,
}

impl Inside {
    fn begin(local: &'static Local, deadline: Option<HubInstant>) -> Inside {
        control::with_current(local, |control| {
            let outer = control.limit.get();
            let level = outer.level + 1;
            let mut inside = Inside { local, level, outer, timer: None };
            match deadline {
                None => {
                    let deadline = local.hub.borrow().clock().now();
                    // Else the outer one is over as well, and the throw is for it.
                    if deadline < outer.deadline {
                        control.limit.set(Limit { deadline, level });
                    }
                    if control.throw.get() == Throw::No {
                        control.throw.set(Throw::TimeIsOver);
                    }
                }
                // Else the outer limit is over first, and ends what is inside as well.
                Some(deadline) if deadline < outer.deadline => {
                    control.limit.set(Limit { deadline, level });
                    let waiter = match Fiber::<Control>::current() {
                        Some(fiber) => Waiter::Throw(fiber),
                        None => Waiter::ThrowRoot(local.root.clone()),
                    };
                    inside.timer = Some(local.hub.borrow_mut().arm(deadline, waiter));
                }
                Some(_) => {}
            }
            inside
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let waiter = self.local.hub.borrow_mut().cancel(timer);
            drop(waiter);
        }
        control::with_current(self.local, |control| {
            throw::land(control, self.outer, || self.local.hub.borrow().clock().now());
        });
    }
}
