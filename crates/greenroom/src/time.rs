//! Waiting for time to pass.
//!
//! Knows deadlines and `park`. The hub's clock is read here and in the hub, nowhere else.

mod timeout;

use std::time::Duration;

use greenroom_hub::{Hub, Instant as HubInstant, Wake};

use crate::{
    hub::local::{existing, local},
    thread::{Waiter, park},
};

pub use timeout::{Elapsed, with_deadline, with_timeout};

/// A point in time, as [`std::time::Instant`] is, on the clock of this OS thread's hub.
///
/// On a real hub that is the monotonic clock; in a test with virtual time, the virtual one. Arithmetic
/// does not panic: it ends at the clock's zero, and at a time that never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(HubInstant);

impl Instant {
    /// The time now.
    pub fn now() -> Instant {
        Instant(local().hub.borrow().clock().now())
    }

    pub(crate) fn on_hub(self) -> HubInstant {
        self.0
    }

    /// Time from here to now.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenroom::{Instant, sleep, testing};
    ///
    /// testing::run(|| {
    ///     let begin = Instant::now();
    ///     sleep(Duration::from_secs(3));
    ///     assert_eq!(begin.elapsed(), Duration::from_secs(3));
    ///     assert_eq!(begin.duration_since(Instant::now()), Duration::ZERO);
    /// });
    /// ```
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_since(earlier.0)
    }

    /// Time from `earlier` to here; `None` if `earlier` is later.
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        (earlier <= *self).then(|| self.duration_since(earlier))
    }

    /// Time from `earlier` to here; zero if `earlier` is later. The same as
    /// [`duration_since`](Instant::duration_since).
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, rest: Duration) -> Instant {
        Instant(self.0 + rest)
    }
}

impl std::ops::Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, rest: Duration) -> Instant {
        let nanos = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        Instant(HubInstant::from_nanos(self.0.as_nanos().saturating_sub(nanos)))
    }
}

impl std::ops::SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, rest: Duration) {
        *self = *self - rest;
    }
}

impl std::ops::AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rest: Duration) {
        *self = *self + rest;
    }
}

impl std::ops::Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

/// Stops the current green thread for `time` at least; others run meanwhile. Zero is
/// [`yield_now`].
///
/// Called from `main` or any other OS thread's own stack, it runs the green threads of that OS
/// thread meanwhile. Costs a timer and two switches; those who sleep until the same moment go on in
/// the order in which they went to sleep.
///
/// A green thread that is killed while it sleeps is unwound from here. In a destructor that runs
/// because of a panic there is no waiting: it returns at once.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let begin = Instant::now();
/// let naps: Vec<_> = (0..1000)
///     .map(|_| greenroom::spawn(|| greenroom::sleep(Duration::from_millis(10))))
///     .collect();
/// for nap in naps {
///     nap.join()?;
/// }
/// assert!(begin.elapsed() < Duration::from_secs(5));
/// # Ok::<(), greenroom::JoinError>(())
/// ```
pub fn sleep(time: Duration) {
    if time.is_zero() {
        return yield_now();
    }
    let deadline = deadline_after(&local().hub.borrow(), time);
    wait_until(deadline);
}

/// Stops the current green thread until `deadline`, as [`sleep`] does. If it has passed, this is
/// [`yield_now`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use greenroom::{Instant, sleep_until, testing};
///
/// testing::run(|| {
///     // Every second, however long the work between takes.
///     let begin = Instant::now();
///     let mut next = begin;
///     for _ in 0..5 {
///         next += Duration::from_secs(1);
///         sleep_until(next);
///     }
///     assert_eq!(begin.elapsed(), Duration::from_secs(5));
/// });
/// ```
pub fn sleep_until(deadline: Instant) {
    if deadline <= Instant::now() {
        return yield_now();
    }
    wait_until(deadline.0);
}

/// Lets every other green thread that may run do so first.
///
/// Cheap: some nanoseconds, and no system call of its own. However often threads yield, the hub
/// looks at timers and fds in between.
///
/// # Examples
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
///
/// let order = Rc::new(RefCell::new(Vec::new()));
/// let threads = ["a", "b"].map(|name| {
///     let order = Rc::clone(&order);
///     greenroom::spawn(move || {
///         for _ in 0..2 {
///             order.borrow_mut().push(name);
///             greenroom::yield_now();
///         }
///     })
/// });
/// for thread in threads {
///     thread.join()?;
/// }
/// assert_eq!(*order.borrow(), ["a", "b", "a", "b"]);
/// # Ok::<(), greenroom::JoinError>(())
/// ```
#[inline]
pub fn yield_now() {
    // Nobody else can be ready where there is no hub yet.
    if let Some(local) = existing() {
        park::yield_now(local);
    }
}

fn wait_until(deadline: HubInstant) {
    match park::until(deadline) {
        Ok(Wake::Expired) | Err(park::Unwinding) => {}
        Ok(wake) => unreachable!("a sleep is not ended by {wake:?}"),
    }
}

/// The deadline `time` from now, by a fresh look at the clock: the turn's own reading may be old,
/// and a wait is never shorter than was asked.
#[inline]
pub(crate) fn deadline_after(hub: &Hub<Waiter>, time: Duration) -> HubInstant {
    hub.clock().now() + time
}
